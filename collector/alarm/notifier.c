/* SPDX-License-Identifier: MIT
 *
 * notifier.c: the thread. It polls libcurl's files, those of commands, and the bell of the alerts' ticker,
 * which everybody rings who has something for it: the writer (an alert is in the file, an order has been
 * answered), and whoever put something into the inbox. Couriers (courier.c) do what is to be done for a
 * destination.
 */
#include "notifier.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "courier.h"
#include "trial.h"

#define INBOX          64
#define REST_MS        ((int64_t)60 * 1000) /* the longest sleep: the wall clock may have been set */
#define OUTAGE_LOOK_MS ((int64_t)1000)
#define GRACE_MS       1000

enum inbox_kind { INBOX_USE, INBOX_TRIAL };

/* Destinations on their way in. Owner: who asks, which waits. */
struct handover {
    struct queue_item item; /* first */
    struct destination **all;
    size_t count;
    sem_t done;
};

struct notifier {
    pthread_t thread;
    struct postroom room;
    struct queue *inbox; /* owned */
    struct courier *courier[DESTINATIONS_MAX];
    size_t couriers;
    uint32_t tick;             /* of the alerts, seen */
    int64_t last_ms;           /* of the last turn */
    struct handover *handover; /* borrowed; NULL: none */
    bool adopted;              /* its destinations have couriers; the file does not know them yet */
    struct errand errand;      /* that makes them known */
    const char *name[DESTINATIONS_MAX];
    bool known;
    int64_t know_ms; /* when it is tried again */
    struct trial *trial[NOTIFIER_TRIALS];
    int64_t outage_ms; /* since when the store cannot write; 0: it can */
    _Atomic int trials;
    _Atomic bool stopping;
    struct monotime grace;
};

/* -------------------------------------------------------------- destinations */

static bool any_errand_out(const struct notifier *n)
{
    for (size_t i = 0; i < n->couriers; i++)
        if (n->courier[i]->errand.out)
            return true;
    return n->errand.out;
}

static struct courier *take_courier(struct notifier *n, const char *name)
{
    for (size_t i = 0; i < n->couriers; i++) {
        struct courier *c = n->courier[i];
        if (c == NULL || strcmp(c->name, name) != 0)
            continue;
        n->courier[i] = NULL;
        return c;
    }
    return NULL;
}

static void free_couriers(struct notifier *n)
{
    for (size_t i = 0; i < n->couriers; i++)
        courier_free(n->courier[i]);
    n->couriers = 0;
}

/* The new list takes the place of the old one; who is in both keeps what it is doing. */
static void adopt(struct notifier *n)
{
    struct handover *h = n->handover;
    struct courier *next[DESTINATIONS_MAX] = { NULL };
    size_t count = 0;

    for (size_t i = 0; i < h->count; i++) {
        struct courier *c = count < DESTINATIONS_MAX ? take_courier(n, h->all[i]->name) : NULL;
        if (c != NULL)
            courier_use(c, h->all[i]);
        else if (count == DESTINATIONS_MAX || (c = courier_new(&n->room, h->all[i])) == NULL)
            destination_free(h->all[i]);
        if (c != NULL)
            next[count++] = c;
    }
    free_couriers(n);
    memcpy(n->courier, next, sizeof next);
    n->couriers = count;
    n->adopted = true;
    n->known = false;
    n->know_ms = 0;
}

static void order_to_know(struct notifier *n, int64_t now_ms)
{
    for (size_t i = 0; i < n->couriers; i++)
        n->name[i] = n->courier[i]->name;
    n->errand.change = (struct outbox_change){
        .verb = OUTBOX_KNOW, .now_ms = now_ms, .name = n->name, .names = n->couriers
    };
    if (!errand_send(&n->errand, &n->room))
        n->know_ms = now_ms + COURIER_AGAIN_MS;
}

static void end_handover(struct notifier *n)
{
    struct handover *h = n->handover;

    n->handover = NULL;
    n->adopted = false;
    if (h != NULL)
        sem_post(&h->done);
}

/* New destinations are taken over when no courier has anything with the writer, and told to the file before
 * anything else. */
static void turn_destinations(struct notifier *n, int64_t now_ms)
{
    if (errand_take(&n->errand)) {
        n->known = n->errand.order.status != ORDER_BUSY;
        n->know_ms = now_ms + COURIER_AGAIN_MS;
        if (n->adopted)
            end_handover(n);
    }
    if (n->handover != NULL && !n->adopted && !any_errand_out(n))
        adopt(n);
    if (!n->known && !n->errand.out && now_ms >= n->know_ms)
        order_to_know(n, now_ms);
    if (n->adopted && !n->errand.out)
        end_handover(n); /* the writer takes nothing any more */
}

/* --------------------------------------------------------------------- trials */

static void begin_trial(struct notifier *n, struct trial *t, int64_t now_ms)
{
    size_t place = 0;

    while (n->trial[place] != NULL) /* there is one: see notifier_test */
        place++;
    n->trial[place] = t;
    for (size_t i = 0; i < n->couriers; i++)
        if (t->name == NULL || strcmp(t->name, n->courier[i]->name) == 0)
            trial_add(t, n->room.sender, n->courier[i]->to, now_ms);
    t->http_status = t->name != NULL && t->parts == 0 ? 404 : 200;
}

static void end_trials(struct notifier *n)
{
    for (size_t i = 0; i < NOTIFIER_TRIALS; i++) {
        struct trial *t = n->trial[i];
        if (t == NULL || t->open > 0)
            continue;
        n->trial[i] = NULL;
        sem_post(&t->done);
    }
}

static int problem(int status, const char *title, const char *detail, json_t **answer)
{
    *answer = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", title, "status", status,
                        "detail", detail);
    return status;
}

static void refuse_name(const char *name, json_t **answer)
{
    char detail[DESTINATION_NAME_MAX + 64];

    snprintf(detail, sizeof detail, "there is no destination \"%.*s\"", DESTINATION_NAME_MAX, name);
    problem(404, "There is no such destination", detail, answer);
}

static int run_trial(struct notifier *n, const char *name, json_t **answer)
{
    struct trial *t = calloc(1, sizeof *t);

    if (t != NULL)
        *t = (struct trial){ .item = { .kind = INBOX_TRIAL, .weight = 1 },
                             .name = name,
                             .http_status = 503,
                             .results = json_array() };
    if (t == NULL || t->results == NULL) {
        free(t);
        return problem(503, "The collector is busy", "no memory", answer);
    }
    sem_init(&t->done, 0, 0);
    if (queue_push_first(n->inbox, &t->item) == QUEUE_OK) {
        ticker_ring(n->room.alerts);
        while (sem_wait(&t->done) != 0 && errno == EINTR)
            ;
    }
    int status = t->http_status;
    if (status == 200)
        *answer = json_pack("{s:O}", "results", t->results);
    else if (status == 404)
        refuse_name(name, answer);
    else
        problem(503, "The collector is busy", "it is stopping", answer);
    json_decref(t->results);
    sem_destroy(&t->done);
    free(t);
    return status;
}

int notifier_test(struct notifier *n, const char *name, json_t **answer)
{
    int status = 503;

    if (atomic_fetch_add(&n->trials, 1) < NOTIFIER_TRIALS)
        status = run_trial(n, name, answer);
    else
        problem(503, "The collector is busy", "other tests are under way: try again later", answer);
    atomic_fetch_sub(&n->trials, 1);
    return status;
}

/* --------------------------------------------------------------------- thread */

static void read_inbox(struct notifier *n, int64_t now_ms)
{
    struct queue_item *item;

    while (queue_pop(n->inbox, 0, &item) == QUEUE_OK) {
        if (item->kind == INBOX_USE)
            n->handover = (struct handover *)item;
        else
            begin_trial(n, (struct trial *)item, now_ms);
    }
}

static void watch_store(struct notifier *n, int64_t now_ms)
{
    if (count_get(&n->room.counters->store_writable) != 0)
        n->outage_ms = 0;
    else if (n->outage_ms == 0)
        n->outage_ms = now_ms;
    n->room.outage_ms = n->outage_ms != 0 && now_ms - n->outage_ms >= NOTIFIER_OUTAGE_MS ? n->outage_ms : 0;
}

/* A clock that was put back makes all times that couriers wait for wrong. */
static void watch_alerts(struct notifier *n, int64_t now_ms)
{
    uint32_t tick = ticker_read(n->room.alerts);
    bool moved = tick != n->tick || now_ms < n->last_ms;

    n->last_ms = now_ms;
    n->tick = tick;
    if (!moved)
        return;
    for (size_t i = 0; i < n->couriers; i++)
        n->courier[i]->look_ms = 0;
}

static void turn(struct notifier *n)
{
    ticker_hush(n->room.alerts); /* before it looks at what may have changed */
    int64_t now_ms = n->room.now_ms(), waiting;

    read_inbox(n, now_ms);
    watch_store(n, now_ms);
    watch_alerts(n, now_ms);
    for (size_t i = 0; i < n->couriers; i++)
        courier_hear(n->courier[i], now_ms);
    turn_destinations(n, now_ms); /* which waits for these answers */
    n->room.ending = n->stopping;
    n->room.held = n->handover != NULL || !n->known || n->stopping;
    for (size_t i = 0; i < n->couriers; i++)
        courier_turn(n->courier[i], now_ms);
    end_trials(n);
    if (outbox_waiting(n->room.view, &waiting) == 0)
        count_set(&n->room.counters->notifications_waiting, waiting);
}

static int64_t rest_ms(const struct notifier *n)
{
    int64_t now_ms = n->room.now_ms(), due_ms = now_ms + REST_MS;

    if (n->outage_ms != 0)
        due_ms = now_ms + OUTAGE_LOOK_MS;
    if (!n->known && !n->errand.out && n->know_ms < due_ms)
        due_ms = n->know_ms;
    for (size_t i = 0; i < n->couriers; i++) {
        const struct courier *c = n->courier[i];
        if (!c->errand.out && (!n->room.held || c->fated) && c->look_ms < due_ms)
            due_ms = c->look_ms;
    }
    return due_ms > now_ms ? due_ms - now_ms : 0;
}

/* While it ends: whether it still waits for the writer, or for an attempt that may end in time. */
static bool is_busy(const struct notifier *n)
{
    bool sending = false, fated = false;

    for (size_t i = 0; i < n->couriers; i++) {
        sending = sending || n->courier[i]->attempt != NULL;
        fated = fated || n->courier[i]->fated;
    }
    return any_errand_out(n) || ((sending || fated) && mono_left(n->grace) > 0);
}

static void *notifier_main(void *arg)
{
    struct notifier *n = arg;

    while (!n->stopping) {
        turn(n);
        sender_wait(n->room.sender, ticker_bell(n->room.alerts), rest_ms(n));
    }
    n->grace = mono_after(mono_now(), GRACE_MS);
    while (turn(n), is_busy(n)) {
        int64_t rest = rest_ms(n), left = mono_left(n->grace);
        sender_wait(n->room.sender, ticker_bell(n->room.alerts), rest < left || left == 0 ? rest : left);
    }
    return NULL;
}

/* ----------------------------------------------------------------- start, stop */

static int fail(struct notifier *n, char error[NOTIFIER_ERROR_MAX], const char *why)
{
    snprintf(error, NOTIFIER_ERROR_MAX, "the notifier cannot start: %.200s", why);
    notifier_free(n);
    return -1;
}

int notifier_start(const struct notifier_options *options, char error[NOTIFIER_ERROR_MAX],
                   struct notifier **out)
{
    struct notifier *n = calloc(1, sizeof *n);
    int rc;

    if (n == NULL)
        return fail(n, error, "no memory");
    n->known = true;
    n->room = (struct postroom){ .writer = options->writer,
                                 .alerts = options->alerts,
                                 .counters = options->counters,
                                 .now_ms = options->now_ms != NULL ? options->now_ms : wall_ms,
                                 .seed = (unsigned)mono_us() };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(n, error, "libcurl does not");
    if ((n->inbox = queue_new(INBOX)) == NULL || sender_new(&n->room.sender) != 0 ||
        (options->link != NULL && (n->room.link = strdup(options->link)) == NULL))
        return fail(n, error, "no memory");
    if ((rc = ticker_get_bell(options->alerts)) != 0)
        return fail(n, error, strerror(-rc));
    if ((rc = outbox_open(options->database, &n->room.view)) != 0)
        return fail(n, error, sqlite3_errstr(-rc));
    if ((rc = pthread_create(&n->thread, NULL, notifier_main, n)) != 0)
        return fail(n, error, strerror(rc));
    *out = n;
    return 0;
}

void notifier_use(struct notifier *n, struct destination **all, size_t count)
{
    struct handover h = { .item = { .kind = INBOX_USE, .weight = 1 }, .all = all, .count = count };

    sem_init(&h.done, 0, 0);
    if (queue_push_first(n->inbox, &h.item) == QUEUE_OK) {
        ticker_ring(n->room.alerts);
        while (sem_wait(&h.done) != 0 && errno == EINTR)
            ;
    } else {
        for (size_t i = 0; i < count; i++)
            destination_free(all[i]);
    }
    sem_destroy(&h.done);
    free(all);
}

void notifier_emit(struct notifier *n, metric_fn emit, void *sink)
{
    deliveries_emit(&n->room.deliveries, emit, sink);
}

/* Who waits for something that will not come any more. */
static void send_home(struct notifier *n)
{
    struct queue_item *item;

    for (size_t i = 0; i < NOTIFIER_TRIALS; i++) {
        if (n->trial[i] == NULL)
            continue;
        trial_cut(n->trial[i], n->room.sender);
        n->trial[i]->http_status = 503;
        sem_post(&n->trial[i]->done);
        n->trial[i] = NULL;
    }
    while (queue_pop(n->inbox, 0, &item) == QUEUE_OK)
        if (item->kind == INBOX_TRIAL)
            sem_post(&((struct trial *)item)->done);
}

void notifier_stop(struct notifier *n)
{
    if (n == NULL)
        return;
    queue_close(n->inbox);
    n->stopping = true;
    ticker_ring(n->room.alerts);
    pthread_join(n->thread, NULL);
    send_home(n);
    free_couriers(n);
    outbox_close(n->room.view); /* before the writer's: the last one to close a file tidies up */
    n->room.view = NULL;
}

void notifier_free(struct notifier *n)
{
    if (n == NULL)
        return;
    sender_free(n->room.sender);
    outbox_close(n->room.view);
    queue_free(n->inbox);
    free(n->room.link);
    free(n);
    curl_global_cleanup();
}
