/* SPDX-License-Identifier: MIT
 *
 * counters.h: what the gateway counts by name (tg_count). Lives in the spool's header, so that a
 * kill loses none of it.
 */
#ifndef EMITTER_COUNTERS_H
#define EMITTER_COUNTERS_H

#include <pthread.h>

#include "spool.h"

/* Adds n to the counter of this name and label; what is new past the limit goes to "other". mutex
 * is taken to make a new one only. */
void counters_add(struct spool_header *h, pthread_mutex_t *mutex, const char *name, const char *label,
                  int64_t n);

#endif
