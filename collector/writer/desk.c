/* SPDX-License-Identifier: MIT */
#include "desk.h"

#include <stdlib.h>
#include <string.h>

#include "counting.h"
#include "ledger_budgets.h"
#include "ledger_work.h"
#include "office.h"

#define COUNT_AGAIN_MS 60000 /* when the past of budgets could not be counted */

/* What budgets count of a call that is priced anew: its new cost, or, unless they were asked for, what they
 * had. */
static int reprice_ledger(void *ledger, const struct log_row *was, const struct log_row *is, bool counts)
{
    if (counts)
        return ledger_adopt(ledger, was, is);
    return was->num[D_cost_nanousd] != is->num[D_cost_nanousd] ? ledger_keep(ledger, was) : 0;
}

static int note_denied(void *watch, const struct order *o, int64_t now_ms)
{
    return watch_denied(watch, o, now_ms);
}

int desk_init(struct desk *d, const char *path, const char *zone)
{
    d->path = strdup(path);
    d->zone = strdup(zone);
    d->repricer->ledger = reprice_ledger;
    d->repricer->ledger_arg = d->ledger;
    d->ledger->denied = note_denied;
    d->ledger->denied_arg = d->watch;
    if (d->path == NULL || d->zone == NULL)
        return -SQLITE_NOMEM;
    return outbox_init(&d->outbox, d->store);
}

void desk_fini(struct desk *d)
{
    counting_stop(d->counting);
    free(d->path);
    free(d->zone);
    *d = (struct desk){ .count = 0 };
}

/* ------------------------------------------------------------------- orders */

void desk_take(struct desk *d, struct order *o)
{
    d->orders[d->count++] = o;
}

static int serve_office(struct desk *d, struct order *o)
{
    if (strcmp(o->op, "reprice") != 0 && strcmp(o->op, "repricing") != 0)
        return office_serve(d->ledger, o);
    o->answer = repricer_serve(d->repricer, o->op, o->request, wall_ms(), &o->http_status);
    return 0;
}

/* The configuration's budgets, policies and prices. */
static int take_file(struct desk *d, const struct ledger_file *file)
{
    int rc = ledger_put_file(d->ledger, file);

    d->ledger->options.prices = file->prices;
    pricer_use(d->pricer, file->prices);
    if (rc == 0)
        rc = runaways_use(&d->watch->runaways, file->runaway, file->runaway_count, d->ledger->now_ms);
    return rc != 0 ? rc : ledger_reload(d->ledger);
}

static int serve_outbox(struct desk *d, struct order *o)
{
    bool refused;
    int rc = outbox_serve(&d->outbox, o->what, &refused);

    o->status = refused ? ORDER_REFUSED : ORDER_DONE;
    return rc;
}

static int serve(struct desk *d, struct order *o)
{
    switch (o->kind) {
    case ORDER_ADMIT:
        return ledger_admit(d->ledger, o);
    case ORDER_SETTLE:
        return ledger_settle(d->ledger, o);
    case ORDER_RENEW:
        return ledger_renew(d->ledger, o);
    case ORDER_OFFICE:
        return serve_office(d, o);
    case ORDER_BUDGETS:
        return take_file(d, o->what);
    case ORDER_COUNTED:
        d->counted = true;
        d->count_failed = o->what == NULL;
        return o->what != NULL ? ledger_counted(d->ledger, o->what) : 0;
    case ORDER_OUTBOX:
        return serve_outbox(d, o);
    }
    return 0;
}

int desk_serve(struct desk *d, int64_t now_ms, bool last)
{
    int rc = ledger_tick(d->ledger, now_ms);

    if (rc == 0)
        rc = watch_tick(d->watch, now_ms, last);
    for (size_t i = 0; rc == 0 && i < d->count; i++)
        rc = serve(d, d->orders[i]);
    return rc;
}

/* What a thread has counted is in; or it could not be, and is tried again. Budgets that came meanwhile are
 * next. */
static void end_counting(struct desk *d)
{
    if (!d->counted)
        return;
    counting_stop(d->counting);
    d->counting = NULL;
    d->counted = false;
    d->count_due = mono_after(mono_now(), d->count_failed ? COUNT_AGAIN_MS : 0);
}

void desk_answer(struct desk *d, bool busy)
{
    for (size_t i = 0; i < d->count; i++) {
        struct order *o = d->orders[i];
        if (busy) {
            json_decref(o->answer);
            o->answer = NULL;
            o->http_status = 503;
            o->status = ORDER_BUSY;
        }
        o->done(o);
    }
    d->count = 0;
    end_counting(d);
}

/* --------------------------------------------------------------- publishing */

static void publish_tally(struct desk *d)
{
    struct ledger *l = d->ledger;
    struct counters *c = d->counters;

    count_add(&c->reservations_granted, l->tally.admitted);
    count_add(&c->reservations_denied, l->tally.denied);
    count_add(&c->reservations_settled, l->tally.settled);
    count_add(&c->reservations_expired, l->tally.expired);
    count_add(&c->budget_alerts, l->tally.alerts);
    count_add(&c->budget_overruns, l->tally.overruns);
    memset(&l->tally, 0, sizeof l->tally);
    count_set(&c->reservations_open, l->reservations_open);
    count_set(&c->budgets, (int64_t)l->budget_count);
    count_set(&c->budgets_counting, (int64_t)l->uncounted);
    count_set(&c->projection_lag_ledger, l->newest - l->watermark);
}

void desk_publish(struct desk *d)
{
    struct board *b = d->stand != NULL && d->ledger->changed ? ledger_board(d->ledger) : NULL;

    if (b != NULL)
        board_stand_put(d->stand, b);
    publish_tally(d);
    if (watch_publish(d->watch, d->counters) && d->alerts != NULL)
        ticker_tick(d->alerts);
}

/* ------------------------------------------------------------------ the past */

static bool wants_count(const struct desk *d)
{
    return d->counting == NULL && d->ledger->uncounted > 0;
}

/* From a clean beginning, as of now. */
int desk_count_past(struct desk *d)
{
    if (!wants_count(d) || mono_left(d->count_due) > 0)
        return 0;
    int rc = store_begin(d->store);
    if (rc == 0 && (rc = ledger_begin_counting(d->ledger)) == 0)
        rc = store_commit(d->store);
    if (rc != 0)
        return rc;
    d->counting = counting_start(d->path, d->zone, d->queue);
    if (d->counting == NULL)
        d->count_due = mono_after(mono_now(), COUNT_AGAIN_MS);
    return 0;
}

static int64_t due_ms(const struct desk *d)
{
    int64_t ledger_ms = ledger_due_ms(d->ledger), watch_ms = watch_due_ms(d->watch);

    return ledger_ms < watch_ms ? ledger_ms : watch_ms;
}

bool desk_is_due(const struct desk *d)
{
    return wall_ms() >= due_ms(d) || (wants_count(d) && mono_left(d->count_due) == 0);
}

int64_t desk_wait_ms(const struct desk *d)
{
    int64_t at_ms = due_ms(d), now_ms = wall_ms();
    int64_t left = at_ms == INT64_MAX ? -1 : at_ms > now_ms ? at_ms - now_ms : 0;
    int64_t count = wants_count(d) ? mono_left(d->count_due) : -1;

    return left < 0 || (count >= 0 && count < left) ? count : left;
}
