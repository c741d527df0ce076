/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

int64_t row_number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

bool row_known(const json_t *row, const char *name)
{
    return json_is_number(json_object_get(row, name));
}

const char *row_text(const json_t *row, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(row, name));

    return text ? text : otherwise;
}

bool row_tokens(const json_t *row, int64_t *out)
{
    int64_t prompt = row_number(row, "prompt_tokens"), completion = row_number(row, "completion_tokens");

    if (row_known(row, "total_tokens") &&
        row_number(row, "total_tokens_unknown") <= row_number(row, "prompt_tokens_unknown"))
        *out = row_number(row, "total_tokens");
    else
        *out = prompt > INT64_MAX - completion ? INT64_MAX : prompt + completion;
    return row_known(row, "total_tokens") || row_known(row, "prompt_tokens") ||
           row_known(row, "completion_tokens");
}

void cell_head(struct table *t, const char *name)
{
    char head[CLI_TEXT];

    name += strncmp(name, "tag:", 4) == 0 ? 4 : 0;
    size_t len = strlen(name);
    len = len > 3 && strcmp(name + len - 3, "_id") == 0 ? len - 3 : len;
    len = len < sizeof head ? len : sizeof head - 1;
    for (size_t i = 0; i < len; i++)
        head[i] = name[i] == '_' ? ' ' : (char)toupper((unsigned char)name[i]);
    head[len] = 0;
    table_add(t, head);
}

void cell_name(struct table *t, const json_t *row, const char *name)
{
    table_add(t, row_text(row, name, "(unknown)"));
}

void cell_number(struct table *t, const json_t *row, const char *name, human_fn human)
{
    char text[CLI_TEXT] = "-";

    if (row_known(row, name))
        human(row_number(row, name), text);
    table_add(t, text);
}

void cell_rate(struct table *t, const json_t *row, const char *name)
{
    char text[CLI_TEXT] = "-";

    if (row_known(row, name))
        human_rate(json_number_value(json_object_get(row, name)), text);
    table_add(t, text);
}

bool row_cost(const json_t *row, char out[CLI_TEXT])
{
    out[0] = 0;
    if (row_known(row, "cost_nanousd")) {
        human_usd(row_number(row, "cost_nanousd"), out);
    } else if (row_known(row, "cost_reported_nanousd")) {
        human_usd(row_number(row, "cost_reported_nanousd"), out);
        size_t len = strlen(out);
        snprintf(out + len, CLI_TEXT - len, "*");
    }
    return out[0] != 0;
}

bool row_unpriced(const json_t *row, char out[CLI_TEXT])
{
    int64_t calls = row_number(row, "cost_nanousd_unknown");
    char count[CLI_TEXT];

    human_count(calls, count);
    snprintf(out, CLI_TEXT, calls == 1 ? "%.40s call unpriced" : "%.40s calls unpriced", count);
    if (calls <= 0)
        out[0] = 0;
    return out[0] != 0;
}

void cell_cost(struct table *t, const json_t *row)
{
    char text[CLI_TEXT];

    table_add(t, row_cost(row, text) ? text : "-");
}

/* Another thing that the sums do not contain. */
static void note_add(char *note, size_t size, const char *more)
{
    size_t used = strlen(note);

    snprintf(note + used, size - used, "%s%s", used ? ", " : "", more);
}

void cell_note(struct table *t, const json_t *row)
{
    int64_t calls = row_number(row, "calls"), untold = row_number(row, "prompt_tokens_unknown");
    char note[4 * CLI_TEXT] = "", text[2 * CLI_TEXT], count[CLI_TEXT];

    if (untold > 0) {
        human_count(untold, count);
        snprintf(text, sizeof text, "%s without token counts", count);
        note_add(note, sizeof note, untold == calls ? "no token counts" : text);
    }
    if (row_unpriced(row, text))
        note_add(note, sizeof note, text);
    if (row_number(row, "partial") > 0) {
        human_count(row_number(row, "partial"), count);
        snprintf(text, sizeof text, "%s partial", count);
        note_add(note, sizeof note, text);
    }
    table_add(t, note);
}

void human_time(int64_t ms, char out[CLI_TEXT])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;

    out[0] = 0;
    if (gmtime_r(&s, &tm))
        strftime(out, CLI_TEXT, "%Y-%m-%d %H:%M:%S", &tm);
}

void cell_time(struct table *t, const json_t *row, const char *name_ms)
{
    char text[CLI_TEXT] = "-";

    if (row_known(row, name_ms)) {
        human_time(row_number(row, name_ms), text);
        snprintf(text + strlen(text), 2, "Z");
    }
    table_add(t, text);
}

void cell_change(struct table *t, bool known, int64_t now, int64_t before)
{
    char text[CLI_TEXT] = "-";

    if (known)
        human_change(now, before, text);
    table_add(t, text);
}

void usage_foot(const json_t *answer, bool compare)
{
    int64_t from = row_number(answer, "from_ms"), to = row_number(answer, "to_ms");
    char a[CLI_TEXT], b[CLI_TEXT];

    if (row_number(json_object_get(answer, "totals"), "calls") == 0)
        printf("no calls from %s to %s\n", row_text(answer, "from", "?"), row_text(answer, "to", "?"));
    human_time(from - (to - from), a);
    human_time(from, b);
    if (compare)
        printf("+/- against %.16sZ to %.16sZ\n", a, b);
    if (json_is_true(json_object_get(answer, "truncated")))
        printf("only the first %zu rows are shown (--limit)\n",
               json_array_size(json_object_get(answer, "rows")));
}

void rows_more(const json_t *answer, const char *after_option)
{
    const char *next = json_string_value(json_object_get(answer, "next"));

    if (next) {
        printf("there are more (%s ", after_option);
        human_text(stdout, next);
        printf(")\n");
    }
}
