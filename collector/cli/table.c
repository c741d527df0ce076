/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define FITTED_MIN 12 /* characters that a column keeps */

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "tollgate: out of memory\n");
        exit(CLI_FAILED);
    }
    return p;
}

void table_init(struct table *t, unsigned columns)
{
    *t = (struct table){ .columns = columns, .left = must(calloc(columns, sizeof *t->left)) };
}

void table_left(struct table *t, unsigned column)
{
    t->left[column] = true;
}

void table_add(struct table *t, const char *text)
{
    if (t->cells == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->cell = must(realloc(t->cell, t->room * sizeof *t->cell));
        t->code = must(realloc(t->code, t->room * sizeof *t->code));
    }
    t->code[t->cells] = NULL;
    t->cell[t->cells++] = must(strdup(text));
}

void table_colour(struct table *t, const char *code)
{
    t->code[t->cells - 1] = code;
}

void table_fit(struct table *t, unsigned column)
{
    t->fit = true;
    t->fitted = column;
}

/* A copy of a text that is cut to so many characters, with a mark that it is. */
static char *cut_copy(const char *text, size_t width)
{
    const char *mark = cli_utf8() ? "…" : "...";
    size_t kept = width - human_width(mark), bytes = 0;
    char *out = NULL;

    for (size_t n = 0; text[bytes]; bytes++) {
        n += ((unsigned char)text[bytes] & 0xc0) != 0x80;
        if (n > kept)
            break;
    }
    must(asprintf(&out, "%.*s%s", (int)bytes, text, mark) < 0 ? NULL : out);
    return out;
}

/* Takes from the column that is to be cut what the lines are too long by. */
static void column_cut(struct table *t, size_t *wide)
{
    size_t limit = cli_width(), all = 2 * (size_t)(t->columns - 1), *own = &wide[t->fitted];

    for (unsigned i = 0; i < t->columns; i++)
        all += wide[i];
    if (limit == 0 || all <= limit || *own <= FITTED_MIN)
        return;
    *own = *own > all - limit + FITTED_MIN ? *own - (all - limit) : FITTED_MIN;
    for (size_t i = t->fitted; i < t->cells; i += t->columns) {
        char *whole = t->cell[i];
        if (human_width(whole) <= *own)
            continue;
        t->cell[i] = cut_copy(whole, *own);
        free(whole);
    }
}

/* A cell and the gap before it; no blanks at the end of a line. */
static void cell_print(const struct table *t, size_t at, size_t wide, bool colour, size_t *pending)
{
    const char *code = colour ? t->code[at] : NULL;
    size_t column = at % t->columns, pad = wide - human_width(t->cell[at]);
    bool left = t->left[column];

    *pending += left ? 0 : pad;
    if (t->cell[at][0]) {
        printf("%*s", (int)*pending, "");
        if (code)
            printf("\033[%sm", code);
        human_text(stdout, t->cell[at]);
        if (code)
            fputs("\033[0m", stdout);
        *pending = 0;
    }
    *pending += 2 + (left ? pad : 0);
}

static void rows_print(const struct table *t, const size_t *wide)
{
    bool colour = cli_colour();
    size_t pending = 0;

    for (size_t i = 0; i < t->cells; i++) {
        bool last = (i + 1) % t->columns == 0;
        if (i == 0 && colour)
            fputs("\033[1m", stdout);
        cell_print(t, i, wide[i % t->columns], colour, &pending);
        if (last)
            fputs(colour && i + 1 == t->columns ? "\033[0m\n" : "\n", stdout);
        pending = last ? 0 : pending;
    }
}

void table_print(struct table *t)
{
    size_t *wide = must(calloc(t->columns, sizeof *wide));

    for (size_t i = 0; i < t->cells; i++) {
        size_t w = human_width(t->cell[i]);
        if (w > wide[i % t->columns])
            wide[i % t->columns] = w;
    }
    if (t->fit)
        column_cut(t, wide);
    rows_print(t, wide);
    for (size_t i = 0; i < t->cells; i++)
        free(t->cell[i]);
    free(t->cell);
    free(t->code);
    free(t->left);
    free(wide);
    *t = (struct table){ 0 };
}
