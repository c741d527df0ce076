/* SPDX-License-Identifier: MIT
 *
 * budget_key.c: which cell of a budget a call counts in. The key is stored: its form never changes.
 */
#include <stdio.h>
#include <string.h>

#include "../base/leb128.h"
#include "budget.h"

#define VALUE_MAX 255 /* bytes: length + 1 takes two bytes at most */

size_t budget_key(const struct budget *b, const struct subject *who, uint8_t key[BUDGET_KEY_MAX])
{
    uint8_t *at = key;

    for (unsigned i = 0; i < b->pers; i++) {
        struct slice v = subject_value(who, b->per[i].field, b->per[i].tag);
        uint32_t len = v.len < VALUE_MAX ? v.len : VALUE_MAX;
        if (v.at == NULL) {
            *at++ = 0;
            continue;
        }
        at = leb128_put(at, len + 1);
        memcpy(at, v.at, len);
        at += len;
    }
    return (size_t)(at - key);
}

/* Adds as much as there is room for, but not half a character. */
static size_t append(char *out, size_t size, size_t n, const uint8_t *text, size_t len)
{
    size_t room = size - n - 1;

    if (len > room) {
        len = room;
        while (len > 0 && (text[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(out + n, text, len);
    out[n + len] = '\0';
    return n + len;
}

static size_t append_text(char *out, size_t size, size_t n, const char *text)
{
    return append(out, size, n, (const uint8_t *)text, strlen(text));
}

void budget_key_text(const struct budget *b, const uint8_t *key, size_t len, char *out, size_t size)
{
    const uint8_t *at = key, *end = key + len;
    size_t n = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < b->pers && at < end; i++) {
        uint64_t told;
        at = leb128_get(at, end, &told);
        if (at == NULL || (told > 0 && told - 1 > (uint64_t)(end - at)))
            return; /* no key of this budget */
        if (i > 0)
            n = append_text(out, size, n, ", ");
        if (told == 0) {
            n = append_text(out, size, n, "(unknown)");
        } else {
            n = append(out, size, n, at, (size_t)(told - 1));
            at += told - 1;
        }
    }
}
