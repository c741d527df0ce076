/* SPDX-License-Identifier: MIT
 *
 * listing.h: which events a request asks for, and how: what pages, exports and live streams of events have
 * in common.
 */
#ifndef COLLECTOR_HTTP_LISTING_H
#define COLLECTOR_HTTP_LISTING_H

#include "../query/events.h"
#include "request.h"

struct listing {
    struct events_request q; /* its filter is owned */
    int64_t after;
    unsigned limit;  /* 0: none */
    int64_t wait_ms; /* 0: no long poll */
    enum format format;
};

/* Read a request's parameters into a zeroed listing, whose filter is to be freed in any case. 0, or -1
 * and *p filled. */
int listing_read(const struct request *r, struct problem *p, struct listing *l);

/* The same for a live stream: upwards, from `after` or the Last-Event-ID header, else from the end. */
int listing_read_stream(const struct request *r, struct problem *p, struct listing *l);

#endif
