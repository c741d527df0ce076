/* SPDX-License-Identifier: MIT */
#include "pen.h"

#include <string.h>

#define CELL_MAX 512

static void wrap(struct pen *p)
{
    fprintf(p->to, "\n%*s", (int)p->indent, "");
    p->at = p->indent;
    p->gap = 0;
    p->wrapped = true;
}

/* Bytes of the first n characters. */
static size_t bytes_of(const char *s, size_t n)
{
    size_t i = 0;

    for (; s[i]; i++) {
        if (((unsigned char)s[i] & 0xc0) != 0x80 && n-- == 0)
            break;
    }
    return i;
}

/* As much of the text as the line holds; what is left goes to the next ones. */
static void text_write(struct pen *p, const char *text)
{
    char part[CELL_MAX];

    while (*text) {
        size_t room = p->width ? p->width - p->at : CELL_MAX, len = bytes_of(text, room);
        len = len < sizeof part ? len : sizeof part - 1;
        memcpy(part, text, len);
        part[len] = 0;
        human_text(p->to, part);
        p->at += human_width(part);
        text += len;
        if (*text && p->width)
            wrap(p);
    }
}

void pen_cell(struct pen *p, const char *text, size_t wide, bool left, const char *code)
{
    size_t len = human_width(text), pad = !p->wrapped && wide > len ? wide - len : 0;
    size_t before = p->gap + (left ? 0 : pad);

    if (len == 0) { /* its place stays empty; without a place it is not there */
        p->gap += pad ? pad + 2 : 0;
        return;
    }
    if (p->width && p->at > p->indent && p->at + before + len > p->width) {
        wrap(p);
        before = pad = 0;
    }
    fprintf(p->to, "%*s", (int)before, "");
    p->at += before;
    if (code && p->colour)
        fprintf(p->to, "\033[%sm", code);
    text_write(p, text);
    if (code && p->colour)
        fputs("\033[0m", p->to);
    p->gap = 2 + (left ? pad : 0);
}

void pen_end(struct pen *p)
{
    fputc('\n', p->to);
    p->at = p->gap = 0;
    p->wrapped = false;
}
