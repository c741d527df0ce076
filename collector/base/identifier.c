/* SPDX-License-Identifier: MIT */
#include "identifier.h"

#include <stdbool.h>
#include <string.h>

#define FORM_SHIFT   5
#define PREFIX_MASK  31
#define UUID_TEXT    36
#define UUID_BYTES   16
#define HEX_MIN      8 /* shorter ones are as well left as they are */
#define LETTERS_MIN  8
#define CALL_DIGITS  9
#define LETTERS      4 /* that make LETTER_BYTES bytes */
#define LETTER_BYTES 3

enum form {
#define TG_FORM(code, name) FORM_##name = (code),
#include "../../schema/identifier.def"
};

static const struct prefix {
    const char *text;
    size_t len;
} prefixes[PREFIX_MASK + 1] = {
#define TG_PREFIX(code, text) [code] = { text, sizeof text - 1 },
#include "../../schema/identifier.def"
};

/* Their value + 1; 0: no digit. Capital letters are no digits here: they would come back small. */
static const uint8_t digits[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

#define ALPHABET "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

/* ------------------------------------------------------------------ packing */

static unsigned longest_prefix(const uint8_t *text, size_t len)
{
    unsigned best = 0;

    for (unsigned i = 1; i <= PREFIX_MASK && prefixes[i].text != NULL; i++)
        if (prefixes[i].len > prefixes[best].len && prefixes[i].len <= len &&
            memcmp(text, prefixes[i].text, prefixes[i].len) == 0)
            best = i;
    return best;
}

/* Reads 2 * n digits. False: something else is among them. */
static bool pack_hex(const uint8_t *text, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        int high = digits[text[2 * i]], low = digits[text[2 * i + 1]];
        if (high == 0 || low == 0)
            return false;
        out[i] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    return true;
}

static bool pack_uuid(const uint8_t *text, uint8_t out[UUID_BYTES])
{
    return text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' &&
           pack_hex(text, 4, out) && pack_hex(text + 9, 2, out + 4) && pack_hex(text + 14, 2, out + 6) &&
           pack_hex(text + 19, 2, out + 8) && pack_hex(text + 24, 6, out + 10);
}

/* The place of a letter in ALPHABET, or -1. */
static inline int letter(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'Z' ? c - 'A' + 10
           : c >= 'a' && c <= 'z' ? c - 'a' + 36
           : c == '-'             ? 62
           : c == '_'             ? 63
                                  : -1;
}

/* Reads len letters, the last len % 4 of which stay as they are. The bytes used, or 0: something else is
 * among them. */
static size_t pack_letters(const uint8_t *text, size_t len, uint8_t *out)
{
    const uint8_t *start = out, *end = text + len;
    int any = 0;

    for (; end - text >= LETTERS; text += LETTERS, out += LETTER_BYTES) {
        int a = letter(text[0]), b = letter(text[1]), c = letter(text[2]), d = letter(text[3]);
        any |= a | b | c | d;
        unsigned bits = (unsigned)a << 18 | (unsigned)b << 12 | (unsigned)c << 6 | (unsigned)d;
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
    }
    while (text < end) {
        any |= letter(*text);
        *out++ = *text++;
    }
    return any < 0 ? 0 : (size_t)(out - start);
}

size_t identifier_pack(struct slice text, uint8_t out[IDENTIFIER_MAX])
{
    if (text.at == NULL || text.len == 0 || text.len > IDENTIFIER_MAX - 1)
        return 0;
    unsigned prefix = longest_prefix(text.at, text.len);
    const uint8_t *rest = text.at + prefixes[prefix].len;
    size_t len = text.len - prefixes[prefix].len, packed;

    if (len == UUID_TEXT && pack_uuid(rest, out + 1)) {
        out[0] = (uint8_t)(FORM_uuid << FORM_SHIFT | prefix);
        return 1 + UUID_BYTES;
    }
    if (len >= HEX_MIN && len % 2 == 0 && pack_hex(rest, len / 2, out + 1)) {
        out[0] = (uint8_t)(FORM_hex << FORM_SHIFT | prefix);
        return 1 + len / 2;
    }
    if (len >= LETTERS_MIN && (packed = pack_letters(rest, len, out + 1)) > 0) {
        enum form form = len % LETTERS == 3 ? FORM_letters3 : FORM_letters;
        out[0] = (uint8_t)((unsigned)form << FORM_SHIFT | prefix);
        return 1 + packed;
    }
    if (prefix == 0)
        return 0;
    out[0] = (uint8_t)(FORM_text << FORM_SHIFT | prefix);
    memcpy(out + 1, rest, len);
    return 1 + len;
}

int64_t identifier_call(struct slice call_id, struct slice run_id)
{
    static const size_t mark = sizeof IDENTIFIER_CALL - 1;
    int64_t n = 0;

    if (call_id.at == NULL || run_id.at == NULL || call_id.len <= run_id.len + mark ||
        call_id.len > run_id.len + mark + CALL_DIGITS || memcmp(call_id.at, run_id.at, run_id.len) != 0 ||
        memcmp(call_id.at + run_id.len, IDENTIFIER_CALL, mark) != 0)
        return -1;
    const uint8_t *at = call_id.at + run_id.len + mark, *end = call_id.at + call_id.len;
    if (*at == '0' && end - at > 1)
        return -1;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return -1;
        n = 10 * n + (*at - '0');
    }
    return n;
}

void identifier_bind(sqlite3_stmt *stmt, int at, struct slice text, uint8_t scratch[IDENTIFIER_MAX])
{
    size_t len = identifier_pack(text, scratch);

    if (text.at == NULL)
        sqlite3_bind_null(stmt, at);
    else if (len > 0)
        sqlite3_bind_blob(stmt, at, scratch, (int)len, SQLITE_STATIC);
    else
        sqlite3_bind_text(stmt, at, (const char *)text.at, (int)text.len, SQLITE_STATIC);
}

/* ---------------------------------------------------------------- unpacking */

static char *unpack_hex(char *to, const uint8_t *bytes, size_t n)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *to++ = hex[bytes[i] >> 4];
        *to++ = hex[bytes[i] & 15];
    }
    return to;
}

static char *unpack_uuid(char *to, const uint8_t *bytes)
{
    static const uint8_t groups[] = { 4, 2, 2, 2, 6 };

    for (size_t i = 0; i < sizeof groups; bytes += groups[i++]) {
        if (i > 0)
            *to++ = '-';
        to = unpack_hex(to, bytes, groups[i]);
    }
    return to;
}

/* left: of the bytes, those that stay as they are. */
static char *unpack_letters(char *to, const uint8_t *bytes, size_t n, size_t left)
{
    static const char alphabet[] = ALPHABET;

    for (; n > left; n -= LETTER_BYTES, bytes += LETTER_BYTES) {
        unsigned bits = (unsigned)bytes[0] << 16 | (unsigned)bytes[1] << 8 | bytes[2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *to++ = alphabet[bits >> shift & 63];
    }
    memcpy(to, bytes, left);
    return to + left;
}

size_t identifier_unpack(const uint8_t *packed, size_t len, char out[IDENTIFIER_TEXT_MAX])
{
    if (len == 0 || len > IDENTIFIER_MAX)
        return 0;
    const struct prefix *prefix = &prefixes[packed[0] & PREFIX_MASK];
    int form = packed[0] >> FORM_SHIFT;
    if (prefix->text == NULL || form > FORM_letters3 || (form == FORM_uuid && len != 1 + UUID_BYTES) ||
        (form == FORM_letters3 && (len == 1 || (len - 1) % LETTER_BYTES != 0)))
        return 0;
    char *to = out + prefix->len;
    memcpy(out, prefix->text, prefix->len);
    if (form == FORM_uuid) {
        to = unpack_uuid(to, packed + 1);
    } else if (form == FORM_hex) {
        to = unpack_hex(to, packed + 1, len - 1);
    } else {
        size_t left = form == FORM_text ? len - 1 : form == FORM_letters ? (len - 1) % LETTER_BYTES : 3;
        to = unpack_letters(to, packed + 1, len - 1, left);
    }
    return (size_t)(to - out);
}
