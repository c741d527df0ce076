/* SPDX-License-Identifier: MIT
 *
 * alerts.h: what operators are to hear of, and how far each destination has been told: pages by the time at
 * which it was raised, one by its id, and what came after an id. What is open, and what nobody has
 * acknowledged, is found by an index; all other filters are judged row by row: of the thousands of alerts
 * that a busy year brings, that takes milliseconds.
 */
#ifndef COLLECTOR_QUERY_ALERTS_H
#define COLLECTOR_QUERY_ALERTS_H

#include "../alarm/alert.h"
#include "filter.h"
#include "pool.h"

#define ALERTS_LIMIT     100
#define ALERTS_LIMIT_MAX 1000
#define ALERTS_COUNT_MAX 10000 /* unacknowledged ones that are counted */
#define ALERTS_CURSOR    48    /* bytes of a place's text */
#define ALERTS_STEP      5000  /* rows that alerts_follow looks at in one call */

/* Bits; all that are set must hold. */
enum alerts_state {
    ALERTS_OPEN = 1, /* the reason is there, or cannot go */
    ALERTS_ENDED = 2,
    ALERTS_ACKED = 4,
    ALERTS_UNACKED = 8,
};

/* Where an alert stands in the order of time. */
struct alerts_place {
    int64_t ts_ms, id;
};

/* Zeroed: all of them. */
struct alerts_filter {
    uint32_t kinds;      /* bits by enum alert_kind; 0: all */
    enum severity least; /* info: one of another severity than we know is shown, too */
    unsigned states;
    struct filter names;  /* owned; of the subject's names: FIELD_agent_id is "agent", a tag "tag.NAME" */
    struct filter budget; /* owned; one term at most, whose tag is "budget" */
};
void alerts_filter_fini(struct alerts_filter *f);

struct alerts_request {
    int64_t from_ms, to_ms; /* raised in [from, to) */
    struct alerts_filter filter;
    bool ascending;
    unsigned limit;
    bool has_after;
    struct alerts_place after;
    bool count; /* those that nobody has acknowledged are to be counted */
};

/* One alert; texts are valid for the call that hands it over. Unknown times are UNKNOWN. */
struct alerts_row {
    int64_t id, ts_ms, last_ms, count, ended_ms, acked_ms;
    const char *kind, *severity, *title;
    const char *subject, *evidence;    /* JSON */
    const char *acked_by, *acked_note; /* NULL: none */
    sqlite3_stmt *told;                /* for alerts_delivery */
};
/* Takes a row. False: no more. */
typedef bool (*alerts_fn)(void *arg, const struct alerts_row *row);

/* How far a destination has been told of it. */
struct alerts_delivery {
    const char *destination, *state; /* "gathers", "waiting", "told", "given_up" */
    int64_t attempts;
    int64_t due_ms;    /* not before; UNKNOWN: it is over */
    int64_t ended_ms;  /* UNKNOWN: it is not */
    const char *error; /* of the last attempt; NULL: none */
};

/* The row's next delivery, by destination; its texts are valid until the next call. False: no more. */
bool alerts_delivery(const struct alerts_row *row, struct alerts_delivery *out);

struct alerts_answer {
    bool more; /* after next, the place of the last row */
    struct alerts_place next;
    int64_t unacked; /* of all that the request asks for, on whichever page; ALERTS_COUNT_MAX: or more;
                        UNKNOWN: not counted */
};

/* Hands over a page. 0, or -1 and *p filled: rows may have been handed over before. */
int alerts_list(struct query_pool *pool, const struct alerts_request *q, struct monotime deadline,
                struct problem *p, alerts_fn fn, void *arg, struct alerts_answer *out);

/* Hands over the one with this id. 0, or -1 and *p filled: 404 if there is none. */
int alerts_one(struct query_pool *pool, int64_t id, struct monotime deadline, struct problem *p, alerts_fn fn,
               void *arg);

/* The newest alert's id; 0: there is none. 0, or -1 and *p filled. */
int alerts_newest(struct query_pool *pool, struct monotime deadline, struct problem *p, int64_t *id);

/* Hands over what came after *id, in that order, on a connection that is borrowed already, and moves *id
 * behind what it has looked at. *behind: it stopped before the end. */
int alerts_follow(struct pool_connection *c, const struct alerts_filter *f, struct problem *p, alerts_fn fn,
                  void *arg, int64_t *id, bool *behind);

/* A place's text and back; -1: it is none. */
void alerts_place_format(const struct alerts_place *at, char out[ALERTS_CURSOR]);
int alerts_place_parse(const char *text, struct alerts_place *at);

#endif
