/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include <stdio.h>
#include <string.h>

#include "../query/field.h"

static const char *const usage_params[] = { "from", "to",      "bucket", "tz",     "group_by", "order",
                                            "top",  "compare", "limit",  "format", NULL };
static const char *const events_params[] = { "kind",  "from",   "to",   "order",      "limit",
                                             "after", "format", "wait", "superseded", NULL };
static const char *const sessions_params[] = { "from",  "to",    "search", "order",
                                               "limit", "after", "format", NULL };
static const char *const session_params[] = { "source", "limit", "after", NULL };
static const char *const rows_params[] = { "from", "to", "order", "limit", "format", NULL };
static const char *const stream_params[] = { "kind", "after", NULL };
static const char *const post_params[] = { "source", NULL };
static const char *const budgets_params[] = { "cells", NULL };
static const char *const explain_params[] = { "key", "limit", NULL };
static const char *const limit_params[] = { "limit", NULL };
static const char *const all_params[] = { "all", NULL };
static const char *const resume_params[] = { "field", "value", NULL };
static const char *const alerts_params[] = { "from",  "to",    "kind",  "severity", "state", "budget",
                                             "limit", "after", "order", "format",   NULL };
static const char *const alerts_stream_params[] = { "kind", "severity", "budget", "after", NULL };
static const char *const forecast_params[] = { "budget", "limit", NULL };
static const char *const audit_params[] = { "limit", "before", NULL };

#define GET(x)    [METHOD_GET] = (x)
#define POST(x)   [METHOD_POST] = (x)
#define PUT(x)    [METHOD_PUT] = (x)
#define DELETE(x) [METHOD_DELETE] = (x)

static const struct route routes[] = {
    { .path = "/v1/usage",
      .fields = true,
      .fields_end = FIELD_SESSION_END,
      .params = { GET(usage_params) },
      .run = { GET(show_usage) } },
    { .path = "/v1/events",
      .fields = true,
      .fields_end = FIELDS,
      .params = { GET(events_params), POST(post_params) },
      .run = { GET(show_events), POST(take_events) } },
    { .path = "/v1/sessions",
      .fields = true,
      .fields_end = FIELD_SESSION_END,
      .params = { GET(sessions_params) },
      .run = { GET(show_sessions) } },
    { .path = "/v1/sessions/{id}", .params = { GET(session_params) }, .run = { GET(show_session) } },
    { .path = "/v1/agents",
      .fields = true,
      .fields_end = FIELD_DIMS_END,
      .params = { GET(rows_params) },
      .run = { GET(show_agents) } },
    { .path = "/v1/models",
      .fields = true,
      .fields_end = FIELD_DIMS_END,
      .params = { GET(rows_params) },
      .run = { GET(show_models) } },
    { .path = "/v1/stream",
      .fields = true,
      .fields_end = FIELDS,
      .params = { GET(stream_params) },
      .run = { GET(show_stream) } },
    { .path = "/v1/alerts",
      .fields = true,
      .fields_end = FIELD_SESSION_END,
      .params = { GET(alerts_params) },
      .run = { GET(show_alerts) } },
    /* before the last one, whose id would be anything */
    { .path = "/v1/alerts/stream",
      .fields = true,
      .fields_end = FIELD_SESSION_END,
      .params = { GET(alerts_stream_params) },
      .run = { GET(show_alerts_stream) } },
    { .path = "/v1/alerts/test", .run = { POST(take_alert_test) } },
    { .path = "/v1/alerts/{id}/ack", .run = { POST(take_govern) } },
    { .path = "/v1/alerts/{id}", .run = { GET(show_alert) } },
    { .path = "/v1/budgets", .params = { GET(budgets_params) }, .run = { GET(take_govern) } },
    /* before the next one, whose name would be anything */
    { .path = "/v1/budgets/{name}/explain", .params = { GET(explain_params) }, .run = { GET(show_explain) } },
    { .path = "/v1/budgets/{name}",
      .params = { GET(budgets_params) },
      .run = { GET(take_govern), PUT(take_govern), DELETE(take_govern) } },
    { .path = "/v1/policies", .run = { GET(take_govern) } },
    { .path = "/v1/check", .run = { POST(take_govern) } },
    { .path = "/v1/admit", .run = { POST(take_govern) } },
    { .path = "/v1/settle", .run = { POST(take_govern) } },
    { .path = "/v1/renew", .run = { POST(take_govern) } },
    { .path = "/v1/reservations", .params = { GET(limit_params) }, .run = { GET(take_govern) } },
    { .path = "/v1/allowances",
      .params = { GET(all_params) },
      .run = { GET(take_govern), POST(take_govern) } },
    { .path = "/v1/allowances/{id}", .run = { DELETE(take_govern) } },
    { .path = "/v1/pauses",
      .params = { GET(all_params), DELETE(resume_params) },
      .run = { GET(take_govern), POST(take_govern), DELETE(take_govern) } },
    { .path = "/v1/pauses/{id}", .run = { DELETE(take_govern) } },
    { .path = "/v1/reprice", .run = { GET(take_govern), POST(take_govern) } },
    { .path = "/v1/forecast", .params = { GET(forecast_params) }, .run = { GET(take_govern) } },
    { .path = "/v1/audit", .params = { GET(audit_params) }, .run = { GET(take_govern) } },
    { .path = "/healthz", .open = true, .run = { GET(show_health) } },
    { .path = "/readyz", .run = { GET(show_ready) } },
    { .path = "/version", .run = { GET(show_version) } },
    { .path = "/metrics", .run = { GET(show_metrics) } },
};
#define ROUTES (sizeof routes / sizeof *routes)
_Static_assert(ROUTES < METRICS_ROUTES, "no room to count every route");

const char *route_names[METRICS_ROUTES] = {
    "/v1/usage",
    "/v1/events",
    "/v1/sessions",
    "/v1/sessions/{id}",
    "/v1/agents",
    "/v1/models",
    "/v1/stream",
    "/v1/alerts",
    "/v1/alerts/stream",
    "/v1/alerts/test",
    "/v1/alerts/{id}/ack",
    "/v1/alerts/{id}",
    "/v1/budgets",
    "/v1/budgets/{name}/explain",
    "/v1/budgets/{name}",
    "/v1/policies",
    "/v1/check",
    "/v1/admit",
    "/v1/settle",
    "/v1/renew",
    "/v1/reservations",
    "/v1/allowances",
    "/v1/allowances/{id}",
    "/v1/pauses",
    "/v1/pauses/{id}",
    "/v1/reprice",
    "/v1/forecast",
    "/v1/audit",
    "/healthz",
    "/readyz",
    "/version",
    "/metrics",
    /* a name in each line, so that two changes do not meet */
    [METRICS_ROUTES - 1] = "other",
};

static const char *const method_names[METHODS] = { "GET", "POST", "PUT", "DELETE" };

enum method method_code(const char *name)
{
    int m = 0;

    if (strcmp(name, MHD_HTTP_METHOD_HEAD) == 0)
        return METHOD_GET;
    while (m < METHODS && strcmp(name, method_names[m]) != 0)
        m++;
    return (enum method)m;
}

/* Whether the path is the route's; then *rest and *len are what stands in the place of its {name}. */
static bool route_fits(const struct route *route, const char *path, const char **rest, size_t *len)
{
    const char *brace = strchr(route->path, '{'), *end = brace ? strchr(brace, '}') + 1 : NULL;
    size_t before = brace ? (size_t)(brace - route->path) : 0, after = end ? strlen(end) : 0;
    size_t all = strlen(path);

    if (!brace)
        return strcmp(route->path, path) == 0;
    if (all <= before + after || strncmp(route->path, path, before) != 0 ||
        strcmp(path + all - after, end) != 0)
        return false;
    *rest = path + before;
    *len = all - before - after;
    return true;
}

const struct route *route_find(const char *path, const char **rest, size_t *rest_len)
{
    for (size_t i = 0; i < ROUTES; i++) {
        if (route_fits(&routes[i], path, rest, rest_len))
            return &routes[i];
    }
    return NULL;
}

int route_number(const struct route *route)
{
    return route ? (int)(route - routes) : METRICS_ROUTES - 1;
}

void route_allow(const struct route *route, char out[ROUTE_ALLOW_MAX])
{
    size_t used = 0;

    for (int m = 0; m < METHODS; m++) {
        if (route->run[m])
            used += (size_t)snprintf(out + used, ROUTE_ALLOW_MAX - used, "%s%s%s", used ? ", " : "",
                                     method_names[m], m == METHOD_GET ? ", HEAD" : "");
    }
}

/* --------------------------------------------------------------- parameters */

struct reading {
    struct request *r;
    struct problem *p;
    const char *const *names;
    int fields_end;
    bool failed;
};

/* All names that this route knows, into names; how many. */
static size_t known_names(const struct reading *in, const char *names[ROUTE_PARAMS_MAX])
{
    size_t n = 0;

    for (; in->names && in->names[n]; n++)
        names[n] = in->names[n];
    for (int i = 0; i < in->fields_end; i++)
        names[n++] = fields[i].name;
    if (in->fields_end > 0)
        names[n++] = FIELD_TAG_NAME "NAME";
    return n;
}
_Static_assert(FIELDS + 14 < ROUTE_PARAMS_MAX, "no room for every parameter's name");

/* The parameter's full name, or NULL. */
static const char *known(const struct reading *in, const char *name)
{
    size_t tag_len;

    for (size_t i = 0; in->names && in->names[i]; i++) {
        if (strcmp(in->names[i], name) == 0)
            return in->names[i];
    }
    if (in->fields_end > 0 && field_tag(name, strlen(name), &tag_len))
        return name;
    int field = field_find(name, strlen(name), in->fields_end);
    return field < 0 ? NULL : fields[field].name;
}

static void unknown(struct reading *in, const char *name, const char *value)
{
    const char *names[ROUTE_PARAMS_MAX], *near;
    size_t n = known_names(in, names), used = 0;

    problem_fill_parameter(in->p, name, value, "");
    near = nearest_name(name, names, n);
    if (near)
        snprintf(in->p->detail, sizeof in->p->detail, "unknown parameter %.60s; did you mean %s?", name,
                 near);
    else
        snprintf(in->p->detail, sizeof in->p->detail, "unknown parameter %.60s", name);
    for (size_t i = 0; i < n && used < sizeof in->p->expected; i++)
        used += (size_t)snprintf(in->p->expected + used, sizeof in->p->expected - used, "%s%s", i ? ", " : "",
                                 names[i]);
    if (n == 0)
        snprintf(in->p->expected, sizeof in->p->expected, "no parameters");
}

static enum MHD_Result take_param(void *arg, enum MHD_ValueKind kind, const char *key, size_t key_len,
                                  const char *value, size_t value_len)
{
    struct reading *in = arg;
    struct request *r = in->r;
    const char *name = known(in, key);

    (void)kind;
    value = value ? value : "";
    in->failed = true;
    if (strlen(key) != key_len || strlen(value) != value_len) {
        problem_fill_parameter(in->p, key, value, "text without NUL bytes");
    } else if (!name) {
        unknown(in, key, value);
    } else if (request_param(r, name)) {
        problem_fill_parameter(in->p, key, value, "once; several values are separated by commas");
    } else if (r->params == REQUEST_PARAMS_MAX) {
        problem_fill_parameter(in->p, key, value, "fewer parameters");
    } else {
        r->param[r->params++] = (struct request_param){ name, value };
        in->failed = false;
    }
    return in->failed ? MHD_NO : MHD_YES;
}
_Static_assert(ROUTE_PARAMS_MAX <= REQUEST_PARAMS_MAX, "no room for every parameter");

int route_params(struct request *r, struct problem *p)
{
    struct reading in = { .r = r,
                          .p = p,
                          .names = r->route->params[r->method],
                          .fields_end =
                              r->method == METHOD_GET && r->route->fields ? r->route->fields_end : 0 };

    MHD_get_connection_values_n(r->connection, MHD_GET_ARGUMENT_KIND, take_param, &in);
    return in.failed ? -1 : 0;
}
