/* SPDX-License-Identifier: MIT */
#include "timeline.h"

#include <stdlib.h>
#include <string.h>

#include "pen.h"
#include "rows.h"

#define DAY_MS      86400000
#define BAR         8 /* characters; half of it where it is narrow */
#define OFFSET_WIDE 9
#define WHAT_MIN    5
#define WHAT_MAX    32
#define TOKENS_WIDE 14
#define STATUS_WIDE 9
#define NARROW      110 /* characters: below it milliseconds are left out */
#define CELL        600 /* bytes: two names of 255 */

#define RED    "31"
#define YELLOW "33"
#define CYAN   "36"
#define DIM    "2"
#define BOLD   "1"

struct timeline {
    struct pen pen;
    const struct timeline_style *style;
    bool narrow;
    size_t what_wide;
    int bar;
    int64_t begin_ms, day, most; /* most tokens of a call */
};

static int by_time(const void *a, const void *b)
{
    const struct timeline_row *x = a, *y = b;

    if (x->ts_ms != y->ts_ms)
        return x->ts_ms < y->ts_ms ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static bool is_call(const struct timeline_row *row)
{
    return !row->session && strcmp(row_text(row->of, "kind", ""), "dispatch") == 0;
}

static int64_t tokens_of(const json_t *event)
{
    int64_t tokens;

    return row_tokens(event, &tokens) ? tokens : 0;
}

/* The model of a call, the kind of a message, the id of a sub-agent's session. */
static void what_of(const struct timeline *t, const struct timeline_row *row, char out[CELL])
{
    const char *branch = !row->session ? "" : t->style->utf8 ? "└ " : "` ";
    const char *name = row->session   ? row_text(row->of, "session_id", "(unknown)")
                       : is_call(row) ? row_text(row->of, "model", "(unknown)")
                                      : row_text(row->of, "kind", "(unknown)");

    snprintf(out, CELL, "%*s%s%s", (int)(2 * (row->depth - (row->depth > 0 && row->session))), "", branch,
             name);
}

/* ------------------------------------------------------------------- cells */

static void time_add(struct timeline *t, const struct timeline_row *row)
{
    char text[CLI_TEXT], offset[CLI_TEXT], signed_offset[CLI_TEXT + 1];
    int64_t since = row->ts_ms - t->begin_ms;

    human_time(row->ts_ms, text);
    if (!t->narrow)
        snprintf(text + strlen(text), CLI_TEXT - 32, ".%03d", (int)(row->ts_ms % 1000));
    pen_cell(&t->pen, text + 11, 0, true, NULL);
    human_ms(llabs(since), offset);
    snprintf(signed_offset, sizeof signed_offset, "%c%s", since < 0 ? '-' : '+', offset);
    pen_cell(&t->pen, signed_offset, OFFSET_WIDE, false, DIM);
}

/* "18.2 k + 402": prompt and completion, as far as they are known. */
static void tokens_add(struct timeline *t, const struct timeline_row *row)
{
    char text[3 * CLI_TEXT] = "", in[CLI_TEXT] = "-", out[CLI_TEXT] = "-";
    const char *code = NULL;

    if (row->session) {
        human_si(row_number(row->of, "tokens"), text);
        code = DIM;
    } else if (is_call(row) &&
               (row_known(row->of, "prompt_tokens") || row_known(row->of, "completion_tokens"))) {
        if (row_known(row->of, "prompt_tokens"))
            human_si(row_number(row->of, "prompt_tokens"), in);
        if (row_known(row->of, "completion_tokens"))
            human_si(row_number(row->of, "completion_tokens"), out);
        snprintf(text, sizeof text, "%s + %s", in, out);
    } else if (is_call(row)) {
        snprintf(text, sizeof text, "-");
    }
    pen_cell(&t->pen, text, TOKENS_WIDE - t->narrow, false, code);
}

/* The call's tokens against the largest call's; what came from the cache is drawn lighter. */
static void bar_add(struct timeline *t, const struct timeline_row *row)
{
    const char *full = t->style->utf8 ? "█" : "#", *light = t->style->utf8 ? "░" : ".";
    int64_t tokens = is_call(row) ? tokens_of(row->of) : 0;
    int64_t cached = row_number(row->of, "cached_tokens");
    char text[BAR * 4] = "";
    int cells = 0, lighter = 0;
    size_t used = 0;

    if (tokens > 0 && t->most > 0) {
        cells = (int)((double)tokens / (double)t->most * t->bar + 0.5);
        cells = cells < 1 ? 1 : cells > t->bar ? t->bar : cells;
        lighter = (int)((double)cached / (double)tokens * cells + 0.5);
    }
    for (int i = 0; i < cells; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", i < cells - lighter ? full : light);
    pen_cell(&t->pen, text, (size_t)t->bar, true, NULL);
}

static void latency_add(struct timeline *t, const struct timeline_row *row)
{
    const char *name = row->session ? "duration_ms" : "latency_ms";
    char text[CLI_TEXT] = "";

    if (row_known(row->of, name))
        human_ms(row_number(row->of, name), text);
    else if (is_call(row))
        snprintf(text, sizeof text, "-");
    pen_cell(&t->pen, text, 8, false, NULL);
}

static const char *status_code(const char *status)
{
    if (strcmp(status, "error") == 0 || strcmp(status, "timeout") == 0 || strcmp(status, "failed") == 0)
        return RED;
    if (strcmp(status, "ok") == 0 || strcmp(status, "delivered") == 0 || strcmp(status, "observed") == 0)
        return NULL;
    return YELLOW;
}

static void status_add(struct timeline *t, const struct timeline_row *row)
{
    int64_t errors = row->session ? row_number(row->of, "errors") : 0;
    const char *status = row->session ? "" : row_text(row->of, is_call(row) ? "status" : "outcome", "-");
    char text[CLI_TEXT + 16];

    if (!row->session) {
        pen_cell(&t->pen, status, STATUS_WIDE, true, status_code(status));
        return;
    }
    snprintf(text, sizeof text, errors == 1 ? "%lld error" : "%lld errors", (long long)errors);
    pen_cell(&t->pen, errors ? text : "", STATUS_WIDE, true, RED);
}

/* What an event tells besides: why it failed, the tool, where a message went. */
static void event_details(struct timeline *t, const json_t *event, bool call)
{
    char text[CLI_TEXT];

    pen_cell(&t->pen, row_cost(event, text) ? text : "", 0, true, NULL);
    pen_cell(&t->pen, row_text(event, "error_type", ""), 0, true, RED);
    if (row_number(event, "partial") > 0)
        pen_cell(&t->pen, "partial", 0, true, YELLOW);
    snprintf(text, sizeof text, "attempt %lld", (long long)row_number(event, "attempt"));
    pen_cell(&t->pen, row_number(event, "attempt") > 1 ? text : "", 0, true, YELLOW);
    pen_cell(&t->pen, row_text(event, call ? "tool_used" : "surface", ""), 0, true, NULL);
    pen_cell(&t->pen, row_text(event, call ? "" : "channel", ""), 0, true, NULL);
}

static void session_details(struct timeline *t, const json_t *session)
{
    char text[CLI_TEXT + 8], count[CLI_TEXT];
    int64_t calls = row_number(session, "calls");

    human_count(calls, count);
    snprintf(text, sizeof text, calls == 1 ? "%s call" : "%s calls", count);
    pen_cell(&t->pen, text, 0, true, NULL);
    pen_cell(&t->pen, row_text(session, "agent_id", ""), 0, true, NULL);
    pen_cell(&t->pen, row_cost(session, text) ? text : "", 0, true, NULL);
}

static void row_print(struct timeline *t, const struct timeline_row *row)
{
    const char *code = row->session ? CYAN : is_call(row) ? NULL : DIM;
    char what[CELL];

    time_add(t, row);
    what_of(t, row, what);
    pen_cell(&t->pen, what, t->what_wide, true, code);
    tokens_add(t, row);
    bar_add(t, row);
    latency_add(t, row);
    status_add(t, row);
    if (row->session)
        session_details(t, row->of);
    else
        event_details(t, row->of, is_call(row));
    pen_end(&t->pen);
}

/* ------------------------------------------------------------------- whole */

static void head_print(struct timeline *t)
{
    pen_cell(&t->pen, "TIME", t->narrow ? 8 : 12, true, BOLD);
    pen_cell(&t->pen, "OFFSET", OFFSET_WIDE, false, BOLD);
    pen_cell(&t->pen, "CALL", t->what_wide, true, BOLD);
    pen_cell(&t->pen, "TOKENS", TOKENS_WIDE - t->narrow, false, BOLD);
    pen_cell(&t->pen, "", (size_t)t->bar, true, NULL);
    pen_cell(&t->pen, "LATENCY", 8, false, BOLD);
    pen_cell(&t->pen, "STATUS", STATUS_WIDE, true, BOLD);
    pen_cell(&t->pen, "TOOL", 0, true, BOLD);
    pen_end(&t->pen);
}

/* Where a new day begins its date stands alone. */
static void day_print(struct timeline *t, int64_t ts_ms)
{
    int64_t day = ts_ms / DAY_MS;
    char text[CLI_TEXT];

    if (day == t->day)
        return;
    t->day = day;
    human_time(ts_ms, text);
    snprintf(text + 10, 7, " (UTC)");
    pen_cell(&t->pen, text, 0, true, DIM);
    pen_end(&t->pen);
}

static void measure(struct timeline *t, const struct timeline_row *rows, size_t n)
{
    char what[CELL];

    t->what_wide = WHAT_MIN;
    for (size_t i = 0; i < n; i++) {
        what_of(t, &rows[i], what);
        size_t wide = human_width(what);
        t->what_wide = wide > t->what_wide ? wide : t->what_wide;
        int64_t tokens = is_call(&rows[i]) ? tokens_of(rows[i].of) : 0;
        t->most = tokens > t->most ? tokens : t->most;
    }
    t->what_wide = t->what_wide < WHAT_MAX ? t->what_wide : WHAT_MAX;
}

void timeline_print(FILE *to, struct timeline_row *rows, size_t n, int64_t begin_ms,
                    const struct timeline_style *style)
{
    bool narrow = style->width && style->width < NARROW;
    struct timeline t = {
        .pen = { .to = to, .width = style->width, .indent = narrow ? 8 : 12, .colour = style->colour },
        .style = style,
        .narrow = narrow,
        .bar = narrow ? BAR / 2 : BAR,
        .begin_ms = begin_ms,
        .day = -1
    };

    for (size_t i = 0; i < n; i++)
        rows[i].order = i;
    if (n > 0)
        qsort(rows, n, sizeof *rows, by_time);
    measure(&t, rows, n);
    head_print(&t);
    for (size_t i = 0; i < n; i++) {
        day_print(&t, rows[i].ts_ms);
        row_print(&t, &rows[i]);
    }
}
