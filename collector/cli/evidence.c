/* SPDX-License-Identifier: MIT */
#include "evidence.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"
#include "yield.h"

#define PAGE_MAX   1000
#define CELLS_MAX  "1000"
#define AGENTS_MAX "10000"

struct evidence {
    const struct cli *c;
    json_t *agents; /* owned: {name, or "" of the unknown one: AGENT} */
    json_t *out;    /* owned */
    char from[CLI_TEXT], to[CLI_TEXT];
    int64_t looked, since_ms;
};

/* -------------------------------------------------------------------- asking */

/* A question with these parameters, up to one without a name; those without a value are left out. */
static struct cli query_of(const struct cli *c, const struct cli_param *params)
{
    struct cli q = { .url = c->url, .token = c->token };

    for (; params->name; params++) {
        if (params->value)
            cli_param_default(&q, params->name, params->value);
    }
    return q;
}

static int64_t count(json_t *o, const char *name, int64_t more)
{
    int64_t n = row_number(o, name);

    n = n > INT64_MAX - more ? INT64_MAX : n + more;
    json_object_set_new(o, name, json_integer(n));
    return n;
}

/* The agent of this name (NULL: the unknown one), made if it is not there. Borrowed. */
static json_t *agent_of(struct evidence *e, const char *name)
{
    const char *key = name ? name : "";
    json_t *agent = json_object_get(e->agents, key);

    if (agent)
        return agent;
    agent = json_pack("{s:s?, s:i, s:{s:i, s:i, s:i, s:i, s:i}, s:{}, s:{s:i, s:i, s:i}, s:n, s:[], s:[]}",
                      "agent_id", name, "calls", 0, "alerts", "critical", 0, "warning", 0, "info", 0, "open",
                      0, "unacked", 0, "alert_kinds", "looked_at", "calls", 0, "http_402", 0, "http_429", 0,
                      "largest", "budgets", "pauses");
    if (json_object_set_new(e->agents, key, agent) != 0)
        return NULL;
    return agent;
}

/* The agent of this name, if it is there. */
static json_t *known_agent(const struct evidence *e, const char *name)
{
    return json_object_get(e->agents, name ? name : "");
}

/* --------------------------------------------------------------------- calls */

/* Its sums; and which time it is that everything else is asked for. */
static int usage_gather(struct evidence *e)
{
    struct cli q = query_of(e->c, (struct cli_param[]){ { "group_by", "agent_id", false },
                                                        { "from", cli_param(e->c, "from"), false },
                                                        { "to", cli_param(e->c, "to"), false },
                                                        { "agent_id", cli_param(e->c, "agent_id"), false },
                                                        { "limit", AGENTS_MAX, false },
                                                        { NULL, NULL, false } });
    int status = CLI_FAILED;
    json_t *answer = cli_json(&q, "/v1/usage", true, &status), *row;
    size_t i;

    if (!answer)
        return status;
    status = yield_add(&q, answer, false);
    json_array_foreach(json_object_get(answer, "rows"), i, row)
    {
        json_t *agent = agent_of(e, json_string_value(json_object_get(row, "agent_id")));
        if (agent)
            json_object_update(agent, row);
    }
    static const char *const times[] = { "from", "from_ms", "to", "to_ms" };
    for (i = 0; i < sizeof times / sizeof *times; i++)
        json_object_set(e->out, times[i], json_object_get(answer, times[i]));
    json_object_set(e->out, "agents_truncated", json_object_get(answer, "truncated"));
    snprintf(e->from, sizeof e->from, "%" PRId64, row_number(answer, "from_ms"));
    snprintf(e->to, sizeof e->to, "%" PRId64, row_number(answer, "to_ms"));
    json_decref(answer);
    return status;
}

/* By cost, then by tokens. */
static bool is_larger(const json_t *call, const json_t *than)
{
    int64_t tokens = 0, most = 0;

    if (row_number(call, "cost_nanousd") != row_number(than, "cost_nanousd"))
        return row_number(call, "cost_nanousd") > row_number(than, "cost_nanousd");
    return row_tokens(call, &tokens) && (!row_tokens(than, &most) || tokens > most);
}

/* The larger of two calls stands as the event that it is until all have been seen. */
static void call_add(struct evidence *e, json_t *call)
{
    json_t *agent = known_agent(e, json_string_value(json_object_get(call, "agent_id")));
    json_t *looked = json_object_get(agent, "looked_at");
    int64_t http = row_number(call, "http_status");

    e->looked++;
    e->since_ms =
        e->looked == 1 || row_number(call, "ts_ms") < e->since_ms ? row_number(call, "ts_ms") : e->since_ms;
    if (!agent)
        return;
    count(looked, "calls", 1);
    if (http == 402 || http == 429)
        count(looked, http == 402 ? "http_402" : "http_429", 1);
    if (is_larger(call, json_object_get(agent, "largest")))
        json_object_set(agent, "largest", call);
}

/* What is told of the largest call. */
static void largest_finish(json_t *agent)
{
    static const char *const told[] = { "event_id", "ts_ms", "session_id", "model", "cost_nanousd" };
    json_t *call = json_object_get(agent, "largest"), *largest;
    int64_t tokens;

    if (!json_is_object(call) || !(largest = json_object()))
        return;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        json_object_set(largest, told[i], json_object_get(call, told[i]));
    json_object_set_new(largest, "tokens", row_tokens(call, &tokens) ? json_integer(tokens) : json_null());
    json_object_set_new(agent, "largest", largest);
}

/* Pages of a list, each row handed to take, until there are no more, or most have come. *all: there are no
 * more. after: where it goes on; an answer's `end` or a null `next` is the end. */
static int pages_gather(struct evidence *e, const char *path, const char *rows, int64_t most,
                        void (*take)(struct evidence *e, json_t *row), bool *all)
{
    char after[CLI_TEXT] = "", limit[CLI_TEXT];
    int status = CLI_OK;

    *all = false;
    while (!*all && most > 0) {
        snprintf(limit, sizeof limit, "%" PRId64, most < PAGE_MAX ? most : PAGE_MAX);
        struct cli q =
            query_of(e->c, (struct cli_param[]){ { "from", e->from, false },
                                                 { "to", e->to, false },
                                                 { "agent_id", cli_param(e->c, "agent_id"), false },
                                                 { "limit", limit, false },
                                                 { "after", after[0] ? after : NULL, false },
                                                 { NULL, NULL, false } });
        json_t *answer = cli_json(&q, path, true, &status), *row;
        size_t i;
        if (!answer)
            return status;
        json_array_foreach(json_object_get(answer, rows), i, row)
        {
            take(e, row);
        }
        const char *next = json_string_value(json_object_get(answer, "next"));
        *all = !next || json_is_true(json_object_get(answer, "end"));
        most -= (int64_t)json_array_size(json_object_get(answer, rows));
        snprintf(after, sizeof after, "%s", next ? next : "");
        json_decref(answer);
    }
    return CLI_OK;
}

static int looked_gather(struct evidence *e, int64_t most)
{
    bool all;
    json_t *agent;
    const char *name;
    int status = pages_gather(e, "/v1/events", "events", most, call_add, &all);

    json_object_foreach(e->agents, name, agent)
    {
        largest_finish(agent);
    }
    json_object_set_new(e->out, "looked_at",
                        json_pack("{s:I, s:o, s:b}", "calls", (json_int_t)e->looked, "since_ms",
                                  e->looked > 0 ? json_integer(e->since_ms) : json_null(), "all", (int)all));
    return status;
}

/* -------------------------------------------------------------------- alerts */

static int severity_rank(const char *severity)
{
    return strcmp(severity, "critical") == 0 ? 2 : strcmp(severity, "warning") == 0;
}

/* The newest comes first, and its title stays. */
static void kind_add(json_t *kinds, const json_t *alert, const char *severity, bool open)
{
    const char *kind = row_text(alert, "kind", "?");
    json_t *entry = json_object_get(kinds, kind);

    if (!entry) {
        entry = json_pack("{s:s, s:s, s:i, s:i, s:i, s:I, s:s}", "kind", kind, "severity", severity, "alerts",
                          0, "times", 0, "open", 0, "last_ms", (json_int_t)row_number(alert, "last_ms"),
                          "title", row_text(alert, "title", ""));
        if (json_object_set_new(kinds, kind, entry) != 0)
            return;
    }
    count(entry, "alerts", 1);
    count(entry, "times", row_number(alert, "count"));
    count(entry, "open", open);
    if (row_number(alert, "last_ms") > row_number(entry, "last_ms"))
        json_object_set(entry, "last_ms", json_object_get(alert, "last_ms"));
    if (severity_rank(severity) > severity_rank(row_text(entry, "severity", "")))
        json_object_set_new(entry, "severity", json_string(severity));
}

static void alert_add(struct evidence *e, json_t *alert)
{
    const char *name = json_string_value(json_object_get(json_object_get(alert, "subject"), "agent"));
    const char *severity = row_text(alert, "severity", "info");
    json_t *agent = name ? agent_of(e, name) : NULL, *sums = json_object_get(agent, "alerts");
    bool open = !row_known(alert, "ended_ms");

    if (!agent)
        return;
    count(sums, severity, 1);
    count(sums, "open", open);
    count(sums, "unacked", !row_known(alert, "acked_ms"));
    kind_add(json_object_get(agent, "alert_kinds"), alert, severity, open);
}

static int alerts_gather(struct evidence *e)
{
    bool all;
    int status = pages_gather(e, "/v1/alerts", "alerts", EVIDENCE_ALERTS_MAX, alert_add, &all);

    json_object_set_new(e->out, "alerts_truncated", json_boolean(!all));
    return status;
}

/* ------------------------------------------------------------- what holds now */

/* Whose budget it is if it has no keys: the one agent of its scope; NULL: not one's. */
static const char *only_agent(const json_t *definition)
{
    const char *agent = json_string_value(json_object_get(json_object_get(definition, "scope"), "agent"));

    return agent && !strpbrk(agent, "*\\") ? agent : NULL;
}

static void budget_add(struct evidence *e, json_t *budget)
{
    const json_t *definition = json_object_get(budget, "definition"),
                 *per = json_object_get(definition, "per");
    bool by_agent =
        json_array_size(per) == 1 && strcmp(json_string_value(json_array_get(per, 0)), "agent") == 0;
    json_t *cell;
    size_t i;

    json_array_foreach(json_object_get(budget, "cells"), i, cell)
    {
        const char *name = by_agent ? row_text(cell, "key", NULL) : per ? NULL : only_agent(definition);
        json_t *agent = name ? json_object_get(e->agents, name) : NULL;
        if (agent)
            json_array_append_new(
                json_object_get(agent, "budgets"),
                json_pack("{s:O, s:O, s:O, s:O, s:O, s:O}", "budget", json_object_get(budget, "name"), "unit",
                          json_object_get(budget, "unit"), "spent", json_object_get(cell, "spent"), "limit",
                          json_object_get(cell, "limit"), "state", json_object_get(cell, "state"), "shadow",
                          json_object_get(definition, "shadow")));
    }
}

static void pause_add(struct evidence *e, json_t *pause)
{
    json_t *agent = strcmp(row_text(pause, "field", ""), "agent") == 0
                        ? known_agent(e, json_string_value(json_object_get(pause, "value")))
                        : NULL;

    if (agent)
        json_array_append(json_object_get(agent, "pauses"), pause);
}

static int list_gather(struct evidence *e, const char *path, const char *rows,
                       void (*take)(struct evidence *e, json_t *row))
{
    int status = CLI_OK;
    json_t *answer = cli_json(e->c, path, false, &status), *row;
    size_t i;

    json_array_foreach(json_object_get(answer, rows), i, row)
    {
        take(e, row);
    }
    json_decref(answer);
    return answer ? CLI_OK : status;
}

/* -------------------------------------------------------------------- ordering */

static int down(int64_t a, int64_t b)
{
    return (a < b) - (a > b);
}

static int by_gravity(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int order = down(severity_rank(row_text(x, "severity", "")), severity_rank(row_text(y, "severity", "")));

    return order != 0 ? order : down(row_number(x, "alerts"), row_number(y, "alerts"));
}

static int by_evidence(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    const json_t *xa = json_object_get(x, "alerts"), *ya = json_object_get(y, "alerts");
    double xe = json_number_value(json_object_get(x, "error_rate"));
    double ye = json_number_value(json_object_get(y, "error_rate"));
    int order = down(row_number(xa, "critical"), row_number(ya, "critical"));

    if (order == 0)
        order = down(row_number(xa, "warning"), row_number(ya, "warning"));
    if (order == 0)
        order = (xe < ye) - (xe > ye);
    if (order == 0)
        order = down(row_number(x, "calls"), row_number(y, "calls"));
    return order != 0 ? order : strcmp(row_text(x, "agent_id", ""), row_text(y, "agent_id", ""));
}

/* The values of an object as an array in this order; NULL: no memory. */
static json_t *sorted(json_t *object, int (*order)(const void *a, const void *b))
{
    size_t n = json_object_size(object), i = 0;
    json_t **all = calloc(n + 1, sizeof(json_t *)), *value, *out = all ? json_array() : NULL;
    const char *name;

    if (!out) {
        free(all);
        return NULL;
    }
    json_object_foreach(object, name, value)
    {
        all[i++] = value;
    }
    qsort(all, n, sizeof(json_t *), order);
    for (i = 0; i < n; i++)
        json_array_append(out, all[i]);
    free(all);
    return out;
}

int evidence_gather(const struct cli *c, int64_t calls, json_t **out)
{
    struct evidence e = { .c = c, .agents = json_object(), .out = json_object() };
    json_t *agent;
    const char *name;
    int status = e.agents && e.out ? usage_gather(&e) : cli_fail("out of memory");

    if (status == CLI_OK)
        status = alerts_gather(&e);
    if (status == CLI_OK)
        status = looked_gather(&e, calls);
    if (status == CLI_OK)
        status = list_gather(&e, "/v1/budgets?cells=" CELLS_MAX, "budgets", budget_add);
    if (status == CLI_OK)
        status = list_gather(&e, "/v1/pauses", "pauses", pause_add);
    json_object_foreach(e.agents, name, agent)
    {
        json_object_set_new(agent, "alert_kinds", sorted(json_object_get(agent, "alert_kinds"), by_gravity));
    }
    if (status == CLI_OK && json_object_set_new(e.out, "agents", sorted(e.agents, by_evidence)) != 0)
        status = cli_fail("out of memory");
    json_decref(e.agents);
    if (status == CLI_OK)
        *out = e.out;
    else
        json_decref(e.out);
    return status;
}
