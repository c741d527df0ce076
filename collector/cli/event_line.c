/* SPDX-License-Identifier: MIT */
#include "event_line.h"

#include <string.h>

#include "rows.h"

const char *const event_heads[EVENT_COLUMNS] = { "TIME",   "KIND",       "AGENT", "MODEL",   "STATUS",
                                                 "PROMPT", "COMPLETION", "COST",  "LATENCY", "SESSION" };

static const char *text(const json_t *event, const char *name)
{
    const char *s = json_string_value(json_object_get(event, name));

    return s ? s : "-";
}

static void number(const json_t *event, const char *name, void (*human)(int64_t, char *), char *out)
{
    json_t *n = json_object_get(event, name);

    snprintf(out, EVENT_CELL, "-");
    if (json_is_integer(n))
        human(json_integer_value(n), out);
}

/* A message has no model and no status, but a surface and an outcome. */
void event_cells(const json_t *event, char cell[EVENT_COLUMNS][EVENT_CELL])
{
    bool dispatch = strcmp(text(event, "kind"), "dispatch") == 0;
    const char *error = text(event, "error_type"), *status = text(event, dispatch ? "status" : "outcome");
    const char *ts = text(event, "ts");
    char cost[CLI_TEXT];

    snprintf(cell[0], EVENT_CELL, "%.10s %.12s", ts, strlen(ts) > 11 ? ts + 11 : "");
    snprintf(cell[1], EVENT_CELL, "%s", text(event, "kind"));
    snprintf(cell[2], EVENT_CELL, "%s",
             text(event, json_object_get(event, "agent_id") ? "agent_id" : "source"));
    snprintf(cell[3], EVENT_CELL, "%s", text(event, dispatch ? "model" : "surface"));
    if (strcmp(error, "-") != 0)
        snprintf(cell[4], EVENT_CELL, "%.40s (%.200s)", status, error);
    else
        snprintf(cell[4], EVENT_CELL, "%s", status);
    number(event, "prompt_tokens", human_si, cell[5]);
    number(event, "completion_tokens", human_si, cell[6]);
    snprintf(cell[7], EVENT_CELL, "%s", row_cost(event, cost) ? cost : "-");
    number(event, "latency_ms", human_ms, cell[8]);
    snprintf(cell[9], EVENT_CELL, "%s", text(event, "session_id"));
}
