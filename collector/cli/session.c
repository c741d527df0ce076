/* SPDX-License-Identifier: MIT
 *
 * session: what one session did, call by call. The pages of its events are kept until all is drawn.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"
#include "timeline.h"

#define PREFIX      "/v1/sessions/"
#define PAGE        1000
#define SHOWN       500    /* events without --limit */
#define SHOWN_MAX   100000 /* events with it */
#define BENEATH_MAX 100    /* sub-agents whose calls are shown with --tree */

static const char help[] =
    "usage: tollgate session ID [--tree] [--source NAME] [--limit N] [--after CURSOR] [--json]\n"
    "\n"
    "One line for each call, message and sub-agent, in the order of their times.\n"
    "\n"
    "  --tree          the calls of its sub-agents too\n"
    "  --source NAME   only what this gateway told\n"
    "  --limit N       500 events if not given\n"
    "  --after CURSOR  goes on where the page before ended, which says the cursor\n"
    "  --json          one page, for programs\n"
    "\n" COST_HELP "\n"
    "  tollgate session s-42\n"
    "  tollgate session s-42 --tree | less -R\n"
    "  tollgate sessions                     # tells the IDs\n";

struct view {
    const struct cli *c;      /* borrowed */
    json_t *kept;             /* owned: the pages that rows point into */
    json_t *first;            /* borrowed: the page with the session itself */
    struct timeline_row *row; /* owned */
    size_t rows, room;
    unsigned cut; /* sub-agents that have more events than are kept */
};

static void row_add(struct view *v, struct timeline_row row)
{
    if (v->rows == v->room) {
        v->room = v->room ? 2 * v->room : 256;
        v->row = realloc(v->row, v->room * sizeof *v->row);
        if (!v->row) {
            cli_fail("out of memory");
            exit(CLI_FAILED);
        }
    }
    v->row[v->rows++] = row;
}

/* A page of a session's events. NULL: told on stderr, *status. Kept. */
static json_t *page_get(struct view *v, const char *id, const char *source, const char *after, int64_t limit,
                        int *status)
{
    struct cli q = { .url = v->c->url, .token = v->c->token };
    char *path = cli_path(PREFIX, id), count[CLI_TEXT];
    json_t *page = NULL;

    snprintf(count, sizeof count, "%" PRId64, limit < PAGE ? limit : PAGE);
    cli_param_default(&q, "limit", count);
    if (after)
        cli_param_default(&q, "after", after);
    if (source)
        cli_param_default(&q, "source", source);
    *status = CLI_FAILED;
    if (path)
        page = cli_json(&q, path, true, status);
    free(path);
    if (page)
        json_array_append_new(v->kept, page);
    return page;
}

/* Returns how many. */
static int64_t events_add(struct view *v, const json_t *events, unsigned depth)
{
    size_t n = json_array_size(events);

    for (size_t i = 0; i < n; i++) {
        const json_t *event = json_array_get(events, i);
        row_add(v, (struct timeline_row){ row_number(event, "ts_ms"), depth, false, event, 0 });
    }
    return (int64_t)n;
}

/* Up to limit events of one session; *next: where it goes on, or NULL. The first page, or NULL. */
static json_t *events_get(struct view *v, const char *id, const char *source, const char *after,
                          int64_t limit, unsigned depth, const char **next, int *status)
{
    json_t *first = NULL, *page;

    *next = after;
    while ((page = page_get(v, id, source, *next, limit, status)) != NULL) {
        limit -= events_add(v, json_object_get(page, "events"), depth);
        first = first ? first : page;
        *next = json_string_value(json_object_get(page, "next"));
        if (!*next || limit <= 0)
            return first;
    }
    return NULL;
}

/* A page that is full has a cursor, whether or not anything stands behind it. Who cannot be asked
 * may have more. */
static bool is_cut(struct view *v, const char *id, const char *source, const char *next)
{
    int status;
    json_t *page = next ? page_get(v, id, source, next, 1, &status) : NULL;

    return next && (!page || json_array_size(json_object_get(page, "events")) > 0);
}

/* The sub-agents: a line each, and with tree their calls. */
static int beneath_get(struct view *v, bool tree, int64_t limit)
{
    const json_t *beneath = json_object_get(v->first, "beneath");
    int status = CLI_OK;

    for (size_t i = 0; i < json_array_size(beneath); i++) {
        const json_t *session = json_array_get(beneath, i);
        const char *next = NULL;
        unsigned depth = (unsigned)row_number(session, "depth");
        row_add(v, (struct timeline_row){ row_number(session, "first_ms"), depth, true, session, 0 });
        const char *id = row_text(session, "session_id", NULL);
        if (tree && id && i < BENEATH_MAX &&
            !events_get(v, id, cli_param(v->c, "source"), NULL, limit, depth, &next, &status))
            return status;
        v->cut += is_cut(v, id, cli_param(v->c, "source"), next);
    }
    return CLI_OK;
}

/* -------------------------------------------------------------------- head */

static void line(const char *name, const char *text)
{
    printf("%-12s", name);
    human_text(stdout, text);
    putchar('\n');
}

static void who_show(const json_t *s)
{
    const char *surface = row_text(s, "surface", NULL), *channel = row_text(s, "channel", NULL);
    char text[1200];

    line("session", row_text(s, "session_id", "(unknown)"));
    if (row_text(s, "parent_session_id", NULL))
        line("beneath", row_text(s, "parent_session_id", ""));
    snprintf(text, sizeof text, "%s, %s (%s)", row_text(s, "agent_id", "(unknown)"),
             row_text(s, "model", "no model"), row_text(s, "provider", "unknown provider"));
    line("agent", text);
    snprintf(text, sizeof text, "%s%s%s%s%s", row_text(s, "source", "(unknown)"), surface ? ", " : "",
             surface ? surface : "", channel ? "/" : "", channel ? channel : "");
    line("source", text);
}

static void when_show(const json_t *s)
{
    char from[CLI_TEXT], to[CLI_TEXT], took[CLI_TEXT], text[4 * CLI_TEXT];

    human_time(row_number(s, "first_ms"), from);
    human_time(row_number(s, "last_ms"), to);
    human_ms(row_number(s, "duration_ms"), took);
    bool one_day = strncmp(from, to, 10) == 0;
    snprintf(text, sizeof text, "%sZ to %sZ, %s", from, to + (one_day ? 11 : 0), took);
    line("time", text);
}

/* "12 calls, 1 error, 210 k tokens (81 % cached), $0.42, 3 calls unpriced" */
static void sums_text(const json_t *sums, char *out, size_t size)
{
    char calls[CLI_TEXT], errors[CLI_TEXT], tokens[CLI_TEXT], rate[CLI_TEXT], cost[CLI_TEXT];
    int64_t n = row_number(sums, "calls"), failed = row_number(sums, "errors");
    size_t used;

    human_count(n, calls);
    human_count(failed, errors);
    human_si(row_number(sums, "tokens"), tokens);
    used = (size_t)snprintf(out, size, "%s %s, %s %s, %s tokens", calls, n == 1 ? "call" : "calls", errors,
                            failed == 1 ? "error" : "errors", tokens);
    if (row_known(sums, "cache_hit_rate") && used < size) {
        human_rate(json_number_value(json_object_get(sums, "cache_hit_rate")), rate);
        used += (size_t)snprintf(out + used, size - used, " (%s of the prompt cached)", rate);
    }
    if (row_cost(sums, cost) && used < size)
        used += (size_t)snprintf(out + used, size - used, ", %s", cost);
    if (row_unpriced(sums, cost) && used < size)
        snprintf(out + used, size - used, ", %s", cost);
}

static void head_show(const json_t *answer)
{
    json_t *s = json_object_get(answer, "session"), *beneath = json_object_get(answer, "beneath");
    char text[512], count[CLI_TEXT];

    who_show(s);
    when_show(s);
    sums_text(s, text, sizeof text);
    line("sums", text);
    if (row_number(s, "messages") > 0) {
        human_count(row_number(s, "messages"), count);
        line("messages", count);
    }
    if (json_array_size(beneath) > 0) {
        human_count((int64_t)json_array_size(beneath), count);
        line("sub-agents", count);
        sums_text(json_object_get(answer, "tree"), text, sizeof text);
        line("all", text);
    }
    putchar('\n');
}

/* ----------------------------------------------------------------- command */

static int show(const struct cli *c, int64_t limit, bool tree)
{
    struct timeline_style style = { cli_width(), cli_colour(), cli_utf8() };
    struct view v = { .c = c, .kept = json_array() };
    const char *next;
    int status = CLI_OK;

    v.first = events_get(&v, c->operand[0], cli_param(c, "source"), cli_param(c, "after"), limit, 0, &next,
                         &status);
    if (v.first && (status = beneath_get(&v, tree, limit)) == CLI_OK) {
        json_t *session = json_object_get(v.first, "session");
        head_show(v.first);
        timeline_print(stdout, v.row, v.rows, row_number(session, "first_ms"), &style);
        if (is_cut(&v, c->operand[0], cli_param(c, "source"), next))
            printf("there are more (--limit, --after %s)\n", next);
        if (json_is_true(json_object_get(v.first, "truncated")))
            printf("there are more sub-agents\n");
        if (tree && json_array_size(json_object_get(v.first, "beneath")) > BENEATH_MAX)
            printf("only of the first %d sub-agents the calls are shown\n", BENEATH_MAX);
        if (v.cut > 0)
            printf("of %u sub-agent%s only the first %" PRId64 " events are shown (--limit)\n", v.cut,
                   v.cut == 1 ? "" : "s", limit);
    }
    free(v.row);
    json_decref(v.kept);
    return status;
}

int command_session(int argc, char **argv)
{
    bool as_json = false, tree = false;
    const struct cli_option options[] = {
        { "source", "source", NULL }, { "limit", "limit", NULL }, { "after", "after", NULL },
        { "tree", NULL, &tree },      { "json", NULL, &as_json }, { 0 },
    };
    struct cli c = { .operands_min = 1, .operands_max = 1 };
    int64_t limit = SHOWN;
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (cli_number(&c, "limit", SHOWN_MAX, &limit) != 0)
        return CLI_USAGE;
    if (!as_json)
        return show(&c, limit, tree);
    char *path = cli_path(PREFIX, c.operand[0]);
    status = path ? cli_copy(&c, path) : cli_fail("out of memory");
    free(path);
    return status;
}
