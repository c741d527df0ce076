/* SPDX-License-Identifier: MIT
 *
 * bench_admit.c: how long whoever asks waits, and how soon a limit that is crossed blocks elsewhere. Against
 * a collector that runs; prints microseconds, one a line, for bench.py to make figures of.
 *
 *     bench_admit ENDPOINT SPOOL_DIR admit ROUNDS    from before tg_admit to its return, granted; every
 *                                                    reservation is given back after it
 *     bench_admit ENDPOINT SPOOL_DIR verdict ROUNDS  from before the tg_dispatch_complete that crosses the
 * limit of agent verdict-N (1 call) to the first tg_check in another process that blocks, both by the clock
 * they share
 *
 * Between two rounds is a random pause, so that they do not fall in step with what the collector does by the
 * clock. Owner threads: main, in each of the two processes.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../include/tollgate.h"

#define TIMEOUT_MS  10000
#define PATIENCE_NS 10000000000
#define LOOK_NS     50000 /* the pause between two looks of who checks */
#define PAUSE_NS    8000000

/* What both processes see: which round it is, and when who checks was blocked in it. */
struct shared {
    _Atomic unsigned round, checked;
    _Atomic int64_t blocked_ns;
};

static const char *endpoint, *spool_dir;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void rest(int64_t ns)
{
    nanosleep(&(struct timespec){ 0, (long)ns }, NULL);
}

static _Noreturn void die(const char *what, int err)
{
    fprintf(stderr, "bench_admit: %s: %s\n", what, tg_strerror(err));
    exit(1);
}

static tg_emitter *open_emitter(const char *source)
{
    struct tg_options opt = TG_OPTIONS_INIT;
    tg_emitter *tg;

    opt.endpoint = endpoint;
    opt.source = source;
    opt.spool_dir = spool_dir;
    int err = tg_open(&opt, &tg);
    if (err != TG_OK)
        die("tg_open", err);
    return tg;
}

/* ------------------------------------------------------------------- admit */

static void ask_once(tg_emitter *tg, int print)
{
    const struct tg_request request = { .agent_id = "bench",
                                        .provider = "openai",
                                        .model = "gpt-4-turbo",
                                        .prompt_tokens = 1000,
                                        .max_tokens = 1000 };
    struct tg_reservation r = { .id = "" };
    struct tg_verdict v;
    const int64_t begun = now_ns();
    int err = tg_admit(tg, &request, 0, TIMEOUT_MS, &r, &v);
    const int64_t took = now_ns() - begun;

    if (err != TG_OK || v.action == TG_BLOCK)
        die("tg_admit", err);
    if ((err = tg_settle(tg, r.id, NULL, TIMEOUT_MS)) != TG_OK)
        die("tg_settle", err);
    if (print)
        printf("%" PRId64 "\n", took / 1000);
}

static void admit(unsigned rounds)
{
    tg_emitter *tg = open_emitter("bench-admit");

    ask_once(tg, 0); /* the connection */
    for (unsigned i = 0; i < rounds; i++) {
        rest(rand() % PAUSE_NS);
        ask_once(tg, 1);
    }
    tg_close(tg, TIMEOUT_MS);
}

/* ----------------------------------------------------------------- verdict */

static enum tg_action look(tg_emitter *tg, unsigned round)
{
    char agent[32];
    struct tg_verdict v;
    const struct tg_request request = { .agent_id = agent };

    snprintf(agent, sizeof agent, "verdict-%u", round);
    int err = tg_check(tg, &request, &v);
    if (err != TG_OK)
        die("tg_check", err);
    return v.stale ? TG_WARN : v.action;
}

/* Who checks: first that the round's agent may go on, then until it may not. */
static void watch(struct shared *s, unsigned rounds)
{
    tg_emitter *tg = open_emitter("bench-watch");

    for (unsigned round = 1; round <= rounds; round++) {
        while (s->round != round || look(tg, round) != TG_ALLOW)
            rest(LOOK_NS);
        s->checked = round;
        while (look(tg, round) != TG_BLOCK)
            rest(LOOK_NS);
        s->blocked_ns = now_ns();
    }
    tg_close(tg, 0);
}

static int64_t wait_blocked(struct shared *s, int64_t begun)
{
    while (s->blocked_ns == 0) {
        if (now_ns() - begun > PATIENCE_NS)
            die("nothing blocks", TG_ERR_TIMEOUT);
        rest(LOOK_NS);
    }
    return s->blocked_ns;
}

static void cross(tg_emitter *tg, struct shared *s, unsigned round)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;
    char agent[32];

    snprintf(agent, sizeof agent, "verdict-%u", round);
    d.agent_id = agent;
    d.status = TG_STATUS_OK;
    s->blocked_ns = 0;
    s->round = round;
    while (s->checked != round)
        rest(LOOK_NS);
    rest(rand() % PAUSE_NS);
    const int64_t begun = now_ns();
    int err = tg_dispatch_complete(tg, &d);
    if (err != TG_OK)
        die("tg_dispatch_complete", err);
    printf("%" PRId64 "\n", (wait_blocked(s, begun) - begun) / 1000);
}

static void verdict(unsigned rounds)
{
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = s != MAP_FAILED ? fork() : -1;

    if (child < 0)
        die("fork", TG_ERR_NOMEM);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        watch(s, rounds);
        exit(0);
    }
    tg_emitter *tg = open_emitter("bench-spend");
    for (unsigned round = 1; round <= rounds; round++)
        cross(tg, s, round);
    tg_close(tg, TIMEOUT_MS);
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    const unsigned rounds = argc == 5 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;

    if (rounds == 0) {
        fputs("usage: bench_admit ENDPOINT SPOOL_DIR admit|verdict ROUNDS\n", stderr);
        return 2;
    }
    endpoint = argv[1];
    spool_dir = argv[2];
    if (strcmp(argv[3], "verdict") == 0)
        verdict(rounds);
    else
        admit(rounds);
    return 0;
}
