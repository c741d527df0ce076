/* SPDX-License-Identifier: MIT
 *
 * routes.h: which path is answered by what, with which methods and parameters.
 */
#ifndef COLLECTOR_HTTP_ROUTES_H
#define COLLECTOR_HTTP_ROUTES_H

#include "request.h"

#define ROUTE_PARAMS_MAX 40
#define ROUTE_ALLOW_MAX  40

typedef void (*route_fn)(struct request *);

struct route {
    const char *path;
    bool open;   /* needs no token */
    bool fields; /* GET takes filters: the names in query/field.h up to fields_end */
    int fields_end;
    const char *const *params[METHODS]; /* NULL-terminated; filters not included; NULL: none */
    route_fn run[METHODS];              /* NULL: 405 */
};

/* The method of this name, HEAD's is GET; METHODS: none that any route has. */
enum method method_code(const char *name);

/* NULL: no such path. A route's path may have one {name}, which stands for anything but nothing, slashes
 * too; *rest is what stands there (decoded, as the path is), *rest_len bytes of it. */
const struct route *route_find(const char *path, const char **rest, size_t *rest_len);

/* Its methods, separated by commas. */
void route_allow(const struct route *route, char out[ROUTE_ALLOW_MAX]);

/* Names of the routes for the counters, METRICS_ROUTES of them; the last one is for unknown paths. */
extern const char *route_names[METRICS_ROUTES];
int route_number(const struct route *route);

/* Reads the query string into r->param: refuses what the route does not know for r->method, what comes
 * twice, and what is not text. 0, or -1 and *p filled. */
int route_params(struct request *r, struct problem *p);

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
void take_govern(struct request *r);  /* take_govern.c */
void show_explain(struct request *r); /* show_explain.c */
void show_alerts(struct request *r);  /* show_alerts.c */
void show_alert(struct request *r);
void show_alerts_stream(struct request *r); /* show_alerts_stream.c */
void take_alert_test(struct request *r);

#endif
