/* SPDX-License-Identifier: MIT
 *
 * text.h: a growing text, and JSON, CSV and exposition values written into it. Running out of
 * memory is remembered (failed) and told once, at the end. One thread.
 */
#ifndef COLLECTOR_HTTP_TEXT_H
#define COLLECTOR_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *at; /* owned; not terminated */
    size_t len, size;
    bool failed;
};

void text_fini(struct text *t);

/* Makes room for len bytes in all, at once instead of by doubling. */
void text_reserve(struct text *t, size_t len);

void text_add(struct text *t, const void *bytes, size_t len);
void text_str(struct text *t, const char *s);
void text_fmt(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_int(struct text *t, int64_t n);
void text_hex(struct text *t, const void *bytes, size_t len);

/* A JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD. */
void text_json(struct text *t, const char *s, size_t len);

/* `"name":`, after a comma if the last byte is not an opening bracket. */
void text_key(struct text *t, const char *name);
void text_key_str(struct text *t, const char *name, const char *s);
void text_key_int(struct text *t, const char *name, int64_t n);

/* A CSV value (RFC 4180): quoted where it must be, after a comma unless it is the line's first. */
void text_csv(struct text *t, bool first, const char *s, size_t len);

/* A label's value in the Prometheus text format, quotes included. */
void text_label(struct text *t, const char *s);

#endif
