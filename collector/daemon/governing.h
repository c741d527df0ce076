/* SPDX-License-Identifier: MIT
 *
 * governing.h: what the configuration says of budgets, policies and prices, on its way to the writer: at the
 * start and after a HUP. The writer borrows policies and prices until it has others. Owner: the main thread.
 */
#ifndef COLLECTOR_GOVERNING_H
#define COLLECTOR_GOVERNING_H

#include "../base/queue.h"
#include "../govern/price_list.h"
#include "config.h"

#define GOVERNING_ERROR_MAX   512
#define GOVERNING_RETIRED_MAX 64

struct governing {
    struct price_list *prices; /* owned */
    struct {
        struct config config;
        struct price_list *prices;
    } * retired[GOVERNING_RETIRED_MAX]; /* owned: what the writer may still look at */
    size_t retired_count;
};

/* For config_judge_prices. */
int governing_judge_prices(const json_t *prices, struct fault *fault);

/* Loads the prices, before the writer starts. On failure -1 and error says why. */
int governing_init(struct governing *g, const struct config *c, char error[GOVERNING_ERROR_MAX]);
void governing_fini(struct governing *g); /* the writer has stopped */

/* Gives all of it to the writer and waits for the commit. False: the store cannot write. */
bool governing_give(const struct governing *g, const struct config *c, struct queue *writer);

/* The same of a configuration that has been read again; takes over before, what ran until now. */
void governing_reload(struct governing *g, const struct config *c, struct config *before,
                      struct queue *writer);

#endif
