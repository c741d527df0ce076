/* SPDX-License-Identifier: MIT
 *
 * post.h: POST /v1/events: JSON to events, through the same decoder and queue as the wire. Any
 * thread; blocks until the writer has committed or refused.
 */
#ifndef COLLECTOR_POST_H
#define COLLECTOR_POST_H

#include <stdatomic.h>
#include <stddef.h>

#include "../base/counters.h"
#include "../base/queue.h"

#define POSTS_MAX 32 /* bodies read at the same time: each may take some ten times its size in memory */

struct post {
    struct queue *queue;       /* borrowed */
    struct counters *counters; /* borrowed */
    _Atomic int running;
};

/* content_type and source may be NULL. Returns the HTTP status; *json is an answer for the sender, a
 * problem document from 400 on, to be freed (NULL: no memory). Body: one object, an array of them,
 * or a line each (application/x-ndjson, or whatever does not parse as one value). */
int post_events(struct post *p, const char *content_type, const char *source, const char *body, size_t len,
                char **json);

#endif
