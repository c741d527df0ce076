/* SPDX-License-Identifier: MIT */
#include "office.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#include "order.h"

#define ASKING_MAX 256 /* at once */

static void asked(struct order *o)
{
    sem_post(o->owner);
}

static int busy(json_t **answer, const char *detail)
{
    *answer = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", "The collector is busy",
                        "status", 503, "detail", detail);
    return 503;
}

int office_ask(struct office *office, const char *op, const json_t *request, json_t **answer)
{
    sem_t done;
    struct order o = { .item = { .kind = ITEM_ORDER, .weight = 1 },
                       .kind = ORDER_OFFICE,
                       .done = asked,
                       .owner = &done,
                       .op = op,
                       .request = request };

    if (atomic_fetch_add(&office->asking, 1) >= ASKING_MAX) {
        atomic_fetch_sub(&office->asking, 1);
        return busy(answer, "too many questions at once: try again in a second");
    }
    sem_init(&done, 0, 0);
    bool pushed = queue_push_first(office->queue, &o.item) == QUEUE_OK;
    while (pushed && sem_wait(&done) != 0 && errno == EINTR)
        ;
    sem_destroy(&done);
    atomic_fetch_sub(&office->asking, 1);
    if (!pushed || o.answer == NULL)
        return busy(answer, pushed ? "the store cannot write now: nothing was changed, try again later"
                                   : "the collector is stopping");
    *answer = o.answer;
    return o.http_status;
}
