/* SPDX-License-Identifier: MIT
 *
 * notifier_lab.h: a real writer on a real file, a notifier, and a clock that the test sets. Calls of agents
 * that have a budget of one call each raise the alerts: "soft-N" a warning, "hard-N" a critical one.
 */
#ifndef TESTS_NOTIFIER_LAB_H
#define TESTS_NOTIFIER_LAB_H

#include "writer_db.h"

#include "collector/alarm/notifier.h"
#include "collector/alarm/outbox.h"
#include "collector/base/batch.h"
#include "collector/govern/office.h"
#include "collector/writer/writer.h"
#include "made_event.h"
#include "receiver.h"

#define SECOND_MS ((int64_t)1000)
#define HOUR_MS   ((int64_t)60 * MINUTE_MS)
#define NOON_MS   (20000 * 24 * HOUR_MS + 12 * HOUR_MS)
#define POLL_NS   2000000
#define CALLS_MAX 1000 /* of one transaction */

struct lab {
    struct queue *queue, *back;
    struct counters counters;
    struct ticker commits, alerts;
    struct writer *writer;
    struct notifier *notifier;
    struct office office;
    sqlite3 *db; /* read-only */
    struct receiver receiver;
    int made; /* agents so far */
};

static _Atomic int64_t lab_clock_ms = NOON_MS;

static inline int64_t lab_now_ms(void)
{
    return lab_clock_ms;
}

static inline struct destination *lab_destination(struct lab *l, const char *definition)
{
    struct destination *d = NULL;
    struct fault fault;
    char text[2000], *at;
    json_t *json;

    snprintf(text, sizeof text, "%s", definition);
    while ((at = strstr(text, "PORT")) != NULL) {
        char port[8];
        snprintf(port, sizeof port, "%4d", l->receiver.port);
        size_t len = strlen(port);
        memmove(at + len, at + 4, strlen(at + 4) + 1);
        memcpy(at, port, len);
    }
    for (at = text; *at != '\0'; at++)
        if (*at == '\'')
            *at = '"';
    if ((json = json_loads(text, 0, NULL)) == NULL || destination_parse(json, "UTC", &d, &fault) != 0)
        fail_msg("%s: %s", text, json != NULL ? fault.field : "no JSON");
    json_decref(json);
    return d;
}

/* definitions: ended by NULL. */
static inline void lab_use(struct lab *l, const char *const *definitions)
{
    size_t n = 0;

    while (definitions[n] != NULL)
        n++;
    struct destination **all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = lab_destination(l, definitions[i]);
    notifier_use(l->notifier, all, n);
}
#define USE(l, ...) lab_use(l, (const char *const[]){ __VA_ARGS__, NULL })

/* Writer and notifier, over the file as it is. */
static inline void lab_wake(struct lab *l)
{
    char error[STORE_ERROR_MAX];
    struct ledger_options governing = { .prompt_tokens = 1, .completion_tokens = 1, .zone = "UTC" };
    struct writer_options options = { .path = path,
                                      .synchronous = "full",
                                      .alerts = &l->alerts,
                                      .journal = { .past_ms = 30LL * 86400000,
                                                   .future_ms = 600000,
                                                   .quarantine_rows = 3,
                                                   .governing = &governing },
                                      .stream_days = 90 };

    l->office.queue = l->queue = queue_new(10000);
    l->back = queue_new(10);
    if (writer_start(&options, l->queue, &l->counters, &l->commits, error, &l->writer) != 0)
        fail_msg("%s", error);
    struct notifier_options telling = { .database = path,
                                        .link = "http://here.example",
                                        .writer = l->queue,
                                        .alerts = &l->alerts,
                                        .counters = &l->counters,
                                        .now_ms = lab_now_ms };
    if (notifier_start(&telling, error, &l->notifier) != 0)
        fail_msg("%s", error);
    assert_int_equal(sqlite3_open_v2(path, &l->db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_busy_timeout(l->db, 10000);
}

/* As a kill would end it: what is being sent is cut, nothing more is written of it. */
static inline void lab_sleep(struct lab *l)
{
    notifier_stop(l->notifier);
    queue_close(l->queue);
    writer_stop(l->writer);
    notifier_free(l->notifier);
    ticker_fini(&l->alerts);
    sqlite3_close(l->db);
    queue_free(l->queue);
    queue_free(l->back);
    l->notifier = NULL;
}

static inline void lab_budget(struct lab *l, const char *name, const char *action)
{
    json_t *answer,
        *request = json_pack("{s:s, s:{s:s, s:{s:s}, s:s, s:s, s:s, s:[i], s:s}, s:s}", "name", name,
                             "definition", "name", name, "scope", "agent",
                             strcmp(name, "soft") == 0 ? "soft-*" : "hard-*", "per", "agent", "limit",
                             "1 calls", "window", "total", "alerts", 100, "action", action, "author", "test");

    assert_non_null(request);
    if (office_ask(&l->office, "put_budget", request, &answer) != 200)
        fail_msg("%s", json_dumps(answer, 0));
    json_decref(answer);
    json_decref(request);
}

static inline void lab_start(struct lab *l)
{
    memset(l, 0, sizeof *l);
    lab_clock_ms = NOON_MS;
    receiver_start(&l->receiver);
    lab_wake(l);
    lab_budget(l, "soft", "alert");
    lab_budget(l, "hard", "block");
}

static inline void lab_stop(struct lab *l)
{
    lab_sleep(l);
    receiver_stop(&l->receiver);
}

/* ----------------------------------------------------------------------- alerts */

static inline void lab_done(struct batch *b)
{
    queue_push(b->owner, &b->item, 0);
}

/* count alerts in one transaction. */
static inline void lab_raise(struct lab *l, const char *kind, size_t count)
{
    static struct made_event made[CALLS_MAX];
    struct batch b = { .done = lab_done, .owner = l->back, .source = "gateway", .count = count };
    struct queue_item *item;
    char agent[32];

    assert_true(count <= CALLS_MAX && batch_reserve(&b, count));
    for (size_t i = 0; i < count; i++) {
        snprintf(agent, sizeof agent, "%s-%d", kind, l->made++);
        made_event(&made[i], KIND_dispatch, &(struct made_names){ .agent_id = agent, .session_id = agent });
        made[i].event.has_id = true;
        memcpy(made[i].event.id, &l->made, sizeof l->made);
        b.events[i] = (struct batch_event){ .event = made[i].event };
    }
    b.item.weight = count;
    assert_int_equal(queue_push(l->queue, &b.item, 1000), QUEUE_OK);
    assert_int_equal(queue_pop(l->back, -1, &item), QUEUE_OK);
    assert_int_equal(b.status, BATCH_SETTLED);
    batch_fini(&b);
}

/* ------------------------------------------------------------------------- time */

static inline int64_t lab_ask(struct lab *l, const char *sql)
{
    sqlite3_stmt *stmt;
    int64_t n = -1;

    if (sqlite3_prepare_v2(l->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sqlite3_errmsg(l->db), sql);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

static inline void lab_wait(struct lab *l, const char *sql)
{
    struct timespec pause = { 0, POLL_NS };

    for (int64_t i = 0; lab_ask(l, sql) != 1; i++) {
        if (i > RECEIVER_WAIT_S * 1000000000LL / POLL_NS)
            fail_msg("not in time: %s", sql);
        nanosleep(&pause, NULL);
    }
    receiver_seen(&l->receiver, 'a'); /* what it has noted is seen here from now on */
}

/* Until the notifier has done what can be done now: all is routed, nothing is due. */
static inline void lab_settle(struct lab *l)
{
    char sql[600];

    snprintf(
        sql, sizeof sql,
        "SELECT NOT EXISTS (SELECT 1 FROM destination WHERE upto < (SELECT max(id) FROM alert)) AND"
        " NOT EXISTS (SELECT 1 FROM message_out m WHERE due_ms <= %lld AND (state = 1 OR (state = 0 AND NOT"
        " EXISTS (SELECT 1 FROM message_out o WHERE o.destination = m.destination AND o.state = 1))))",
        (long long)lab_clock_ms);
    lab_wait(l, sql);
}

static inline void lab_pass(struct lab *l, int64_t ms)
{
    lab_clock_ms += ms;
    ticker_tick(&l->alerts);
}

static inline void lab_step(struct lab *l, int64_t ms)
{
    lab_pass(l, ms);
    lab_settle(l);
}

/* --------------------------------------------------------------------- what it counts */

struct lab_wanted {
    const char *destination, *result;
    int64_t value;
};

static inline void lab_note(void *arg, const struct metric *m)
{
    struct lab_wanted *w = arg;

    assert_string_equal(m->name, "tollgate_notifications_total");
    if (strcmp(m->labels[0].value, w->destination) == 0 && strcmp(m->labels[1].value, w->result) == 0)
        w->value = m->value;
}

static inline int64_t lab_count(struct lab *l, const char *destination, const char *result)
{
    struct lab_wanted w = { destination, result, -1 };

    notifier_emit(l->notifier, lab_note, &w);
    return w.value;
}

/* The notifier counts after the file has it. */
static inline void lab_expect(struct lab *l, const char *destination, const char *result, int64_t value)
{
    struct timespec pause = { 0, POLL_NS };

    for (int64_t i = 0; lab_count(l, destination, result) != value; i++) {
        if (i > RECEIVER_WAIT_S * 1000000000LL / POLL_NS)
            assert_int_equal(lab_count(l, destination, result), value);
        nanosleep(&pause, NULL);
    }
}

static inline void lab_expect_waiting(struct lab *l, int64_t value)
{
    struct timespec pause = { 0, POLL_NS };

    for (int64_t i = 0; count_get(&l->counters.notifications_waiting) != value; i++) {
        if (i > RECEIVER_WAIT_S * 1000000000LL / POLL_NS)
            assert_int_equal(count_get(&l->counters.notifications_waiting), value);
        nanosleep(&pause, NULL);
    }
}

/* ---------------------------------------------------------------------- what came */

/* That the alerts of this kind with these severities ("" for all) were taken at a path exactly once each,
 * each time the same ones under one key, and in order of their messages; how many messages. */
static inline size_t lab_check(struct lab *l, char at, const char *where)
{
    static bool taken[100000];
    char sql[300];
    int64_t last = 0, all = 0;
    size_t messages = 0;

    memset(taken, 0, sizeof taken);
    for (size_t i = 0; i < l->receiver.count; i++) {
        const struct received *got = &l->receiver.got[i];
        if (got->path != at || got->status != 200)
            continue;
        int64_t first = INT64_MAX;
        size_t n;
        json_t *alert, *list = json_object_get(got->body, "alerts");
        assert_true(json_array_size(list) > 0 && json_array_size(list) <= PAYLOAD_ALERTS_MAX);
        assert_string_equal(json_string_value(json_object_get(got->body, "key")), got->key);
        json_array_foreach(list, n, alert)
        {
            int64_t id = json_integer_value(json_object_get(alert, "id"));
            assert_true(id > 0 && id < 100000);
            if (taken[id])
                fail_msg("alert %lld came twice", (long long)id);
            taken[id] = true;
            all++;
            first = id < first ? id : first;
        }
        assert_true(first > last);
        last = first;
        messages++;
    }
    snprintf(sql, sizeof sql, "SELECT count(*) FROM alert WHERE %s", where);
    assert_int_equal(all, lab_ask(l, sql));
    return messages;
}

/* That a message has the same key and the same bytes each time it is sent. */
static inline void lab_check_keys(struct lab *l, char at)
{
    for (size_t i = 0; i < l->receiver.count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct received *a = &l->receiver.got[i], *b = &l->receiver.got[j];
            if (a->path == at && b->path == at)
                assert_int_equal(strcmp(a->key, b->key) == 0, json_equal(a->body, b->body));
        }
}

#endif
