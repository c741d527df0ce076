/* SPDX-License-Identifier: MIT */
#include "pattern.h"

#include <stdlib.h>
#include <string.h>

#include "definition.h"

/* ----------------------------------------------------------------- one pattern */

/* How many bytes of the pattern stand for the next byte of the text: 2 if it is escaped. */
static size_t step(const char *p)
{
    return p[0] == '\\' && p[1] != '\0' ? 2 : 1;
}

/* When a byte does not fit, only the last star can take one more: what stood before it fits already, and
 * wherever an earlier star could have ended later, the last one can too. So nothing else is tried again. */
bool pattern_fits(const char *pattern, struct slice text)
{
    const uint8_t *t = text.at, *again = NULL;
    const char *p = pattern, *after_star = NULL;

    if (text.at == NULL || text.len == 0)
        return *pattern == '\0';
    const uint8_t *end = t + text.len;
    while (t < end) {
        if (*p == '*') {
            after_star = ++p;
            again = t;
        } else if (*p != '\0' && (uint8_t)p[step(p) - 1] == *t) {
            p += step(p);
            t++;
        } else if (after_star != NULL) {
            p = after_star;
            t = ++again;
        } else {
            return false;
        }
    }
    while (*p == '*')
        p++;
    return *p == '\0';
}

/* A pattern without a star is one text. */
static bool literal(const char *p, uint8_t out[PATTERN_MAX], struct slice *text)
{
    uint32_t n = 0;

    for (; *p != '\0' && n < PATTERN_MAX; p += step(p)) {
        if (*p == '*')
            return false;
        out[n++] = (uint8_t)p[step(p) - 1];
    }
    *text = (struct slice){ n > 0 ? out : NULL, n };
    return *p == '\0';
}

bool pattern_may_meet(const char *a, const char *b)
{
    uint8_t bytes[PATTERN_MAX];
    struct slice text;

    if (literal(a, bytes, &text))
        return pattern_fits(b, text);
    if (literal(b, bytes, &text))
        return pattern_fits(a, text);
    while (*a != '*' && *b != '*') { /* both have a star */
        if (a[step(a) - 1] != b[step(b) - 1])
            return false;
        a += step(a);
        b += step(b);
    }
    return true;
}

bool pattern_is_within(const char *narrow, const char *wide)
{
    uint8_t bytes[PATTERN_MAX];
    struct slice text;

    if (strcmp(narrow, wide) == 0)
        return true;
    if (literal(narrow, bytes, &text))
        return pattern_fits(wide, text);
    return strcmp(wide, "*") == 0; /* narrow has a star too, so it is not the empty one */
}

/* ------------------------------------------------------------------- lists */

bool patterns_fit(char *const *list, unsigned count, struct slice text)
{
    for (unsigned i = 0; i < count; i++)
        if (pattern_fits(list[i], text))
            return true;
    return false;
}

void patterns_free(char **list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

static bool ends_in_escape(const char *p)
{
    while (*p != '\0') {
        if (p[0] == '\\' && p[1] == '\0')
            return true;
        p += step(p);
    }
    return false;
}

/* NULL: fault says why. */
static char *pattern_copy(const json_t *given, const char *field, struct fault *fault)
{
    char digits[24];
    const char *text = json_string_value(given);
    char *copy = NULL;

    if (json_is_integer(given)) {
        snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(given));
        text = digits;
    }
    if (text == NULL || (json_is_string(given) && strlen(text) != json_string_length(given)))
        definition_fault(fault, field, given,
                         "a text with * for any number of bytes, or a list of such texts");
    else if (strlen(text) > PATTERN_MAX)
        definition_fault(fault, field, given, "at most %d bytes", PATTERN_MAX);
    else if (ends_in_escape(text))
        definition_fault(fault, field, given, "a character after the last \\, as \\\\ or \\*");
    else if ((copy = strdup(text)) == NULL)
        definition_no_memory(fault, field);
    return copy;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static unsigned sort_unique(char **list, unsigned count)
{
    unsigned kept = 0;

    qsort(list, count, sizeof *list, by_bytes);
    for (unsigned i = 0; i < count; i++) {
        if (kept > 0 && strcmp(list[kept - 1], list[i]) == 0)
            free(list[i]);
        else
            list[kept++] = list[i];
    }
    return kept;
}

int patterns_parse(const json_t *given, const char *field, char ***list, unsigned *count, struct fault *fault)
{
    size_t wanted = json_is_array(given) ? json_array_size(given) : 1;
    unsigned n = 0;

    if (wanted == 0 || wanted > PATTERNS_MAX)
        return definition_fault(fault, field, given, "1 to %d patterns", PATTERNS_MAX);
    char **copies = calloc(wanted, sizeof *copies);
    if (copies == NULL)
        return definition_no_memory(fault, field);
    for (; n < wanted; n++) {
        copies[n] = pattern_copy(json_is_array(given) ? json_array_get(given, n) : given, field, fault);
        if (copies[n] == NULL) {
            patterns_free(copies, n);
            return -1;
        }
    }
    *count = sort_unique(copies, n);
    *list = copies;
    return 0;
}

json_t *patterns_json(char *const *list, unsigned count)
{
    json_t *array;

    if (count == 1)
        return json_string(list[0]);
    array = json_array();
    for (unsigned i = 0; i < count; i++)
        if (json_array_append_new(array, json_string(list[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

bool patterns_equal(char *const *a, unsigned a_count, char *const *b, unsigned b_count)
{
    for (unsigned i = 0; i < a_count && a_count == b_count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return a_count == b_count;
}
