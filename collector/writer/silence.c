/* SPDX-License-Identifier: MIT */
#include "silence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 16384 /* a power of two, more than twice SILENCE_PUBLISHERS */

/* When one process of a name last spoke. Two are told apart; where there are more, the one that spoke last
 * and any other one. */
struct speaker {
    uint64_t epoch;
    int64_t heard_ms; /* 0: nobody */
};

struct publisher {
    uint32_t source;
    bool reports, gone;
    bool has_closed;
    uint64_t closed_epoch;       /* that left in order: what comes of it now has been here before */
    int64_t heard_ms, steady_ms; /* it has spoken without a long pause since steady_ms */
    int64_t every_ms;            /* between its reports; 0: not told */
    int64_t alert;               /* the open one; 0: none */
    struct speaker last, other;
};

/* Of each process its streams and its newest report, in the order of arrival; partitions say where the log's
 * last day begins. */
static const char load_sql[] =
    "SELECT source, epoch, at, body FROM ("
    " SELECT source, epoch, max(last_seen_ms) AS at, NULL AS body FROM stream WHERE last_seen_ms >= ?1"
    " GROUP BY source, epoch"
    " UNION ALL SELECT r.source, ifnull(r.epoch, 0), r.ts_ms + r.received_after_ms, r.body FROM report r JOIN"
    " (SELECT max(id) AS id FROM report WHERE id >= coalesce((SELECT min(first_id) FROM log_partition"
    " WHERE last_received_ms >= ?1), (SELECT max(last_id) FROM log_partition), 0) GROUP BY source, epoch) n"
    " ON n.id = r.id WHERE r.ts_ms + r.received_after_ms >= ?1) ORDER BY at, body IS NOT NULL";

int silence_init(struct silence *s, struct alerts *alerts, int64_t silent_ms)
{
    int rc;

    *s = (struct silence){ .alerts = alerts,
                           .silent_ms = silent_ms,
                           .all = calloc(SILENCE_PUBLISHERS, sizeof *s->all),
                           .index = calloc(SLOTS, sizeof *s->index),
                           .due_ms = INT64_MAX };
    if (s->all == NULL || s->index == NULL)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(alerts->store, load_sql, &s->load)) != 0 ||
        (rc = store_prepare(alerts->store,
                            "SELECT s.id, a.id, a.ts_ms FROM alert a JOIN source s ON s.name ="
                            " CAST(a.mark AS TEXT) WHERE a.kind = 'silent' AND a.ended_ms IS NULL LIMIT ?",
                            &s->load_open)) != 0)
        return rc;
    return store_prepare(alerts->store, "SELECT name FROM source WHERE id=?", &s->name);
}

void silence_fini(struct silence *s)
{
    free(s->all);
    free(s->index);
    *s = (struct silence){ .alerts = NULL };
}

/* --------------------------------------------------------------- publishers */

static uint16_t *slot_of(const struct silence *s, uint32_t source)
{
    uint32_t i = (source * 0x9e3779b9u) >> 18;

    while (s->index[i] != 0 && s->all[s->index[i] - 1].source != source)
        i = (i + 1) & (SLOTS - 1);
    return &s->index[i];
}

static int64_t patience(const struct silence *s, const struct publisher *p)
{
    int64_t own = SILENCE_REPORTS * p->every_ms;

    return own > s->silent_ms ? own : s->silent_ms;
}

static bool is_judged(const struct silence *s, const struct publisher *p)
{
    return s->silent_ms > 0 && !p->gone && p->alert == 0 &&
           (p->reports || p->heard_ms - p->steady_ms >= SILENCE_STEADY * s->silent_ms);
}

static int64_t due_of(const struct silence *s, const struct publisher *p)
{
    return (p->heard_ms > s->since_ms ? p->heard_ms : s->since_ms) + patience(s, p);
}

/* Who gives way to a new one; NULL: nobody. */
static struct publisher *least(struct silence *s)
{
    struct publisher *found = NULL;

    for (uint32_t i = 0; i < s->used; i++) {
        struct publisher *p = &s->all[i];
        if (p->alert == 0 && p->gone)
            return p;
        if (p->alert == 0 && found == NULL && !is_judged(s, p))
            found = p;
    }
    return found;
}

static struct publisher *replace(struct silence *s)
{
    struct publisher *p = least(s);

    if (p == NULL)
        return NULL;
    p->source = 0;
    memset(s->index, 0, SLOTS * sizeof *s->index);
    for (uint32_t i = 0; i < s->used; i++)
        if (s->all[i].source != 0)
            *slot_of(s, s->all[i].source) = (uint16_t)(i + 1);
    return p;
}

/* NULL: there is no room for it. */
static struct publisher *publisher_of(struct silence *s, uint32_t source)
{
    uint16_t place = *slot_of(s, source);

    if (place != 0)
        return &s->all[place - 1];
    struct publisher *p = s->used < SILENCE_PUBLISHERS ? &s->all[s->used++] : replace(s);
    if (p == NULL)
        return NULL;
    *p = (struct publisher){ .source = source };
    *slot_of(s, source) = (uint16_t)(p - s->all + 1);
    return p;
}

/* ------------------------------------------------------------------- hearing */

static void speak(struct publisher *p, uint64_t epoch, int64_t now_ms)
{
    if (p->other.heard_ms != 0 && p->other.epoch == epoch) {
        p->other.heard_ms = now_ms;
        return;
    }
    if (p->last.heard_ms != 0 && p->last.epoch != epoch)
        p->other = p->last;
    p->last = (struct speaker){ epoch, now_ms };
}

static void hear(struct silence *s, struct publisher *p, uint64_t epoch, int64_t now_ms)
{
    bool has_left = p->has_closed && epoch == p->closed_epoch;

    if (now_ms - p->heard_ms > s->silent_ms / 2 || now_ms < p->heard_ms)
        p->steady_ms = now_ms;
    p->heard_ms = now_ms;
    if (has_left)
        return;
    p->gone = false;
    speak(p, epoch, now_ms);
    if (s->silent_ms > 0 && due_of(s, p) < s->due_ms)
        s->due_ms = due_of(s, p); /* a look too early does no harm */
}

static int end_alert(struct silence *s, struct publisher *p, int64_t now_ms)
{
    int rc = alerts_end(s->alerts, p->alert, now_ms);

    p->alert = 0;
    return rc;
}

int silence_heard(struct silence *s, uint32_t source, uint64_t epoch, int64_t now_ms)
{
    struct publisher *p = publisher_of(s, source);

    if (p == NULL)
        return 0;
    hear(s, p, epoch, now_ms);
    return p->alert != 0 ? end_alert(s, p, now_ms) : 0;
}

void silence_report_read(const char *body, struct silence_report *out)
{
    json_t *json = json_loads(body, 0, NULL);
    json_int_t every_ms = json_integer_value(json_object_get(json, "report_ms"));

    *out = (struct silence_report){ .closed = json_integer_value(json_object_get(json, "closed")) == 1,
                                    .left = json_integer_value(json_object_get(json, "left_over")) == 1,
                                    .every_ms = every_ms < 0                     ? 0
                                                : every_ms > SILENCE_REPORTS_MAX ? SILENCE_REPORTS_MAX
                                                                                 : every_ms };
    json_decref(json);
}

/* One of the processes of a name is not awaited any more. False: it was the only one. */
static bool drop_speaker(struct publisher *p, uint64_t epoch)
{
    if (p->last.epoch == epoch)
        p->last = p->other;
    if (p->other.epoch == epoch || p->last.epoch == p->other.epoch)
        p->other = (struct speaker){ 0 };
    return p->last.heard_ms != 0;
}

static void leave(const struct silence *s, struct publisher *p, uint64_t epoch, int64_t now_ms)
{
    p->has_closed = epoch != 0;
    p->closed_epoch = epoch;
    p->gone = !drop_speaker(p, epoch) || now_ms - p->last.heard_ms >= patience(s, p);
    if (p->gone)
        p->last = p->other = (struct speaker){ 0 };
}

static void take_report(const struct silence *s, struct publisher *p, uint64_t epoch,
                        const struct silence_report *r, int64_t now_ms)
{
    p->reports = true;
    if (r->every_ms != 0)
        p->every_ms = r->every_ms;
    if (r->closed)
        leave(s, p, epoch, now_ms);
    else if (r->left)
        drop_speaker(p, epoch); /* it is dead, and its name is awaited all the same */
}

int silence_report(struct silence *s, uint32_t source, uint64_t epoch, const struct silence_report *r,
                   int64_t now_ms)
{
    int rc = silence_heard(s, source, epoch, now_ms);
    struct publisher *p = publisher_of(s, source);

    if (rc == 0 && p != NULL)
        take_report(s, p, epoch, r, now_ms);
    return rc;
}

/* ------------------------------------------------------------------- telling */

/* "5 min", "90 s" */
static void write_duration(int64_t ms, char out[32])
{
    if (ms >= 2 * 3600 * 1000)
        snprintf(out, 32, "%lld h", (long long)(ms / 3600000));
    else if (ms >= 2 * 60 * 1000)
        snprintf(out, 32, "%lld min", (long long)(ms / 60000));
    else
        snprintf(out, 32, "%lld s", (long long)((ms + 999) / 1000));
}

static int raise_named(struct silence *s, struct publisher *p, const char *name, int64_t now_ms)
{
    char title[ALERT_TITLE_MAX + 1], time[32];

    write_duration(now_ms - p->heard_ms, time);
    snprintf(title, sizeof title, "publisher %.255s is not heard any more: nothing has come from it for %s",
             name, time);
    json_t *subject = json_pack("{s:s}", "source", name);
    json_t *evidence = json_pack("{s:I, s:I, s:I, s:b}", "last_heard_ms", (json_int_t)p->heard_ms,
                                 "silent_ms", (json_int_t)(now_ms - p->heard_ms), "expected_within_ms",
                                 (json_int_t)patience(s, p), "sends_reports", (int)p->reports);
    struct alert alert = { ALERT_silent, SEVERITY_CRITICAL, name, title, subject, evidence, 0 };
    int rc = subject == NULL || evidence == NULL ? -SQLITE_NOMEM
                                                 : alerts_raise(s->alerts, &alert, now_ms, &p->alert, NULL);
    json_decref(subject);
    json_decref(evidence);
    return rc;
}

static int raise_alert(struct silence *s, struct publisher *p, int64_t now_ms)
{
    char name[256] = "";

    sqlite3_bind_int64(s->name, 1, p->source);
    int rc = sqlite3_step(s->name);
    if (rc == SQLITE_ROW)
        snprintf(name, sizeof name, "%s", (const char *)sqlite3_column_text(s->name, 0));
    sqlite3_reset(s->name);
    if (rc == SQLITE_ROW)
        return raise_named(s, p, name, now_ms);
    p->gone = true; /* nobody knows it */
    return rc == SQLITE_DONE ? 0 : -rc;
}

int silence_tick(struct silence *s, int64_t now_ms)
{
    int rc = 0;

    if (now_ms < s->due_ms)
        return 0;
    if (now_ms - s->due_ms > SILENCE_LATE_MS)
        s->since_ms = now_ms;
    s->due_ms = INT64_MAX;
    for (uint32_t i = 0; rc == 0 && i < s->used; i++) {
        struct publisher *p = &s->all[i];
        if (!is_judged(s, p))
            continue;
        if (due_of(s, p) <= now_ms)
            rc = raise_alert(s, p, now_ms);
        else if (due_of(s, p) < s->due_ms)
            s->due_ms = due_of(s, p);
    }
    return rc;
}

/* ------------------------------------------------------------------ starting */

static void load_row(struct silence *s, sqlite3_stmt *stmt, int64_t now_ms)
{
    struct publisher *p = publisher_of(s, (uint32_t)sqlite3_column_int64(stmt, 0));
    const char *body = (const char *)sqlite3_column_text(stmt, 3);
    uint64_t epoch = (uint64_t)sqlite3_column_int64(stmt, 1);
    int64_t at_ms = sqlite3_column_int64(stmt, 2);
    struct silence_report r;

    if (p == NULL)
        return;
    hear(s, p, epoch, at_ms < now_ms ? at_ms : now_ms);
    if (body == NULL)
        return;
    silence_report_read(body, &r);
    take_report(s, p, epoch, &r, p->heard_ms);
}

static int load(struct silence *s, int64_t now_ms)
{
    int rc;

    sqlite3_bind_int64(s->load, 1, now_ms - SILENCE_LOOK_MS);
    while ((rc = sqlite3_step(s->load)) == SQLITE_ROW)
        load_row(s, s->load, now_ms);
    sqlite3_reset(s->load);
    return rc == SQLITE_DONE ? 0 : -rc;
}

static int load_open(struct silence *s)
{
    int rc;

    sqlite3_bind_int(s->load_open, 1, SILENCE_PUBLISHERS);
    while ((rc = sqlite3_step(s->load_open)) == SQLITE_ROW) {
        struct publisher *p = publisher_of(s, (uint32_t)sqlite3_column_int64(s->load_open, 0));
        if (p != NULL)
            p->alert = sqlite3_column_int64(s->load_open, 1);
    }
    sqlite3_reset(s->load_open);
    return rc == SQLITE_DONE ? 0 : -rc;
}

int silence_start(struct silence *s, int64_t now_ms)
{
    int rc;

    s->used = 0;
    memset(s->index, 0, SLOTS * sizeof *s->index);
    s->since_ms = now_ms;
    s->due_ms = INT64_MAX;
    rc = load_open(s); /* first: they need their places */
    if (rc == 0)
        rc = load(s, now_ms);
    if (rc == 0 && s->silent_ms > 0 && s->used > 0)
        s->due_ms = now_ms + s->silent_ms;
    return rc;
}
