/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alarm/runaway.h"

#define T0       1795204800000LL /* a whole 40 s */
#define MINUTE   60000LL
#define TOLD_MAX 4096

enum { USER = 1, HEARTBEAT = 2, COMPACTION = 5 };

/* ------------------------------------------------------------------- helpers */

static unsigned draw(unsigned *seed)
{
    return (unsigned)rand_r(seed);
}

/* A call in words; what is left out is unknown. Numbers are one more than they are. */
struct made {
    int64_t ts_ms;
    const char *agent, *session, *parent, *root, *error, *model;
    int status, trigger;
    int64_t http1, tokens1, prompt1, tools1, cost1;
};

struct told {
    enum runaway_kind kind;
    enum runaway_look look;
    int64_t value, limit, calls, first_ms, last_ms, row;
    char name[80], text[ALERT_TITLE_MAX + 1], error[80];
};

static struct {
    struct runaway *r;
    struct runaway_rule *rule[2 + RUNAWAY_KIND_COUNT];
    size_t rules;
    struct told told[TOLD_MAX];
    int count;
    int64_t row;
} t;

static struct slice slice_of(const char *s)
{
    return (struct slice){ (const uint8_t *)s, s != NULL ? (uint32_t)strlen(s) : 0 };
}

static int names_of(void *arg, struct runaway_names *out)
{
    const struct made *m = arg;

    out->who.text[SUBJECT_agent_id] = slice_of(m->agent);
    out->who.text[SUBJECT_session_id] = slice_of(m->session);
    out->who.text[SUBJECT_root_session_id] = slice_of(m->root);
    out->who.text[SUBJECT_model] = slice_of(m->model);
    out->parent_session = slice_of(m->parent);
    out->error_type = slice_of(m->error);
    out->status = (uint8_t)m->status;
    out->trigger = (uint8_t)m->trigger;
    return 0;
}

static int note(void *arg, const struct runaway_finding *f)
{
    struct told *n = &t.told[t.count++];

    (void)arg;
    assert_true(t.count < TOLD_MAX);
    *n = (struct told){ .kind = f->rule->kind,
                        .look = f->look,
                        .value = f->value,
                        .limit = f->limit,
                        .calls = f->calls,
                        .first_ms = f->first_ms,
                        .last_ms = f->last_ms,
                        .row = f->row };
    snprintf(n->name, sizeof n->name, "%.*s", (int)f->name.len, (const char *)f->name.at);
    snprintf(n->text, sizeof n->text, "%s", f->text);
    snprintf(n->error, sizeof n->error, "%s", f->error);
    return 0;
}

static void look_in(const struct made *m, uint32_t dims, uint32_t session, bool quiet)
{
    struct runaway_call c = { .ts_ms = m->ts_ms,
                              .row = ++t.row,
                              .dims = dims,
                              .session = session,
                              .http_status = m->http1 - 1,
                              .tokens = m->tokens1 - 1,
                              .prompt_tokens = m->prompt1 - 1,
                              .tool_calls = m->tools1 - 1,
                              .cost_nanousd = m->cost1 - 1,
                              .names = names_of,
                              .arg = (void *)m };

    assert_int_equal(runaway_look_at(t.r, &c, quiet, note, NULL), 0);
}

static void look(struct made m)
{
    look_in(&m, 0, 0, false);
}

static struct runaway_rule *rule_of(const char *text, struct fault *fault)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    struct runaway_rule *r = NULL;

    assert_non_null(json);
    int rc = runaway_rule_parse(json, &r, fault);
    json_decref(json);
    assert_true((rc == 0) == (r != NULL));
    return r;
}

static void forget_rules(void)
{
    runaway_use(t.r, NULL, 0);
    while (t.rules > 0)
        runaway_rule_free(t.rule[--t.rules]);
}

/* These rules, as JSON; other kinds are off. */
static void rules(const char *one, const char *two)
{
    const char *given[2] = { one, two };
    struct fault fault;
    char off[96];

    forget_rules();
    for (int i = 0; i < 2 && given[i] != NULL; i++) {
        t.rule[t.rules] = rule_of(given[i], &fault);
        if (t.rule[t.rules++] == NULL)
            fail_msg("%s: %s: %s", given[i], fault.field, fault.expected);
    }
    for (int kind = 0; kind < RUNAWAY_KIND_COUNT; kind++) {
        bool named = false;
        for (size_t i = 0; i < 2 && i < t.rules; i++)
            named |= (int)t.rule[i]->kind == kind;
        snprintf(off, sizeof off, "{\"rule\":\"%s\",\"on\":false}", runaway_kind_name(kind));
        if (!named)
            t.rule[t.rules++] = rule_of(off, &fault);
    }
    runaway_use(t.r, t.rule, t.rules);
}

static int setup(void **state)
{
    (void)state;
    t.rules = 0;
    t.count = 0;
    t.row = 0;
    return runaway_new(&t.r);
}

static int teardown(void **state)
{
    (void)state;
    forget_rules();
    runaway_free(t.r);
    return 0;
}

/* How often a rule was told at a look; the last of them. */
static int told_of(enum runaway_kind kind, enum runaway_look at, const struct told **last)
{
    int n = 0;

    for (int i = 0; i < t.count; i++)
        if (t.told[i].kind == kind && t.told[i].look == at) {
            n++;
            if (last != NULL)
                *last = &t.told[i];
        }
    return n;
}

static void nothing_else(int count)
{
    for (int i = count; i < t.count; i++)
        print_message("told: %s\n", t.told[i].text);
    assert_int_equal(t.count, count);
}

/* ---------------------------------------------------------------- each limit */

/* Each makes the value of its rule n, with its nth call. */
static struct made nth(enum runaway_kind kind, int64_t n)
{
    struct made m = { .ts_ms = T0 + n * 10, .agent = "a", .session = "s", .status = STATUS_ok };

    switch (kind) {
    case RUNAWAY_tokens_per_minute:
        m.tokens1 = 2;
        break;
    case RUNAWAY_context_growth:
        m.prompt1 = 5000 + n;
        break;
    case RUNAWAY_tool_calls_per_minute:
        m.tools1 = 2;
        break;
    case RUNAWAY_identical_errors:
        m.status = STATUS_error;
        m.error = "boom";
        m.http1 = 501;
        break;
    case RUNAWAY_payment_retries:
        m.status = STATUS_error;
        m.error = n % 2 ? "rate_limit" : "insufficient";
        m.http1 = n % 2 ? 430 : 403;
        break;
    case RUNAWAY_compaction_loop:
        m.trigger = n % 2 ? COMPACTION : USER;
        m.status = n % 2 ? STATUS_ok : STATUS_error;
        m.error = n % 2 ? NULL : "context_length_exceeded";
        break;
    case RUNAWAY_session_duration:
        m.ts_ms = T0 + n * MINUTE;
        break;
    default:
        break;
    }
    return m;
}

static void a_rule_is_broken_by_more_than_its_limit(void **state)
{
    static const enum runaway_kind kinds[] = { RUNAWAY_calls_per_minute, RUNAWAY_tokens_per_minute,
                                               RUNAWAY_context_growth,   RUNAWAY_tool_calls_per_minute,
                                               RUNAWAY_identical_errors, RUNAWAY_payment_retries,
                                               RUNAWAY_compaction_loop,  RUNAWAY_session_duration };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        enum runaway_kind kind = kinds[i];
        int64_t first = kind == RUNAWAY_session_duration || kind == RUNAWAY_context_growth ? 0 : 1;
        const struct told *last = NULL;
        runaway_clear(t.r);
        t.count = 0;
        snprintf(text, sizeof text, "{\"rule\":\"%s\",\"limit\":{\"session\":7}}",
                 runaway_kind_name((int)kind));
        rules(text, NULL);
        for (int64_t n = first; n <= 7; n++)
            look(nth(kind, n));
        nothing_else(0);
        look(nth(kind, 8));
        if (told_of(kind, LOOK_SESSION, &last) != 1)
            fail_msg("%s was not told", runaway_kind_name((int)kind));
        nothing_else(1);
        assert_int_equal(last->value, 8);
        assert_int_equal(last->limit, 7);
        assert_int_equal(last->last_ms, nth(kind, 8).ts_ms);
        assert_int_equal(last->calls,
                         kind == RUNAWAY_context_growth || kind == RUNAWAY_session_duration ? 9 : 8);
        assert_int_equal(last->row, t.row);
        assert_string_equal(last->name, "s");
        assert_memory_equal(last->text, "session s: ", 11);
        for (int64_t n = 9; n < 12; n++)
            look(nth(kind, n));
        nothing_else(1);
    }
}

static void an_outlier_is_above_mean_and_floor(void **state)
{
    struct made m = { .agent = "a", .session = "s", .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"outlier_call\",\"limit\":20}", NULL);
    for (int i = 0; i < RUNAWAY_OUTLIER_AFTER - 1; i++) {
        m.ts_ms = T0 + i * MINUTE;
        m.tokens1 = 1 + 10000;
        look(m);
    }
    m.tokens1 = 1 + 500000;
    look(m); /* the tenth: nobody knows the mean yet */
    nothing_else(0);
    runaway_clear(t.r);
    for (int i = 0; i < RUNAWAY_OUTLIER_AFTER; i++) {
        m.ts_ms = T0 + i * MINUTE;
        m.tokens1 = 1 + 10000;
        look(m);
    }
    m.tokens1 = 1 + 209999; /* 20.99 times */
    look(m);
    nothing_else(0);
    runaway_clear(t.r);
    for (int i = 0; i < RUNAWAY_OUTLIER_AFTER; i++) {
        m.ts_ms = T0 + i * MINUTE;
        m.tokens1 = 1 + 10000;
        look(m);
    }
    m.tokens1 = 1 + 210000;
    look(m);
    nothing_else(1);
    assert_int_equal(t.told[0].value, 21);
    assert_int_equal(t.told[0].calls, 11);
    assert_string_equal(t.told[0].text,
                        "session s: a call of 210,000 tokens, 21 times the mean of the 10 before "
                        "it, where 20 is the limit");
    /* Tiny ones never: a hundred times the mean, below the floor. */
    runaway_clear(t.r);
    for (int i = 0; i < 50; i++) {
        m.tokens1 = 1 + (i == 49 ? RUNAWAY_OUTLIER_TOKENS - 1 : 900);
        look(m);
    }
    nothing_else(1);
    /* Where tokens are unknown, the cost. */
    m.tokens1 = 0;
    runaway_clear(t.r);
    for (int i = 0; i < 12; i++) {
        m.cost1 = 1 + (i == 11 ? 700000000 : 10000000);
        look(m);
    }
    nothing_else(2);
    assert_int_equal(t.told[1].value, 70);
    assert_string_equal(t.told[1].text,
                        "session s: a call of $0.70, 70 times the mean of the 11 before it, where "
                        "20 is the limit");
}

static void depth_follows_parents(void **state)
{
    char self[16], parent[16];

    (void)state;
    rules("{\"rule\":\"subagent_depth\",\"limit\":5}", NULL);
    for (int i = 0; i < 8; i++) {
        snprintf(self, sizeof self, "d%d", i);
        snprintf(parent, sizeof parent, "d%d", i - 1);
        look((struct made){ .ts_ms = T0 + i,
                            .agent = "a",
                            .session = self,
                            .parent = i > 0 ? parent : NULL,
                            .root = i > 0 ? "d0" : NULL,
                            .status = STATUS_ok });
        nothing_else(i > 5);
    }
    assert_int_equal(t.told[0].look, LOOK_ROOT_SESSION);
    assert_string_equal(t.told[0].name, "d0");
    assert_int_equal(t.told[0].value, 6);
    /* Two that are each other's parents do not run away by themselves. */
    for (int i = 0; i < 100; i++)
        look((struct made){ .ts_ms = T0 + i,
                            .session = i % 2 ? "x" : "y",
                            .parent = i % 2 ? "y" : "x",
                            .status = STATUS_ok });
    nothing_else(1);
}

/* ------------------------------------------------------------------- windows */

static void a_minute_slides(void **state)
{
    struct made m = { .agent = "a", .session = "s", .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":{\"session\":60}}", NULL);
    for (int i = 0; i < 3600; i++) { /* one in 1.07 s: at most 60 in 64 s */
        m.ts_ms = T0 + i * 1070;
        look(m);
    }
    nothing_else(0);
    for (int i = 0; i < 62; i++) { /* one in 0.9 s: more than 60 in a minute, as soon as there were so many */
        m.ts_ms = T0 + 3600 * 1070 + i * 900;
        look(m);
    }
    nothing_else(1);
}

static void what_is_late_counts_where_it_belongs(void **state)
{
    struct made m = { .agent = "a", .session = "s", .status = STATUS_error, .error = "e" };

    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":{\"session\":10}}",
          "{\"rule\":\"identical_errors\",\"limit\":{\"session\":15}}");
    m.ts_ms = T0 + 10 * MINUTE;
    look(m);
    for (int i = 0; i < 9; i++) { /* out of order, within the minute */
        m.ts_ms = T0 + 10 * MINUTE - (i % 2 ? 30000 : 50000);
        look(m);
    }
    nothing_else(0);
    for (int i = 0; i < 5; i++) { /* two minutes late: not for the rate, but in a row */
        m.ts_ms = T0 + 8 * MINUTE;
        look(m);
    }
    nothing_else(0);
    for (int i = 0; i < 50; i++) { /* so late that nobody looks */
        m.ts_ms = T0 + 4 * MINUTE;
        look(m);
    }
    nothing_else(0);
    m.ts_ms = T0 + 8 * MINUTE;
    look(m);
    nothing_else(1);
    assert_int_equal(t.told[0].kind, RUNAWAY_identical_errors);
    assert_int_equal(t.told[0].value, 16);
    m.ts_ms = T0 + 10 * MINUTE - 20000;
    look(m);
    nothing_else(2);
    assert_int_equal(t.told[1].kind, RUNAWAY_calls_per_minute);
    assert_int_equal(t.told[1].value, 11);
    assert_int_equal(t.told[1].first_ms, T0 + 10 * MINUTE - 50000);
    assert_int_equal(t.told[1].last_ms, T0 + 10 * MINUTE);
}

static void a_success_ends_what_is_in_a_row(void **state)
{
    struct made m = { .ts_ms = T0, .agent = "a", .session = "s", .error = "e", .http1 = 430 };

    (void)state;
    rules("{\"rule\":\"identical_errors\",\"limit\":{\"session\":3}}",
          "{\"rule\":\"payment_retries\",\"limit\":{\"session\":3}}");
    for (int i = 0; i < 40; i++) {
        m.ts_ms += 100;
        m.status = i % 4 == 3 ? STATUS_ok : STATUS_error;
        look(m);
    }
    nothing_else(0);
    for (int i = 0; i < 40; i++) { /* others between: no row, unless they say nothing */
        m.ts_ms += 100;
        m.status = STATUS_error;
        m.error = i % 2 ? "e" : "f";
        m.http1 = 501;
        look(m);
    }
    nothing_else(0);
    for (int i = 0; i < 8; i++) {
        m.ts_ms += 100;
        m.error = "e";
        m.status = i % 2 ? STATUS_aborted : STATUS_error;
        look(m);
    }
    nothing_else(1);
    assert_string_equal(t.told[0].error, "e");
    assert_non_null(strstr(t.told[0].text, "(e, HTTP 500)"));
}

static void payments_are_known_by_name_too(void **state)
{
    static const struct {
        const char *error;
        int64_t http1;
        bool is;
    } table[] = { { "rate_limit", 0, true },    { "RateLimitError", 0, true },
                  { "http_402", 0, true },      { "insufficient_quota", 0, true },
                  { "billing_error", 0, true }, { "payment-required", 0, true },
                  { "overloaded", 0, false },   { "rate_limit", 501, false },
                  { "x", 430, true },           { NULL, 403, true },
                  { "timeout", 0, false },      { NULL, 0, false } };

    (void)state;
    rules("{\"rule\":\"payment_retries\",\"limit\":{\"session\":4}}",
          "{\"rule\":\"identical_errors\",\"on\":false}");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        runaway_clear(t.r);
        t.count = 0;
        for (int n = 0; n < 6; n++)
            look((struct made){ .ts_ms = T0 + n,
                                .session = "s",
                                .error = table[i].error,
                                .http1 = table[i].http1,
                                .status = STATUS_error });
        if (t.count != table[i].is)
            fail_msg("%s %lld: %d", table[i].error, (long long)table[i].http1, t.count);
    }
}

static void compactions_in_stages_are_one(void **state)
{
    struct made m = { .ts_ms = T0, .session = "s", .trigger = COMPACTION, .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"compaction_loop\",\"limit\":{\"session\":5}}", NULL);
    for (int i = 0; i < 20; i++) { /* 5 counted */
        m.ts_ms += 1000;
        look(m);
    }
    nothing_else(0);
    m.ts_ms += 1000;
    look(m);
    nothing_else(1);
    /* One every three minutes for a day is none. */
    runaway_clear(t.r);
    for (int i = 0; i < 480 * 2; i++) {
        m.ts_ms += 90000;
        m.trigger = i % 2 ? COMPACTION : USER;
        look(m);
    }
    nothing_else(1);
}

static void a_sitting_ends_with_a_pause(void **state)
{
    struct made m = { .ts_ms = T0, .session = "s", .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"session_duration\",\"limit\":\"1h\"}", NULL);
    for (int i = 0; i < 100; i++) { /* half an hour of work, then a pause, again and again */
        m.ts_ms += i % 10 == 9 ? RUNAWAY_PAUSE_MS + 1 : 3 * MINUTE;
        look(m);
    }
    nothing_else(0);
    m.trigger = HEARTBEAT;
    for (int i = 0; i < 300; i++) {
        m.ts_ms += 5 * MINUTE;
        look(m);
    }
    nothing_else(0);
    m.trigger = USER;
    for (int i = 0; i < 6; i++) {
        m.ts_ms += 12 * MINUTE;
        look(m);
    }
    nothing_else(0); /* 60 minutes */
    m.ts_ms += MINUTE;
    look(m);
    nothing_else(1);
    assert_int_equal(t.told[0].value, 61);
}

static void growth_is_beyond_the_largest(void **state)
{
    struct made m = { .ts_ms = T0, .session = "s", .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"context_growth\",\"limit\":100000}", NULL);
    for (int i = 0; i < 200; i++) { /* a heartbeat's short prompt between long ones */
        m.ts_ms += 500;
        m.prompt1 = i % 2 ? 2000 : 900000;
        look(m);
    }
    nothing_else(0);
    m.trigger = COMPACTION; /* from here it may grow anew */
    look(m);
    m.trigger = USER;
    for (int64_t prompt = 20000; prompt <= 120000; prompt += 20000) {
        m.ts_ms += 1000;
        m.prompt1 = prompt + 1;
        look(m);
    }
    nothing_else(0);
    m.prompt1 += 1;
    look(m);
    nothing_else(1);
    assert_int_equal(t.told[0].value, 100001);
}

/* ----------------------------------------------------------------- cool-down */

static void it_is_told_again_after_its_cooldown(void **state)
{
    struct made m = { .agent = "a", .session = "s", .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":{\"session\":10},\"cooldown\":\"10m\"}", NULL);
    for (int i = 0; i < 31 * 60; i++) { /* a storm of 31 minutes */
        m.ts_ms = T0 + i * 1000;
        look(m);
    }
    nothing_else(4); /* at 10 s, and each ten minutes */
    for (int i = 1; i < 4; i++)
        assert_int_equal(t.told[i].last_ms - t.told[i - 1].last_ms, 10 * MINUTE);
    m.ts_ms += 60 * MINUTE; /* it is over; one call breaks nothing */
    look(m);
    nothing_else(4);
    rules("{\"rule\":\"calls_per_minute\",\"limit\":{\"session\":10},\"action\":\"block\",\"cooldown\":"
          "\"until resumed\"}",
          NULL);
    for (int i = 0; i < 31 * 60; i++) {
        m.ts_ms += 1000;
        look(m);
    }
    nothing_else(5);
    runaway_forget(t.r, LOOK_SESSION, slice_of("s"));
    for (int i = 0; i < 10; i++) {
        m.ts_ms += 1000;
        look(m);
    }
    nothing_else(5);
    m.ts_ms += 1000;
    look(m);
    nothing_else(6);
}

static void quiet_remembers(void **state)
{
    struct made m = { .session = "s", .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":{\"session\":10}}", NULL);
    for (int i = 0; i < 8; i++) {
        m.ts_ms = T0 + i;
        look_in(&m, 0, 0, true);
    }
    for (int i = 0; i < 3; i++)
        look(m);
    nothing_else(1); /* the eleventh */
    runaway_clear(t.r);
    for (int i = 0; i < 20; i++)
        look_in(&m, 0, 0, true);
    look(m); /* it was told before the restart */
    nothing_else(1);
    m.ts_ms += 11 * MINUTE;
    for (int i = 0; i < 11; i++)
        look(m);
    nothing_else(2);
}

/* --------------------------------------------------------------- whom, scopes */

static void root_and_agent_have_more(void **state)
{
    char session[16];
    const struct told *last = NULL;

    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":10}", NULL);
    for (int i = 0; i < 41; i++) { /* five trees of two sessions; none has more than ten */
        snprintf(session, sizeof session, "s%d", i % 5);
        look((struct made){ .ts_ms = T0 + i,
                            .agent = "a",
                            .session = session,
                            .root = i % 2 ? NULL : session,
                            .status = STATUS_ok });
        if (i < 40)
            nothing_else(0);
    }
    nothing_else(1);
    assert_int_equal(told_of(RUNAWAY_calls_per_minute, LOOK_AGENT, &last), 1);
    assert_int_equal(last->limit, 40);
    assert_string_equal(last->name, "a");
    t.count = 0;
    runaway_clear(t.r);
    for (int i = 0; i < 21; i++) { /* a root with two below it: what it did itself counts, too */
        look((struct made){ .ts_ms = T0 + i,
                            .agent = "a",
                            .session = i % 3 ? i % 3 == 1 ? "k1" : "k2" : "top",
                            .root = i % 3 ? "top" : NULL,
                            .parent = i % 3 ? "top" : NULL,
                            .status = STATUS_ok });
        if (i < 20)
            nothing_else(0);
    }
    nothing_else(1);
    assert_int_equal(t.told[0].look, LOOK_ROOT_SESSION);
    assert_string_equal(t.told[0].name, "top");
    assert_int_equal(t.told[0].value, 21);
}

static void one_storm_is_told_once(void **state)
{
    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":10}", NULL);
    for (int i = 0; i < 500; i++) /* of one session */
        look(
            (struct made){ .ts_ms = T0 + i, .agent = "a", .session = "s", .root = "r", .status = STATUS_ok });
    nothing_else(1);
    assert_int_equal(t.told[0].look, LOOK_SESSION);
    for (int i = 0; i < 100; i++) /* and of a second one: now it is the agent's, too */
        look((struct made){ .ts_ms = T0 + 500 + i, .agent = "a", .session = "s2", .status = STATUS_ok });
    assert_int_equal(told_of(RUNAWAY_calls_per_minute, LOOK_SESSION, NULL), 2);
    assert_int_equal(told_of(RUNAWAY_calls_per_minute, LOOK_AGENT, NULL), 1);
}

static void a_lone_session_is_its_own_root(void **state)
{
    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":10,\"look\":\"root_session\"}", NULL);
    for (int i = 0; i < 15; i++)
        look((struct made){ .ts_ms = T0 + i, .agent = "a", .session = "s", .status = STATUS_ok });
    nothing_else(1);
    assert_int_equal(t.told[0].look, LOOK_ROOT_SESSION);
    assert_int_equal(t.told[0].value, 11);
    assert_string_equal(t.told[0].name, "s");
    runaway_forget(t.r, LOOK_ROOT_SESSION, slice_of("s"));
    for (int i = 0; i < 10; i++)
        look((struct made){ .ts_ms = T0 + i, .agent = "a", .session = "s", .status = STATUS_ok });
    nothing_else(1);
    look((struct made){ .ts_ms = T0, .agent = "a", .session = "s", .status = STATUS_ok });
    nothing_else(2);
}

static void blocked_calls_are_none(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++)
        look((struct made){ .ts_ms = T0 + i,
                            .agent = "a",
                            .session = "s",
                            .status = STATUS_blocked,
                            .error = "rate_limit",
                            .http1 = 430,
                            .tokens1 = 1000000 });
    nothing_else(0);
}

static void nothing_is_known_of_tokens(void **state)
{
    (void)state; /* by the default rules: whatever is no token is found without them */
    for (int i = 0; i < 1384; i++)
        look((struct made){ .ts_ms = T0 + i * 43,
                            .agent = "a",
                            .session = "s",
                            .status = STATUS_error,
                            .error = "http_429",
                            .http1 = 430,
                            .tools1 = 3 });
    assert_int_equal(told_of(RUNAWAY_identical_errors, LOOK_SESSION, NULL), 1);
    assert_int_equal(told_of(RUNAWAY_payment_retries, LOOK_SESSION, NULL), 1);
    assert_int_equal(told_of(RUNAWAY_calls_per_minute, LOOK_SESSION, NULL), 1);
    assert_int_equal(told_of(RUNAWAY_tool_calls_per_minute, LOOK_SESSION, NULL), 1);
    nothing_else(4);
}

static void nobody_is_known(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++)
        look((struct made){ .ts_ms = T0 + i, .status = STATUS_ok });
    nothing_else(0);
    for (int i = 0; i < 500; i++)
        look((struct made){ .ts_ms = T0 + i, .agent = "only", .status = STATUS_ok });
    nothing_else(1);
    assert_int_equal(t.told[0].value, 481);
}

static void the_first_rule_that_fits_holds(void **state)
{
    static const struct {
        const char *agent, *session;
        int64_t limit; /* 0: off */
    } table[] = { { "load-1", "s", 300 }, { "quiet", "t", 0 }, { "other", "u", 120 } };

    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":300,\"scope\":{\"agent\":\"load-*\"}}",
          "{\"rule\":\"calls_per_minute\",\"on\":false,\"scope\":{\"agent\":[\"quiet\",\"load-1\"]}}");
    for (size_t i = 0; i < 3; i++) {
        t.count = 0;
        for (int n = 0; n < 350; n++)
            look((struct made){
                .ts_ms = T0 + n, .agent = table[i].agent, .session = table[i].session, .status = STATUS_ok });
        nothing_else(table[i].limit > 0);
        if (table[i].limit > 0)
            assert_int_equal(t.told[0].value, table[i].limit + 1);
    }
    /* The same where names are remembered by id, and where a scope looks at sessions. */
    rules("{\"rule\":\"calls_per_minute\",\"limit\":300,\"scope\":{\"session\":\"s*\"}}", NULL);
    runaway_clear(t.r);
    t.count = 0;
    for (int n = 0; n < 350; n++)
        for (uint32_t i = 0; i < 3; i++)
            look_in(&(struct made){ .ts_ms = T0 + n,
                                    .agent = table[i].agent,
                                    .session = table[i].session,
                                    .status = STATUS_ok },
                    7, 1 + i, false);
    nothing_else(3);
    assert_int_equal(t.told[2].value, 301);
    assert_string_equal(t.told[2].name, "s");
}

static void ids_stand_for_names(void **state)
{
    struct made a = { .ts_ms = T0, .agent = "a", .session = "s", .status = STATUS_ok };
    struct made b = { .ts_ms = T0, .agent = "b", .session = "other", .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"limit\":{\"session\":10}}", NULL);
    for (int i = 0; i < 10; i++)
        look_in(&a, 5, 9, false);
    nothing_else(0);
    runaway_forget_ids(t.r); /* now they are another's */
    look_in(&b, 5, 9, false);
    nothing_else(0);
    look_in(&a, 6, 10, false);
    nothing_else(1);
    /* dims without a session: there is none. */
    for (int i = 0; i < 20; i++)
        look_in(&(struct made){ .ts_ms = T0, .agent = "c", .session = "never", .status = STATUS_ok }, 77, 0,
                false);
    nothing_else(1);
}

static void the_longest_untouched_makes_room(void **state)
{
    char session[32];
    struct made busy = { .agent = "a", .session = "busy", .status = STATUS_ok };

    (void)state;
    rules("{\"rule\":\"calls_per_minute\",\"on\":false}",
          "{\"rule\":\"identical_errors\",\"limit\":{\"session\":10}}");
    busy.status = STATUS_error;
    struct made idle = busy;
    idle.session = "idle";
    for (int i = 0; i < 9; i++) {
        busy.ts_ms = idle.ts_ms = T0 + i;
        look(busy);
        look(idle);
    }
    for (int i = 0; i < 3 * RUNAWAY_SUBJECTS; i++) {
        snprintf(session, sizeof session, "many-%d", i);
        look((struct made){ .ts_ms = T0 + 20, .agent = "b", .session = session, .status = STATUS_ok });
        if (i % (RUNAWAY_SUBJECTS / 2) == 0) {
            busy.ts_ms = T0 + 30;
            busy.status = STATUS_aborted; /* it is touched, and nothing is counted */
            look(busy);
        }
    }
    nothing_else(0);
    busy.status = STATUS_error;
    look(busy);
    look(busy);
    nothing_else(1); /* the one that was touched has been remembered, */
    assert_string_equal(t.told[0].name, "busy");
    for (int i = 0; i < 10; i++)
        look(idle);
    nothing_else(1); /* the other one begins anew */
    look(idle);
    nothing_else(2);
}

/* ------------------------------------------------------------ a slow recount */

#define SLOW 4000
static struct made slow[SLOW];
static int slow_count;

/* What came in the last so many milliseconds before now, of a session. */
static int64_t recount(const char *session, int64_t now_ms, int64_t span_ms, bool tokens)
{
    int64_t n = 0;

    for (int i = 0; i < slow_count; i++)
        if (strcmp(slow[i].session, session) == 0 && slow[i].ts_ms > now_ms - span_ms &&
            slow[i].ts_ms <= now_ms)
            n += tokens ? slow[i].tokens1 - 1 : 1;
    return n;
}

/* Random bursts: whatever is told is true within a bucket, and nothing is left untold that was broken by the
 * exact count. */
static void rates_are_those_of_a_recount(void **state)
{
    static const char *const names[] = { "s0", "s1", "s2" };
    unsigned seed = 20261121;

    (void)state;
    for (int round = 0; round < 20; round++) {
        int64_t now_ms = T0 + (int)draw(&seed) % 100000, newest[3] = { 0 };
        runaway_clear(t.r);
        slow_count = 0;
        rules("{\"rule\":\"calls_per_minute\",\"limit\":{\"session\":40},\"cooldown\":\"1s\"}",
              "{\"rule\":\"tokens_per_minute\",\"limit\":{\"session\":30000},\"cooldown\":\"1s\"}");
        for (int i = 0; i < SLOW / 4; i++) {
            int who = (int)draw(&seed) % 3, told = t.count = 0;
            bool expected[2];
            now_ms += (int)draw(&seed) % 100 == 0 ? (int)draw(&seed) % 90000 : (int)draw(&seed) % 1500;
            struct made m = { .ts_ms = now_ms,
                              .session = names[who],
                              .status = STATUS_ok,
                              .tokens1 = 1 + (int)draw(&seed) % 2000 };
            slow[slow_count++] = m;
            newest[who] = now_ms;
            /* A new set of rules forgets nothing; a forgotten subject would. So the cool-down is short, and
             * the time between two calls of one session is mostly longer. */
            expected[0] = recount(names[who], newest[who], 60000, false) > 40;
            expected[1] = recount(names[who], newest[who], 60000, true) > 30000;
            look(m);
            for (told = 0; told < t.count; told++) {
                bool tokens = t.told[told].kind == RUNAWAY_tokens_per_minute;
                if (!tokens && t.told[told].kind != RUNAWAY_calls_per_minute)
                    continue;
                assert_true(t.told[told].value >= recount(names[who], now_ms, 60000, tokens));
                assert_true(t.told[told].value <= recount(names[who], now_ms, 64000, tokens));
                assert_true(t.told[told].last_ms - t.told[told].first_ms < 64000);
                expected[tokens] = false;
            }
            for (int k = 0; k < 2; k++) /* untold, though broken: only in its cool-down */
                if (expected[k]) {
                    int64_t before = 0;
                    for (int b = slow_count - 2; b >= 0 && before == 0; b--)
                        if (strcmp(slow[b].session, names[who]) == 0)
                            before = slow[b].ts_ms;
                    assert_true(now_ms - before < 2000);
                }
        }
    }
}

/* --------------------------------------------------------------------- rules */

static void rules_print_back(void **state)
{
    static const struct {
        const char *given, *printed;
    } table[] = {
        { "{\"rule\":\"calls_per_minute\"}",
          "{\"action\":\"alert\",\"cooldown\":\"10m\",\"limit\":{\"agent\":480,\"root_session\":240,"
          "\"session\":120},\"look\":[\"session\",\"root_session\",\"agent\"],\"on\":true,"
          "\"rule\":\"calls_per_minute\",\"scope\":{},\"severity\":\"warning\"}" },
        { "{\"rule\":\"identical_errors\",\"limit\":7,\"look\":[\"agent\",\"root_session\"],\"action\":"
          "\"delay\","
          "\"cooldown\":\"until "
          "resumed\",\"severity\":\"critical\",\"scope\":{\"agent\":\"x\"},\"on\":false}",
          "{\"action\":\"delay\",\"cooldown\":\"until resumed\",\"delay\":\"30s\",\"limit\":{\"agent\":14,"
          "\"root_session\":7},\"look\":[\"root_session\",\"agent\"],\"on\":false,\"rule\":\"identical_"
          "errors\","
          "\"scope\":{\"agent\":\"x\"},\"severity\":\"critical\"}" },
        { "{\"rule\":\"session_duration\",\"limit\":{\"agent\":\"2d\"},\"action\":\"block\",\"cooldown\":"
          "\"90s\"}",
          "{\"action\":\"block\",\"cooldown\":\"90s\",\"limit\":{\"agent\":2880},\"look\":[\"agent\"],\"on\":"
          "true,"
          "\"rule\":\"session_duration\",\"scope\":{},\"severity\":\"warning\"}" },
        { "{\"rule\":\"calls_per_minute\",\"look\":\"agent\"}",
          "{\"action\":\"alert\",\"cooldown\":\"10m\",\"limit\":{\"agent\":480},\"look\":[\"agent\"],\"on\":"
          "true,"
          "\"rule\":\"calls_per_minute\",\"scope\":{},\"severity\":\"warning\"}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int k = 0; k < 2; k++) {
            struct fault fault;
            struct runaway_rule *r = rule_of(k == 0 ? table[i].given : table[i].printed, &fault);
            assert_non_null(r);
            json_t *json = runaway_rule_json(r);
            char *text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
            assert_string_equal(text, table[i].printed);
            free(text);
            json_decref(json);
            runaway_rule_free(r);
        }
}

static void defaults_are_what_is_parsed(void **state)
{
    char given[96];

    (void)state;
    for (int kind = 0; kind < RUNAWAY_KIND_COUNT; kind++) {
        const struct runaway_rule *d = runaway_rule_default((enum runaway_kind)kind);
        struct fault fault;
        snprintf(given, sizeof given, "{\"rule\":\"%s\"}", runaway_kind_name(kind));
        struct runaway_rule *r = rule_of(given, &fault);
        assert_non_null(r);
        assert_int_equal(d->kind, kind);
        assert_int_equal(d->looks, r->looks);
        assert_memory_equal(d->limit, r->limit, sizeof d->limit);
        assert_int_equal(d->cooldown_ms, r->cooldown_ms);
        assert_int_equal(d->action, r->action);
        assert_int_equal(d->severity, r->severity);
        assert_true(d->on);
        runaway_rule_free(r);
    }
}

static void wrong_rules_are_refused(void **state)
{
    static const struct {
        const char *given, *field;
    } table[] = {
        { "[]", "runaway" },
        { "{}", "rule" },
        { "{\"rule\":\"calls\"}", "rule" },
        { "{\"rule\":7}", "rule" },
        { "{\"rule\":\"calls_per_minute\",\"limits\":7}", "limits" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":0}", "limit" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":-1}", "limit" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":900001}", "limit" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":1.5}", "limit" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":\"6h\"}", "limit" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":{}}", "limit" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":{\"user\":1}}", "user" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":{\"agent\":0}}", "limit.agent" },
        { "{\"rule\":\"calls_per_minute\",\"limit\":{\"agent\":9},\"look\":\"session\"}", "limit" },
        { "{\"rule\":\"outlier_call\",\"limit\":{\"agent\":9}}", "limit.agent" },
        { "{\"rule\":\"outlier_call\",\"look\":\"agent\"}", "look" },
        { "{\"rule\":\"subagent_depth\",\"look\":[\"agent\"]}", "look" },
        { "{\"rule\":\"calls_per_minute\",\"look\":[]}", "look" },
        { "{\"rule\":\"calls_per_minute\",\"look\":[\"session\",\"session\"]}", "look" },
        { "{\"rule\":\"calls_per_minute\",\"look\":\"session\\u0000\"}", "look" },
        { "{\"rule\":\"session_duration\",\"limit\":\"90s\"}", "limit" },
        { "{\"rule\":\"calls_per_minute\",\"scope\":{\"agents\":\"x\"}}", "scope.agents" },
        { "{\"rule\":\"calls_per_minute\",\"action\":\"downgrade\"}", "action" },
        { "{\"rule\":\"calls_per_minute\",\"delay\":\"1s\"}", "delay" },
        { "{\"rule\":\"calls_per_minute\",\"action\":\"delay\",\"delay\":\"2h\"}", "delay" },
        { "{\"rule\":\"calls_per_minute\",\"cooldown\":\"10ms\"}", "cooldown" },
        { "{\"rule\":\"calls_per_minute\",\"cooldown\":\"31d\"}", "cooldown" },
        { "{\"rule\":\"calls_per_minute\",\"cooldown\":0}", "cooldown" },
        { "{\"rule\":\"calls_per_minute\",\"cooldown\":\"until resumed\"}", "cooldown" },
        { "{\"rule\":\"calls_per_minute\",\"severity\":\"bad\"}", "severity" },
        { "{\"rule\":\"calls_per_minute\",\"on\":1}", "on" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fault fault = { "", "", "" };
        assert_null(rule_of(table[i].given, &fault));
        assert_string_equal(fault.field, table[i].field);
        assert_true(fault.expected[0] != '\0');
    }
}

/* A value of any form, now and then one that fits. */
static json_t *random_value(unsigned *seed, int depth)
{
    static const char *const words[] = {
        "session", "agent", "root_session", "calls_per_minute", "outlier_call", "block",
        "delay",   "alert", "10m",          "until resumed",    "critical",     "6h",
        "",        "*",     "x\xc3\xa9"
    };

    switch (draw(seed) % (depth > 0 ? 8 : 5)) {
    case 0:
        return json_integer(draw(seed) % 3 ? draw(seed) % 1000 : (json_int_t)draw(seed) << 20 << 12);
    case 1:
        return json_boolean(draw(seed) % 2);
    case 2:
        return json_null();
    case 3:
        return json_real(draw(seed) / 7.0);
    case 5:
        return json_pack("[o]", random_value(seed, depth - 1));
    case 6:
        return json_pack("[o,o]", random_value(seed, depth - 1), random_value(seed, depth - 1));
    case 7:
        return json_pack("{s:o}", words[draw(seed) % 3], random_value(seed, depth - 1));
    default:
        return json_string(words[draw(seed) % (sizeof words / sizeof *words)]);
    }
}

static void any_definition_is_judged(void **state)
{
    static const char *const keys[] = { "on",     "limit", "look",     "scope",
                                        "action", "delay", "cooldown", "severity" };
    unsigned seed = 7;
    int taken = 0;

    (void)state;
    for (int i = 0; i < 60000; i++) {
        json_t *json = json_object();
        struct runaway_rule *r = NULL, *again = NULL;
        struct fault fault = { "", "", "" };
        json_object_set_new(json, "rule",
                            (int)draw(&seed) % 20
                                ? json_string(runaway_kind_name((int)draw(&seed) % RUNAWAY_KIND_COUNT))
                                : random_value(&seed, 2));
        for (int n = (int)draw(&seed) % 4; n > 0; n--)
            json_object_set_new(json, keys[(int)draw(&seed) % 8], random_value(&seed, 2));
        if (runaway_rule_parse(json, &r, &fault) != 0) {
            assert_null(r);
            assert_true(fault.field[0] != '\0' && fault.expected[0] != '\0');
        } else { /* what is taken is taken again as it is printed */
            json_t *printed = runaway_rule_json(r);
            assert_int_equal(runaway_rule_parse(printed, &again, &fault), 0);
            json_t *twice = runaway_rule_json(again);
            assert_true(json_equal(printed, twice));
            json_decref(twice);
            json_decref(printed);
            runaway_rule_free(again);
            runaway_rule_free(r);
            taken++;
        }
        json_decref(json);
    }
    assert_true(taken > 10000);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(a_rule_is_broken_by_more_than_its_limit),
        WITH(an_outlier_is_above_mean_and_floor),
        WITH(depth_follows_parents),
        WITH(a_minute_slides),
        WITH(what_is_late_counts_where_it_belongs),
        WITH(a_success_ends_what_is_in_a_row),
        WITH(payments_are_known_by_name_too),
        WITH(compactions_in_stages_are_one),
        WITH(a_sitting_ends_with_a_pause),
        WITH(growth_is_beyond_the_largest),
        WITH(it_is_told_again_after_its_cooldown),
        WITH(quiet_remembers),
        WITH(root_and_agent_have_more),
        WITH(one_storm_is_told_once),
        WITH(a_lone_session_is_its_own_root),
        WITH(blocked_calls_are_none),
        WITH(nothing_is_known_of_tokens),
        WITH(nobody_is_known),
        WITH(the_first_rule_that_fits_holds),
        WITH(ids_stand_for_names),
        WITH(the_longest_untouched_makes_room),
        WITH(rates_are_those_of_a_recount),
        cmocka_unit_test(rules_print_back),
        cmocka_unit_test(defaults_are_what_is_parsed),
        cmocka_unit_test(wrong_rules_are_refused),
        cmocka_unit_test(any_definition_is_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
