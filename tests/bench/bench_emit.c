/* SPDX-License-Identifier: MIT
 *
 * bench_emit.c: what tg_dispatch_complete costs its caller, beside what msgpack-c takes to pack the
 * same 20 fields into a fixed buffer and nothing else.
 *
 * How: both are warm and alternate in slices of 4,096 calls, so that a noisy machine hits both. The
 * median comes from groups of 16 calls (two clock readings per group, nothing subtracted), because
 * one reading of the clock costs a third of a call. The tails come from single calls with the two
 * readings left in, set against single packings timed in the same way. The sender is awake
 * and draining the whole time, into a collector of the simplest kind in a process of its own, which
 * settles every batch unread; what it takes from the two processors is part of the figure. A call
 * that finds its segment full is not a call: the run fails if there is one.
 */
#include <msgpack.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "tollgate.h"

enum { GROUP = 16, SLICE = 32768, ROUNDS = 25, CALLS = SLICE * ROUNDS };

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ------------------------------------------------------- a collector that agrees */

/* One unsigned number of a batch's head, in whatever width it came. */
static uint64_t number(const uint8_t **p)
{
    uint8_t tag = *(*p)++;
    int bytes = tag < 0x80 ? 0 : tag == 0xdc ? 2 : tag >= 0xcc ? 1 << (tag - 0xcc) : 0;
    uint64_t v = tag < 0x80 ? tag : tag & 15u;

    for (int i = 0; i < bytes; i++)
        v = (i == 0 ? 0 : v << 8) | *(*p)++;
    return v;
}

static uint8_t *put(uint8_t *o, uint64_t v)
{
    *o++ = 0xcf;
    for (int i = 56; i >= 0; i -= 8)
        *o++ = (uint8_t)(v >> i);
    return o;
}

/* [1, 1, source, epoch, stream, base, first_seq, [events]] is answered by [1, 2, epoch, stream, last]. */
static size_t settle(const uint8_t *batch, uint8_t *reply)
{
    uint8_t *o = reply;

    batch += 3;
    batch += *batch == 0xd9 ? 2u + batch[1] : 1u + (*batch & 31u);
    *o++ = 0x95;
    *o++ = 1;
    *o++ = 2;
    o = put(o, number(&batch));
    o = put(o, number(&batch));
    number(&batch);
    uint64_t first = number(&batch);
    o = put(o, first + number(&batch) - 1);
    return (size_t)(o - reply);
}

static void collector(const char *endpoint)
{
    void *ctx = zmq_ctx_new(), *socket = zmq_socket(ctx, ZMQ_ROUTER);
    uint8_t peer[256], reply[64];
    zmq_msg_t m;

    if (zmq_bind(socket, endpoint) != 0)
        _exit(1);
    for (zmq_msg_init(&m);;) {
        int n = zmq_recv(socket, peer, sizeof peer, 0);
        if (n < 0 || zmq_msg_recv(&m, socket, 0) < 0)
            continue;
        if (((const uint8_t *)zmq_msg_data(&m))[2] != 1) /* no batch */
            continue;
        zmq_send(socket, peer, (size_t)n, ZMQ_SNDMORE);
        zmq_send(socket, reply, settle(zmq_msg_data(&m), reply), 0);
    }
}

/* -------------------------------------------------------------- the two contestants */

static struct tg_dispatch full = {
    .size = sizeof full,
    .ts_ms = TG_UNKNOWN,
    .agent_id = "researcher",
    .session_id = "11a9c0de-0000-4000-8000-0123456789ab",
    .run_id = "d7ed0123-4567-89ab-cdef-0123456789ab",
    .call_id = "d7ed0123-4567-89ab-cdef-0123456789ab:model:1",
    .response_id = "msg_0123456789abcdef",
    .trace_id = "c427cd469d72d73721e052ad51032e13",
    .provider = "anthropic",
    .model = "claude-sonnet-4-5",
    .surface = "http_responses",
    .status = TG_STATUS_OK,
    .attempt = 1,
    .usage = { 1200, 310, 1510, 1000, 0, TG_UNKNOWN, 0 },
    .tool_calls = TG_UNKNOWN,
    .latency_ms = 840,
    .ttft_ms = 210,
    .http_status = 200,
    .partial = TG_UNKNOWN,
    .cost_reported_nanousd = TG_UNKNOWN,
};

struct fixed {
    char *at, *end;
};

/* The smallest writer there is, in sight of the compiler, which inlines it: msgpack-c at its best. */
static inline int fixed_write(void *to, const char *bytes, size_t len)
{
    struct fixed *f = to;

    memcpy(f->at, bytes, len);
    f->at += len;
    return 0;
}

static void text(msgpack_packer *pk, const char *s)
{
    size_t len = strlen(s);

    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, s, len);
}

/* The 20 fields that are set above, time included; no id, no clock, no commit. */
static __attribute__((noinline)) size_t pack(char *buffer, const struct tg_dispatch *d, int64_t ts_ms)
{
    struct fixed f = { buffer, NULL };
    msgpack_packer pk;

    msgpack_packer_init(&pk, &f, fixed_write);
    msgpack_pack_array(&pk, 20);
    msgpack_pack_int64(&pk, ts_ms);
    text(&pk, d->session_id);
    text(&pk, d->agent_id);
    text(&pk, d->provider);
    text(&pk, d->model);
    text(&pk, d->surface);
    msgpack_pack_int(&pk, (int)d->status);
    text(&pk, d->run_id);
    text(&pk, d->call_id);
    text(&pk, d->response_id);
    text(&pk, d->trace_id);
    msgpack_pack_int64(&pk, d->attempt);
    msgpack_pack_int64(&pk, d->usage.prompt_tokens);
    msgpack_pack_int64(&pk, d->usage.completion_tokens);
    msgpack_pack_int64(&pk, d->usage.total_tokens);
    msgpack_pack_int64(&pk, d->usage.cached_tokens);
    msgpack_pack_int64(&pk, d->usage.reasoning_tokens);
    msgpack_pack_int64(&pk, d->latency_ms);
    msgpack_pack_int64(&pk, d->ttft_ms);
    msgpack_pack_int64(&pk, d->http_status);
    return (size_t)(f.at - buffer);
}

static uint64_t failures;
static size_t packed;

static void emit_calls(tg_emitter *tg, int64_t n)
{

    for (int64_t i = 0; i < n; i++) {
        full.usage.prompt_tokens = 1200 + i;
        failures += tg_dispatch_complete(tg, &full) != TG_OK;
    }
}

static void pack_calls(tg_emitter *tg, int64_t n)
{
    static char buffer[2048];

    (void)tg;
    for (int64_t i = 0; i < n; i++) {
        full.usage.prompt_tokens = 1200 + i;
        packed += pack(buffer, &full, 1732000000000 + i);
    }
}

/* ------------------------------------------------------------------------ measuring */

struct samples {
    uint32_t group[CALLS / GROUP]; /* ns of GROUP calls */
    uint32_t single[CALLS];        /* ns of one */
    size_t groups, singles;
};

static void slice(struct samples *s, void (*calls)(tg_emitter *, int64_t), tg_emitter *tg)
{
    for (int i = 0; i < SLICE / GROUP; i++) {
        uint64_t t = now_ns();
        calls(tg, GROUP);
        s->group[s->groups++] = (uint32_t)(now_ns() - t);
    }
    for (int i = 0; i < SLICE; i++) {
        uint64_t t = now_ns();
        calls(tg, 1);
        s->single[s->singles++] = (uint32_t)(now_ns() - t);
    }
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double percentile(uint32_t *v, size_t n, double p)
{
    qsort(v, n, sizeof *v, ascending);
    return v[(size_t)(p * (double)(n - 1))];
}

static void line(const char *name, double emit_ns, double pack_ns)
{
    printf("bench %s %.0f ns ratio=%.2f of=msgpack_pack\n", name, emit_ns, emit_ns / pack_ns);
}

static int measure(tg_emitter *tg)
{
    static struct samples emitted, bare;
    uint64_t dropped;

    emit_calls(tg, SLICE);
    pack_calls(tg, SLICE);
    dropped = failures;
    for (int i = 0; i < ROUNDS; i++) {
        slice(&emitted, emit_calls, tg);
        slice(&bare, pack_calls, tg);
        if (tg_flush(tg, 10000) != TG_OK) /* room for the next slice */
            return 1;
    }
    if (failures != dropped || packed == 0) {
        fprintf(stderr, "bench_emit: %llu calls failed\n", (unsigned long long)failures);
        return 1;
    }
    line("emit_p50", percentile(emitted.group, emitted.groups, .5) / GROUP,
         percentile(bare.group, bare.groups, .5) / GROUP);
    line("emit_p99", percentile(emitted.single, emitted.singles, .99),
         percentile(bare.single, bare.singles, .99));
    line("emit_p999", percentile(emitted.single, emitted.singles, .999),
         percentile(bare.single, bare.singles, .999));
    return 0;
}

int main(void)
{
    char dir[] = "/dev/shm/bench-emit-XXXXXX", endpoint[128], spool[128];
    struct tg_options opt = TG_OPTIONS_INIT;
    tg_emitter *tg;
    int rc = 1;

    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(endpoint, sizeof endpoint, "ipc://%s/events.sock", dir);
    snprintf(spool, sizeof spool, "%s/spool", dir);
    pid_t pid = fork();
    if (pid == 0)
        collector(endpoint);
    opt.endpoint = endpoint;
    opt.spool_dir = spool;
    opt.spool_bytes = (size_t)128 << 20;
    opt.segment_bytes = (size_t)64 << 20;
    if (tg_open(&opt, &tg) == TG_OK) {
        rc = measure(tg);
        tg_close(tg, 5000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlink(endpoint + strlen("ipc://"));
    rmdir(spool);
    rmdir(dir);
    return rc;
}
