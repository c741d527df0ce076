/* SPDX-License-Identifier: MIT
 *
 * alert_show: one alert for people: what it says, whom it is about, the numbers behind it, who was told.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "alerts.h"

#define NAME_WIDTH     16 /* characters of the column of names, with what stands before them, at least */
#define NAME_WIDTH_MAX 32
#define INSTANT_FROM   ((int64_t)1000000000000) /* milliseconds: later than 2001 is no duration */

static void line_begin(const char *name, unsigned indent, size_t wide)
{
    int pad = (int)wide - (int)indent - (int)human_width(name);

    printf("%*s", (int)indent, "");
    human_text(stdout, name);
    printf("%*s", pad > 1 ? pad : 1, "");
}

static void line(const char *name, const char *text)
{
    line_begin(name, 0, NAME_WIDTH);
    human_text(stdout, text);
    putchar('\n');
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), n = strlen(end);

    return len > n && strcmp(name + len - n, end) == 0;
}

/* ------------------------------------------------------------------ evidence */

/* Whether a number of this name is an amount in the evidence's unit. */
static bool is_amount(const char *name)
{
    static const char *const names[] = { "spent",     "reserved", "presumed", "limit",      "left",
                                         "projected", "amount",   "value",    "per_minute", "per_hour" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* A unit that budgets have, else NULL: others are shown as they are told. */
static const char *amount_unit(const char *name)
{
    bool known =
        name && (strcmp(name, "usd") == 0 || strcmp(name, "tokens") == 0 || strcmp(name, "calls") == 0);

    return known ? name : NULL;
}

/* By the unit in its name, or that of the whole. */
static void integer_text(const char *name, int64_t n, const char *unit, char out[2 * CLI_TEXT])
{
    char text[CLI_TEXT];

    if (strncmp(name, "window_", 7) == 0 && n == 0)
        snprintf(text, sizeof text, "-"); /* it has always been open */
    else if (ends_with(name, "_ms") && n >= INSTANT_FROM)
        human_until(n, wall_ms(), text);
    else if (ends_with(name, "_ms"))
        human_ms(n, text);
    else if (ends_with(name, "_nanousd"))
        amount_exact("usd", n, text);
    else if (ends_with(name, "_bytes"))
        human_bytes(n, text);
    else if (unit && is_amount(name))
        amount_exact(unit, n, text);
    else if (ends_with(name, "_id") || ends_with(name, "_event"))
        snprintf(text, sizeof text, "%" PRId64, n);
    else
        human_count(n, text);
    snprintf(out, 2 * CLI_TEXT, "%s%s", text, strcmp(name, "percent") == 0 ? " %" : "");
}

static void value_show(const char *name, const json_t *value, const char *unit)
{
    char text[2 * CLI_TEXT] = "-";
    char *dumped = NULL;

    if (json_is_integer(value))
        integer_text(name, json_integer_value(value), unit, text);
    else if (json_is_boolean(value))
        snprintf(text, sizeof text, "%s", json_is_true(value) ? "yes" : "no");
    else if (!json_is_string(value) && !json_is_null(value))
        dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    human_text(stdout, dumped ? dumped : json_is_string(value) ? json_string_value(value) : text);
    putchar('\n');
    free(dumped);
}

/* The names without the unit that the value shows. */
static void name_text(const char *name, char out[CLI_TEXT])
{
    size_t len = strlen(name);

    len -= ends_with(name, "_ms") ? 3 : ends_with(name, "_nanousd") ? 8 : ends_with(name, "_bytes") ? 6 : 0;
    snprintf(out, CLI_TEXT, "%.*s", (int)len, name);
    human_whole(out);
    for (char *at = out; *at; at++)
        *at = *at == '_' ? ' ' : *at;
}

/* What the longest name takes. */
static size_t names_width(const json_t *object)
{
    size_t wide = NAME_WIDTH;
    char text[CLI_TEXT];
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        name_text(name, text);
        if (human_width(text) + 4 > wide)
            wide = human_width(text) + 4;
    }
    return wide < NAME_WIDTH_MAX ? wide : NAME_WIDTH_MAX;
}

static void members_show(const char *head, const json_t *object, const char *without, const char *unit)
{
    char text[CLI_TEXT];
    const char *name;
    json_t *value;

    size_t wide = names_width(object);

    if (json_object_size(object) > 0)
        printf("%s\n", head);
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (without && strcmp(name, without) == 0)
            continue;
        name_text(name, text);
        line_begin(text, 2, wide);
        value_show(name, value, unit);
    }
}

/* ---------------------------------------------------------------- deliveries */

static void deliveries_show(const json_t *rows)
{
    static const char *const heads[] = { "DESTINATION", "STATE", "ATTEMPTS", "WHEN", "ERROR" };
    struct table t;

    if (json_array_size(rows) == 0) {
        line("told", "nobody");
        return;
    }
    printf("told\n");
    table_init(&t, 5);
    for (unsigned i = 0; i < 5; i++) {
        if (i != 2)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *state = row_text(row, "state", "?");
        cell_name(&t, row, "destination");
        table_add(&t, strcmp(state, "given_up") == 0 ? "given up" : state);
        table_colour(&t, strcmp(state, "given_up") == 0 ? "31" : NULL);
        cell_number(&t, row, "attempts", human_count);
        cell_time(&t, row, row_known(row, "ended_ms") ? "ended_ms" : "due_ms");
        table_add(&t, row_text(row, "error", ""));
    }
    table_print(&t);
}

/* ----------------------------------------------------------------------- all */

static void when_line(const char *name, const json_t *alert, const char *member)
{
    char text[CLI_TEXT];

    human_until(row_number(alert, member), wall_ms(), text);
    line(name, text);
}

static void acked_line(const json_t *alert)
{
    char at[CLI_TEXT];

    if (!row_known(alert, "acked_ms")) {
        line("acknowledged", "no");
        return;
    }
    human_until(row_number(alert, "acked_ms"), wall_ms(), at);
    line_begin("acknowledged", 0, NAME_WIDTH);
    printf("%s by ", at);
    human_text(stdout, row_text(alert, "acked_by", "?"));
    fputs(row_text(alert, "acked_note", NULL) ? ": " : "", stdout);
    human_text(stdout, row_text(alert, "acked_note", ""));
    putchar('\n');
}

static void head_show(const json_t *alert)
{
    const char *severity = row_text(alert, "severity", "?"), *code = severity_colour(severity);
    bool colour = cli_colour() && code;

    printf("alert %" JSON_INTEGER_FORMAT ": ", json_integer_value(json_object_get(alert, "id")));
    human_text(stdout, row_text(alert, "title", ""));
    putchar('\n');
    line("kind", row_text(alert, "kind", "?"));
    line_begin("severity", 0, NAME_WIDTH);
    if (colour)
        printf("\033[%sm", code);
    human_text(stdout, severity);
    puts(colour ? "\033[0m" : "");
}

void alert_show(const json_t *alert)
{
    const json_t *evidence = json_object_get(alert, "evidence");
    const char *unit = amount_unit(json_string_value(json_object_get(evidence, "unit")));
    char count[CLI_TEXT];

    head_show(alert);
    when_line("raised", alert, "ts_ms");
    human_count(row_number(alert, "count"), count);
    line("count", count);
    if (row_number(alert, "last_ms") != row_number(alert, "ts_ms"))
        when_line("last seen", alert, "last_ms");
    if (row_known(alert, "ended_ms"))
        when_line("ended", alert, "ended_ms");
    else
        line("ended", "no");
    acked_line(alert);
    members_show("about", json_object_get(alert, "subject"), NULL, NULL);
    members_show("evidence", evidence, unit ? "unit" : NULL, unit);
    deliveries_show(json_object_get(alert, "deliveries"));
}
