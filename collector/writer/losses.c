/* SPDX-License-Identifier: MIT
 *
 * live: with the transaction under way; saved: at the last commit; shown: what others may read. An
 * emitter reports about once a minute, so that whole copies cost nothing.
 */
#include "losses.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define REASONS      LOSSES_REASONS
#define REASON_OTHER (REASONS - 1)
#define NAME_SIZE    256

static const char *const reason_names[REASONS] = {
    "full", "evicted", "too_big", "damaged", "refused", "other"
};

/* Where the newest report of an epoch stood. */
struct epoch {
    uint64_t met; /* grows with each report */
    int64_t lost[REASONS];
};

struct ledger {
    uint64_t key[LOSSES_EPOCHS]; /* of source and epoch; 0: free */
    struct epoch epochs[LOSSES_EPOCHS];
    int64_t lost[LOSSES_SOURCES + 1][REASONS]; /* by place among the sources */
    uint64_t met;
};

struct losses {
    sqlite3_stmt *find_source;
    struct ledger live, saved;
    bool dirty;
    _Atomic uint32_t sources; /* used */
    char source_name[LOSSES_SOURCES + 1][NAME_SIZE];
    _Atomic int64_t shown[LOSSES_SOURCES + 1][REASONS];
};

const char *losses_reason_name(int reason)
{
    return reason_names[reason];
}

/* ----------------------------------------------------------------- reading */

static int64_t amount_of(const json_t *number)
{
    json_int_t n = json_integer_value(number);

    return n > 0 ? (int64_t)n : 0;
}

/* `dropped` is a number, or numbers by reason. False: the report says nothing about it. */
static bool dropped_read(const char *text, int64_t lost[REASONS])
{
    json_t *body = json_loads(text, 0, NULL), *dropped = json_object_get(body, "dropped"), *value;
    const char *name;
    bool told = json_is_object(dropped) || json_is_integer(dropped);

    memset(lost, 0, REASONS * sizeof *lost);
    lost[REASON_OTHER] = amount_of(dropped);
    json_object_foreach(dropped, name, value)
    {
        int reason = 0;
        while (reason < REASON_OTHER && strcmp(name, reason_names[reason]) != 0)
            reason++;
        lost[reason] += amount_of(value);
    }
    json_decref(body);
    return told;
}

static uint64_t key_of(uint32_t source, int64_t epoch)
{
    const uint64_t both[2] = { source, (uint64_t)epoch };
    uint64_t half[2];

    tg_hash128((const unsigned char *)both, sizeof both, (unsigned char *)half);
    return half[0] | 1;
}

static uint32_t longest_silent(const struct ledger *l)
{
    uint32_t oldest = 0;

    for (uint32_t i = 1; i < LOSSES_EPOCHS; i++)
        if (l->epochs[i].met < l->epochs[oldest].met)
            oldest = i;
    return oldest;
}

/* The epoch, or NULL. */
static struct epoch *epoch_find(struct ledger *l, uint64_t key)
{
    for (uint32_t i = 0; i < LOSSES_EPOCHS; i++)
        if (l->key[i] == key)
            return &l->epochs[i];
    return NULL;
}

/* A new one: in a free place, else in that of the longest silent. */
static struct epoch *epoch_add(struct ledger *l, uint64_t key)
{
    uint32_t i = longest_silent(l);

    l->key[i] = key;
    l->epochs[i] = (struct epoch){ 0 };
    return &l->epochs[i];
}

/* The place of a source of this name; 0: other. */
static uint32_t source_place(struct losses *l, const char *name)
{
    uint32_t used = atomic_load_explicit(&l->sources, memory_order_relaxed);

    for (uint32_t i = 0; i < used; i++)
        if (strncmp(l->source_name[i], name, NAME_SIZE - 1) == 0)
            return i;
    if (used > LOSSES_SOURCES)
        return 0;
    strncpy(l->source_name[used], name, NAME_SIZE - 1);
    atomic_store_explicit(&l->sources, used + 1, memory_order_release);
    return used;
}

/* By name, since after a rollback an id may belong to another one. */
static int source_find(struct losses *l, uint32_t source, uint32_t *place)
{
    *place = 0;
    sqlite3_bind_int64(l->find_source, 1, source);
    int rc = sqlite3_step(l->find_source);
    if (rc == SQLITE_ROW)
        *place = source_place(l, (const char *)sqlite3_column_text(l->find_source, 0));
    sqlite3_reset(l->find_source);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

int losses_report(struct losses *l, uint32_t source, int64_t epoch, const char *json, int64_t more[REASONS])
{
    uint64_t key = key_of(source, epoch);
    int64_t lost[REASONS];
    uint32_t place;
    int rc;

    memset(more, 0, REASONS * sizeof *more);
    if (!dropped_read(json, lost))
        return 0;
    if ((rc = source_find(l, source, &place)) != 0)
        return rc;
    struct epoch *e = epoch_find(&l->live, key);
    if (e == NULL)
        e = epoch_add(&l->live, key);
    e->met = ++l->live.met;
    for (int i = 0; i < REASONS; i++) {
        if (lost[i] > e->lost[i])
            more[i] = lost[i] - e->lost[i];
        l->live.lost[place][i] += more[i];
        e->lost[i] = lost[i];
    }
    l->dirty = true;
    return 0;
}

/* ------------------------------------------------------------------- opening */

/* Reports come newest first: the first one of an epoch says where it stands. */
static void remember(struct ledger *l, sqlite3_stmt *stmt)
{
    uint64_t key = key_of((uint32_t)sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1));
    int64_t lost[REASONS];

    l->met--;
    if (epoch_find(l, key) != NULL || l->epochs[longest_silent(l)].met != 0 ||
        !dropped_read((const char *)sqlite3_column_text(stmt, 2), lost))
        return;
    struct epoch *e = epoch_add(l, key);
    e->met = l->met;
    memcpy(e->lost, lost, sizeof lost);
}

static int look_back(struct losses *l, struct store *store)
{
    sqlite3_stmt *stmt;
    int rc = store_prepare(
        store, "SELECT source, ifnull(epoch, 0), body FROM report ORDER BY id DESC LIMIT ?", &stmt);

    if (rc != 0)
        return rc;
    sqlite3_bind_int(stmt, 1, LOSSES_LOOK);
    l->live.met = LOSSES_LOOK + 1;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        remember(&l->live, stmt);
    sqlite3_finalize(stmt);
    l->live.met = LOSSES_LOOK + 1;
    l->saved = l->live;
    return rc == SQLITE_DONE ? 0 : -rc;
}

int losses_open(struct store *store, struct losses **out)
{
    struct losses *l = calloc(1, sizeof *l);

    if (l == NULL)
        return -SQLITE_NOMEM;
    memcpy(l->source_name[0], "other", sizeof "other");
    atomic_store(&l->sources, 1);
    int rc = store_prepare(store, "SELECT name FROM source WHERE id=?", &l->find_source);
    if (rc == 0)
        rc = look_back(l, store);
    if (rc == 0)
        *out = l;
    else
        free(l);
    return rc;
}

void losses_close(struct losses *l)
{
    free(l);
}

/* ------------------------------------------------------------------- telling */

void losses_commit(struct losses *l)
{
    if (!l->dirty)
        return;
    l->dirty = false;
    l->saved = l->live;
    for (int s = 0; s <= LOSSES_SOURCES; s++)
        for (int i = 0; i < REASONS; i++)
            atomic_store_explicit(&l->shown[s][i], l->live.lost[s][i], memory_order_relaxed);
}

void losses_rollback(struct losses *l)
{
    if (l->dirty)
        l->live = l->saved;
    l->dirty = false;
}

void losses_emit(struct losses *l, metric_fn emit, void *sink)
{
    uint32_t used = atomic_load_explicit(&l->sources, memory_order_acquire);
    struct metric m = { .name = "tollgate_emitter_lost_events_total",
                        .help = "Events that emitters report as lost.",
                        .type = "counter",
                        .labels = { { "source", NULL }, { "reason", NULL } } };

    for (uint32_t s = 0; s < used; s++) {
        m.labels[0].value = l->source_name[s];
        for (int i = 0; i < REASONS; i++) {
            m.labels[1].value = reason_names[i];
            m.value = atomic_load_explicit(&l->shown[s][i], memory_order_relaxed);
            emit(sink, &m);
        }
    }
}
