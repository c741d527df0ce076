/* SPDX-License-Identifier: MIT
 *
 * test_record.c: what record.c writes, read back with msgpack-c and compared field by field with
 * schema/event.def; strings at and past their limit.
 */
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emitter/record.h"
#include "schema/event_id.h"

enum { HEAD = 3 };

/* Positions, counted from the one list. */
enum position {
    P_kind,
    P_event_id,
    P_ts_ms,
#define TG_HEAD_TEXT(name) P_##name,
#define TG_DIMS_TEXT(name) P_##name,
#define TG_DIMS_ENUM(name) P_##name,
#define TG_DIMS_TAGS(name) P_##name,
#include "schema/event.def"
    P_TAIL,
    PD_BEFORE = P_TAIL - 1,
#define TG_DISPATCH_TEXT(name) PD_##name,
#define TG_DISPATCH_NUM(name)  PD_##name,
#include "schema/event.def"
    PD_END,
    PM_BEFORE = P_TAIL - 1,
#define TG_MESSAGE_TEXT(name) PM_##name,
#define TG_MESSAGE_ENUM(name) PM_##name,
#define TG_MESSAGE_NUM(name)  PM_##name,
#include "schema/event.def"
    PM_END
};

static uint8_t bytes[RECORD_MAX];
static struct record_place place;
static msgpack_unpacked unpacked;
static const msgpack_object *part;

/* Writes, reads back: one object, all bytes used, the right number of positions. */
static void decode(size_t len, uint32_t positions)
{
    size_t at = 0;

    assert_true(len <= RECORD_MAX);
    assert_true(record_readable(bytes, len));
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)bytes, len, &at), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, len);
    assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(unpacked.data.via.array.size, positions);
    part = unpacked.data.via.array.ptr;
}

static void dispatch(const struct tg_dispatch *d)
{
    place = (struct record_place){ .epoch = 7, .stream = 2, .seq = 9 };
    decode(record_dispatch(bytes, d, &place), PD_END);
}

static void message(const struct tg_message *m)
{
    place = (struct record_place){ .epoch = 7, .stream = 2, .seq = 9 };
    decode(record_message(bytes, m, &place), PM_END);
}

static int setup(void **state)
{
    (void)state;
    msgpack_unpacked_init(&unpacked);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    msgpack_unpacked_destroy(&unpacked);
    return 0;
}

static void text_is(int at, const char *expected)
{
    assert_int_equal(part[at].type, MSGPACK_OBJECT_STR);
    assert_int_equal(part[at].via.str.size, strlen(expected));
    assert_memory_equal(part[at].via.str.ptr, expected, strlen(expected));
}

static void number_is(int at, int64_t expected)
{
    if (expected < 0) {
        assert_int_equal(part[at].type, MSGPACK_OBJECT_NIL);
        return;
    }
    assert_int_equal(part[at].type, MSGPACK_OBJECT_POSITIVE_INTEGER);
    assert_true(part[at].via.u64 == (uint64_t)expected);
}

static void id_is(const unsigned char *expected)
{
    assert_int_equal(part[P_event_id].type, MSGPACK_OBJECT_BIN);
    assert_int_equal(part[P_event_id].via.bin.size, 16);
    assert_memory_equal(part[P_event_id].via.bin.ptr, expected, 16);
}

/* Every string field holds its own name, every number its position: nothing can be swapped. */
static void test_every_field(void **state)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;
    struct tg_message m = TG_MESSAGE_INIT;
    const struct tg_tag tags[] = { { "team", "blue" }, { "", "x" }, { "y", NULL }, { "tier", "1" } };
    unsigned char id[16];

    (void)state;
#define TG_HEAD_TEXT(name)     d.name = #name;
#define TG_DIMS_TEXT(name)     d.name = #name;
#define TG_DISPATCH_TEXT(name) d.name = #name;
#include "schema/event.def"
    d.ts_ms = 1732000000123;
    d.trigger = TG_TRIGGER_RETRY;
    d.granularity = TG_GRANULARITY_TURN;
    d.status = TG_STATUS_BLOCKED;
    d.tags = tags;
    d.tag_count = 4;
    d.usage = (struct tg_usage){ PD_prompt_tokens,   PD_completion_tokens,  PD_total_tokens,
                                 PD_cached_tokens,   PD_cache_write_tokens, PD_cache_write_1h_tokens,
                                 PD_reasoning_tokens };
    d.attempt = PD_attempt;
    d.tool_calls = PD_tool_calls;
    d.latency_ms = PD_latency_ms;
    d.ttft_ms = PD_ttft_ms;
    d.http_status = PD_http_status;
    d.partial = PD_partial;
    d.cost_reported_nanousd = PD_cost_reported_nanousd;
    dispatch(&d);
    number_is(P_kind, 1);
    number_is(P_ts_ms, 1732000000123);
#define TG_HEAD_TEXT(name)     text_is(P_##name, #name);
#define TG_DIMS_TEXT(name)     text_is(P_##name, #name);
#define TG_DISPATCH_TEXT(name) text_is(PD_##name, #name);
#define TG_DISPATCH_NUM(name)  number_is(PD_##name, PD_##name);
#include "schema/event.def"
    number_is(P_trigger, 6);
    number_is(P_granularity, 3);
    number_is(P_status, 5);
    assert_int_equal(part[P_tags].type, MSGPACK_OBJECT_MAP);
    assert_int_equal(part[P_tags].via.map.size, 2); /* without the unknown ones */
    assert_memory_equal(part[P_tags].via.map.ptr[1].key.via.str.ptr, "tier", 4);
    assert_memory_equal(part[P_tags].via.map.ptr[1].val.via.str.ptr, "1", 1);
    assert_int_equal(tg_event_id("session_id", "response_id", "span_id", id), TG_OK);
    id_is(id);
    assert_int_equal(place.truncated, 0);

    m.kind = TG_AGENT_END;
    m.ts_ms = 5;
    m.session_id = "session_id", m.parent_session_id = "parent_session_id";
    m.root_session_id = "root_session_id", m.agent_id = "agent_id", m.user_id = "user_id";
    m.surface = "surface", m.channel = "channel", m.error_type = "error_type";
    m.tags = tags, m.tag_count = 1;
    m.run_id = "run_id", m.message_id = "message_id";
    m.outcome = TG_OUTCOME_OBSERVED, m.bytes = 70000, m.latency_ms = 200;
    message(&m);
    number_is(P_kind, 19);
#define TG_HEAD_TEXT(name) text_is(P_##name, #name);
#include "schema/event.def"
    text_is(P_agent_id, "agent_id");
    text_is(P_user_id, "user_id");
    text_is(P_surface, "surface");
    text_is(P_channel, "channel");
    text_is(P_error_type, "error_type");
    for (int i = P_provider; i <= P_requested_model; i++)
        number_is(i, -1);
    for (int i = P_lane; i <= P_status; i++)
        number_is(i, -1);
    assert_int_equal(part[P_tags].via.map.size, 1);
    text_is(PM_run_id, "run_id");
    text_is(PM_message_id, "message_id");
    number_is(PM_outcome, 5);
    number_is(PM_bytes, 70000);
    number_is(PM_latency_ms, 200);
    tg_event_id_place(5, 7, 2, 9, id);
    id_is(id);
}

static void test_unknown_is_nil(void **state)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;
    unsigned char id[16];

    (void)state;
    d.ts_ms = 99;
    d.model = "";
    dispatch(&d);
    for (int i = P_ts_ms + 1; i < PD_END; i++)
        if (i != P_granularity)
            number_is(i, -1);
    number_is(P_granularity, 1);
    tg_event_id_place(99, 7, 2, 9, id);
    id_is(id);

    d.ts_ms = TG_UNKNOWN; /* now, whatever that is: this century */
    dispatch(&d);
    assert_in_range(part[P_ts_ms].via.u64, 1577836800000, 4102444800000);
}

static void test_numbers(void **state)
{
    static const int64_t edge[] = { -5,  -1,    0,     1,          127,        128,       255,
                                    256, 65535, 65536, 4294967295, 4294967296, INT64_MAX, INT64_MIN };
    struct tg_dispatch d = TG_DISPATCH_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof edge / sizeof *edge; i++) {
        d.latency_ms = d.cost_reported_nanousd = edge[i];
        dispatch(&d);
        number_is(PD_latency_ms, edge[i]);
        number_is(PD_cost_reported_nanousd, edge[i]);
    }
}

static void test_ids(void **state)
{
    static const unsigned char given[16] = "0123456789abcde";
    struct tg_dispatch d = TG_DISPATCH_INIT;
    unsigned char id[16];

    (void)state;
    d.session_id = "s";
    d.span_id = "span";
    dispatch(&d);
    assert_int_equal(tg_event_id("s", NULL, "span", id), TG_OK);
    id_is(id);
    d.session_id = NULL;
    d.response_id = "resp";
    dispatch(&d);
    assert_int_equal(tg_event_id("", "resp", "span", id), TG_OK);
    id_is(id);
    d.event_id = given;
    dispatch(&d);
    id_is(given);
    assert_int_equal(tg_event_id("s", "", NULL, id), TG_ERR_INVALID);
    assert_int_equal(tg_event_id("s", "r", NULL, NULL), TG_ERR_INVALID);
}

/* Lengths around every boundary of the encoding and of the copy. */
static void test_string_lengths(void **state)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;
    char text[300];

    (void)state;
    for (size_t n = 1; n < sizeof text; n++) {
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + i % 26);
        text[n] = '\0';
        d.model = d.tool_used = text;
        dispatch(&d);
        size_t expected = n > TG_STRING_MAX ? TG_STRING_MAX : n;
        assert_int_equal(part[P_model].via.str.size, expected);
        assert_memory_equal(part[P_model].via.str.ptr, text, expected);
        assert_memory_equal(part[PD_tool_used].via.str.ptr, text, expected);
        assert_int_equal(place.truncated, n > TG_STRING_MAX ? 2 : 0);
        if (n == sizeof text - 1)
            break;
    }
}

/* Cut between characters, never inside one. */
static void test_cut_at_character(void **state)
{
    static const struct {
        const char *character;
        size_t before, expected;
    } table[] = {
        { "\xc3\xa9", 253, 255 },         { "\xc3\xa9", 254, 254 },         { "\xe2\x82\xac", 252, 255 },
        { "\xe2\x82\xac", 253, 253 },     { "\xe2\x82\xac", 254, 254 },     { "\xf0\x9f\x98\x80", 251, 255 },
        { "\xf0\x9f\x98\x80", 252, 252 }, { "\xf0\x9f\x98\x80", 253, 253 }, { "\xf0\x9f\x98\x80", 254, 254 },
    };
    struct tg_dispatch d = TG_DISPATCH_INIT;
    char text[400];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        memset(text, 'x', sizeof text);
        memcpy(text + table[i].before, table[i].character, strlen(table[i].character));
        text[sizeof text - 1] = '\0';
        d.agent_id = text;
        dispatch(&d);
        assert_int_equal(part[P_agent_id].via.str.size, table[i].expected);
        assert_int_equal(place.truncated, 1);
    }
    memset(text, 0x80, sizeof text - 1); /* no character at all: cut anywhere */
    dispatch(&d);
    assert_int_equal(part[P_agent_id].via.str.size, TG_STRING_MAX);
}

static void test_id_of_cut_strings(void **state)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;
    char text[400];
    unsigned char id[16];

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    d.session_id = d.response_id = text;
    dispatch(&d);
    text[TG_STRING_MAX] = '\0';
    tg_event_id_hash('r', text, TG_STRING_MAX, text, TG_STRING_MAX, id);
    id_is(id);
}

/* The largest event there is: it fits, and tags past the limit are cut and counted. */
static void test_largest(void **state)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;
    struct tg_tag tags[TG_TAGS_MAX + 3];
    char text[300];

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    for (size_t i = 0; i < TG_TAGS_MAX + 3; i++)
        tags[i] = (struct tg_tag){ text, text };
#define TG_HEAD_TEXT(name)     d.name = text;
#define TG_DIMS_TEXT(name)     d.name = text;
#define TG_DISPATCH_TEXT(name) d.name = text;
#include "schema/event.def"
    d.tags = tags;
    d.tag_count = TG_TAGS_MAX + 3;
    d.usage =
        (struct tg_usage){ INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX };
    d.attempt = d.tool_calls = d.latency_ms = d.ttft_ms = d.http_status = d.partial = INT64_MAX;
    d.ts_ms = d.cost_reported_nanousd = INT64_MAX;
    dispatch(&d);
    assert_int_equal(part[P_tags].via.map.size, TG_TAGS_MAX);
    assert_int_equal(place.truncated, 19 + 2 * TG_TAGS_MAX + 1);
}

static void test_readable(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool readable;
    } table[] = {
        { "\x90", 1, true },
        { "\x91\xc0", 2, true },
        { "\x92\xa3"
          "abc\x05",
          6, true },
        { "\x91\x91\x91\x91\x01", 5, true },
        { "\x91\x91\x91\x91\x91\x01", 6, false }, /* too deep */
        { "\x91\x82\x01\x02\x03\xcb\0\0\0\0\0\0\0\0", 14, true },
        { "\xdc\x00\x01\xc4\x02xx", 7, true },
        { "\x91\xd5\x01xx", 5, true }, /* fixext 2 */
        { "\x91\xc7\x02\x01xx", 6, true },
        { "", 0, false },
        { "\x01", 1, false },         /* not an array */
        { "\x92\x01", 2, false },     /* short */
        { "\x91\x01\x01", 3, false }, /* long */
        { "\x91\xc1", 2, false },     /* no such tag */
        { "\x91\xd9", 2, false },
        { "\x91\xdb\xff\xff\xff\xff", 6, false },
        { "\xdd\xff\xff\xff\xff\x01", 6, false },
        { "\x91\xdf\xff\xff\xff\xff\x01", 7, false },
        { "\x91\xcf\x01", 3, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t *exact = malloc(table[i].len + 1); /* so that a sanitizer sees a step too far */
        assert_non_null(exact);
        uint8_t *start = exact + 1;
        memcpy(start, table[i].bytes, table[i].len);
        assert_int_equal(record_readable(start, table[i].len), table[i].readable);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_field, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_is_nil, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_string_lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_at_character, setup, teardown),
        cmocka_unit_test_setup_teardown(test_id_of_cut_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_largest, setup, teardown),
        cmocka_unit_test(test_readable),
    };

    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
