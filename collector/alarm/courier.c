/* SPDX-License-Identifier: MIT
 *
 * courier.c: the file says where a courier stands, so it looks there before each step: what it had in mind
 * when somebody pulled the plug does not matter. Two things it must remember: how an attempt ended, until
 * that is written down, and that an attempt is under way.
 *
 * Alerts are routed while a message is being told, so that they gather; there is at most one errand of a
 * courier with the writer, and at most one message of a destination with the sender.
 */
#include "courier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "notifier.h"

/* However late it is: a machine that was off for a day has no network yet when it asks first, and a clock
 * that was set ahead says nothing about the receiver. */
#define TRIES_LEAST 5

#define WAIT_MOST_MS ((int64_t)60 * 60 * 1000) /* between two messages, or attempts */

/* ------------------------------------------------------------------ errands */

/* On the writer's thread: nothing of the errand may be touched once it is answered. */
static void answered(struct order *o)
{
    struct errand *e = o->owner;
    struct ticker *alerts = e->alerts;

    atomic_store(&e->answered, true);
    ticker_ring(alerts);
}

bool errand_send(struct errand *e, struct postroom *room)
{
    e->order = (struct order){ .item = { .kind = ITEM_ORDER, .weight = 1 },
                               .kind = ORDER_OUTBOX,
                               .done = answered,
                               .owner = e,
                               .what = &e->change };
    e->alerts = room->alerts;
    atomic_store(&e->answered, false);
    e->out = queue_push_first(room->writer, &e->order.item) == QUEUE_OK;
    return e->out;
}

bool errand_take(struct errand *e)
{
    if (!e->out || !atomic_load(&e->answered))
        return false;
    e->out = false;
    return true;
}

/* ------------------------------------------------------------------- couriers */

static void message_ended(struct send_owner *owner, const struct send_result *r);
static void notice_ended(struct send_owner *owner, const struct send_result *r);

struct courier *courier_new(struct postroom *room, struct destination *to)
{
    struct courier *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->room = room;
    c->to = to;
    c->owner.ended = message_ended;
    c->notice.owner.ended = notice_ended;
    c->notice.courier = c;
    snprintf(c->name, sizeof c->name, "%s", to->name);
    deliveries_add(&room->deliveries, c->name, DELIVERY_TOLD, 0);
    return c;
}

void courier_free(struct courier *c)
{
    if (c == NULL)
        return;
    if (c->attempt != NULL)
        sender_cut(c->room->sender, c->attempt);
    if (c->notice.attempt != NULL)
        sender_cut(c->room->sender, c->notice.attempt);
    destination_free(c->to);
    free(c);
}

void courier_use(struct courier *c, struct destination *to)
{
    destination_free(c->to);
    c->to = to;
    c->hurry = true; /* somebody may have mended what was wrong */
    c->look_ms = 0;
    c->notice.due_ms = 0;
}

static void look_at(struct courier *c, int64_t at_ms)
{
    if (at_ms < c->look_ms)
        c->look_ms = at_ms;
}

static void send_errand(struct courier *c, const struct outbox_change *change, int64_t now_ms)
{
    c->errand.change = *change;
    c->errand.change.now_ms = now_ms;
    if (!errand_send(&c->errand, c->room))
        look_at(c, now_ms + COURIER_AGAIN_MS);
}

/* The file could not be read: later. */
static bool is_readable(struct courier *c, int rc, int64_t now_ms)
{
    if (rc == 0)
        return true;
    log_error("outbox_unreadable", "code=%d text=\"%s\"", -rc, outbox_error(c->room->view));
    look_at(c, now_ms + COURIER_AGAIN_MS);
    return false;
}

/* -------------------------------------------------------------------- telling */

int64_t courier_pause_ms(struct postroom *room, const struct send_result *r, int64_t attempts)
{
    int64_t pause = NOTIFIER_AGAIN_FIRST_MS;

    for (int64_t i = 1; i < attempts && pause < NOTIFIER_AGAIN_MOST_MS; i++)
        pause *= 2;
    if (pause > NOTIFIER_AGAIN_MOST_MS || r->fate == SEND_HELP)
        pause = NOTIFIER_AGAIN_MOST_MS;
    if (r->again_ms != UNKNOWN)
        return r->again_ms < NOTIFIER_AGAIN_MOST_MS ? r->again_ms : NOTIFIER_AGAIN_MOST_MS;
    return pause - pause / 5 * (rand_r(&room->seed) % 1000) / 1000;
}

/* How it goes on after a failure. */
static void plan_again(struct courier *c, const struct send_result *r, int64_t now_ms)
{
    enum severity severity = SEVERITY_CRITICAL;
    int64_t again_ms = now_ms + courier_pause_ms(c->room, r, c->message.attempts);
    int64_t last_ms = c->message.began_ms + c->to->give_up_ms;
    char error[2 * SEND_ERROR_MAX];

    deliveries_add(&c->room->deliveries, c->name, DELIVERY_FAILED, 1);
    c->fate.error = c->error;
    bool over = now_ms >= last_ms && c->tries >= TRIES_LEAST;
    c->fate.verb = r->fate == SEND_REFUSED || over ? OUTBOX_GIVE_UP : OUTBOX_AGAIN;
    if (again_ms > last_ms && last_ms > now_ms)
        again_ms = last_ms; /* one more, then it is over */
    (void)outbox_severity(c->room->view, c->message.id, &severity);
    c->fate.due_ms = destination_opens_ms(c->to, severity, again_ms);
    log_quote(c->error, strlen(c->error), error, sizeof error);
    if (c->fate.verb == OUTBOX_AGAIN) {
        log_warn("notification_failed", "destination=%s key=%s attempts=%lld again_ms=%lld text=%s", c->name,
                 c->message.key, (long long)c->message.attempts, (long long)(c->fate.due_ms - now_ms), error);
        return;
    }
    deliveries_add(&c->room->deliveries, c->name, DELIVERY_GIVEN_UP, 1);
    log_error("notification_given_up", "destination=%s key=%s attempts=%lld text=%s", c->name, c->message.key,
              (long long)c->message.attempts, error);
}

static void set_fate(struct courier *c, const struct send_result *r, int64_t now_ms)
{
    c->message.attempts++;
    c->tries = c->tried == c->message.id ? c->tries + 1 : 1;
    c->tried = c->message.id;
    c->fated = true;
    c->look_ms = 0;
    snprintf(c->error, sizeof c->error, "%s", r->error);
    c->fate = (struct outbox_change){ .verb = OUTBOX_TOLD,
                                      .message = c->message.id,
                                      .attempts = c->message.attempts };
    if (r->fate != SEND_TOLD)
        plan_again(c, r, now_ms);
    else
        deliveries_add(&c->room->deliveries, c->name, DELIVERY_TOLD, 1);
}

static void message_ended(struct send_owner *owner, const struct send_result *r)
{
    struct courier *c = (struct courier *)owner;

    c->attempt = NULL;
    set_fate(c, r, c->room->now_ms());
}

static void fail_at_once(struct courier *c, enum send_fate fate, const char *error, int64_t now_ms)
{
    struct send_result r = { .fate = fate, .again_ms = UNKNOWN };

    snprintf(r.error, sizeof r.error, "%s", error);
    set_fate(c, &r, now_ms);
}

static void begin_telling(struct courier *c, const struct outbox_message *m, int64_t now_ms)
{
    struct told *alert;
    size_t count;
    int rc = outbox_message_alerts(c->room->view, m->id, &alert, &count);

    if (!is_readable(c, rc, now_ms))
        return;
    c->message = *m;
    if (m->began_ms == UNKNOWN)
        c->message.began_ms = now_ms;
    struct payload_message message = { m->key, c->name, c->room->link, alert, count };
    if (count > 0)
        c->attempt = sender_start(c->room->sender, c->to, &message, now_ms, &c->owner);
    outbox_free_alerts(alert, count);
    if (count == 0)
        fail_at_once(c, SEND_REFUSED, "its alerts are not there any more", now_ms);
    else if (c->attempt == NULL)
        fail_at_once(c, SEND_FAILED, "no memory", now_ms);
}

/* ------------------------------------------------------------------- choosing */

struct choice {
    struct courier *c;
    int64_t now_ms, next_ms; /* when there may be one */
    bool found, waits;       /* waits: the one that is being told, for its next attempt */
    struct outbox_message message;
};

/* When a message may be told. One that would wait for longer than anything but quiet hours makes it wait has
 * seen a clock that was ahead, or quiet hours that are not any more. */
static int64_t due_ms_of(const struct choice *x, const struct outbox_message *m)
{
    enum severity severity = SEVERITY_CRITICAL;
    int64_t due_ms = m->due_ms;

    if (m->due_ms > x->now_ms && m->due_ms - x->now_ms <= WAIT_MOST_MS)
        return due_ms;
    if (m->state == MESSAGE_BEGUN && m->due_ms <= x->now_ms)
        return due_ms;
    (void)outbox_severity(x->c->room->view, m->id, &severity);
    return destination_opens_ms(x->c->to, severity, x->now_ms);
}

static bool consider(void *arg, const struct outbox_message *m)
{
    struct choice *x = arg;
    int64_t due_ms = due_ms_of(x, m);

    x->message = *m;
    x->found = due_ms <= x->now_ms;
    if (due_ms < x->next_ms)
        x->next_ms = due_ms;
    if (m->state == MESSAGE_BEGUN) { /* nothing overtakes it */
        x->found = x->found || x->c->hurry;
        x->waits = !x->found;
        return true;
    }
    return x->found;
}

/* Tells, or freezes, the message whose turn it is. False: there is an error to write down first, or an
 * errand. */
static bool tell_next(struct courier *c, int64_t now_ms, bool *idle)
{
    struct choice x = { .c = c, .now_ms = now_ms, .next_ms = INT64_MAX };

    *idle = false;
    if (c->attempt != NULL || c->notice.attempt != NULL)
        return true;
    if (!is_readable(c, outbox_messages(c->room->view, c->name, consider, &x), now_ms))
        return false;
    c->hurry = false;
    *idle = !x.found && !x.waits;
    if (!x.found) {
        look_at(c, x.next_ms);
        return true;
    }
    if (x.message.state == MESSAGE_GATHERS) {
        send_errand(c, &(struct outbox_change){ .verb = OUTBOX_FREEZE, .message = x.message.id }, now_ms);
        return false;
    }
    begin_telling(c, &x.message, now_ms);
    return !c->fated;
}

/* -------------------------------------------------------------------- routing */

struct routing {
    struct courier *c;
    int64_t now_ms, first_ms; /* not before */
    int64_t upto;
    size_t alerts;
};

static void route_one(void *arg, const struct told *t)
{
    struct routing *r = arg;
    const struct destination *to = r->c->to;

    r->upto = t->id;
    if (!destination_wants(to, t->kind, t->severity, t->subject))
        return;
    int64_t due_ms = destination_opens_ms(to, t->severity, r->first_ms > r->now_ms ? r->first_ms : r->now_ms);
    r->c->alert[r->alerts++] = (struct outbox_alert){ t->id, due_ms };
}

/* Has new alerts join messages; begin: one that is due is told at once. */
static void route(struct courier *c, int64_t now_ms, bool begin)
{
    struct routing r = { .c = c, .now_ms = now_ms };
    int64_t upto, began_ms;

    if (!is_readable(c, outbox_place(c->room->view, c->name, &upto, &began_ms), now_ms) || upto == UNKNOWN)
        return;
    if (began_ms != UNKNOWN) /* later than now: by a clock that was ahead */
        r.first_ms = (began_ms < now_ms ? began_ms : now_ms) + c->to->group_ms;
    r.upto = upto;
    if (!is_readable(c, outbox_alerts(c->room->view, upto, route_one, &r), now_ms) || r.upto == upto)
        return;
    send_errand(c,
                &(struct outbox_change){ .verb = OUTBOX_ROUTE,
                                         .destination = c->name,
                                         .upto = r.upto,
                                         .alert = c->alert,
                                         .alerts = r.alerts,
                                         .begin = begin },
                now_ms);
}

/* --------------------------------------------------------------------- notice */

static const char notice_title[] =
    "the store cannot write: events wait with their publishers, alerts come late";

static void notice_ended(struct send_owner *owner, const struct send_result *r)
{
    struct notice *n = (struct notice *)owner;
    struct courier *c = n->courier;
    char error[2 * SEND_ERROR_MAX];

    n->attempt = NULL;
    n->attempts++;
    c->look_ms = 0;
    if (r->fate == SEND_TOLD) {
        deliveries_add(&c->room->deliveries, c->name, DELIVERY_TOLD, 1);
        return;
    }
    deliveries_add(&c->room->deliveries, c->name, DELIVERY_FAILED, 1);
    if (r->fate != SEND_REFUSED) {
        n->told_ms = 0; /* not yet */
        n->due_ms = c->room->now_ms() + courier_pause_ms(c->room, r, n->attempts);
    }
    log_quote(r->error, strlen(r->error), error, sizeof error);
    log_warn("notification_failed", "destination=%s about=store attempts=%lld text=%s", c->name,
             (long long)n->attempts, error);
}

/* The key is made from since when, and for whom: an attempt that is repeated is the same message. */
static void write_notice_key(const struct courier *c, int64_t since_ms, char key[33])
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (const char *p = c->name; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211u;
    snprintf(key, 33, "%016llx%016llx", (unsigned long long)since_ms, (unsigned long long)hash);
}

static void send_notice(struct courier *c, int64_t since_ms, int64_t now_ms)
{
    struct told alert = { .ts_ms = since_ms,
                          .last_ms = now_ms,
                          .count = 1,
                          .ended_ms = UNKNOWN,
                          .kind = ALERT_store,
                          .severity = SEVERITY_CRITICAL,
                          .title = strdup(notice_title),
                          .subject = json_object(),
                          .evidence = json_pack("{s:I}", "since_ms", (json_int_t)since_ms) };
    char key[33];

    write_notice_key(c, since_ms, key);
    struct payload_message message = { key, c->name, NULL, &alert, 1 };
    if (alert.title != NULL && alert.subject != NULL && alert.evidence != NULL)
        c->notice.attempt = sender_start(c->room->sender, c->to, &message, now_ms, &c->notice.owner);
    if (c->notice.attempt != NULL)
        c->notice.told_ms = since_ms; /* once, unless it fails */
    told_fini(&alert);
}

/* Tells the outage, once; the writer raises its own alert of it when it can. */
static void turn_notice(struct courier *c, int64_t now_ms)
{
    struct notice *n = &c->notice;
    int64_t since_ms = c->room->outage_ms;

    if (since_ms == 0) {
        n->attempts = n->due_ms = 0;
        return;
    }
    if (n->told_ms == since_ms || n->attempt != NULL || c->attempt != NULL || now_ms < n->due_ms)
        return;
    json_t *nobody = json_object();
    if (nobody != NULL && destination_wants(c->to, ALERT_store, SEVERITY_CRITICAL, nobody) &&
        destination_opens_ms(c->to, SEVERITY_CRITICAL, now_ms) <= now_ms)
        send_notice(c, since_ms, now_ms);
    json_decref(nobody);
}

/* ----------------------------------------------------------------------- turn */

void courier_hear(struct courier *c, int64_t now_ms)
{
    enum outbox_verb verb = c->errand.change.verb;

    if (!errand_take(&c->errand))
        return;
    if (c->errand.order.status == ORDER_BUSY) {
        c->look_ms = now_ms + COURIER_AGAIN_MS;
        return;
    }
    if (verb == OUTBOX_TOLD || verb == OUTBOX_AGAIN || verb == OUTBOX_GIVE_UP)
        c->fated = false;
    c->look_ms = 0;
}

void courier_turn(struct courier *c, int64_t now_ms)
{
    bool idle;

    if (!c->room->ending)
        turn_notice(c, now_ms);
    if (c->errand.out || now_ms < c->look_ms || (c->room->held && !c->fated))
        return;
    c->look_ms = INT64_MAX;
    if (c->fated)
        send_errand(c, &c->fate, now_ms);
    else if (tell_next(c, now_ms, &idle))
        route(c, now_ms, idle);
}
