/* SPDX-License-Identifier: MIT
 *
 * bench_check.c: what tg_check costs before a call, beside one look of GLib's hash table for the same
 * strings: they are joined into one key, hashed, found and compared, as a gateway would keep its own answers.
 *
 * How: a collector in a process of its own sends 1,000 verdicts, none of which is about the request
 * that is allowed, and stays connected; the emitter's own thread runs meanwhile. Contestants are warm and
 * take turns in slices; the median comes from groups of 16 calls with two clock readings per group. A miss is
 * a request with a session that was never asked about: all entries are gone through, and what was found is
 * remembered. Half of the verdicts name a session, half have a pattern that must be tried.
 */
#include <glib.h>
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

enum { GROUP = 16, SLICE = 8192, ROUNDS = 25, ENTRIES = 1000, PATIENCE_S = 20 };

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ------------------------------------------------------- a collector that governs */

static void pack_text(msgpack_packer *pk, const char *s)
{
    msgpack_pack_str(pk, strlen(s));
    msgpack_pack_str_body(pk, s, strlen(s));
}

static void pack_entry(msgpack_packer *pk, int i)
{
    char pattern[64];

    snprintf(pattern, sizeof pattern, i % 2 == 0 ? "session-%d" : "group-%d:*", i);
    msgpack_pack_array(pk, 6);
    msgpack_pack_int(pk, 0);
    msgpack_pack_int(pk, 1 + i % 4);
    pack_text(pk, "sessions/day");
    msgpack_pack_array(pk, 1);
    msgpack_pack_array(pk, 3);
    msgpack_pack_int(pk, 1);
    msgpack_pack_int(pk, 0);
    msgpack_pack_array(pk, 1);
    pack_text(pk, pattern);
    msgpack_pack_nil(pk);
    pack_text(pk, "This session has used its budget of today.");
}

/* The list, whole, to every hello. */
static void collector(const char *endpoint)
{
    void *ctx = zmq_ctx_new(), *socket = zmq_socket(ctx, ZMQ_ROUTER);
    uint8_t peer[256];
    msgpack_sbuffer b;
    msgpack_packer pk;
    zmq_msg_t m;

    msgpack_sbuffer_init(&b);
    msgpack_packer_init(&pk, &b, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 6);
    msgpack_pack_int(&pk, 1);
    msgpack_pack_int(&pk, 4);
    msgpack_pack_int(&pk, 1);
    msgpack_pack_int(&pk, 3600000);
    msgpack_pack_int(&pk, 0);
    msgpack_pack_array(&pk, ENTRIES);
    for (int i = 0; i < ENTRIES; i++)
        pack_entry(&pk, i);
    if (zmq_bind(socket, endpoint) != 0)
        _exit(1);
    for (zmq_msg_init(&m);;) {
        int n = zmq_recv(socket, peer, sizeof peer, 0);
        if (n < 0 || zmq_msg_recv(&m, socket, 0) < 0)
            continue;
        if (((const uint8_t *)zmq_msg_data(&m))[2] != 3)
            continue;
        zmq_send(socket, peer, (size_t)n, ZMQ_SNDMORE);
        zmq_send(socket, b.data, b.size, 0);
    }
}

/* -------------------------------------------------------------- the contestants */

static struct tg_request request = {
    .agent_id = "researcher",
    .session_id = "11a9c0de-0000-4000-8000-0123456789ab",
    .provider = "anthropic",
    .model = "claude-sonnet-4-5",
    .surface = "http_responses",
    .trigger = TG_TRIGGER_USER,
};

static GHashTable *table;
static uint64_t failures, found, fresh;

static void allowed_calls(tg_emitter *tg, int n)
{
    struct tg_verdict v;

    for (int i = 0; i < n; i++)
        failures += tg_check(tg, &request, &v) != TG_OK || v.action != TG_ALLOW || v.stale;
}

static void missed_calls(tg_emitter *tg, int n)
{
    struct tg_request r = request;
    struct tg_verdict v;
    char session[64];

    r.session_id = session;
    for (int i = 0; i < n; i++) {
        snprintf(session, sizeof session, "11a9c0de-0000-4000-8000-%012llx", (unsigned long long)fresh++);
        failures += tg_check(tg, &r, &v) != TG_OK || v.action != TG_ALLOW || v.stale;
    }
}

static char *join(char *at, const char *text)
{
    at = stpcpy(at, text);
    *at = '\n';
    return at + 1;
}

static void join_key(char *key, const struct tg_request *r)
{
    key = join(key, r->agent_id);
    key = join(key, r->session_id);
    key = join(key, r->provider);
    key = join(key, r->model);
    key = join(key, r->surface);
    *key = '\0';
}

static void table_calls(tg_emitter *tg, int n)
{
    char key[1024];

    (void)tg;
    for (int i = 0; i < n; i++) {
        join_key(key, &request);
        found += g_hash_table_lookup(table, key) != NULL;
    }
}

static void fill_table(void)
{
    struct tg_request r = request;
    char key[1024], session[64];

    table = g_hash_table_new(g_str_hash, g_str_equal);
    join_key(key, &r);
    g_hash_table_add(table, g_strdup(key));
    r.session_id = session;
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        join_key(key, &r);
        g_hash_table_add(table, g_strdup(key));
    }
}

/* ------------------------------------------------------------------------ measuring */

struct samples {
    uint32_t group[SLICE * ROUNDS / GROUP]; /* ns of GROUP calls */
    size_t groups;
};

static void slice(struct samples *s, void (*calls)(tg_emitter *, int), tg_emitter *tg)
{
    for (int i = 0; i < SLICE / GROUP; i++) {
        uint64_t t = now_ns();
        calls(tg, GROUP);
        s->group[s->groups++] = (uint32_t)(now_ns() - t);
    }
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double median(struct samples *s)
{
    qsort(s->group, s->groups, sizeof *s->group, ascending);
    return (double)s->group[s->groups / 2] / GROUP;
}

static int measure(tg_emitter *tg)
{
    static struct samples allowed, missed, looked;

    fill_table();
    allowed_calls(tg, SLICE);
    table_calls(tg, SLICE);
    missed_calls(tg, GROUP);
    for (int i = 0; i < ROUNDS; i++) {
        slice(&allowed, allowed_calls, tg);
        slice(&looked, table_calls, tg);
        slice(&missed, missed_calls, tg);
    }
    if (failures != 0 || found != (uint64_t)SLICE * (ROUNDS + 1)) {
        fprintf(stderr, "bench_check: %llu calls failed\n", (unsigned long long)failures);
        return 1;
    }
    double look_ns = median(&looked), allow_ns = median(&allowed), miss_ns = median(&missed);
    printf("bench check %.0f ns ratio=%.2f of=hash_table_lookup:%.0fns\n", allow_ns, allow_ns / look_ns,
           look_ns);
    printf("bench check_miss_%d %.0f ns ratio=%.2f of=hash_table_lookup:%.0fns\n", ENTRIES, miss_ns,
           miss_ns / look_ns, look_ns);
    return 0;
}

/* The list has come when a session that it names is not allowed. */
static int wait_verdicts(tg_emitter *tg)
{
    struct tg_request r = { .session_id = "session-2" };
    struct tg_verdict v;

    for (int i = 0; i < PATIENCE_S * 1000; i++) {
        if (tg_check(tg, &r, &v) == TG_OK && v.action == TG_DELAY)
            return 0;
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
    fprintf(stderr, "bench_check: no verdicts\n");
    return 1;
}

static void remove_page(const char *spool)
{
    GDir *dir = g_dir_open(spool, 0, NULL);

    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        char *path = g_build_filename(spool, name, NULL);
        unlink(path);
        g_free(path);
    }
    if (dir != NULL)
        g_dir_close(dir);
    rmdir(spool);
}

int main(void)
{
    char dir[] = "/dev/shm/bench-check-XXXXXX", endpoint[128], spool[128];
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
    if (tg_open(&opt, &tg) == TG_OK) {
        rc = wait_verdicts(tg);
        if (rc == 0)
            rc = measure(tg);
        tg_close(tg, 0);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlink(endpoint + strlen("ipc://"));
    remove_page(spool);
    rmdir(dir);
    return rc;
}
