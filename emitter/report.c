/* SPDX-License-Identifier: MIT
 *
 * report.c: the body is a map from names to totals since the epoch began, so one that finds no room
 * in its small segment loses nothing: the next says it all. Owner: the thread that sends.
 */
#include "report.h"

#include <msgpack.h>
#include <string.h>
#include <time.h>

#include "../schema/event_id.h"
#include "tollgate.h"

#define KIND_REPORT   2
#define LOSS_EVERY_MS 1000
#define ENVELOPE_MAX  64

struct body {
    uint8_t bytes[REPORT_BODY_MAX];
    size_t len;
};

static int body_write(void *to, const char *bytes, size_t len)
{
    struct body *b = to;

    if (len > sizeof b->bytes - b->len)
        return -1;
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
    return 0;
}

static void pack_text(msgpack_packer *pk, const char *s)
{
    msgpack_pack_str(pk, strlen(s));
    msgpack_pack_str_body(pk, s, strlen(s));
}

static void pack_number(msgpack_packer *pk, const char *name, uint64_t v)
{
    pack_text(pk, name);
    msgpack_pack_uint64(pk, v);
}

static void pack_named(msgpack_packer *pk, const char *name, const char *value)
{
    pack_text(pk, name);
    pack_text(pk, value);
}

static void pack_dropped(msgpack_packer *pk, const struct spool_header *h)
{
    pack_text(pk, "dropped");
    msgpack_pack_map(pk, 5);
    pack_number(pk, "full", atomic_load(&h->dropped_full));
    pack_number(pk, "evicted", atomic_load(&h->dropped_evicted));
    pack_number(pk, "too_big", atomic_load(&h->dropped_too_big));
    pack_number(pk, "damaged", atomic_load(&h->dropped_damaged));
    pack_number(pk, "refused", atomic_load(&h->dropped_refused));
}

static void pack_count(msgpack_packer *pk, const struct spool_count *c)
{
    char key[sizeof c->name + sizeof c->label + 2];
    int64_t v = atomic_load(&c->value);

    if (c->label[0] == '\0')
        snprintf(key, sizeof key, "%.63s", c->name);
    else
        snprintf(key, sizeof key, "%.63s{%.31s}", c->name, c->label);
    pack_number(pk, key, v < 0 ? 0 : (uint64_t)v);
}

static void pack_counters(msgpack_packer *pk, const struct spool_header *h)
{
    uint32_t n = atomic_load_explicit(&h->counts, memory_order_acquire);
    const struct spool_count *other = &h->count[SPOOL_COUNTS_MAX];
    int64_t rest = atomic_load(&other->value);

    pack_text(pk, "counters");
    msgpack_pack_map(pk, n + (rest > 0));
    for (uint32_t i = 0; i < n; i++)
        pack_count(pk, &h->count[i]);
    if (rest > 0)
        pack_number(pk, "other", (uint64_t)rest);
}

/* Why there will be no other one. */
static const char *last_word(const struct spool *s)
{
    return atomic_load(&s->head->closed) != 0 ? "closed" : s->left_over ? "left_over" : NULL;
}

static void pack_body(struct spool *s, bool last, struct body *b)
{
    const char *word = last ? last_word(s) : NULL;
    const struct spool_header *h = s->head;
    struct spool_totals t;
    msgpack_packer pk;

    spool_totals(s, &t);
    b->len = 0;
    msgpack_packer_init(&pk, b, body_write);
    msgpack_pack_map(&pk, 16 + (word != NULL));
    pack_named(&pk, "version", TG_VERSION);
    pack_named(&pk, "gateway", h->gateway);
    pack_named(&pk, "gateway_version", h->gateway_version);
    pack_number(&pk, "pid", (uint32_t)h->pid);
    pack_number(&pk, "emitted", t.emitted);
    pack_number(&pk, "settled", t.settled);
    pack_number(&pk, "pending", t.pending);
    pack_dropped(&pk, h);
    pack_number(&pk, "duplicates", atomic_load(&h->duplicates));
    pack_number(&pk, "truncated", atomic_load(&h->truncated));
    pack_number(&pk, "adopted", atomic_load(&h->adopted));
    pack_number(&pk, "spool_bytes", t.bytes);
    pack_number(&pk, "spool_used_bytes", t.used_bytes);
    pack_number(&pk, "spool_in_memory", atomic_load(&h->in_memory));
    pack_number(&pk, "report_ms", h->report_ms);
    if (word != NULL)
        pack_number(&pk, word, 1);
    pack_counters(&pk, h);
}

/* [2, id, time, body]; the id is made from the report's place in stream 0. */
static size_t envelope(const struct spool *s, uint64_t seq, const struct body *b, uint8_t *out)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    int64_t ts_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    uint64_t big = __builtin_bswap64((uint64_t)ts_ms);
    uint8_t *o = out;
    *o++ = 0x94;
    *o++ = KIND_REPORT;
    *o++ = 0xc4;
    *o++ = TG_EVENT_ID_BYTES;
    tg_event_id_place(ts_ms, s->head->epoch, 0, seq, o);
    o += TG_EVENT_ID_BYTES;
    *o++ = 0xcf;
    memcpy(o, &big, sizeof big);
    o += sizeof big;
    memcpy(o, b->bytes, b->len);
    return (size_t)(o - out) + b->len;
}

void report_init(struct report *r, struct spool *s)
{
    struct ring *ring = spool_ring(s, 0);

    memset(r, 0, sizeof *r);
    if (ring == NULL)
        return;
    ring_writer_init(&r->writer, ring);
    struct place p = { r->writer.at, r->writer.seq };
    ring_walk(ring, &p, UINT64_MAX); /* the last sender may have been killed before it set the head */
    r->writer.at = p.at;
    r->writer.seq = p.seq;
}

/* False: no room, or no segment. */
static bool write_one(struct report *r, struct spool *s, uint64_t now, bool last)
{
    uint8_t event[REPORT_BODY_MAX + ENVELOPE_MAX];
    struct body b;
    uint64_t lost = spool_losses(s->head);

    if (r->writer.ring == NULL)
        return false;
    pack_body(s, last, &b);
    r->written_ms = now;
    if (!ring_put(&r->writer, event, envelope(s, r->writer.seq + 1, &b, event)))
        return false;
    r->any = true;
    r->losses = lost;
    return true;
}

uint64_t report_deadline(const struct report *r, const struct spool *s)
{
    if (r->final)
        return UINT64_MAX;
    if (!r->any)
        return r->written_ms == 0 ? 0 : r->written_ms + LOSS_EVERY_MS;
    return r->written_ms + (spool_losses(s->head) != r->losses ? LOSS_EVERY_MS : s->head->report_ms);
}

void report_tick(struct report *r, struct spool *s, uint64_t now)
{
    if (!r->final && now >= report_deadline(r, s))
        write_one(r, s, now, false);
}

void report_last(struct report *r, struct spool *s, uint64_t now)
{
    if (!r->final)
        r->final = write_one(r, s, now, true);
}
