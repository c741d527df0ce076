/* SPDX-License-Identifier: MIT
 *
 * conditions.c: the open ones stand side by side in `all`; `index` finds them by the hash of kind and mark
 * (linear probing, never more than half full) and is made anew when some have ended, which is rare. `near`
 * remembers where a number led to last time.
 */
#include "conditions.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "../base/utf8.h"

#define PLACES    (CONDITIONS_MAX + ALERT_KIND_COUNT) /* each kind may have its (other) */
#define SLOTS     16384                               /* a power of two, more than twice PLACES */
#define SHORTCUTS 1024                                /* a power of two */
#define HOUR_MS   ((int64_t)3600 * 1000)

struct condition {
    uint64_t hash;
    int64_t id, last_ms;
    int64_t more, amount; /* since the last write */
    uint8_t kind;
    char note[CONDITION_NOTE_MAX + 1];
};

struct condition_shortcut {
    uint32_t number; /* 0: free */
    uint16_t place;
    uint8_t kind;
};

/* What ends after a quiet time, how its amount is called, and what is told of those that have no room. */
static const struct {
    int64_t quiet_ms;
    const char *amount, *other;
} kinds[ALERT_KIND_COUNT] = {
    [ALERT_unpriced] = { 24 * HOUR_MS, NULL,
                         "models without a price, beside those that are told one by one" },
    [ALERT_unknown_usage] = { 24 * HOUR_MS, NULL,
                              "calls that end without their tokens, beside those that are told one by one" },
    [ALERT_losses] = { HOUR_MS, "lost_events",
                       "publishers that lost events, beside those that are told one by one" },
    [ALERT_quarantine] = { HOUR_MS, "quarantined_events",
                           "events that cannot be understood, beside those that are told one by one" },
    [ALERT_policy] = { HOUR_MS, NULL, "calls that were stopped, beside those that are told one by one" },
};

int conditions_init(struct conditions *c, struct alerts *alerts)
{
    int rc;

    *c = (struct conditions){ .alerts = alerts,
                              .most = CONDITIONS_MAX,
                              .all = calloc(PLACES, sizeof *c->all),
                              .index = calloc(SLOTS, sizeof *c->index),
                              .near = calloc(SHORTCUTS, sizeof *c->near),
                              .write_due_ms = INT64_MAX,
                              .end_due_ms = INT64_MAX };
    if (c->all == NULL || c->index == NULL || c->near == NULL)
        return -SQLITE_NOMEM;
    rc = store_prepare(alerts->store,
                       "SELECT id, kind, mark, last_ms FROM alert WHERE ended_ms IS NULL AND kind=?"
                       " ORDER BY mark <> CAST('" CONDITION_OTHER "' AS BLOB), id LIMIT ?",
                       &c->load);
    return rc != 0 ? rc : store_prepare(alerts->store, "SELECT evidence FROM alert WHERE id=?", &c->evidence);
}

void conditions_fini(struct conditions *c)
{
    free(c->all);
    free(c->index);
    free(c->near);
    *c = (struct conditions){ .alerts = NULL };
}

/* ------------------------------------------------------------------- finding */

static uint64_t hash_of(enum alert_kind kind, const void *mark, size_t len)
{
    uint64_t half[2];

    tg_hash128(mark, len, (unsigned char *)half);
    return half[0] + (uint64_t)kind;
}

static uint16_t *slot_of(const struct conditions *c, enum alert_kind kind, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (SLOTS - 1);

    while (c->index[i] != 0 &&
           (c->all[c->index[i] - 1].hash != hash || c->all[c->index[i] - 1].kind != (uint8_t)kind))
        i = (i + 1) & (SLOTS - 1);
    return &c->index[i];
}

static void forget_places(struct conditions *c)
{
    memset(c->index, 0, SLOTS * sizeof *c->index);
    memset(c->near, 0, SHORTCUTS * sizeof *c->near);
}

static struct condition *add(struct conditions *c, enum alert_kind kind, uint64_t hash, int64_t id,
                             int64_t last_ms)
{
    struct condition *d = &c->all[c->used++];

    *d = (struct condition){ .hash = hash, .id = id, .last_ms = last_ms, .kind = (uint8_t)kind };
    *slot_of(c, kind, hash) = (uint16_t)c->used;
    if (last_ms + kinds[kind].quiet_ms < c->end_due_ms)
        c->end_due_ms = last_ms + kinds[kind].quiet_ms;
    return d;
}

static struct condition_shortcut *shortcut(const struct conditions *c, enum alert_kind kind, uint32_t number)
{
    return &c->near[(number * 31 + (uint32_t)kind) & (SHORTCUTS - 1)];
}

static void remember(struct conditions *c, enum alert_kind kind, uint32_t number, const struct condition *d)
{
    if (number != 0)
        *shortcut(c, kind, number) =
            (struct condition_shortcut){ number, (uint16_t)(d - c->all), (uint8_t)kind };
}

/* -------------------------------------------------------------------- coming */

static void note(struct condition *d, const char *text)
{
    size_t len = utf8_cut(text, strlen(text), CONDITION_NOTE_MAX);

    memcpy(d->note, text, len);
    d->note[len] = '\0';
}

static void count(struct conditions *c, struct condition *d, const struct condition_more *more)
{
    d->more++;
    d->amount += more->amount;
    if (more->now_ms > d->last_ms)
        d->last_ms = more->now_ms;
    if (more->note != NULL)
        note(d, more->note);
    if (c->write_due_ms == INT64_MAX)
        c->write_due_ms = more->now_ms + CONDITIONS_WRITE_MS;
}

bool conditions_again(struct conditions *c, enum alert_kind kind, uint32_t number,
                      const struct condition_more *more)
{
    const struct condition_shortcut *s = shortcut(c, kind, number);

    if (s->number != number || s->kind != (uint8_t)kind)
        return false;
    count(c, &c->all[s->place], more);
    return true;
}

static bool meet(struct conditions *c, enum alert_kind kind, uint64_t hash, uint32_t number,
                 const struct condition_more *more)
{
    uint16_t place = *slot_of(c, kind, hash);

    if (place == 0)
        return false;
    remember(c, kind, number, &c->all[place - 1]);
    count(c, &c->all[place - 1], more);
    return true;
}

bool conditions_meet(struct conditions *c, enum alert_kind kind, const char *mark, uint32_t number,
                     const struct condition_more *more)
{
    return meet(c, kind, hash_of(kind, mark, strlen(mark)), number, more);
}

/* The one that stands for those that have no room; its subject is nobody. */
static int raise_other(struct conditions *c, const struct alert *alert, uint32_t number,
                       const struct condition_more *more)
{
    uint64_t hash = hash_of(alert->kind, CONDITION_OTHER, sizeof CONDITION_OTHER - 1);
    struct alert other = *alert;
    int64_t id;

    if (meet(c, alert->kind, hash, number, more))
        return 0;
    json_t *nobody = json_object();
    other.mark = CONDITION_OTHER;
    other.title = kinds[alert->kind].other;
    other.subject = nobody;
    int rc = nobody == NULL ? -SQLITE_NOMEM : alerts_raise(c->alerts, &other, more->now_ms, &id, NULL);
    json_decref(nobody);
    if (rc == 0)
        remember(c, alert->kind, number, add(c, alert->kind, hash, id, more->now_ms));
    return rc;
}

int conditions_raise(struct conditions *c, const struct alert *alert, uint32_t number,
                     const struct condition_more *more)
{
    int64_t id;

    if (c->used >= c->most)
        return raise_other(c, alert, number, more);
    int rc = alerts_raise(c->alerts, alert, more->now_ms, &id, NULL);
    if (rc == 0)
        remember(
            c, alert->kind, number,
            add(c, alert->kind, hash_of(alert->kind, alert->mark, strlen(alert->mark)), id, more->now_ms));
    return rc;
}

/* ------------------------------------------------------------------- writing */

/* The evidence as it stands, with what has been counted; NULL: it stays. A new reference. */
static int evidence_of(struct conditions *c, const struct condition *d, json_t **out)
{
    const char *name = kinds[d->kind].amount;
    json_t *was;

    *out = NULL;
    if (name == NULL)
        return 0;
    sqlite3_bind_int64(c->evidence, 1, d->id);
    int rc = sqlite3_step(c->evidence);
    was = rc == SQLITE_ROW ? json_loads((const char *)sqlite3_column_text(c->evidence, 0), 0, NULL) : NULL;
    sqlite3_reset(c->evidence);
    if (was == NULL)
        return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
    json_object_set_new(was, name, json_integer(json_integer_value(json_object_get(was, name)) + d->amount));
    if (d->note[0] != '\0')
        json_object_set_new(was, "last_fault", json_string(d->note));
    *out = was;
    return 0;
}

static int write_one(struct conditions *c, struct condition *d)
{
    json_t *evidence;
    int rc = evidence_of(c, d, &evidence);

    if (rc == 0)
        rc = alerts_again(c->alerts, d->id, d->more, d->last_ms, evidence);
    json_decref(evidence);
    d->more = d->amount = 0;
    return rc;
}

static int write_counted(struct conditions *c)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < c->used; i++)
        if (c->all[i].more > 0)
            rc = write_one(c, &c->all[i]);
    c->write_due_ms = INT64_MAX;
    return rc;
}

/* -------------------------------------------------------------------- ending */

static int end_quiet(struct conditions *c, int64_t now_ms)
{
    uint32_t kept = 0;
    int rc = 0;

    c->end_due_ms = INT64_MAX;
    for (uint32_t i = 0; rc == 0 && i < c->used; i++) {
        struct condition *d = &c->all[i];
        int64_t end_ms = d->last_ms + kinds[d->kind].quiet_ms;
        if (now_ms >= end_ms) {
            rc = alerts_end(c->alerts, d->id, now_ms);
            continue;
        }
        if (end_ms < c->end_due_ms)
            c->end_due_ms = end_ms;
        if (kept != i)
            c->all[kept] = *d;
        kept++;
    }
    if (rc != 0 || kept == c->used)
        return rc;
    c->used = kept;
    forget_places(c);
    for (uint32_t i = 0; i < c->used; i++)
        *slot_of(c, c->all[i].kind, c->all[i].hash) = (uint16_t)(i + 1);
    return 0;
}

int conditions_tick(struct conditions *c, int64_t now_ms, bool all)
{
    int rc = 0;

    if (now_ms >= c->write_due_ms || (all && c->write_due_ms != INT64_MAX) ||
        (now_ms >= c->end_due_ms && c->write_due_ms != INT64_MAX))
        rc = write_counted(c);
    return rc == 0 && now_ms >= c->end_due_ms ? end_quiet(c, now_ms) : rc;
}

/* ------------------------------------------------------------------ starting */

static int load_kind(struct conditions *c, enum alert_kind kind)
{
    sqlite3_stmt *stmt = c->load;
    int rc;

    sqlite3_bind_text(stmt, 1, alert_kind_name((int)kind), -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, PLACES);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && c->used < PLACES) {
        const void *mark = sqlite3_column_blob(stmt, 2);
        uint64_t hash = hash_of(kind, mark, (size_t)sqlite3_column_bytes(stmt, 2));
        add(c, kind, hash, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 3));
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -rc;
}

int conditions_start(struct conditions *c)
{
    int rc = 0;

    c->used = 0;
    c->write_due_ms = c->end_due_ms = INT64_MAX;
    forget_places(c);
    for (int kind = 0; rc == 0 && kind < ALERT_KIND_COUNT; kind++)
        if (kinds[kind].quiet_ms > 0)
            rc = load_kind(c, (enum alert_kind)kind);
    return rc;
}
