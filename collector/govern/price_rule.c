/* SPDX-License-Identifier: MIT */
#include "price_rule.h"

#include <glib.h>
#include <string.h>

enum op { OP_EQUALS, OP_STARTS, OP_ENDS, OP_CONTAINS, OP_REGEX, OP_OR, OP_AND, OPS };

static const char *const op_names[OPS] = { "equals", "starts_with", "ends_with", "contains",
                                           "regex",  "or",          "and" };

struct price_rule {
    enum op op;
    uint32_t count; /* of bytes, or of children */
    union {
        const char *text;         /* in the arena */
        GRegex *regex;            /* owned */
        struct price_rule *child; /* in the arena, one after the other */
    };
};

/* -------------------------------------------------------------------- names */

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool price_name_read(struct slice given, struct price_name *out)
{
    const uint8_t *at = given.at, *end = at != NULL ? at + given.len : NULL;

    while (at != end && is_blank(*at))
        at++;
    while (at != end && is_blank(end[-1]))
        end--;
    if (at == end || end - at > PRICE_NAME_MAX)
        return false;
    out->len = (uint32_t)(end - at);
    for (uint32_t i = 0; i < out->len; i++)
        out->text[i] = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] + ('a' - 'A') : at[i]);
    out->text[out->len] = 0;
    return true;
}

void price_name_rest(const struct price_name *n, uint32_t from, struct price_name *out)
{
    out->len = n->len - from;
    memmove(out->text, n->text + from, out->len + 1);
}

/* ------------------------------------------------------------------ parsing */

static bool parse_into(const json_t *given, const char *name, unsigned depth, struct arena *arena,
                       struct price_rule *r, struct fault *fault);

static bool parse_regex(const char *text, const char *name, struct price_rule *r, struct fault *fault)
{
    GError *error = NULL;

    /* Bytes, and $ only at the very end: what the source's regexes mean by themselves. */
    r->regex = g_regex_new(text, G_REGEX_RAW | G_REGEX_DOLLAR_ENDONLY, 0, &error);
    if (r->regex != NULL)
        return true;
    fault_set(fault, name, text, "a regular expression (%s)", error->message);
    g_error_free(error);
    return false;
}

static bool parse_text(const json_t *given, const char *name, struct arena *arena, struct price_rule *r,
                       struct fault *fault)
{
    size_t len = json_string_length(given);
    struct price_name folded;

    if (!json_is_string(given) || len == 0 || len > PRICE_NAME_MAX) {
        fault_set(fault, name, json_is_string(given) ? json_string_value(given) : "", "1 to %d bytes of text",
                  PRICE_NAME_MAX);
        return false;
    }
    if (r->op == OP_REGEX)
        return parse_regex(json_string_value(given), name, r, fault);
    char *text = arena_take(arena, len + 1);
    if (text == NULL ||
        !price_name_read((struct slice){ (const uint8_t *)json_string_value(given), (uint32_t)len },
                         &folded)) {
        fault_set(fault, name, json_string_value(given), "text that is not blank, and memory");
        return false;
    }
    memcpy(text, folded.text, folded.len + 1);
    r->text = text;
    r->count = folded.len;
    return true;
}

static bool parse_children(const json_t *given, const char *name, unsigned depth, struct arena *arena,
                           struct price_rule *r, struct fault *fault)
{
    size_t count = json_array_size(given);

    if (count == 0 || depth == PRICE_RULE_DEPTH || count > 1000 ||
        (r->child = arena_take(arena, count * sizeof *r->child)) == NULL) {
        fault_set(fault, name, "", "a list of 1 to 1000 rules, at most %d deep", PRICE_RULE_DEPTH);
        return false;
    }
    for (; r->count < count; r->count++) {
        if (!parse_into(json_array_get(given, r->count), name, depth + 1, arena, &r->child[r->count], fault))
            return false;
    }
    return true;
}

/* On failure r holds what has been made so far, or nothing. */
static bool parse_into(const json_t *given, const char *name, unsigned depth, struct arena *arena,
                       struct price_rule *r, struct fault *fault)
{
    *r = (struct price_rule){ .op = OPS };
    if (json_object_size(given) == 1) {
        const char *op = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)given));
        for (r->op = 0; r->op < OPS && strcmp(op_names[r->op], op) != 0; r->op++)
            ;
        const json_t *value = json_object_get(given, op);
        if (r->op < OP_OR)
            return parse_text(value, name, arena, r, fault);
        if (r->op < OPS)
            return parse_children(value, name, depth, arena, r, fault);
    }
    fault_set(fault, name, "", "one of equals, starts_with, ends_with, contains, regex, or, and");
    return false;
}

struct price_rule *price_rule_parse(const json_t *given, const char *name, struct arena *arena,
                                    struct fault *fault)
{
    struct price_rule *r = arena_take(arena, sizeof *r);

    if (r == NULL)
        fault_set(fault, name, "", "memory");
    else if (!parse_into(given, name, 0, arena, r, fault)) {
        price_rule_fini(r);
        r = NULL;
    }
    return r;
}

void price_rule_fini(struct price_rule *r)
{
    if (r == NULL)
        return;
    if (r->op == OP_REGEX && r->regex != NULL)
        g_regex_unref(r->regex);
    for (uint32_t i = 0; (r->op == OP_OR || r->op == OP_AND) && i < r->count; i++)
        price_rule_fini(&r->child[i]);
}

/* ----------------------------------------------------------------- matching */

static bool any_fits(const struct price_rule *r, const struct price_name *name, bool wanted)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (price_rule_fits(&r->child[i], name) == wanted)
            return true;
    return false;
}

bool price_rule_fits(const struct price_rule *r, const struct price_name *n)
{
    switch (r->op) {
    case OP_EQUALS:
        return n->len == r->count && memcmp(n->text, r->text, r->count) == 0;
    case OP_STARTS:
        return n->len >= r->count && memcmp(n->text, r->text, r->count) == 0;
    case OP_ENDS:
        return n->len >= r->count && memcmp(n->text + n->len - r->count, r->text, r->count) == 0;
    case OP_CONTAINS:
        return memmem(n->text, n->len, r->text, r->count) != NULL;
    case OP_REGEX:
        return g_regex_match_full(r->regex, n->text, (gssize)n->len, 0, 0, NULL, NULL);
    case OP_OR:
        return any_fits(r, n, true);
    case OP_AND:
        return !any_fits(r, n, false);
    default:
        return false;
    }
}
