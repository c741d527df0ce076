/* SPDX-License-Identifier: MIT
 *
 * utf8.h: is it UTF-8 without NUL? Nearly every string is ASCII, so that is asked first, eight
 * bytes at a time; the rest is GLib's.
 */
#ifndef COLLECTOR_UTF8_H
#define COLLECTOR_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

bool utf8_valid_slow(const uint8_t *s, size_t len);

/* All of 1..0x7f: no high bit is set and no byte is zero. */
static inline bool utf8_word_is_plain(uint64_t w)
{
    return ((w | (w - 0x0101010101010101ULL)) & 0x8080808080808080ULL) == 0;
}

static inline bool utf8_valid(const uint8_t *s, size_t len)
{
    uint64_t w;
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        memcpy(&w, s + i, 8);
        if (!utf8_word_is_plain(w))
            return utf8_valid_slow(s, len);
    }
    for (; i < len; i++)
        if (s[i] == 0 || s[i] >= 0x80)
            return utf8_valid_slow(s, len);
    return true;
}

/* How many of the len bytes of a UTF-8 text go into room without cutting a character. */
static inline size_t utf8_cut(const char *text, size_t len, size_t room)
{
    if (len <= room)
        return len;
    const char *end = text + room;
    while (end > text && ((unsigned char)*end & 0xc0) == 0x80)
        end--;
    return (size_t)(end - text);
}

#endif
