/* SPDX-License-Identifier: MIT
 *
 * routes.h: which path is answered by what, with which methods and parameters.
 */
#ifndef COLLECTOR_HTTP_ROUTES_H
#define COLLECTOR_HTTP_ROUTES_H

#include "request.h"

#define ROUTE_PARAMS_MAX 40

struct route {
    const char *path;
    bool open;   /* needs no token */
    bool fields; /* takes filters: the names in query/field.h up to fields_end */
    int fields_end;
    const char *const *params, *const *post_params; /* NULL-terminated; filters not included */
    void (*get)(struct request *);
    void (*post)(struct request *);
};

/* NULL: no such path. A route's path may end in {id}, which stands for anything but nothing, slashes too;
 * *rest is what stands there (decoded, as the path is). */
const struct route *route_find(const char *path, const char **rest);
const char *route_allow(const struct route *route);

/* Names of the routes for the counters, METRICS_ROUTES of them; the last one is for unknown paths. */
extern const char *route_names[METRICS_ROUTES];
int route_number(const struct route *route);

/* Reads the query string into r->param: refuses what the route does not know, what comes twice,
 * and what is not text. 0, or -1 and *p filled. */
int route_params(struct request *r, bool post, struct problem *p);

void show_usage(struct request *r);    /* show_usage.c */
void show_events(struct request *r);   /* show_events.c */
void show_sessions(struct request *r); /* show_sessions.c */
void show_session(struct request *r);
void show_agents(struct request *r); /* show_agents.c */
void show_models(struct request *r);
void show_stream(struct request *r); /* show_stream.c */
void show_health(struct request *r); /* show_status.c */
void show_ready(struct request *r);
void show_version(struct request *r);
void show_metrics(struct request *r);
void take_events(struct request *r);

#endif
