/* SPDX-License-Identifier: MIT
 *
 * load.c: the load generator: publishes a known set of events through libtollgate from any number
 * of threads and prints, as one line of JSON, what a collector must have when all is settled.
 *
 * Invariants: thread t publishes the events (t, 0), (t, 1), ... of values.h and nothing else; with
 * --lifelike all threads together publish the events first, first + 1, ... of lifelike.h, in turns. What
 * it prints adds up the events whose call returned TG_OK. The journal holds one byte for each
 * event, thread after thread, JOURNAL_RETURNED once its call has returned TG_OK; it is a mapped
 * file, so that it survives kill -9 of this process as the spool does.
 * Owner threads: each worker owns its struct worker until it is joined; the rest is main's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lifelike.h"
#include "values.h"

#define THREADS_MAX      256
#define AGENTS_MAX       1000
#define USERS_MAX        1000000
#define DAYS_MAX         36500
#define EVENTS_MAX       1000000000
#define MODELS_MAX       16
#define DAY_MS           86400000
#define RETRY_NS         500000 /* pause before a call is tried again when the spool is full */
#define JOURNAL_RETURNED 1

struct sums {
    uint64_t calls, errors;
    uint64_t known[9];
    int64_t sum[9];
};
static const char *const sum_names[9] = { "prompt_tokens", "completion_tokens", "total_tokens",
                                          "cached_tokens", "reasoning_tokens",  "tool_calls",
                                          "latency_ms",    "ttft_ms",           "cost_reported_nanousd" };

struct load {
    struct tg_options options;
    struct values_shape shape;
    struct life_shape life;
    bool lifelike;
    uint64_t first;   /* of lifelike: the number of the first event */
    unsigned days;    /* of lifelike: spread over so many days until now; 0: each has its own present */
    int64_t begun_ms; /* Unix time of the first event */
    unsigned threads;
    uint64_t events, rate; /* over all threads */
    uint32_t wait_ms, idle_ms, burst_ms;
    bool drop, stamp, stay;
    pthread_barrier_t *emitted; /* of stay; borrowed */
    const char *journal;
};

struct worker {
    const struct load *load;
    tg_emitter *tg;
    unsigned index;
    uint64_t events;
    unsigned char *journal; /* borrowed; NULL: none */
    struct sums all, model[MODELS_MAX];
    struct sums *agent, *user; /* owned */
    uint64_t retries, dropped;
    int error;
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sums_add(struct sums *s, const struct tg_dispatch *d)
{
    const int64_t v[9] = { d->usage.prompt_tokens,
                           d->usage.completion_tokens,
                           d->usage.total_tokens,
                           d->usage.cached_tokens,
                           d->usage.reasoning_tokens,
                           d->tool_calls,
                           d->latency_ms,
                           d->ttft_ms,
                           d->cost_reported_nanousd };

    s->calls++;
    s->errors += d->status == TG_STATUS_ERROR || d->status == TG_STATUS_TIMEOUT;
    for (int i = 0; i < 9; i++)
        if (v[i] >= 0) {
            s->known[i]++;
            s->sum[i] += v[i];
        }
}

static void sums_merge(struct sums *into, const struct sums *from)
{
    into->calls += from->calls;
    into->errors += from->errors;
    for (int i = 0; i < 9; i++) {
        into->known[i] += from->known[i];
        into->sum[i] += from->sum[i];
    }
}

/* ------------------------------------------------------------------ workers */

/* Waits until event i of this thread is due, or, in bursts, until the burst that it is part of is. */
static void pace(const struct worker *w, int64_t begun, uint64_t i)
{
    const uint64_t rate = w->load->rate;
    const int64_t burst = (int64_t)w->load->burst_ms * 1000000;
    int64_t due;

    if (rate == 0)
        return;
    due = (int64_t)((double)i * 1e9 * w->load->threads / (double)rate);
    if (burst > 0)
        due = (due / burst + 1) * burst;
    due += begun;
    if (burst > 0 && due <= now_ns())
        return;
    struct timespec t = { due / 1000000000, due % 1000000000 };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int publish(struct worker *w, const struct tg_dispatch *d)
{
    int err = tg_dispatch_complete(w->tg, d);

    while (err == TG_ERR_FULL && !w->load->drop) {
        w->retries++;
        nanosleep(&(struct timespec){ 0, RETRY_NS }, NULL);
        err = tg_dispatch_complete(w->tg, d);
    }
    return err;
}

/* An event, its strings, and what it is summed under. */
struct made {
    struct tg_dispatch d;
    unsigned agent, user, model;
    struct values_text text;
    struct life_text life_text;
};

static void make_lifelike(const struct load *load, uint64_t at, struct made *m)
{
    struct life_event e;

    life_make(&load->life, load->first + at, &m->life_text, &e);
    m->d = e.d;
    m->agent = e.agent;
    m->user = e.user;
    m->model = e.model;
    if (load->days > 0)
        m->d.ts_ms = load->begun_ms + (int64_t)((double)at * load->days * DAY_MS / (double)load->events);
}

static void make(const struct worker *w, uint64_t i, struct made *m)
{
    const struct load *load = w->load;

    if (load->lifelike) {
        make_lifelike(load, i * load->threads + w->index, m);
        return;
    }
    values_make(&load->shape, w->index, i, &m->text, &m->d);
    m->agent = values_agent(&load->shape, w->index, i);
    m->model = values_model(&load->shape, w->index, i);
    m->user = 0;
}

static void one(struct worker *w, uint64_t i)
{
    struct made m;
    char stamp[24];
    int err;

    make(w, i, &m);
    if (w->load->stamp) {
        snprintf(stamp, sizeof stamp, "%" PRId64, now_ns());
        m.d.trace_id = stamp;
    }
    err = publish(w, &m.d);
    if (err == TG_ERR_FULL) {
        w->dropped++;
        return;
    }
    if (err != TG_OK) {
        w->error = err;
        return;
    }
    if (w->journal != NULL)
        __atomic_store_n(&w->journal[i], JOURNAL_RETURNED, __ATOMIC_RELEASE);
    sums_add(&w->agent[m.agent], &m.d);
    sums_add(&w->model[m.model], &m.d);
    if (w->load->lifelike)
        sums_add(&w->user[m.user], &m.d);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    const int64_t begun = now_ns();

    for (uint64_t i = 0; i < w->events && w->error == 0; i++) {
        pace(w, begun, i);
        one(w, i);
    }
    for (unsigned m = 0; m < MODELS_MAX; m++)
        sums_merge(&w->all, &w->model[m]);
    if (w->load->emitted != NULL)
        pthread_barrier_wait(w->load->emitted);
    return NULL;
}

static void run_workers(struct worker *workers, unsigned n)
{
    pthread_t threads[THREADS_MAX];

    for (unsigned i = 0; i < n; i++) {
        int err = pthread_create(&threads[i], NULL, work, &workers[i]);
        if (err != 0) {
            fprintf(stderr, "load: cannot start thread %u: %s\n", i, strerror(err));
            exit(1);
        }
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

/* ------------------------------------------------------------------- output */

static void print_sums(const struct sums *s)
{
    printf("{\"calls\": %" PRIu64 ", \"errors\": %" PRIu64, s->calls, s->errors);
    for (int i = 0; i < 9; i++) {
        if (s->known[i] > 0)
            printf(", \"%s\": %" PRId64, sum_names[i], s->sum[i]);
        else
            printf(", \"%s\": null", sum_names[i]);
        printf(", \"%s_unknown\": %" PRIu64, sum_names[i], s->calls - s->known[i]);
    }
    printf("}");
}

enum group { BY_AGENT, BY_MODEL, BY_USER };

static const struct sums *sums_of(const struct worker *w, enum group by, unsigned i)
{
    return by == BY_AGENT ? &w->agent[i] : by == BY_USER ? &w->user[i] : &w->model[i];
}

static const char *group_name(const struct load *load, enum group by, unsigned i, char text[LIFE_TEXT])
{
    if (by == BY_MODEL)
        return load->lifelike ? life_models[i].model : values_model_name(i);
    if (by == BY_USER)
        life_user_name(text, i);
    else if (load->lifelike)
        life_agent_name(text, i);
    else
        values_name(text, "agent-", 6, i);
    return text;
}

static void print_group(const struct load *load, const struct worker *w, const char *title, enum group by,
                        unsigned n)
{
    const char *between = "";
    char text[LIFE_TEXT];

    printf(", \"%s\": {", title);
    for (unsigned g = 0; g < n; g++) {
        struct sums s = { 0 };
        for (unsigned t = 0; t < load->threads; t++)
            sums_merge(&s, sums_of(&w[t], by, g));
        if (s.calls == 0)
            continue;
        printf("%s\"%s\": ", between, group_name(load, by, g, text));
        print_sums(&s);
        between = ", ";
    }
    printf("}");
}

/* Processor time of the whole process while it does nothing for ms. */
static int64_t idle_ns(uint32_t ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 }, before, after;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&t, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    return (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
}

static void print_result(const struct load *load, const struct worker *w, const struct tg_stats *st,
                         int64_t emit_ns, int64_t settled_ns)
{
    struct sums all = { 0 };
    uint64_t retries = 0, dropped = 0;

    for (unsigned t = 0; t < load->threads; t++) {
        sums_merge(&all, &w[t].all);
        retries += w[t].retries;
        dropped += w[t].dropped;
    }
    printf("{\"totals\": ");
    print_sums(&all);
    print_group(load, w, "agents", BY_AGENT, load->shape.agents);
    print_group(load, w, "models", BY_MODEL, load->lifelike ? LIFE_MODELS : VALUES_MODELS);
    if (load->lifelike)
        print_group(load, w, "users", BY_USER, load->life.users);
    printf(", \"retries\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"emit_s\": %.6f, \"settled_s\": %.6f",
           retries, dropped, (double)emit_ns / 1e9, (double)settled_ns / 1e9);
    if (load->idle_ms > 0)
        printf(", \"idle_cpu_s\": %.6f", (double)idle_ns(load->idle_ms) / 1e9);
    printf(", \"stats\": {\"emitted\": %" PRIu64 ", \"settled\": %" PRIu64 ", \"pending\": %" PRIu64
           ", \"duplicates\": %" PRIu64 ", \"adopted\": %" PRIu64 ", \"batches_sent\": %" PRIu64
           ", \"batches_resent\": %" PRIu64 ", \"dropped_full\": %" PRIu64 ", \"spool_in_memory\": %d}}\n",
           st->emitted, st->settled, st->pending, st->duplicates, st->adopted, st->batches_sent,
           st->batches_resent, st->dropped_full, st->spool_in_memory);
}

/* --------------------------------------------------------------------- main */

static unsigned char *journal_open(const char *path, uint64_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;

    if (fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) == 0)
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return map == MAP_FAILED ? NULL : map;
}

static uint64_t number(const char *text, const char *option, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);

    if (errno != 0 || end == text || *end != 0 || v > max) {
        fprintf(stderr, "load: --%s %s: expected a number up to %" PRIu64 "\n", option, text, max);
        exit(2);
    }
    return v;
}

static const struct option long_options[] = {
    { "endpoint", 1, NULL, 'e' },  { "source", 1, NULL, 's' },   { "spool-dir", 1, NULL, 'd' },
    { "threads", 1, NULL, 't' },   { "events", 1, NULL, 'n' },   { "rate", 1, NULL, 'r' },
    { "sessions", 1, NULL, 'S' },  { "agents", 1, NULL, 'A' },   { "seed", 1, NULL, 'x' },
    { "run", 1, NULL, 'R' },       { "journal", 1, NULL, 'j' },  { "wait-ms", 1, NULL, 'w' },
    { "spool-mib", 1, NULL, 'm' }, { "drop", 0, NULL, 'D' },     { "stamp", 0, NULL, 'T' },
    { "idle-ms", 1, NULL, 'i' },   { "stay", 0, NULL, 'y' },     { "spool-only", 0, NULL, 'o' },
    { "lifelike", 0, NULL, 'l' },  { "users", 1, NULL, 'u' },    { "days", 1, NULL, 'a' },
    { "first", 1, NULL, 'f' },     { "burst-ms", 1, NULL, 'b' }, { "help", 0, NULL, 'h' },
    { "report-ms", 1, NULL, 'p' }, { NULL, 0, NULL, 0 },
};
static const char usage[] =
    "usage: load [--endpoint E] [--source S] [--spool-dir D] [--threads N] [--events N (in all)]\n"
    "  [--rate N (events a second in all; 0: as fast as it goes)] [--sessions N] [--agents N] [--seed N]\n"
    "  [--run NAME] [--journal FILE] [--wait-ms N] [--spool-mib N] [--drop] [--stamp] [--idle-ms N] "
    "[--stay]\n  [--spool-only] [--burst-ms N] [--report-ms N] [--lifelike [--users N] [--days N] [--first "
    "N]]\n"
    "--run: distinguishes the ids of one life of a gateway from the next\n"
    "--journal: a new file, one byte an event: 1 once its call has returned\n"
    "--wait-ms: how long to wait for the receipt of everything\n"
    "--drop: when the spool is full, lose the event instead of trying again\n"
    "--idle-ms: when all is settled, stay so long and tell the processor time it took\n"
    "--report-ms: how often the emitter reports about itself\n"
    "--stay: no thread ends before all have emitted, so that none inherits another's segment\n"
    "--spool-only: leave the sending to tollgate-ship\n"
    "--stamp: trace_id is the monotonic clock (ns) before the call\n"
    "--burst-ms: with --rate, emit what is due in so many milliseconds at once\n"
    "--lifelike: many users whose sessions begin and end; --sessions: how many the events make\n"
    "--days: their times are spread over so many days until now, in order; 0: their present (the default)\n"
    "--first: the number of the first, so that a later load goes on where an earlier one ended\n";

static bool set_lifelike(struct load *load, int c)
{
    switch (c) {
    case 'l':
        return load->lifelike = true;
    case 'u':
        load->life.users = (unsigned)number(optarg, "users", USERS_MAX);
        return load->life.users > 0;
    case 'a':
        load->days = (unsigned)number(optarg, "days", DAYS_MAX);
        return true;
    case 'f':
        load->first = number(optarg, "first", EVENTS_MAX);
        return true;
    case 'b':
        load->burst_ms = (uint32_t)number(optarg, "burst-ms", 1000);
        return true;
    default:
        return false;
    }
}

/* True if the option was about the events; *load is updated. */
static bool set_shape(struct load *load, int c)
{
    switch (c) {
    case 'S':
        load->shape.sessions = (unsigned)number(optarg, "sessions", EVENTS_MAX);
        return load->shape.sessions > 0;
    case 'A':
        load->shape.agents = (unsigned)number(optarg, "agents", AGENTS_MAX);
        return load->shape.agents > 0;
    case 'x':
        load->shape.seed = number(optarg, "seed", UINT64_MAX);
        return true;
    case 'R':
        load->shape.run = optarg;
        return true;
    case 'y':
        return load->stay = true;
    case 'o':
        load->options.mode = TG_MODE_SPOOL;
        return true;
    case 'i':
        load->idle_ms = (uint32_t)number(optarg, "idle-ms", UINT32_MAX);
        return true;
    case 'p':
        load->options.report_ms = (uint32_t)number(optarg, "report-ms", UINT32_MAX);
        return true;
    case 'D':
        return load->drop = true;
    case 'T':
        return load->stamp = true;
    default:
        return set_lifelike(load, c);
    }
}

static bool set_option(struct load *load, int c)
{
    switch (c) {
    case 'e':
        load->options.endpoint = optarg;
        return true;
    case 's':
        load->options.source = optarg;
        return true;
    case 'd':
        load->options.spool_dir = optarg;
        return true;
    case 'm':
        load->options.spool_bytes = number(optarg, "spool-mib", 65536) << 20;
        return true;
    case 't':
        load->threads = (unsigned)number(optarg, "threads", THREADS_MAX);
        return load->threads > 0;
    case 'n':
        load->events = number(optarg, "events", EVENTS_MAX);
        return true;
    case 'r':
        load->rate = number(optarg, "rate", EVENTS_MAX);
        return true;
    case 'j':
        load->journal = optarg;
        return true;
    case 'w':
        load->wait_ms = (uint32_t)number(optarg, "wait-ms", UINT32_MAX);
        return true;
    default:
        return set_shape(load, c);
    }
}

static void parse(int argc, char **argv, struct load *load)
{
    int c;

    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage, stdout);
            exit(0);
        }
        if (!set_option(load, c)) {
            fputs(usage, stderr);
            exit(2);
        }
    }
}

/* Thread t's share of the events, and its part of the journal. */
static int workers_init(const struct load *load, tg_emitter *tg, unsigned char *journal, struct worker *w)
{
    for (unsigned t = 0; t < load->threads; t++) {
        w[t] = (struct worker){ .load = load, .tg = tg, .index = t };
        w[t].events = load->events / load->threads + (t < load->events % load->threads);
        w[t].journal = journal;
        w[t].agent = calloc(load->shape.agents, sizeof *w[t].agent);
        w[t].user = calloc(load->life.users, sizeof *w[t].user);
        if (w[t].agent == NULL || w[t].user == NULL)
            return -ENOMEM;
        if (journal != NULL)
            journal += w[t].events;
    }
    return 0;
}

static int generate(const struct load *load, tg_emitter *tg, unsigned char *journal)
{
    static struct worker workers[THREADS_MAX];
    struct tg_stats stats = { 0 };
    int64_t begun, emitted;
    int err = workers_init(load, tg, journal, workers);

    begun = now_ns();
    if (err == 0)
        run_workers(workers, load->threads);
    for (unsigned t = 0; t < load->threads && err == 0; t++)
        err = workers[t].error;
    emitted = now_ns();
    fputs("load: emitted\n", stderr); /* for whoever waits for the last call's return */
    if (err == 0)
        err = tg_flush(tg, load->wait_ms);
    const int64_t settled = now_ns();
    if (tg_stats(tg, &stats) == TG_OK && (err == 0 || err == TG_ERR_TIMEOUT))
        print_result(load, workers, &stats, emitted - begun, settled - begun);
    for (unsigned t = 0; t < load->threads; t++) {
        free(workers[t].agent);
        free(workers[t].user);
    }
    return err;
}

/* What follows from all options together. */
static void set_life(struct load *load)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    load->begun_ms = (int64_t)now.tv_sec * 1000 - (int64_t)load->days * DAY_MS;
    load->life.seed = load->shape.seed;
    load->life.agents = load->shape.agents;
    load->life.calls = (unsigned)(load->events / load->shape.sessions);
    if (load->life.calls == 0)
        load->life.calls = 1;
}

int main(int argc, char **argv)
{
    struct load load = { .options = TG_OPTIONS_INIT,
                         .shape = { .seed = 1, .agents = 8, .sessions = 200, .run = "0" },
                         .life = { .users = 1000 },
                         .threads = 1,
                         .events = 1000,
                         .wait_ms = 60000 };
    unsigned char *journal = NULL;
    pthread_barrier_t emitted;
    tg_emitter *tg;
    int err;

    load.options.gateway = "load";
    parse(argc, argv, &load);
    set_life(&load);
    if (load.journal != NULL && load.events > 0) {
        journal = journal_open(load.journal, load.events);
        if (journal == NULL) {
            perror(load.journal);
            return 1;
        }
    }
    if (load.stay && pthread_barrier_init(&emitted, NULL, load.threads) == 0)
        load.emitted = &emitted;
    err = tg_open(&load.options, &tg);
    if (err == TG_OK) {
        int closed;
        err = generate(&load, tg, journal);
        closed = tg_close(tg, err == TG_OK ? load.wait_ms : 0);
        err = err != TG_OK ? err : closed;
    }
    if (err != TG_OK)
        fprintf(stderr, "load: %s\n", tg_strerror(err));
    return err == TG_OK ? 0 : 1;
}
