/* SPDX-License-Identifier: MIT
 *
 * outbox.c: what the notifier has looked at (destination.upto) and what became of it stand in one
 * transaction, so an alert is in exactly one message of a destination, whenever a kill comes.
 */
#include "outbox.h"

#include <string.h>

#define GONE "the destination is not in the configuration any more"

static int prepare_destinations(struct outbox *o)
{
    struct store *s = o->store;
    int rc;

    /* A file that has been put back may know fewer alerts than it had told. */
    if ((rc = store_prepare(s,
                            "INSERT INTO destination SELECT ?1, ifnull(max(id), 0) FROM alert WHERE true"
                            " ON CONFLICT DO UPDATE SET upto = min(upto, excluded.upto)",
                            &o->add)) != 0 ||
        (rc = store_prepare(s, "SELECT name FROM destination", &o->list)) != 0 ||
        (rc = store_prepare(s, "DELETE FROM destination WHERE name = ?1", &o->drop)) != 0)
        return rc;
    return store_prepare(s,
                         "UPDATE message_out SET state = 3, ended_ms = ?2, error = '" GONE "'"
                         " WHERE destination = ?1 AND state < 2",
                         &o->drop_messages);
}

static int prepare_messages(struct outbox *o)
{
    struct store *s = o->store;
    int rc;

    if ((rc = store_prepare(s, "SELECT upto FROM destination WHERE name = ?1", &o->place)) != 0 ||
        (rc = store_prepare(s, "UPDATE destination SET upto = ?2 WHERE name = ?1 AND upto < ?2",
                            &o->advance)) != 0 ||
        (rc = store_prepare(s,
                            "SELECT id, (SELECT count(*) FROM message_alert WHERE message = m.id)"
                            " FROM message_out m WHERE destination = ?1 AND state = 0"
                            " AND max(due_ms, ?3) = max(?2, ?3) ORDER BY id DESC LIMIT 1",
                            &o->gathering)) != 0 ||
        (rc = store_prepare(s,
                            "INSERT INTO message_out (key, destination, state, made_ms, due_ms, attempts)"
                            " VALUES (lower(hex(randomblob(16))), ?1, 0, ?3, ?2, 0)",
                            &o->make)) != 0 ||
        (rc = store_prepare(s, "INSERT INTO message_alert VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                            &o->join)) != 0 ||
        (rc = store_prepare(s, "UPDATE message_out SET state = 1, began_ms = ?2 WHERE id = ?1 AND state = 0",
                            &o->freeze)) != 0)
        return rc;
    return store_prepare(
        s,
        "UPDATE message_out SET state = ?2, attempts = max(attempts, ?3),"
        " due_ms = ifnull(?4, due_ms), ended_ms = ?5, error = ?6 WHERE id = ?1 AND state < 2",
        &o->end);
}

int outbox_init(struct outbox *o, struct store *store)
{
    *o = (struct outbox){ .store = store };
    int rc = prepare_destinations(o);
    return rc != 0 ? rc : prepare_messages(o);
}

/* ------------------------------------------------------------- destinations */

static bool is_named(const struct outbox_change *c, const char *name)
{
    for (size_t i = 0; i < c->names; i++)
        if (strcmp(c->name[i], name) == 0)
            return true;
    return false;
}

static int drop(struct outbox *o, const char *name, int64_t now_ms)
{
    int rc;

    sqlite3_bind_text(o->drop_messages, 1, name, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(o->drop_messages, 2, now_ms);
    if ((rc = store_run(o->drop_messages)) != 0)
        return rc;
    sqlite3_bind_text(o->drop, 1, name, -1, SQLITE_TRANSIENT);
    return store_run(o->drop);
}

/* The first one that is gone, as long as there is one: the list is not read while it changes. */
static int drop_a_gone_one(struct outbox *o, const struct outbox_change *c, bool *dropped)
{
    char name[DESTINATION_NAME_MAX + 1];
    int rc = SQLITE_DONE;

    *dropped = false;
    while (!*dropped && (rc = sqlite3_step(o->list)) == SQLITE_ROW) {
        const char *known = (const char *)sqlite3_column_text(o->list, 0);
        if (known == NULL || is_named(c, known))
            continue;
        snprintf(name, sizeof name, "%s", known);
        *dropped = true;
    }
    sqlite3_reset(o->list);
    if (!*dropped)
        return rc == SQLITE_DONE ? 0 : -rc;
    return drop(o, name, c->now_ms);
}

static int know(struct outbox *o, const struct outbox_change *c)
{
    bool more = true;
    int rc = 0;

    while (rc == 0 && more)
        rc = drop_a_gone_one(o, c, &more);
    for (size_t i = 0; rc == 0 && i < c->names; i++) {
        sqlite3_bind_text(o->add, 1, c->name[i], -1, SQLITE_STATIC);
        rc = store_run(o->add);
    }
    return rc;
}

/* ----------------------------------------------------------------- messages */

/* One of a destination that gathers: those of one due time follow each other in a change more often than not.
 */
struct gathering {
    int64_t id, due_ms, alerts; /* id 0: none yet */
};

static int begin(struct outbox *o, int64_t message, int64_t now_ms)
{
    sqlite3_bind_int64(o->freeze, 1, message);
    sqlite3_bind_int64(o->freeze, 2, now_ms);
    return store_run(o->freeze);
}

/* The message that an alert may join, or a new one. */
static int gather(struct outbox *o, const struct outbox_change *c, int64_t due_ms, struct gathering *g)
{
    if (g->id != 0 && g->due_ms == due_ms && g->alerts < PAYLOAD_ALERTS_MAX)
        return 0;
    *g = (struct gathering){ .due_ms = due_ms };
    sqlite3_bind_text(o->gathering, 1, c->destination, -1, SQLITE_STATIC);
    sqlite3_bind_int64(o->gathering, 2, due_ms);
    sqlite3_bind_int64(o->gathering, 3, c->now_ms);
    int rc = sqlite3_step(o->gathering);
    if (rc == SQLITE_ROW) {
        g->id = sqlite3_column_int64(o->gathering, 0);
        g->alerts = sqlite3_column_int64(o->gathering, 1);
    }
    sqlite3_reset(o->gathering);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return -rc;
    if (g->id != 0 && g->alerts < PAYLOAD_ALERTS_MAX)
        return 0;
    sqlite3_bind_text(o->make, 1, c->destination, -1, SQLITE_STATIC);
    sqlite3_bind_int64(o->make, 2, due_ms);
    sqlite3_bind_int64(o->make, 3, c->now_ms);
    if ((rc = store_run(o->make)) != 0)
        return rc;
    g->id = sqlite3_last_insert_rowid(o->store->db);
    g->alerts = 0;
    return 0;
}

static int join(struct outbox *o, const struct outbox_change *c)
{
    struct gathering g = { .id = 0 };
    int64_t begun = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < c->alerts; i++) {
        if ((rc = gather(o, c, c->alert[i].due_ms, &g)) != 0)
            break;
        sqlite3_bind_int64(o->join, 1, c->alert[i].id);
        sqlite3_bind_int64(o->join, 2, g.id);
        rc = store_run(o->join);
        g.alerts += rc == 0;
        if (begun == 0 && g.due_ms <= c->now_ms)
            begun = g.id;
    }
    return rc == 0 && c->begin && begun != 0 ? begin(o, begun, c->now_ms) : rc;
}

static int route(struct outbox *o, const struct outbox_change *c, bool *refused)
{
    int64_t upto = -1;

    sqlite3_bind_text(o->place, 1, c->destination, -1, SQLITE_STATIC);
    int rc = sqlite3_step(o->place);
    if (rc == SQLITE_ROW)
        upto = sqlite3_column_int64(o->place, 0);
    sqlite3_reset(o->place);
    *refused = rc == SQLITE_DONE;
    if (rc != SQLITE_ROW || upto >= c->upto) /* it has been done */
        return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
    sqlite3_bind_text(o->advance, 1, c->destination, -1, SQLITE_STATIC);
    sqlite3_bind_int64(o->advance, 2, c->upto);
    rc = store_run(o->advance);
    return rc != 0 ? rc : join(o, c);
}

static int end(struct outbox *o, const struct outbox_change *c)
{
    sqlite3_stmt *stmt = o->end;
    bool again = c->verb == OUTBOX_AGAIN;

    sqlite3_clear_bindings(stmt);
    sqlite3_bind_int64(stmt, 1, c->message);
    sqlite3_bind_int(stmt, 2,
                     again                    ? (int)MESSAGE_BEGUN
                     : c->verb == OUTBOX_TOLD ? (int)MESSAGE_TOLD
                                              : (int)MESSAGE_GIVEN_UP);
    sqlite3_bind_int64(stmt, 3, c->attempts);
    if (again)
        sqlite3_bind_int64(stmt, 4, c->due_ms);
    else
        sqlite3_bind_int64(stmt, 5, c->now_ms);
    if (c->verb != OUTBOX_TOLD)
        sqlite3_bind_text(stmt, 6, c->error, -1, SQLITE_STATIC);
    int rc = store_run(stmt);
    sqlite3_clear_bindings(stmt); /* the error is borrowed */
    return rc;
}

int outbox_serve(struct outbox *o, const struct outbox_change *c, bool *refused)
{
    *refused = false;
    switch (c->verb) {
    case OUTBOX_KNOW:
        return know(o, c);
    case OUTBOX_ROUTE:
        return route(o, c, refused);
    case OUTBOX_FREEZE:
        return begin(o, c->message, c->now_ms);
    case OUTBOX_TOLD:
    case OUTBOX_AGAIN:
    case OUTBOX_GIVE_UP:
        return end(o, c);
    }
    *refused = true;
    return 0;
}
