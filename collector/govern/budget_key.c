/* SPDX-License-Identifier: MIT
 *
 * budget_key.c: which cell of a budget a call counts in. The key is stored: its form never changes.
 */
#include <string.h>

#include "../base/leb128.h"
#include "budget.h"
#include "line.h"

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

bool budget_key_next(const uint8_t **at, const uint8_t *end, struct slice *value)
{
    uint64_t told;
    const uint8_t *next = *at < end ? leb128_get(*at, end, &told) : NULL;

    if (next == NULL || (told > 0 && told - 1 > (uint64_t)(end - next)))
        return false;
    *value = told > 0 ? (struct slice){ next, (uint32_t)(told - 1) } : (struct slice){ NULL, 0 };
    *at = next + value->len;
    return true;
}

void budget_key_text(const struct budget *b, const uint8_t *key, size_t len, char *out, size_t size)
{
    const uint8_t *at = key;
    struct line line = line_of(out, size);
    struct slice value;

    for (unsigned i = 0; i < b->pers && budget_key_next(&at, key + len, &value); i++) {
        if (i > 0)
            line_text(&line, ", ");
        if (value.at == NULL)
            line_text(&line, "(unknown)");
        else
            line_add(&line, (const char *)value.at, value.len);
    }
}
