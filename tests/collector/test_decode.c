/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/base/msgpack_reader.h"
#include "collector/ingest/decode.h"

static json_t *vectors(const char *name)
{
    char path[256];
    json_error_t error;

    snprintf(path, sizeof path, "schema/vectors/%s", name);
    json_t *v = json_load_file(path, 0, &error);
    if (v == NULL)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return v;
}

/* The bytes on the heap at exactly their size, so that a sanitizer sees any step outside. */
static uint8_t *unhex(const char *hex, size_t *len)
{
    *len = strlen(hex) / 2;
    uint8_t *out = malloc(*len > 0 ? *len : 1);
    for (size_t i = 0; i < *len; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return out;
}

static void check_text(json_t *want, const char *field, struct slice got)
{
    const char *text = json_string_value(json_object_get(want, field));

    if (text == NULL || text[0] == '\0') {
        assert_null(got.at);
        return;
    }
    assert_non_null(got.at);
    assert_int_equal(got.len, strlen(text));
    assert_memory_equal(got.at, text, got.len);
}

static void check_num(json_t *want, const char *field, int64_t got)
{
    json_t *n = json_object_get(want, field);

    assert_int_equal(got, json_is_integer(n) ? json_integer_value(n) : UNKNOWN);
}

static void check_code(json_t *want, const char *field, int64_t got, const char *(*name)(int))
{
    const char *text = json_string_value(json_object_get(want, field));

    if (text == NULL)
        assert_true(got == 0 || got == UNKNOWN);
    else
        assert_string_equal(name((int)got), text);
}

static void check_tags(json_t *want, struct slice wire)
{
    struct mp mp = mp_of(wire);
    struct mp_value map = { .count = 0 }, name, value;
    json_t *tags = json_object_get(want, "tags");

    if (wire.at != NULL)
        assert_true(mp_read(&mp, &map));
    assert_int_equal(map.count, json_object_size(tags));
    for (uint32_t i = 0; i < map.count; i++) {
        assert_true(mp_read(&mp, &name) && mp_read(&mp, &value));
        json_t *n = json_stringn((const char *)name.s.at, name.s.len);
        json_t *v = json_object_get(tags, json_string_value(n));
        assert_non_null(v);
        assert_int_equal(json_string_length(v), value.s.len);
        assert_memory_equal(json_string_value(v), value.s.at, value.s.len);
        json_decref(n);
    }
}

static void check_event(json_t *want, const struct event *e)
{
    struct session_names s = { .text = { { NULL, 0 } } };
    struct dims_names d;
    char id[33];

    check_code(want, "kind", e->kind, kind_name);
    check_num(want, "ts_ms", e->ts_ms);
    for (int i = 0; i < 16; i++)
        snprintf(id + 2 * i, 3, "%02x", e->id[i]);
    if (e->has_id)
        assert_string_equal(id, json_string_value(json_object_get(want, "event_id")));
    else
        assert_null(json_object_get(want, "event_id"));
    if (e->kind == KIND_report) {
        assert_non_null(e->body.at);
        return;
    }
    if (e->session.at != NULL)
        session_names_read(e->session, &s);
    dims_names_read(e->dims, &d);
    check_tags(want, d.tags);
#define TG_HEAD_TEXT(name) check_text(want, #name, s.text[S_##name]);
#define TG_DIMS_TEXT(name) check_text(want, #name, d.text[DIM_##name]);
#define TG_DIMS_ENUM(name) check_code(want, #name, d.code[DIM_##name], name##_name);
#include "schema/event.def"
    if (event_is_message(e)) {
#define TG_MESSAGE_TEXT(name) check_text(want, #name, e->text[M_##name]);
#define TG_MESSAGE_ENUM(name) check_code(want, #name, e->num[M_##name], name##_name);
#define TG_MESSAGE_NUM(name)  check_num(want, #name, e->num[M_##name]);
#include "schema/event.def"
    } else {
#define TG_DISPATCH_TEXT(name) check_text(want, #name, e->text[D_##name]);
#define TG_DISPATCH_NUM(name)  check_num(want, #name, e->num[D_##name]);
#include "schema/event.def"
#define TG_DISPATCH_DERIVED(name) assert_int_equal(e->num[D_##name], UNKNOWN);
#include "schema/event.def"
    }
}

static void golden_batches_say_what_they_say(void **state)
{
    json_t *file = vectors("batch.json"), *batches = json_object_get(file, "batches"), *v;
    struct batch b = { .count = 0 };
    struct decode_fault fault;
    size_t i, k, len;

    (void)state;
    assert_true(json_array_size(batches) > 5);
    json_array_foreach(batches, i, v)
    {
        json_t *head = json_object_get(v, "batch"), *events = json_object_get(v, "events"), *want;
        uint8_t *frame = unhex(json_string_value(json_object_get(v, "hex")), &len);
        print_message("%s\n", json_string_value(json_object_get(v, "name")));
        assert_int_equal(decode_batch(frame, len, &b, &fault), DECODE_OK);
        assert_string_equal(b.source, json_string_value(json_object_get(head, "source")));
        assert_int_equal(b.epoch, json_integer_value(json_object_get(head, "epoch")));
        assert_int_equal(b.stream, json_integer_value(json_object_get(head, "stream")));
        assert_int_equal(b.base, json_integer_value(json_object_get(head, "base")));
        assert_int_equal(b.first_seq, json_integer_value(json_object_get(head, "first_seq")));
        assert_int_equal(b.count, json_array_size(events));
        json_array_foreach(events, k, want)
        {
            assert_null(b.events[k].fault);
            check_event(want, &b.events[k].event);
        }
        free(frame);
    }
    batch_fini(&b);
    json_decref(file);
}

static void bad_frames_are_dropped_refused_or_quarantined(void **state)
{
    json_t *file = vectors("reject.json"), *frames = json_object_get(file, "frames"), *v;
    struct batch b = { .count = 0 };
    struct decode_fault fault;
    size_t i, len;

    (void)state;
    assert_true(json_array_size(frames) > 10);
    json_array_foreach(frames, i, v)
    {
        const char *outcome = json_string_value(json_object_get(v, "outcome"));
        uint8_t *frame = unhex(json_string_value(json_object_get(v, "hex")), &len);
        enum decode_result r = decode_batch(frame, len, &b, &fault);
        print_message("%s: %s\n", json_string_value(json_object_get(v, "name")), r == 0 ? "" : fault.text);
        assert_int_equal(r, strcmp(outcome, "dropped") == 0   ? DECODE_UNREADABLE
                            : strcmp(outcome, "refused") == 0 ? DECODE_REFUSED
                                                              : DECODE_OK);
        if (r == DECODE_OK) {
            assert_int_equal(b.count, 1);
            assert_non_null(b.events[0].fault);
        } else {
            assert_true(strlen(fault.text) > 0);
        }
        free(frame);
    }
    batch_fini(&b);
    json_decref(file);
}

static void poison_events_name_field_and_value(void **state)
{
    json_t *file = vectors("reject.json"), *events = json_object_get(file, "events"), *v;
    struct arena arena = { NULL };
    struct decode_fault fault;
    struct event e;
    uint32_t repaired;
    size_t i, len;

    (void)state;
    assert_true(json_array_size(events) > 10);
    json_array_foreach(events, i, v)
    {
        uint8_t *bytes = unhex(json_string_value(json_object_get(v, "hex")), &len);
        struct slice wire = { bytes, (uint32_t)len };
        struct mp mp = mp_of(wire);
        if (mp_skip(&mp) && mp.at == mp.end) { /* decode_event is given whole values only */
            fault.text[0] = '\0';
            assert_int_equal(decode_event(wire, &arena, &e, &repaired, &fault), DECODE_REFUSED);
            assert_non_null(strchr(fault.text, ':'));
        }
        free(bytes);
    }
    arena_fini(&arena);
    json_decref(file);
}

/* Every prefix of every good frame: never a crash, never more events than were promised. */
static void truncated_frames_never_read_outside(void **state)
{
    json_t *file = vectors("batch.json"), *batches = json_object_get(file, "batches"), *v;
    struct batch b = { .count = 0 };
    struct decode_fault fault;
    size_t i, len;

    (void)state;
    json_array_foreach(batches, i, v)
    {
        uint8_t *frame = unhex(json_string_value(json_object_get(v, "hex")), &len);
        size_t promised = json_array_size(json_object_get(v, "events"));
        for (size_t cut = 0; cut < len && cut < 2000; cut++) {
            uint8_t *part = malloc(cut > 0 ? cut : 1);
            memcpy(part, frame, cut);
            enum decode_result r = decode_batch(part, cut, &b, &fault);
            if (r == DECODE_OK) {
                uint64_t told = 0;
                for (size_t k = 0; k < b.count; k++)
                    told += b.events[k].fault != NULL ? b.events[k].fault_count : 1;
                assert_int_equal(told, promised);
            }
            free(part);
        }
        free(frame);
    }
    batch_fini(&b);
    json_decref(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_batches_say_what_they_say),
        cmocka_unit_test(bad_frames_are_dropped_refused_or_quarantined),
        cmocka_unit_test(poison_events_name_field_and_value),
        cmocka_unit_test(truncated_frames_never_read_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
