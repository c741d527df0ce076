/* SPDX-License-Identifier: MIT
 *
 * amount.c: amounts as people write them. Exact: a number is its digits and a power of ten, never a double.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "budget.h"

#define DIGITS_MAX 19 /* of a number, leading zeros not counted: fits 64 bits */

static const char *const names[] = { NULL, "usd", "tokens", "calls" };

const char *unit_name(int unit)
{
    return unit > UNIT_NONE && unit <= UNIT_CALLS ? names[unit] : NULL;
}

/* ------------------------------------------------------------------ reading */

/* A number without its point: 12.50 is 1250 with 2 decimals. */
struct decimal {
    uint64_t digits;
    int decimals;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool add_digit(struct decimal *d, char c)
{
    uint64_t n = (uint64_t)(c - '0');

    return !__builtin_mul_overflow(d->digits, 10, &d->digits) &&
           !__builtin_add_overflow(d->digits, n, &d->digits);
}

/* "1000" or "1,000": with one comma, all that belong there. */
static bool read_whole(const char **at, struct decimal *d)
{
    int run = 0;
    bool grouped = false;

    for (; is_digit(**at) || **at == ','; (*at)++) {
        if (**at == ',') {
            if (run == 0 || run > 3 || (grouped && run != 3))
                return false;
            grouped = true;
            run = 0;
        } else if (!add_digit(d, **at) || ++run > DIGITS_MAX) {
            return false;
        }
    }
    return grouped ? run == 3 : run > 0;
}

static bool read_decimal(const char **at, struct decimal *d)
{
    if (!read_whole(at, d))
        return false;
    if (**at != '.')
        return true;
    for ((*at)++; is_digit(**at); (*at)++)
        if (!add_digit(d, **at) || ++d->decimals > 9)
            return false;
    return d->decimals > 0;
}

/* The power of ten of a suffix; 0: there is none. */
static int read_suffix(const char **at)
{
    static const char letters[] = "kmb";
    const char *found = **at != '\0' ? strchr(letters, **at | 0x20) : NULL;

    if (found == NULL || *found == '\0' || ((*at)[1] != '\0' && (*at)[1] != ' '))
        return 0;
    (*at)++;
    return 3 * (int)(found - letters + 1);
}

/* "usd", "token" and so on; UNIT_NONE: the text ends here. False: neither. */
static bool read_unit(const char *at, enum unit *unit)
{
    *unit = UNIT_NONE;
    at += strspn(at, " ");
    if (*at == '\0')
        return true;
    for (int i = UNIT_USD; i <= UNIT_CALLS; i++) {
        size_t len = strlen(names[i]);
        bool plural = strcasecmp(at, names[i]) == 0;
        bool one = i != UNIT_USD && strlen(at) == len - 1 && strncasecmp(at, names[i], len - 1) == 0;
        if (plural || one) {
            *unit = (enum unit)i;
            return true;
        }
    }
    return false;
}

/* digits * 10^(power - decimals), if that is whole and not too much. */
static bool scale(struct decimal d, int power, int64_t *out)
{
    for (; power > d.decimals; power--)
        if (__builtin_mul_overflow(d.digits, 10, &d.digits))
            return false;
    for (; power < d.decimals; d.decimals--, d.digits /= 10)
        if (d.digits % 10 != 0)
            return false;
    if (d.digits > (uint64_t)AMOUNT_MAX)
        return false;
    *out = (int64_t)d.digits;
    return true;
}

bool amount_parse(const char *text, enum unit *unit, int64_t *out)
{
    struct decimal d = { 0, 0 };
    bool dollar = *text == '$';
    enum unit told;

    text += dollar;
    if (!read_decimal(&text, &d))
        return false;
    int power = read_suffix(&text);
    if (!read_unit(text, &told))
        return false;
    if (dollar && told != UNIT_NONE && told != UNIT_USD)
        return false;
    told = dollar ? UNIT_USD : told == UNIT_NONE ? *unit : told;
    if (told == UNIT_NONE || (*unit != UNIT_NONE && told != *unit) || (told == UNIT_USD && power > 0))
        return false;
    if (!scale(d, told == UNIT_USD ? 9 : power, out))
        return false;
    *unit = told;
    return true;
}

/* ------------------------------------------------------------------ writing */

/* 1234567 as 1,234,567. */
static void grouped(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

void amount_text(enum unit unit, int64_t amount, char out[AMOUNT_TEXT])
{
    uint64_t size = amount < 0 ? 0 - (uint64_t)amount : (uint64_t)amount;
    const char *minus = amount < 0 ? "-" : "";
    char whole[32], decimals[16];

    grouped(unit == UNIT_USD ? size / NANOUSD_PER_USD : size, whole);
    if (unit == UNIT_USD) {
        int n = snprintf(decimals, sizeof decimals, "%09u", (unsigned)(size % NANOUSD_PER_USD));
        while (n > 2 && decimals[n - 1] == '0')
            decimals[--n] = '\0';
        snprintf(out, AMOUNT_TEXT, "%s$%.31s.%.9s", minus, whole, decimals);
    } else if (unit == UNIT_NONE) {
        snprintf(out, AMOUNT_TEXT, "%s%s", minus, whole);
    } else {
        int letters = (int)strlen(names[unit]) - (size == 1);
        snprintf(out, AMOUNT_TEXT, "%s%s %.*s", minus, whole, letters, names[unit]);
    }
}
