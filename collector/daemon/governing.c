/* SPDX-License-Identifier: MIT */
#include "governing.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "../base/log.h"
#include "../govern/order.h"
#include "../writer/ledger_budgets.h"

#define TRIES    10 /* half a second apart, while the store cannot write */
#define PAUSE_MS 500

/* The list in the binary; the operator's own prices stand before it. */
static int load_prices(const json_t *own, struct price_list **out, char error[GOVERNING_ERROR_MAX])
{
    struct fault fault = { 0 };

    if (price_list_load(NULL, own, out, &fault) == 0)
        return 0;
    snprintf(error, GOVERNING_ERROR_MAX, "%s: \"%s\" where %s was expected", fault.field, fault.value,
             fault.expected);
    return -1;
}

int governing_judge_prices(const json_t *prices, struct fault *fault)
{
    struct price_list *list;

    if (price_list_load(NULL, prices, &list, fault) != 0)
        return -1;
    price_list_free(list);
    return 0;
}

int governing_init(struct governing *g, const struct config *c, char error[GOVERNING_ERROR_MAX])
{
    *g = (struct governing){ .prices = NULL };
    return load_prices(c->prices, &g->prices, error);
}

void governing_fini(struct governing *g)
{
    for (size_t i = 0; i < g->retired_count; i++) {
        config_fini(&g->retired[i]->config);
        price_list_free(g->retired[i]->prices);
        free(g->retired[i]);
    }
    price_list_free(g->prices);
    *g = (struct governing){ .prices = NULL };
}

static void served(struct order *o)
{
    sem_post(o->owner);
}

bool governing_give(const struct governing *g, const struct config *c, struct queue *writer)
{
    struct ledger_file file = { .budgets = c->budgets,
                                .budget_count = c->budget_count,
                                .policies = c->policies,
                                .policy_count = c->policy_count,
                                .prices = g->prices,
                                .runaway = c->runaway,
                                .runaway_count = c->runaway_count };
    struct timespec pause = { 0, PAUSE_MS * 1000000L };
    bool done = false;
    sem_t answered;

    sem_init(&answered, 0, 0);
    for (int i = 0; i < TRIES && !done; i++) {
        struct order o = { .item = { .kind = ITEM_ORDER, .weight = 1 },
                           .kind = ORDER_BUDGETS,
                           .done = served,
                           .owner = &answered,
                           .what = &file };
        if (i > 0)
            nanosleep(&pause, NULL);
        if (queue_push_first(writer, &o.item) != QUEUE_OK)
            break;
        while (sem_wait(&answered) != 0 && errno == EINTR)
            ;
        done = o.status != ORDER_BUSY;
    }
    sem_destroy(&answered);
    return done;
}

/* The writer may have looked at either: both stay. Beyond the bound they are forgotten, which costs memory
 * only. */
static void keep(struct governing *g, const struct config *before, struct price_list *prices)
{
    log_error("reload", "result=\"budgets and prices are as before: the store cannot write\"");
    if (g->retired_count == GOVERNING_RETIRED_MAX ||
        (g->retired[g->retired_count] = malloc(sizeof **g->retired)) == NULL)
        return;
    g->retired[g->retired_count]->config = *before;
    g->retired[g->retired_count++]->prices = prices;
}

void governing_reload(struct governing *g, const struct config *c, struct config *before,
                      struct queue *writer)
{
    struct price_list *prices = g->prices;
    char error[GOVERNING_ERROR_MAX];

    if (load_prices(c->prices, &g->prices, error) != 0) {
        log_error("reload", "text=\"%s\"", error); /* the file has been judged: there is no memory */
        prices = NULL;
    }
    if (!governing_give(g, c, writer)) {
        keep(g, before, prices);
        return;
    }
    config_fini(before);
    price_list_free(prices);
}
