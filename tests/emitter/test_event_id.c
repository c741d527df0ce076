/* SPDX-License-Identifier: MIT
 *
 * test_event_id.c: schema/event_id.h and tg_event_id against the golden vectors, which were made by
 * another implementation. Run from the top of the source tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "../../include/tollgate.h"
#include "../../schema/event_id.h"

#define VECTORS "schema/vectors/event_id.json"
#define IDS_MIN 90 /* the file holds more: a reader that finds nothing must not pass */

static void hex(const unsigned char id[16], char out[33])
{
    for (int i = 0; i < 16; i++) {
        out[2 * i] = "0123456789abcdef"[id[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[id[i] & 15];
    }
    out[32] = 0;
}

static const char *text(const json_t *item, const char *name)
{
    return json_string_value(json_object_get(item, name));
}

static bool known(const char *s)
{
    return s != NULL && *s != 0;
}

static void reference(const json_t *item, unsigned char out[16])
{
    const char *session = text(item, "session_id"), *name = text(item, "response_id");
    char tag = 'r';

    if (!known(name)) {
        tag = 's';
        name = text(item, "span_id");
    }
    if (session == NULL)
        session = "";
    tg_event_id_hash(tag, session, strlen(session), name, strlen(name), out);
}

static void test_vectors(void **state)
{
    json_error_t why;
    json_t *file = json_load_file(VECTORS, 0, &why), *item;
    size_t at;
    char made[33];
    unsigned char id[16];

    (void)state;
    if (file == NULL)
        fail_msg("%s: %s", VECTORS, why.text);
    assert_true(json_array_size(json_object_get(file, "ids")) > IDS_MIN);
    json_array_foreach(json_object_get(file, "ids"), at, item)
    {
        reference(item, id);
        hex(id, made);
        assert_string_equal(made, text(item, "event_id"));
        memset(id, 0, sizeof id);
        assert_int_equal(
            tg_event_id(text(item, "session_id"), text(item, "response_id"), text(item, "span_id"), id),
            TG_OK);
        hex(id, made);
        assert_string_equal(made, text(item, "event_id"));
    }
    json_decref(file);
}

static void test_no_name(void **state)
{
    unsigned char id[16], before[16];

    (void)state;
    memset(id, 0x5a, sizeof id);
    memcpy(before, id, sizeof id);
    assert_int_equal(tg_event_id("s-42", NULL, NULL, id), TG_ERR_INVALID);
    assert_int_equal(tg_event_id("s-42", "", "", id), TG_ERR_INVALID);
    assert_memory_equal(id, before, sizeof id);
}

/* Without a name: 6 bytes of time, so that ids sort by it, and another id for each place. */
static void test_place(void **state)
{
    unsigned char first[16], next[16], later[16];

    (void)state;
    tg_event_id_place(0x0123456789ab, 7, 0, 1, first);
    tg_event_id_place(0x0123456789ab, 7, 0, 2, next);
    tg_event_id_place(0x0123456789ac, 7, 0, 1, later);
    assert_memory_equal(first, "\x01\x23\x45\x67\x89\xab", 6);
    assert_memory_equal(first, next, 6);
    assert_memory_not_equal(first + 6, next + 6, 10);
    assert_true(memcmp(first, later, 16) < 0 && memcmp(next, later, 16) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_no_name),
        cmocka_unit_test(test_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
