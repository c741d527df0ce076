/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include <stdio.h>
#include <string.h>

#include "../query/field.h"

static const char *const no_params[] = { NULL };
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

static const struct route routes[] = {
    { .path = "/v1/usage",
      .fields = true,
      .fields_end = FIELD_SESSION_END,
      .params = usage_params,
      .get = show_usage },
    { .path = "/v1/events",
      .fields = true,
      .fields_end = FIELDS,
      .params = events_params,
      .post_params = post_params,
      .get = show_events,
      .post = take_events },
    { .path = "/v1/sessions",
      .fields = true,
      .fields_end = FIELD_SESSION_END,
      .params = sessions_params,
      .get = show_sessions },
    { .path = "/v1/sessions/{id}", .params = session_params, .get = show_session },
    { .path = "/v1/agents",
      .fields = true,
      .fields_end = FIELD_DIMS_END,
      .params = rows_params,
      .get = show_agents },
    { .path = "/v1/models",
      .fields = true,
      .fields_end = FIELD_DIMS_END,
      .params = rows_params,
      .get = show_models },
    { .path = "/v1/stream",
      .fields = true,
      .fields_end = FIELDS,
      .params = stream_params,
      .get = show_stream },
    { .path = "/healthz", .open = true, .params = no_params, .get = show_health },
    { .path = "/readyz", .params = no_params, .get = show_ready },
    { .path = "/version", .params = no_params, .get = show_version },
    { .path = "/metrics", .params = no_params, .get = show_metrics },
};
#define ROUTES (sizeof routes / sizeof *routes)
_Static_assert(ROUTES < METRICS_ROUTES, "no room to count every route");

const char *route_names[METRICS_ROUTES] = {
    "/v1/usage",  "/v1/events", "/v1/sessions", "/v1/sessions/{id}",
    "/v1/agents", "/v1/models", "/v1/stream",   "/healthz",
    "/readyz",    "/version",   "/metrics",     [METRICS_ROUTES - 1] = "other"
};

const struct route *route_find(const char *path, const char **rest)
{
    for (size_t i = 0; i < ROUTES; i++) {
        const char *brace = strchr(routes[i].path, '{');
        size_t len = brace ? (size_t)(brace - routes[i].path) : 0;
        *rest = path + len;
        if (brace ? strncmp(routes[i].path, path, len) == 0 && path[len] : strcmp(routes[i].path, path) == 0)
            return &routes[i];
    }
    return NULL;
}

int route_number(const struct route *route)
{
    return route ? (int)(route - routes) : METRICS_ROUTES - 1;
}

const char *route_allow(const struct route *route)
{
    return route->post ? "GET, HEAD, POST" : "GET, HEAD";
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

    for (; in->names[n]; n++)
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

    for (size_t i = 0; in->names[i]; i++) {
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

int route_params(struct request *r, bool post, struct problem *p)
{
    struct reading in = { .r = r,
                          .p = p,
                          .names = post ? r->route->post_params : r->route->params,
                          .fields_end = !post && r->route->fields ? r->route->fields_end : 0 };

    MHD_get_connection_values_n(r->connection, MHD_GET_ARGUMENT_KIND, take_param, &in);
    return in.failed ? -1 : 0;
}
