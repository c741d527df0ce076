/* SPDX-License-Identifier: MIT */
#include "counting.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "../base/log.h"
#include "../govern/order.h"
#include "ledger_recount.h"

struct counting {
    pthread_t thread;
    sem_t fixed; /* the snapshot has been taken, or cannot be */
    struct order order;
    struct recount recount;
    sqlite3 *db;
    const char *path, *zone;
    struct queue *queue;
    int rc;
};

/* Nobody waits for it: counting_stop frees it. */
static void order_done(struct order *o)
{
    (void)o;
}

static int take_snapshot(struct counting *c)
{
    int rc = sqlite3_open_v2(c->path, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc != SQLITE_OK)
        return -rc;
    sqlite3_busy_timeout(c->db, 1000);
    /* A read begins with the first SELECT. */
    if ((rc = sqlite3_exec(c->db, "BEGIN; SELECT max(id) FROM budget", NULL, NULL, NULL)) != SQLITE_OK)
        return -rc;
    return 0;
}

static int count(struct counting *c)
{
    int64_t first_id = 1;
    int rc = recount_init(&c->recount, c->db, c->zone, true);

    if (rc != 0 || (rc = recount_first(&c->recount, &first_id)) != 0)
        return rc;
    return recount_rows(&c->recount, first_id, INT64_MAX);
}

static void *counting_main(void *arg)
{
    struct counting *c = arg;

    c->rc = take_snapshot(c);
    sem_post(&c->fixed);
    if (c->rc == 0)
        c->rc = count(c);
    if (c->rc != 0)
        log_error("budgets_not_counted", "code=%d text=\"%s\"", -c->rc, sqlite3_errstr(-c->rc));
    c->order = (struct order){ .item = { .kind = ITEM_ORDER, .weight = 1 },
                               .kind = ORDER_COUNTED,
                               .done = order_done,
                               .owner = c,
                               .what = c->rc == 0 ? &c->recount : NULL };
    queue_push_first(c->queue, &c->order.item);
    return NULL;
}

struct counting *counting_start(const char *path, const char *zone, struct queue *queue)
{
    struct counting *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->path = path;
    c->zone = zone;
    c->queue = queue;
    sem_init(&c->fixed, 0, 0);
    if (pthread_create(&c->thread, NULL, counting_main, c) != 0) {
        sem_destroy(&c->fixed);
        free(c);
        return NULL;
    }
    while (sem_wait(&c->fixed) != 0)
        ;
    return c;
}

void counting_stop(struct counting *c)
{
    if (c == NULL)
        return;
    if (c->db != NULL)
        sqlite3_interrupt(c->db);
    pthread_join(c->thread, NULL);
    recount_fini(&c->recount);
    sqlite3_close(c->db);
    sem_destroy(&c->fixed);
    free(c);
}
