/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <stdio.h>
#include <string.h>

#include "ledger_subject.h"
#include "ledger_work.h"
#include "watch_words.h"

int watch_init(struct watch *w, struct store *store, struct ledger *ledger, const struct pricer *pricer,
               const struct watch_options *options)
{
    int rc;

    *w = (struct watch){ .store = store, .ledger = ledger, .pricer = pricer };
    if ((rc = conditions_init(&w->conditions, &ledger->alerts)) != 0 ||
        (rc = silence_init(&w->silence, &ledger->alerts, options->silent_ms)) != 0 ||
        (rc = runaways_init(&w->runaways, store, ledger)) != 0)
        return rc;
    return store_prepare(store, "SELECT name FROM source WHERE id=?", &w->source_name);
}

void watch_fini(struct watch *w)
{
    conditions_fini(&w->conditions);
    silence_fini(&w->silence);
    runaways_fini(&w->runaways);
    w->started = false;
}

/* ---------------------------------------------------------------------- time */

void watch_recover(struct watch *w)
{
    struct alerts *a = &w->ledger->alerts;

    w->started = false;
    w->outage.told = false;
    a->due_ms = 0;
    a->raised = 0;
    memset(a->raised_of, 0, sizeof a->raised_of);
}

static int start(struct watch *w, int64_t now_ms)
{
    int rc = conditions_start(&w->conditions);

    if (rc == 0)
        rc = silence_start(&w->silence, now_ms);
    if (rc == 0)
        rc = runaways_start(&w->runaways, now_ms);
    w->started = rc == 0;
    return rc;
}

/* The store can write again: raised and ended at once. */
static int tell_outage(struct watch *w, int64_t now_ms)
{
    struct watch_outage *o = &w->outage;
    struct words words;
    int64_t id;

    if (o->until_ms == 0)
        o->until_ms = now_ms;
    words_of_outage(&words, o->from_ms, o->until_ms, o->error);
    int rc = words_finish(&words);
    if (rc == 0)
        rc = alerts_raise(&w->ledger->alerts, &words.alert, now_ms, &id, NULL);
    words_fini(&words);
    if (rc == 0)
        rc = alerts_end(&w->ledger->alerts, id, now_ms);
    o->told = rc == 0;
    return rc;
}

/* Whoever was last heard, or looked at, in a time that is yet to come would not be looked at until then. */
static int step_back(struct watch *w, int64_t now_ms)
{
    bool back = w->started && now_ms < w->now_ms - WATCH_STEP_MS;

    w->now_ms = now_ms;
    if (!back)
        return 0;
    w->started = false;
    return conditions_tick(&w->conditions, now_ms, true);
}

int watch_tick(struct watch *w, int64_t now_ms, bool all)
{
    int rc = step_back(w, now_ms);

    if (rc == 0 && !w->started)
        rc = start(w, now_ms);
    if (rc == 0 && w->outage.there && !w->outage.told)
        rc = tell_outage(w, now_ms);
    if (rc == 0)
        rc = alerts_tick(&w->ledger->alerts, now_ms);
    if (rc == 0)
        rc = conditions_tick(&w->conditions, now_ms, all);
    if (rc == 0)
        rc = runaways_tick(&w->runaways, now_ms);
    return rc != 0 ? rc : silence_tick(&w->silence, now_ms);
}

int64_t watch_due_ms(const struct watch *w)
{
    int64_t due_ms = conditions_due_ms(&w->conditions);

    if (!w->started)
        return 0;
    due_ms = w->silence.due_ms < due_ms ? w->silence.due_ms : due_ms;
    due_ms = w->runaways.due_ms < due_ms ? w->runaways.due_ms : due_ms;
    return w->ledger->alerts.due_ms < due_ms ? w->ledger->alerts.due_ms : due_ms;
}

bool watch_is_dirty(const struct watch *w)
{
    return w->started && w->conditions.write_due_ms != INT64_MAX;
}

void watch_failed(struct watch *w, const char *error, int64_t now_ms)
{
    if (w->outage.there)
        return;
    w->outage = (struct watch_outage){ .from_ms = now_ms, .there = true };
    snprintf(w->outage.error, sizeof w->outage.error, "%s", error);
}

void watch_revived(struct watch *w, int64_t now_ms)
{
    w->outage.until_ms = now_ms;
}

bool watch_publish(struct watch *w, struct counters *c)
{
    struct alerts *a = &w->ledger->alerts;
    bool raised = a->raised > 0;

    if (w->outage.told)
        w->outage = (struct watch_outage){ .there = false };
    if (!raised)
        return false;
#define X(name) count_add(&c->alerts_##name, a->raised_of[ALERT_##name]);
    ALERT_KINDS(X)
#undef X
    a->raised = 0;
    memset(a->raised_of, 0, sizeof a->raised_of);
    return true;
}

/* --------------------------------------------------------------------- calls */

static int source_name(struct watch *w, uint32_t source, char out[WORDS_NAME])
{
    out[0] = '\0';
    sqlite3_bind_int64(w->source_name, 1, source);
    int rc = sqlite3_step(w->source_name);
    if (rc == SQLITE_ROW)
        snprintf(out, WORDS_NAME, "%s", (const char *)sqlite3_column_text(w->source_name, 0));
    sqlite3_reset(w->source_name);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* Meets or raises what has been put in words, which end here. */
static int say(struct watch *w, struct words *words, uint32_t number, const struct condition_more *more)
{
    if (conditions_meet(&w->conditions, words->alert.kind, words->alert.mark, number, more))
        return 0;
    int rc = words_finish(words);
    if (rc == 0)
        rc = conditions_raise(&w->conditions, &words->alert, number, more);
    words_fini(words);
    return rc;
}

static int watch_call(struct watch *w, enum alert_kind kind, const struct log_row *row, const struct event *e,
                      uint32_t source)
{
    const struct condition_more more = { .now_ms = row->received_ms };
    struct call_words call = { .row = row };
    struct words words;

    if (conditions_again(&w->conditions, kind, row->dims, &more))
        return 0;
    int rc = source_name(w, source, call.source);
    if (rc != 0)
        return rc;
    subject_of_event(e, &call.who);
    if (kind == ALERT_unpriced)
        words_of_unpriced(&words, &call);
    else
        words_of_unknown_usage(&words, &call);
    return say(w, &words, row->dims, &more);
}

static int say_stopped(struct watch *w, const struct subject *who, const struct verdict *v, int64_t now_ms)
{
    const struct condition_more more = { .now_ms = now_ms };
    struct words words;

    if (v->action != ACTION_BLOCK || (v->kind != VERDICT_POLICY && v->kind != VERDICT_PAUSE))
        return 0;
    words_of_policy(&words, who, v);
    return say(w, &words, 0, &more);
}

/* A publisher stopped it by a verdict that it had. What it does not say: by which one; what would stop it now
 * is named, and a budget has told of itself. One with a reservation was denied here. */
static int watch_blocked(struct watch *w, const struct log_row *row, const struct event *e)
{
    struct subject who;
    struct verdict v;

    if ((w->ledger->rule_count == 0 && w->ledger->pause_count == 0) || row->reservation_len > 0)
        return 0;
    subject_of_event(e, &who);
    ledger_judge_rules(w->ledger, &who, false, &v);
    return say_stopped(w, &who, &v, row->received_ms);
}

static bool tells_tokens(const int64_t *num)
{
    return num[D_prompt_tokens] != UNKNOWN || num[D_completion_tokens] != UNKNOWN ||
           num[D_total_tokens] != UNKNOWN;
}

int watch_odd_call(struct watch *w, const struct log_row *row, const struct event *e, uint32_t source)
{
    if (row->status == STATUS_blocked)
        return watch_blocked(w, row, e);
    if (row->num[D_partial] == 1)
        return 0; /* the final record is still to come */
    if (!tells_tokens(row->num))
        return row->status == STATUS_ok ? watch_call(w, ALERT_unknown_usage, row, e, source) : 0;
    if ((row->status == STATUS_ok || row->status == 0) && !pricer_has_price(w->pricer, row->dims))
        return watch_call(w, ALERT_unpriced, row, e, source);
    return 0;
}

int watch_denied(struct watch *w, const struct order *o, int64_t now_ms)
{
    return w->started && o->status == ORDER_DENIED ? say_stopped(w, &o->who, &o->verdict, now_ms) : 0;
}

/* -------------------------------------------------------------------- sources */

static int watch_lost(struct watch *w, uint32_t source, int reason, int64_t lost, int64_t now_ms)
{
    const struct condition_more more = { .now_ms = now_ms, .amount = lost };
    char name[WORDS_NAME];
    struct words words;
    int rc = source_name(w, source, name);

    if (rc != 0)
        return rc;
    words_of_losses(&words, name, losses_reason_name(reason), lost);
    return say(w, &words, 0, &more);
}

int watch_report(struct watch *w, uint32_t source, uint64_t epoch, const char *body,
                 const int64_t lost[LOSSES_REASONS], int64_t now_ms)
{
    struct silence_report report;

    if (!w->started)
        return 0;
    silence_report_read(body, &report);
    int rc = silence_report(&w->silence, source, epoch, &report, now_ms);
    for (int i = 0; rc == 0 && i < LOSSES_REASONS; i++)
        if (lost[i] > 0)
            rc = watch_lost(w, source, i, lost[i], now_ms);
    return rc;
}

int watch_quarantine(struct watch *w, uint32_t source, int64_t events, const char *fault, int64_t now_ms)
{
    const struct condition_more more = { .now_ms = now_ms, .amount = events, .note = fault };
    char name[WORDS_NAME];
    struct words words;
    int rc;

    if (!w->started || conditions_again(&w->conditions, ALERT_quarantine, source, &more))
        return 0;
    if ((rc = source_name(w, source, name)) != 0)
        return rc;
    words_of_quarantine(&words, name, events, fault);
    return say(w, &words, source, &more);
}
