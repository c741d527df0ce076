/* SPDX-License-Identifier: MIT
 *
 * The short spelling of identifiers: exact both ways, the same in C and in the views' SQL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../collector/base/identifier.h"
#include "../../collector/writer/migrations.h"
#include "../../schema/event_id.h"

#define UUID "0f8fad5b-d9cb-469f-a165-70867728950e"

static const struct {
    const char *text;
    size_t packed; /* 0: stays text */
} cases[] = {
    { UUID, 17 },
    { "chatcmpl_" UUID, 17 },
    { "0F8FAD5B-d9cb-469f-a165-70867728950e", 28 },
    { "0f8fad5b-d9cb-469f-a165-70867728950", 28 },
    { "0f8fad5bxd9cb-469f-a165-70867728950e", 28 },
    { "4bf92f3577b34da6a3ce929d0e0e4736", 17 },
    { "00f067aa0ba902b7", 9 },
    { "00F067AA0BA902B7", 13 },
    { "00f067aa0ba902b", 13 },
    { "abcdef", 0 },
    { "resp_67ccd2bed1ec8190b14f964abc054267", 17 },
    { "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", 23 },
    { "msg_01XFDUDYJgAACzvnptvVoYEL", 18 },
    { "_-zZaA09Zz-_", 10 },
    { "_-zZaA09Zz-_9", 11 },
    { "_-zZaA09Zz-_9Z", 12 },
    { "_-zZaA09Zz-_9Zz", 13 },
    { "_-zZaA09Zz-_9Zz.", 0 },
    { "_-zZaA09Zz-.9Zzz", 0 },
    { "msg_01ZZZZZZZ", 8 },
    { "msg_01ZZZZZZZZ", 7 },
    { "msg_", 1 },
    { "toolu_01A09q90qw90lq917835lq9", 17 },
    { "", 0 },
    { "plain name", 0 },
    { "gen-1729\xf0\x9f\x98\x80", 9 },
};

static struct slice slice_of(const char *text)
{
    return (struct slice){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t packed[IDENTIFIER_MAX];
        char text[IDENTIFIER_TEXT_MAX];
        size_t len = identifier_pack(slice_of(cases[i].text), packed);
        if (len != cases[i].packed)
            fail_msg("%s: %zu bytes", cases[i].text, len);
        if (len == 0)
            continue;
        assert_int_equal(identifier_unpack(packed, len, text), strlen(cases[i].text));
        assert_memory_equal(text, cases[i].text, strlen(cases[i].text));
    }
}

static void test_limits(void **state)
{
    uint8_t packed[IDENTIFIER_MAX];
    char text[IDENTIFIER_TEXT_MAX], longest[257];

    (void)state;
    memset(longest, 'a', 256);
    longest[256] = '\0';
    assert_int_equal(identifier_pack(slice_of(longest), packed), 0); /* longer than the wire allows */
    longest[254] = '\0';
    assert_int_equal(identifier_pack(slice_of(longest), packed), 128);
    assert_int_equal(identifier_unpack(packed, 128, text), 254);
    assert_int_equal(identifier_pack((struct slice){ NULL, 0 }, packed), 0);
    assert_int_equal(identifier_unpack(packed, 0, text), 0);
    assert_int_equal(identifier_unpack((const uint8_t *)"\xff"
                                                        "1234567890123456",
                                       17, text),
                     0);
    assert_int_equal(identifier_unpack((const uint8_t *)"\x1f"
                                                        "1",
                                       2, text),
                     0); /* no such prefix */
    assert_int_equal(identifier_unpack((const uint8_t *)"\x40"
                                                        "12",
                                       3, text),
                     0); /* a UUID's form, not its length */
}

static void test_call(void **state)
{
    static const struct {
        const char *call, *run;
        int64_t n;
    } calls[] = {
        { UUID ":model:7", UUID, 7 },
        { UUID ":model:0", UUID, 0 },
        { "r:model:123456789", "r", 123456789 },
        { "r:model:1234567890", "r", -1 },
        { "r:model:07", "r", -1 },
        { "r:model:", "r", -1 },
        { "r:model:1x", "r", -1 },
        { "q:model:1", "r", -1 },
        { "r:model1", "r", -1 },
        { "call_1", UUID, -1 },
        { ":model:5", "", 5 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        assert_int_equal(identifier_call(slice_of(calls[i].call), slice_of(calls[i].run)), calls[i].n);
    assert_int_equal(identifier_call(slice_of("r:model:1"), (struct slice){ NULL, 0 }), -1);
}

static void run(sqlite3 *db, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
}

static void text_is(sqlite3_stmt *stmt, int column, const char *expected)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    assert_non_null(text);
    assert_string_equal(text, expected);
}

/* The functions and the views say the same, whatever the spelling. */
static void test_sql(void **state)
{
    sqlite3_stmt *insert, *view, *function;
    uint8_t run_id[IDENTIFIER_MAX], response_id[IDENTIFIER_MAX], id[16];
    sqlite3 *db;

    (void)state;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    for (int i = 0; i < migrations_count; i++)
        run(db, migrations[i]);
    assert_int_equal(identifier_functions(db), SQLITE_OK);
    run(db, "INSERT INTO source VALUES(1, 's', 0);"
            "INSERT INTO dims(id, key, rollup, source) VALUES(1, x'00', 1, 1)");
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "INSERT INTO dispatch(id, ts_ms, received_after_ms, state, dims, run_id,"
                           " call_id, response_id) VALUES(1, 0, 0, 0, 1, ?, 42, ?)",
                           -1, &insert, NULL),
        SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT run_id, call_id, response_id FROM v_dispatch", -1, &view, NULL),
        SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT identifier(run_id), call_identifier(call_id, run_id),"
                           " identifier(response_id), event_identifier(event_id, 'ses', response_id,"
                           " span_id) FROM dispatch",
                           -1, &function, NULL),
        SQLITE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char call[IDENTIFIER_TEXT_MAX];
        const char *text = cases[i].text;
        run(db, "DELETE FROM dispatch");
        identifier_bind(insert, 1, slice_of(text), run_id);
        identifier_bind(insert, 2, slice_of(text), response_id);
        assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
        sqlite3_reset(insert);
        snprintf(call, sizeof call, "%s:model:42", text);
        tg_event_id_hash('r', "ses", 3, text, strlen(text), id);
        sqlite3_stmt *both[2] = { view, function };
        for (int k = 0; k < 2; k++) {
            assert_int_equal(sqlite3_step(both[k]), SQLITE_ROW);
            text_is(both[k], 0, text);
            text_is(both[k], 1, call);
            text_is(both[k], 2, text);
        }
        assert_int_equal(sqlite3_column_bytes(function, 3), 16);
        assert_memory_equal(sqlite3_column_blob(function, 3), id, 16);
        sqlite3_reset(view);
        sqlite3_reset(function);
    }
    sqlite3_finalize(insert);
    sqlite3_finalize(view);
    sqlite3_finalize(function);
    sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_sql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
