/* SPDX-License-Identifier: MIT
 *
 * usage_params.h: the parameters that all routes over usage read in the same way.
 */
#ifndef COLLECTOR_HTTP_USAGE_PARAMS_H
#define COLLECTOR_HTTP_USAGE_PARAMS_H

#include "../query/usage.h"
#include "request.h"

/* from and to: the last 24 hours to the end of this minute, where they are missing. `-24h` is a time on
 * the wall, not to the millisecond; `now` is the end of this minute. 0, or -1 and *p filled. */
int usage_params_times(const struct request *r, struct problem *p, struct usage_request *q);

/* order: a name of usage_order_find, with - before it downwards. 0, or -1 and *p filled. */
int usage_params_order(const struct request *r, struct problem *p, struct usage_request *q);

#endif
