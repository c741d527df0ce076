/* SPDX-License-Identifier: MIT
 *
 * tollgate.c: the functions of tollgate.h.
 *
 * An event's way: guard (are we the process that opened it?), the thread's segment, the record
 * written in place, one store that commits it, one load that asks whether the sender sleeps.
 * Everything else stands in functions of its own, off that path.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../schema/event_id.h"
#include "counters.h"
#include "emitter.h"
#include "record.h"

#define SPOOL_BYTES_DEFAULT   ((size_t)64 << 20)
#define SPOOL_BYTES_MAX       ((size_t)16 << 30)
#define SEGMENT_BYTES_DEFAULT ((size_t)4 << 20)
#define LINGER_MS_DEFAULT     5u
#define LINGER_MS_MAX         60000u
#define REPORT_MS_DEFAULT     60000u

EXPORT const char *tg_strerror(int err)
{
    switch (err) {
    case TG_OK:
        return "success";
    case TG_ERR_INVALID:
        return "invalid argument or option";
    case TG_ERR_NOMEM:
        return "no memory, thread or descriptor";
    case TG_ERR_FULL:
        return "the spool is full, the event was dropped";
    case TG_ERR_FORKED:
        return "the emitter belongs to the parent process";
    case TG_ERR_TIMEOUT:
        return "not everything was acknowledged in time";
    case TG_ERR_CLOSED:
        return "the emitter is closing";
    case TG_ERR_UNREACHABLE:
        return "the collector did not answer in time";
    case TG_ERR_UNSUPPORTED:
        return "this process has no line to the collector";
    case TG_ERR_BUSY:
        return "the collector cannot answer for the moment";
    case TG_ERR_REFUSED:
        return "no such reservation, or a request that breaks a rule";
    default:
        return "unknown error";
    }
}

EXPORT const char *tg_version(void)
{
    return TG_VERSION;
}

/* ------------------------------------------------------------------- opening */

static bool power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* Resolves the sizes; the reports have a small segment of their own. */
static int sizes(const struct tg_options *opt, size_t *spool_bytes, size_t *segment_bytes)
{
    size_t all = opt->spool_bytes != 0 ? opt->spool_bytes : SPOOL_BYTES_DEFAULT;
    size_t one = opt->segment_bytes != 0 ? opt->segment_bytes : SEGMENT_BYTES_DEFAULT;

    if (all > SPOOL_BYTES_MAX || all < SPOOL_REPORT_BYTES + RING_BYTES_MIN)
        return TG_ERR_INVALID;
    while (opt->segment_bytes == 0 && one > all - SPOOL_REPORT_BYTES)
        one /= 2;
    if (!power_of_two(one) || one < RING_BYTES_MIN || one > RING_BYTES_MAX || one > all - SPOOL_REPORT_BYTES)
        return TG_ERR_INVALID;
    *spool_bytes = all;
    *segment_bytes = one;
    return TG_OK;
}

static int options_check(const struct tg_options *opt)
{
    if (opt->size < sizeof *opt || opt->linger_ms > LINGER_MS_MAX)
        return TG_ERR_INVALID;
    if (opt->on_full != TG_FULL_DROP_NEWEST && opt->on_full != TG_FULL_EVICT_OLDEST)
        return TG_ERR_INVALID;
    if (opt->mode != TG_MODE_SEND && opt->mode != TG_MODE_SPOOL)
        return TG_ERR_INVALID;
    return TG_OK;
}

static int open_spool(tg_emitter *tg, const struct tg_options *opt, size_t segment_bytes)
{
    bool placed = place_spool_dir(opt->spool_dir, tg->dir) == 0;
    struct spool_options o = {
        .dir = placed ? tg->dir : NULL,
        .source = tg->source,
        .gateway = opt->gateway,
        .gateway_version = opt->gateway_version,
        .segment_bytes = segment_bytes,
        .evict = opt->on_full,
        .report_ms = opt->report_ms != 0 ? opt->report_ms : REPORT_MS_DEFAULT,
        .linger_ms = opt->linger_ms != 0 ? opt->linger_ms : LINGER_MS_DEFAULT,
        .send = opt->mode == TG_MODE_SEND,
    };

    return spool_new(&o, &tg->spool) == 0 ? TG_OK : TG_ERR_NOMEM;
}

/* What is asked before a call. Without memory for it the events go all the same. */
static void open_governing(tg_emitter *tg, const struct tg_options *opt)
{
    tg->mode = opt->mode;
    verdicts_init(&tg->verdicts, tg->spool->root_fd, tg->source, opt->mode == TG_MODE_SPOOL);
    if (memo_new(&tg->memo) != 0)
        tg->memo = NULL;
    if (opt->mode != TG_MODE_SEND || asks_new(&tg->asks) != 0)
        tg->asks = NULL;
}

static void close_governing(tg_emitter *tg)
{
    verdicts_fini(&tg->verdicts);
    memo_free(tg->memo);
    asks_free(tg->asks);
}

static int open_sender(tg_emitter *tg, const struct tg_options *opt)
{
    struct sender_options o = {
        .endpoint = tg->endpoint,
        .dir = tg->spool->root_fd >= 0 ? tg->dir : NULL,
        .source = tg->source,
        .own = tg->spool,
        .stop_fd = -1,
        .verdicts = &tg->verdicts,
        .asks = tg->asks,
    };

    if (opt->mode == TG_MODE_SPOOL)
        return TG_OK;
    int rc = place_endpoint(opt->endpoint, tg->endpoint);
    if (rc == -EINVAL || rc == -ENAMETOOLONG)
        return TG_ERR_INVALID;
    if (rc != 0) { /* no directory of ours to meet the collector in: the events wait in the spool */
        atomic_store(&tg->spool->head->last_error, -rc);
        return TG_OK;
    }
    rc = sender_start(&o, &tg->sender);
    return rc == 0 ? TG_OK : rc == -EINVAL ? TG_ERR_INVALID : TG_ERR_NOMEM;
}

EXPORT int tg_open(const struct tg_options *opt, tg_emitter **out)
{
    static const struct tg_options defaults = TG_OPTIONS_INIT;
    size_t spool_bytes, segment_bytes;
    bool writers = false;

    if (opt == NULL)
        opt = &defaults;
    if (out == NULL || options_check(opt) != TG_OK || sizes(opt, &spool_bytes, &segment_bytes) != TG_OK)
        return TG_ERR_INVALID;
    tg_emitter *tg = calloc(1, sizeof *tg);
    if (tg == NULL)
        return TG_ERR_NOMEM;
    place_source(opt->source, tg->source);
    int rc = guard_new(&tg->guard) == 0 ? TG_OK : TG_ERR_NOMEM;
    if (rc == TG_OK)
        rc = open_spool(tg, opt, segment_bytes);
    if (rc == TG_OK) {
        open_governing(tg, opt);
        writers = producers_init(&tg->producers, tg->spool, segment_bytes, spool_bytes) == 0;
        rc = writers ? open_sender(tg, opt) : TG_ERR_NOMEM;
    }
    if (rc == TG_OK) {
        *out = tg;
        return TG_OK;
    }
    if (writers)
        producers_fini(&tg->producers);
    if (tg->spool != NULL)
        close_governing(tg);
    spool_close(tg->spool, true);
    guard_free(tg->guard);
    free(tg);
    return rc;
}

/* ------------------------------------------------------------------ emitting */

typedef size_t encode(uint8_t *out, const void *event, struct record_place *place);

int emitter_guard_error(const tg_emitter *tg)
{
    switch (guard_ask(tg->guard)) {
    case GUARD_OPEN:
        return TG_OK;
    case GUARD_CLOSING:
        return TG_ERR_CLOSED;
    default:
        return TG_ERR_FORKED;
    }
}

void emitter_wake_sender(const tg_emitter *tg)
{
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    spool_wake(tg->spool);
    pthread_setcancelstate(state, NULL);
}

/* A sender that may evict is told, even if it only waits for acknowledgements. */
static int drop(tg_emitter *tg)
{
    struct spool_header *h = tg->spool->head;

    atomic_fetch_add(&h->dropped_full, 1);
    if (h->evict && atomic_exchange(&h->sleeping, SPOOL_AWAKE) != SPOOL_AWAKE)
        emitter_wake_sender(tg);
    return TG_ERR_FULL;
}

/* Of the threads that see the sender asleep, one wakes it. */
static void wake(tg_emitter *tg)
{
    uint32_t asleep = SPOOL_ASLEEP;

    if (atomic_compare_exchange_strong(&tg->spool->head->sleeping, &asleep, SPOOL_AWAKE))
        emitter_wake_sender(tg);
}

/* Near the ring's end, or nearly full: written aside first, to see how much room it takes. */
static __attribute__((noinline)) int emit_aside(struct producer *p, encode *write_record, const void *event,
                                                struct record_place *place)
{
    uint8_t record[RECORD_MAX];

    ring_refresh(&p->writer);
    size_t len = write_record(record, event, place);
    return ring_put(&p->writer, record, len) ? TG_OK : TG_ERR_FULL;
}

static inline int emit_to(tg_emitter *tg, struct producer *p, encode *write_record, const void *event)
{
    struct spool_header *h = tg->spool->head;
    struct record_place place = { h->epoch, p->stream, p->writer.seq + 1, 0 };
    uint8_t *room = ring_room(&p->writer, RECORD_MAX);
    int rc = TG_OK;

    if (room != NULL)
        ring_commit(&p->writer, write_record(room, event, &place));
    else
        rc = emit_aside(p, write_record, event, &place);
    if (rc != TG_OK)
        return rc;
    if (place.truncated > 0)
        atomic_fetch_add(&h->truncated, place.truncated);
    if (atomic_load_explicit(&h->fence, memory_order_relaxed)) /* delivery.c says why */
        atomic_thread_fence(memory_order_seq_cst);
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&h->sleeping, memory_order_relaxed) == SPOOL_ASLEEP)
        wake(tg);
    return TG_OK;
}

static __attribute__((noinline)) int emit_shared(tg_emitter *tg, struct producer *p, encode *write_record,
                                                 const void *event)
{
    pthread_mutex_lock(&p->mutex);
    int rc = emit_to(tg, p, write_record, event);
    pthread_mutex_unlock(&p->mutex);
    if (rc == TG_OK)
        producer_look(&tg->producers, p);
    return rc;
}

static inline int emit_by(tg_emitter *tg, struct producer *p, encode *write_record, const void *event)
{
    return p->shared ? emit_shared(tg, p, write_record, event) : emit_to(tg, p, write_record, event);
}

/* The thread's segment is full: another one, while the spool has any. */
static __attribute__((noinline)) int emit_elsewhere(tg_emitter *tg, struct producer *full,
                                                    encode *write_record, const void *event)
{
    struct producer *p = producer_next(&tg->producers, full);

    if (p != NULL && emit_by(tg, p, write_record, event) == TG_OK)
        return TG_OK;
    return drop(tg);
}

static inline int emit(tg_emitter *tg, encode *write_record, const void *event)
{
    int rc = emitter_guard(tg);

    if (rc != TG_OK)
        return rc;
    struct producer *p = producer_mine(&tg->producers);
    if (p == NULL)
        return drop(tg);
    rc = emit_by(tg, p, write_record, event);
    return rc == TG_ERR_FULL ? emit_elsewhere(tg, p, write_record, event) : rc;
}

EXPORT int tg_dispatch_complete(tg_emitter *tg, const struct tg_dispatch *d)
{
    if (tg == NULL || d == NULL || d->size < sizeof *d)
        return TG_ERR_INVALID;
    return emit(tg, record_dispatch, d);
}

EXPORT int tg_message(tg_emitter *tg, const struct tg_message *m)
{
    if (tg == NULL || m == NULL || m->size < sizeof *m)
        return TG_ERR_INVALID;
    if (m->kind < TG_MESSAGE_RECEIVED || m->kind > TG_BEFORE_AGENT_FINALIZE)
        return TG_ERR_INVALID;
    return emit(tg, record_message, m);
}

EXPORT int tg_event_id(const char *session_id, const char *response_id, const char *span_id,
                       unsigned char out[16])
{
    uint64_t cut = 0;
    bool response = response_id != NULL && *response_id != '\0';
    const char *name = response ? response_id : span_id;

    if (out == NULL || name == NULL || *name == '\0')
        return TG_ERR_INVALID;
    size_t session_len = session_id != NULL ? record_text_len(session_id, &cut) : 0;
    tg_event_id_hash(response ? 'r' : 's', session_id, session_len, name, record_text_len(name, &cut), out);
    return TG_OK;
}

EXPORT int tg_count(tg_emitter *tg, const char *name, const char *label, int64_t n)
{
    if (tg == NULL || name == NULL || *name == '\0' || n < 0)
        return TG_ERR_INVALID;
    int rc = emitter_guard(tg);
    if (rc == TG_OK)
        counters_add(tg->spool->head, &tg->producers.mutex, name, label != NULL ? label : "", n);
    return rc;
}

/* ---------------------------------------------------------- waiting, closing */

static uint64_t mono_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool settled_to(struct spool *s, const uint64_t *target, uint32_t segments)
{
    for (uint32_t i = 1; i < segments; i++) /* 0 holds reports, which nobody waits for */
        if (s->ring[i] != NULL && ring_tail(s->ring[i]).seq < target[i])
            return false;
    return true;
}

static int wait_settled(const tg_emitter *tg, uint32_t timeout_ms)
{
    struct spool *s = tg->spool;
    uint64_t evicted = atomic_load(&s->head->dropped_evicted);
    uint64_t target[SPOOL_SEGMENTS_MAX] = { 0 };
    uint32_t segments = atomic_load(&s->head->segments);
    uint64_t now = mono_ms(), end = now + timeout_ms;
    int rc = TG_ERR_TIMEOUT;

    for (uint32_t i = 1; i < segments; i++)
        target[i] = ring_head(s->ring[i]).seq;
    atomic_fetch_add(&s->head->flushing, 1);
    emitter_wake_sender(tg);
    for (; now < end; now = mono_ms()) {
        uint32_t seen = atomic_load(&s->head->progress);
        if (settled_to(s, target, segments))
            break;
        word_wait(&s->head->progress, seen, end - now);
    }
    if (settled_to(s, target, segments) && atomic_load(&s->head->dropped_evicted) == evicted)
        rc = TG_OK; /* what was given up has left the spool too, but nobody has it */
    atomic_fetch_sub(&s->head->flushing, 1);
    return rc;
}

EXPORT int tg_flush(tg_emitter *tg, uint32_t timeout_ms)
{
    if (tg == NULL)
        return TG_ERR_INVALID;
    int rc = emitter_guard(tg);
    return rc == TG_OK ? wait_settled(tg, timeout_ms) : rc;
}

static void emitter_free(tg_emitter *tg, bool remove_spool)
{
    producers_fini(&tg->producers);
    close_governing(tg);
    spool_close(tg->spool, remove_spool);
    guard_free(tg->guard);
    free(tg);
}

/* Nothing in it that anybody would miss, and nobody else in it: then nothing is left behind. A report
 * that was not settled is missed only if it tells of losses. */
static bool removable(tg_emitter *tg, const struct spool_totals *t)
{
    bool reported = ring_tail(tg->spool->ring[0]).seq >= ring_head(tg->spool->ring[0]).seq;

    if (t->pending > 0 || (!reported && spool_losses(tg->spool->head) > 0))
        return false;
    return tg->sender != NULL || tg->spool->header_fd < 0 || lock_try(tg->spool->header_fd) == 0;
}

EXPORT int tg_close(tg_emitter *tg, uint32_t timeout_ms)
{
    struct spool_totals t;

    if (tg == NULL)
        return TG_OK;
    if (emitter_guard_error(tg) == TG_ERR_FORKED) {
        if (tg->sender != NULL)
            sender_forget(tg->sender);
        emitter_free(tg, false);
        return TG_ERR_FORKED;
    }
    atomic_store(&tg->guard->state, GUARD_CLOSING);
    atomic_store(&tg->spool->head->closed, 1);
    uint64_t evicted = atomic_load(&tg->spool->head->dropped_evicted);
    if (tg->asks != NULL)
        asks_close(tg->asks);
    if (tg->sender != NULL)
        sender_stop(tg->sender, timeout_ms);
    else
        wait_settled(tg, timeout_ms);
    spool_totals(tg->spool, &t);
    bool kept = atomic_load(&tg->spool->head->dropped_evicted) == evicted;
    emitter_free(tg, removable(tg, &t));
    return t.pending == 0 && kept ? TG_OK : TG_ERR_TIMEOUT;
}

/* What is known of governing. */
static void stats_governing(tg_emitter *tg, struct tg_stats *out)
{
    struct page *page = verdicts_page(&tg->verdicts);
    uint64_t now = boot_ms();
    struct look l;

    out->verdicts_stale = 1;
    out->verdicts_damaged = verdicts_damaged(&tg->verdicts);
    if (page != NULL && page_look(page, now, &l)) {
        out->verdict_version = l.version;
        out->verdicts_stale = !l.has_list || l.valid_until <= now;
    }
    if (tg->asks != NULL)
        asks_totals(tg->asks, &out->asked, &out->unanswered);
}

EXPORT int tg_stats(tg_emitter *tg, struct tg_stats *out)
{
    struct spool_totals t;

    if (tg == NULL || out == NULL)
        return TG_ERR_INVALID;
    int rc = emitter_guard(tg);
    if (rc != TG_OK)
        return rc;
    const struct spool_header *h = tg->spool->head;
    spool_totals(tg->spool, &t);
    *out = (struct tg_stats){
        .emitted = t.emitted,
        .settled = t.settled,
        .pending = t.pending,
        .dropped_full = atomic_load(&h->dropped_full),
        .dropped_evicted = atomic_load(&h->dropped_evicted),
        .dropped_too_big = atomic_load(&h->dropped_too_big),
        .dropped_damaged = atomic_load(&h->dropped_damaged),
        .dropped_refused = atomic_load(&h->dropped_refused),
        .duplicates = atomic_load(&h->duplicates),
        .truncated = atomic_load(&h->truncated),
        .batches_sent = atomic_load(&h->batches_sent),
        .batches_resent = atomic_load(&h->batches_resent),
        .adopted = atomic_load(&h->adopted),
        .spool_bytes = t.bytes,
        .spool_used_bytes = t.used_bytes,
        .spool_in_memory = (int32_t)atomic_load(&h->in_memory),
        .connected = (int32_t)atomic_load(&h->connected),
        .last_error = atomic_load(&h->last_error),
    };
    stats_governing(tg, out);
    return TG_OK;
}
