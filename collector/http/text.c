/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_fini(struct text *t)
{
    free(t->at);
    *t = (struct text){ 0 };
}

static bool grow(struct text *t, size_t len)
{
    if (t->failed)
        return false;
    size_t size = t->size ? t->size : 512;
    while (size - t->len < len)
        size *= 2;
    char *fresh = realloc(t->at, size);
    if (!fresh) {
        t->failed = true;
        t->len = t->size;
        return false;
    }
    t->at = fresh;
    t->size = size;
    return true;
}

/* Once it has failed there is never room. */
static inline bool room(struct text *t, size_t len)
{
    return t->size - t->len >= len || grow(t, len);
}

void text_reserve(struct text *t, size_t len)
{
    if (t->failed || t->size >= len)
        return;
    char *fresh = realloc(t->at, len);
    if (!fresh)
        return; /* it may still do without */
    t->at = fresh;
    t->size = len;
}

void text_add(struct text *t, const void *bytes, size_t len)
{
    if (len == 0 || !room(t, len))
        return;
    memcpy(t->at + t->len, bytes, len);
    t->len += len;
}

void text_str(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_fmt(struct text *t, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n > 0)
        text_add(t, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void text_int(struct text *t, int64_t n)
{
    char digits[24], *at = digits + sizeof digits;
    uint64_t v = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

    do
        *--at = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    if (n < 0)
        *--at = '-';
    text_add(t, at, (size_t)(digits + sizeof digits - at));
}

void text_hex(struct text *t, const void *bytes, size_t len)
{
    const unsigned char *from = bytes;

    if (!room(t, 2 * len))
        return;
    for (size_t i = 0; i < len; i++) {
        t->at[t->len++] = "0123456789abcdef"[from[i] >> 4];
        t->at[t->len++] = "0123456789abcdef"[from[i] & 15];
    }
}

/* Length of the UTF-8 character at s, 0 if it is none. */
static size_t character(const unsigned char *s, size_t len)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

    if (n == 0 || n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

static void json_escape(struct text *t, unsigned char c)
{
    if (c == '"' || c == '\\')
        text_fmt(t, "\\%c", c);
    else if (c == '\n')
        text_str(t, "\\n");
    else if (c == '\t')
        text_str(t, "\\t");
    else
        text_fmt(t, "\\u%04x", c);
}

/* How many bytes at the beginning are plain ASCII that needs no escape. */
static size_t plain_bytes(const unsigned char *s, size_t len)
{
    size_t i = 0;

    while (i < len && (unsigned char)(s[i] - 0x20) < 0x5f && s[i] != '"' && s[i] != '\\')
        i++;
    return i;
}

void text_json(struct text *t, const char *s, size_t len)
{
    const unsigned char *from = (const unsigned char *)s;
    size_t plain = 0; /* first byte not yet written */

    text_add(t, "\"", 1);
    for (size_t i = plain_bytes(from, len); i < len;) {
        size_t n = character(from + i, len - i);
        if (n > 0 && from[i] >= 0x20 && from[i] != '"' && from[i] != '\\' && from[i] != 0x7f) {
            i += n;
            continue;
        }
        text_add(t, s + plain, i - plain);
        if (n == 0)
            text_str(t, "\xef\xbf\xbd");
        else
            json_escape(t, from[i]);
        plain = ++i;
    }
    text_add(t, s + plain, len - plain);
    text_add(t, "\"", 1);
}

void text_key(struct text *t, const char *name)
{
    if (t->len > 0 && t->at[t->len - 1] != '{' && t->at[t->len - 1] != '[')
        text_add(t, ",", 1);
    text_add(t, "\"", 1);
    text_str(t, name);
    text_add(t, "\":", 2);
}

void text_key_str(struct text *t, const char *name, const char *s)
{
    text_key(t, name);
    text_json(t, s, strlen(s));
}

void text_key_int(struct text *t, const char *name, int64_t n)
{
    text_key(t, name);
    text_int(t, n);
}

void text_csv(struct text *t, bool first, const char *s, size_t len)
{
    bool quote = false;

    if (!first)
        text_add(t, ",", 1);
    for (size_t i = 0; i < len && !quote; i++)
        quote = s[i] == '"' || s[i] == ',' || s[i] == '\n' || s[i] == '\r';
    if (!quote) {
        text_add(t, s, len);
        return;
    }
    text_add(t, "\"", 1);
    for (size_t i = 0; i < len; i++)
        text_add(t, s[i] == '"' ? "\"\"" : s + i, s[i] == '"' ? 2 : 1);
    text_add(t, "\"", 1);
}

void text_label(struct text *t, const char *s)
{
    size_t n, len = strlen(s);

    text_add(t, "\"", 1);
    for (size_t i = 0; i < len; i += n ? n : 1) {
        n = character((const unsigned char *)s + i, len - i);
        if (n == 0)
            text_str(t, "\xef\xbf\xbd");
        else if (s[i] == '\n')
            text_str(t, "\\n");
        else if (s[i] == '"' || s[i] == '\\')
            text_fmt(t, "\\%c", s[i]);
        else
            text_add(t, s + i, n);
    }
    text_add(t, "\"", 1);
}
