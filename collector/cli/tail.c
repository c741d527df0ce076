/* SPDX-License-Identifier: MIT
 *
 * tail: follows the log by long polls from the cursor of the last answer. A collector that goes away
 * is waited for; the cursor outlives it, so nothing is missed. SIGINT and SIGTERM end the wait, never
 * a line.
 */
#include <poll.h>
#include <string.h>

#include "event_line.h"

#define WAIT      "20s"
#define TIMEOUT_S 40
#define RETRY_MS  1000

static const char help[] =
    "usage: tollgate tail [--kind KIND] [FILTER...] [--json]\n"
    "\n"
    "  --kind KIND     dispatch (default), message, report, all, or one kind of message\n"
    "  --agent, --model, --session, ...   only these; several separated by commas\n"
    "  --json          one JSON object an event\n"
    "\n"
    "Begins with the next event; ends with an interrupt; waits for a collector that restarts.\n"
    "A cost is by the collector's prices; with a *: as the gateway reported it, without a price; -: not "
    "known.\n"
    "\n"
    "  tollgate tail\n"
    "  tollgate tail --kind all --session s-42\n"
    "  tollgate tail --status error,timeout --json | jq .error_type\n";

static void line_print(const json_t *event, bool as_json)
{
    static const int widths[EVENT_COLUMNS] = { 0, 8, 16, 24, 10, 8, 8, 10, 9, 0 };
    char cell[EVENT_COLUMNS][EVENT_CELL];

    if (as_json) {
        json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* a terminal obeys U+0080-9F */
        putchar('\n');
        return;
    }
    event_cells(event, cell);
    for (int c = 0; c < EVENT_COLUMNS; c++) {
        int pad = widths[c] - (int)strlen(cell[c]);
        bool left = c < 5 || c == EVENT_COLUMNS - 1;
        printf("%*s", left || pad < 0 ? 0 : pad, "");
        human_text(stdout, cell[c]);
        printf("%*s", left && pad > 0 ? pad : 0, "");
        fputs(c + 1 < EVENT_COLUMNS ? "  " : "\n", stdout);
    }
}

/* Prints a page and remembers its cursor. False: the answer makes no sense. */
static bool page_print(const struct cli_answer *a, bool as_json, char *after, size_t size)
{
    json_t *page = json_loadb(a->body ? a->body : "", a->len, 0, NULL),
           *events = json_object_get(page, "events");
    const char *next = json_string_value(json_object_get(page, "next"));

    if (next) {
        for (size_t i = 0; i < json_array_size(events); i++)
            line_print(json_array_get(events, i), as_json);
        snprintf(after, size, "%s", next);
    }
    json_decref(page);
    return next != NULL;
}

/* Asks until a signal comes. A refusal ends it, an absence does not, if there was an answer before. */
static int follow(struct cli *c, bool as_json)
{
    /* There is room: with order and limit these are CLI_PARAMS_OWN. */
    struct cli_param *after = &c->param[c->params++], *wait = &c->param[c->params];
    char cursor[64] = "end";
    bool answered = false, told = false;
    int status = CLI_OK;

    while (!cli_stopped() && status == CLI_OK) {
        struct cli_answer a;
        *after = (struct cli_param){ "after", cursor, false };
        cli_get(c, "/v1/events", true, TIMEOUT_S, &a);
        if (a.status == 200 && page_print(&a, as_json, cursor, sizeof cursor)) {
            if (!answered) /* the first answer comes at once, with the cursor to start from */
                c->params++;
            *wait = (struct cli_param){ "wait", WAIT, false };
            answered = true;
            told = false;
            if (fflush(stdout) != 0)
                status = CLI_FAILED;
        } else if (!cli_stopped() && (!answered || (a.status >= 400 && a.status < 500))) {
            status = cli_complain(c, &a);
        } else if (!cli_stopped()) {
            if (!told)
                fprintf(stderr, "tollgate: %s: gone; waiting for it to come back\n", c->url);
            told = true;
            poll(NULL, 0, RETRY_MS); /* a signal ends it */
        }
        cli_answer_fini(&a);
    }
    return status;
}

int command_tail(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = { { "kind", "kind", NULL }, { "json", NULL, &as_json }, { 0 } };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, true, help);

    if (status >= 0)
        return status;
    c.stopped = cli_stopped;
    cli_catch_signals();
    cli_param_default(&c, "order", "asc");
    cli_param_default(&c, "limit", "1000");
    return follow(&c, as_json);
}
