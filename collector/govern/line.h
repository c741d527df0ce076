/* SPDX-License-Identifier: MIT
 *
 * line.h: a text that grows until it is full: what does not fit is cut at a character, and nothing follows
 * it. Pure.
 */
#ifndef COLLECTOR_LINE_H
#define COLLECTOR_LINE_H

#include <stddef.h>
#include <string.h>

#include "../base/utf8.h"

struct line {
    char *end;   /* borrowed: where the next byte goes; a NUL stands there */
    size_t room; /* bytes before the last one, which is for the NUL */
};

/* size: at least 1. */
static inline struct line line_of(char *out, size_t size)
{
    out[0] = '\0';
    return (struct line){ out, size - 1 };
}

static inline void line_add(struct line *l, const char *text, size_t len)
{
    size_t taken = utf8_cut(text, len, l->room);

    memcpy(l->end, text, taken);
    l->end += taken;
    *l->end = '\0';
    l->room = taken < len ? 0 : l->room - taken;
}

static inline void line_text(struct line *l, const char *text)
{
    line_add(l, text, strlen(text));
}

#endif
