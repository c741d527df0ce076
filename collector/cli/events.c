/* SPDX-License-Identifier: MIT */
#include "event_line.h"

static const char help[] =
    "usage: tollgate events [--kind KIND] [--from TIME] [--to TIME] [--order asc|desc] [--limit N]\n"
    "                       [FILTER...] [--superseded] [--json | --csv]\n"
    "\n"
    "  --kind KIND     dispatch (default), message, report, all, or one kind of message: message_received,\n"
    "                  message_sending, message_sent, agent_end, before_agent_finalize\n"
    "  --from, --to    RFC 3339, Unix milliseconds, or relative: -24h, -15m, -7d\n"
    "  --agent, --model, --session, --run, --response, --event, ...   only these\n"
    "  --superseded    also records that a final or a finer one has replaced\n"
    "  --json, --csv   one line an event, for programs; without --limit all of them\n"
    "\n"
    "A cost is by the collector's prices; with a *: as the gateway reported it, without a price; -: not "
    "known.\n"
    "\n"
    "  tollgate events --agent researcher --status error --limit 20\n"
    "  tollgate events --kind all --session s-42 --order asc\n"
    "  tollgate events --from 2026-11-01 --to 2026-12-01 --json > november.ndjson\n";

static void show(const json_t *answer)
{
    char cell[EVENT_COLUMNS][EVENT_CELL];
    json_t *events = json_object_get(answer, "events");
    struct table t;

    table_init(&t, EVENT_COLUMNS);
    for (unsigned c = 0; c < EVENT_COLUMNS; c++) {
        if (c < 5 || c == EVENT_COLUMNS - 1)
            table_left(&t, c);
        table_add(&t, event_heads[c]);
    }
    for (size_t i = 0; i < json_array_size(events); i++) {
        event_cells(json_array_get(events, i), cell);
        for (unsigned c = 0; c < EVENT_COLUMNS; c++)
            table_add(&t, cell[c]);
    }
    table_print(&t);
    if (!json_is_true(json_object_get(answer, "end")))
        printf("there are more (--limit, --json, --csv)\n");
}

int command_events(int argc, char **argv)
{
    bool as_json = false, as_csv = false, superseded = false;
    const struct cli_option options[] = {
        { "kind", "kind", NULL },   { "from", "from", NULL },   { "to", "to", NULL },
        { "order", "order", NULL }, { "limit", "limit", NULL }, { "superseded", NULL, &superseded },
        { "json", NULL, &as_json }, { "csv", NULL, &as_csv },   { 0 },
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, true, help);

    if (status >= 0)
        return status;
    if (superseded)
        cli_param_default(&c, "superseded", "true");
    cli_param_default(&c, "format", as_csv ? "csv" : as_json ? "ndjson" : "json");
    if (as_csv || as_json)
        return cli_copy(&c, "/v1/events");
    json_t *answer = cli_json(&c, "/v1/events", true, &status);
    if (!answer)
        return status;
    show(answer);
    json_decref(answer);
    return CLI_OK;
}
