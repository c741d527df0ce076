/* SPDX-License-Identifier: MIT
 *
 * governing.h: lists of verdicts for the emitter's tests, as a collector would send them.
 */
#ifndef TESTS_GOVERNING_H
#define TESTS_GOVERNING_H

#include <msgpack.h>
#include <string.h>

#include "../../emitter/governor.h"
#include "../../emitter/verdict.h"

/* An entry says what it means and leaves the rest out. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct test_condition {
    int field, negated;
    const char *patterns[4]; /* up to the first NULL */
    const char *tag;
};

struct test_entry {
    int kind, action;
    const char *budget;
    struct test_condition condition[4]; /* up to the first without patterns */
    int64_t opens_in_ms;                /* 0: nil */
    const char *text, *use_model, *use_lane;
    int64_t delay_ms, spent, limit;
    int unit;
};

static inline void put_text(msgpack_packer *pk, const char *s)
{
    if (s == NULL) {
        msgpack_pack_nil(pk);
        return;
    }
    msgpack_pack_str(pk, strlen(s));
    msgpack_pack_str_body(pk, s, strlen(s));
}

static inline void put_int(msgpack_packer *pk, int64_t n)
{
    if (n == 0)
        msgpack_pack_nil(pk);
    else
        msgpack_pack_int64(pk, n);
}

static inline void put_condition(msgpack_packer *pk, const struct test_condition *c)
{
    size_t n = 0;

    while (n < 4 && c->patterns[n] != NULL)
        n++;
    msgpack_pack_array(pk, c->tag != NULL ? 4 : 3);
    msgpack_pack_int(pk, c->field);
    msgpack_pack_int(pk, c->negated);
    msgpack_pack_array(pk, n);
    for (size_t i = 0; i < n; i++)
        put_text(pk, c->patterns[i]);
    if (c->tag != NULL)
        put_text(pk, c->tag);
}

static inline void put_entry(msgpack_packer *pk, const struct test_entry *e)
{
    size_t n = 0;

    while (n < 4 && e->condition[n].patterns[0] != NULL)
        n++;
    msgpack_pack_array(pk, 12);
    msgpack_pack_int(pk, e->kind);
    msgpack_pack_int(pk, e->action);
    put_text(pk, e->budget != NULL ? e->budget : "b");
    msgpack_pack_array(pk, n);
    for (size_t i = 0; i < n; i++)
        put_condition(pk, &e->condition[i]);
    put_int(pk, e->opens_in_ms);
    put_text(pk, e->text);
    put_text(pk, e->use_model);
    put_text(pk, e->use_lane);
    put_int(pk, e->delay_ms);
    put_int(pk, e->spent);
    put_int(pk, e->limit);
    msgpack_pack_int(pk, e->unit);
}

/* The whole message. entries NULL: nil, what is there stays valid. */
static inline void put_list(msgpack_sbuffer *b, uint64_t version, uint64_t valid_ms, int overflow,
                            const struct test_entry *entries, size_t count)
{
    msgpack_packer pk;

    msgpack_sbuffer_clear(b);
    msgpack_packer_init(&pk, b, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 6);
    msgpack_pack_int(&pk, 1);
    msgpack_pack_int(&pk, 4);
    msgpack_pack_uint64(&pk, version);
    msgpack_pack_uint64(&pk, valid_ms);
    msgpack_pack_int(&pk, overflow);
    if (entries == NULL) {
        msgpack_pack_nil(&pk);
        return;
    }
    msgpack_pack_array(&pk, count);
    for (size_t i = 0; i < count; i++)
        put_entry(&pk, &entries[i]);
}

#endif
