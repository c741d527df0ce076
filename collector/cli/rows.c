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

void cell_note(struct table *t, const json_t *row)
{
    int64_t calls = row_number(row, "calls"), untold = row_number(row, "prompt_tokens_unknown");
    char note[160] = "", count[CLI_TEXT];
    size_t used = 0;

    if (untold > 0) {
        human_count(untold, count);
        used = untold == calls ? (size_t)snprintf(note, sizeof note, "no token counts")
                               : (size_t)snprintf(note, sizeof note, "%s without token counts", count);
    }
    if (row_number(row, "partial") > 0) {
        human_count(row_number(row, "partial"), count);
        snprintf(note + used, sizeof note - used, "%s%s partial", used ? ", " : "", count);
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

void rows_more(const json_t *answer, const char *after_option)
{
    const char *next = json_string_value(json_object_get(answer, "next"));

    if (next) {
        printf("there are more (%s ", after_option);
        human_text(stdout, next);
        printf(")\n");
    }
}
