/* SPDX-License-Identifier: MIT
 *
 * admit.c: a gateway that does as it is told: it reads orders from its standard input, one a line, carries
 * each out with libtollgate and answers with one line of JSON.
 *
 *     admit ENDPOINT SOURCE SPOOL_DIR [TTL_MS]
 *
 *     ask AGENT PREFIX COUNT THREADS   COUNT reservations named PREFIX0, PREFIX1, ... are asked for by so
 * many threads at once: {"granted": [ids], "denied": N, "over": N, "busy": N, "unreachable": N, "wrong": N}
 *     settle ID PROMPT COMPLETION      {"err": N}, a number of enum tg_err; so do all that follow but check,
 * wait release ID renew ID TTL_MS dispatch AGENT ID|- PROMPT COMPLETION flush MS check AGENT {"action": N,
 * "stale": N, "budget": ..., "message": ..., "spent": N, ...} wait AGENT ACTION STALE MS       the same, as
 * soon as both are so, or when the time is up
 *
 * Every request and every call is of provider MODEL_PROVIDER, model MODEL_NAME, PROMPT_TOKENS and MAX_TOKENS.
 * Owner threads: main; the askers own their parts of the answer until they are joined.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../include/tollgate.h"

#define MODEL_PROVIDER "openai"
#define MODEL_NAME     "gpt-4-turbo" /* $10 and $30 a million */
#define PROMPT_TOKENS  1000
#define MAX_TOKENS     3000
#define THREADS_MAX    256
#define TIMEOUT_MS     20000
#define WORD_MAX       256
#define LOOK_NS        200000 /* between two looks of wait */

enum answer { GRANTED, DENIED, OVER, BUSY, UNREACHABLE, WRONG, ANSWERS };
static const char *const answer_names[ANSWERS] = {
    "granted", "denied", "over", "busy", "unreachable", "wrong"
};

static tg_emitter *tg;
static uint32_t ttl_ms;

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void say(json_t *answer)
{
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(answer);
}

static void say_err(int err)
{
    say(json_pack("{s:i}", "err", err));
}

/* ------------------------------------------------------------------ asking */

struct asking {
    const char *agent, *prefix;
    unsigned count, threads;
    pthread_barrier_t ready;
    unsigned char *answers; /* by number */
};

struct asker {
    struct asking *asking;
    unsigned first; /* then every threads-th */
};

static struct tg_request request_of(const char *agent)
{
    return (struct tg_request){ .agent_id = agent,
                                .provider = MODEL_PROVIDER,
                                .model = MODEL_NAME,
                                .prompt_tokens = PROMPT_TOKENS,
                                .max_tokens = MAX_TOKENS };
}

static enum answer ask_one(const struct asking *a, unsigned n)
{
    struct tg_reservation r = { .id = "" };
    struct tg_request request = request_of(a->agent);
    struct tg_verdict v;

    snprintf(r.id, sizeof r.id, "%s%u", a->prefix, n);
    int err = tg_admit(tg, &request, ttl_ms, TIMEOUT_MS, &r, &v);
    if (err == TG_OK)
        return v.action == TG_BLOCK ? DENIED : GRANTED;
    return err == TG_ERR_BUSY          ? BUSY
           : err == TG_ERR_UNREACHABLE ? UNREACHABLE
           : err == TG_ERR_REFUSED     ? OVER
                                       : WRONG;
}

static void *ask_some(void *arg)
{
    const struct asker *asker = arg;
    struct asking *a = asker->asking;

    pthread_barrier_wait(&a->ready);
    for (unsigned n = asker->first; n < a->count; n += a->threads)
        a->answers[n] = (unsigned char)ask_one(a, n);
    return NULL;
}

static void say_answers(const struct asking *a)
{
    json_t *granted = json_array(), *out = json_object();
    int counts[ANSWERS] = { 0 };
    char id[33];

    for (unsigned n = 0; n < a->count; n++) {
        counts[a->answers[n]]++;
        snprintf(id, sizeof id, "%s%u", a->prefix, n);
        if (a->answers[n] == GRANTED)
            json_array_append_new(granted, json_string(id));
    }
    json_object_set_new(out, answer_names[GRANTED], granted);
    for (int i = GRANTED + 1; i < ANSWERS; i++)
        json_object_set_new(out, answer_names[i], json_integer(counts[i]));
    say(out);
}

static void ask(const char *agent, const char *prefix, unsigned count, unsigned threads)
{
    struct asking a = { .agent = agent, .prefix = prefix, .count = count, .threads = threads };
    struct asker askers[THREADS_MAX];
    pthread_t thread[THREADS_MAX];

    a.answers = calloc(count, 1);
    if (a.answers == NULL || threads == 0 || threads > THREADS_MAX ||
        pthread_barrier_init(&a.ready, NULL, threads) != 0)
        abort();
    for (unsigned i = 0; i < threads; i++) {
        askers[i] = (struct asker){ &a, i };
        if (pthread_create(&thread[i], NULL, ask_some, &askers[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&a.ready);
    say_answers(&a);
    free(a.answers);
}

/* ------------------------------------------------------------------ the rest */

static int settle(const char *id, int64_t prompt, int64_t completion)
{
    struct tg_usage usage = TG_USAGE_INIT;

    usage.prompt_tokens = prompt;
    usage.completion_tokens = completion;
    return tg_settle(tg, id, &usage, TIMEOUT_MS);
}

static int dispatch(const char *agent, const char *id, int64_t prompt, int64_t completion)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;

    d.agent_id = agent;
    d.provider = MODEL_PROVIDER;
    d.model = MODEL_NAME;
    d.status = TG_STATUS_OK;
    d.usage.prompt_tokens = prompt;
    d.usage.completion_tokens = completion;
    if (strcmp(id, "-") != 0)
        d.reservation_id = id;
    return tg_dispatch_complete(tg, &d);
}

static void check(const char *agent, struct tg_verdict *v)
{
    struct tg_request request = request_of(agent);

    *v = (struct tg_verdict){ .spent = TG_UNKNOWN, .limit = TG_UNKNOWN, .opens_in_ms = TG_UNKNOWN };
    if (tg_check(tg, &request, v) != TG_OK)
        abort();
}

static void say_verdict(const struct tg_verdict *v)
{
    say(json_pack("{s:i, s:i, s:s, s:s, s:I, s:I, s:i, s:I}", "action", (int)v->action, "stale", v->stale,
                  "budget", v->budget, "message", v->message, "spent", (json_int_t)v->spent, "limit",
                  (json_int_t)v->limit, "unit", v->unit, "opens_in_ms", (json_int_t)v->opens_in_ms));
}

static void wait_for(const char *agent, int action, int stale, int64_t ms)
{
    const int64_t end = now_ms() + ms;
    struct tg_verdict v;

    check(agent, &v);
    while (((int)v.action != action || v.stale != stale) && now_ms() < end) {
        nanosleep(&(struct timespec){ 0, LOOK_NS }, NULL);
        check(agent, &v);
    }
    say_verdict(&v);
}

/* False: nobody knows what was meant. */
static bool obey(const char *line)
{
    char a[WORD_MAX], b[WORD_MAX];
    struct tg_verdict v;
    unsigned n, m;
    long long x, y;

    if (sscanf(line, "ask %255s %255s %u %u", a, b, &n, &m) == 4)
        ask(a, b, n, m);
    else if (sscanf(line, "settle %255s %lld %lld", a, &x, &y) == 3)
        say_err(settle(a, x, y));
    else if (sscanf(line, "release %255s", a) == 1)
        say_err(tg_settle(tg, a, NULL, TIMEOUT_MS));
    else if (sscanf(line, "renew %255s %u", a, &n) == 2)
        say_err(tg_renew(tg, a, n, TIMEOUT_MS));
    else if (sscanf(line, "dispatch %255s %255s %lld %lld", a, b, &x, &y) == 4)
        say_err(dispatch(a, b, x, y));
    else if (sscanf(line, "flush %u", &n) == 1)
        say_err(tg_flush(tg, n));
    else if (sscanf(line, "wait %255s %u %u %lld", a, &n, &m, &x) == 4)
        wait_for(a, (int)n, (int)m, x);
    else if (sscanf(line, "check %255s", a) == 1) {
        check(a, &v);
        say_verdict(&v);
    } else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct tg_options opt = TG_OPTIONS_INIT;
    char line[4 * WORD_MAX];

    if (argc < 4) {
        fputs("usage: admit ENDPOINT SOURCE SPOOL_DIR [TTL_MS]\n", stderr);
        return 2;
    }
    opt.endpoint = argv[1];
    opt.source = argv[2];
    opt.spool_dir = argv[3];
    ttl_ms = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
    int err = tg_open(&opt, &tg);
    while (err == TG_OK && fgets(line, sizeof line, stdin) != NULL)
        if (!obey(line)) {
            fprintf(stderr, "admit: what is meant by: %s", line);
            return 2;
        }
    err = err == TG_OK ? tg_close(tg, TIMEOUT_MS) : err;
    if (err != TG_OK)
        fprintf(stderr, "admit: %s\n", tg_strerror(err));
    return err == TG_OK ? 0 : 1;
}
