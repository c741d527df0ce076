/* SPDX-License-Identifier: MIT */
#include "yaml_json.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ------------------------------------------------------------- YAML to JSON */

struct walk {
    yaml_document_t *document;
    struct yaml_fault *fault;
    size_t left; /* nodes that may still come: aliases may name each other, or themselves */
};

static json_t *convert(struct walk *w, const yaml_node_t *n, int depth);

static json_t *refuse(struct walk *w, const yaml_node_t *at, const char *what)
{
    *w->fault = (struct yaml_fault){ at->start_mark.line + 1, what };
    return NULL;
}

const char *yaml_text(const yaml_node_t *n)
{
    return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

/* As a program would write it: what is written otherwise, as 007 or +1, may be a name. */
static bool whole_number(const char *text, json_int_t *out)
{
    const char *digits = text + (*text == '-');

    if (strcmp(text, "0") != 0 && (digits[0] < '1' || digits[0] > '9'))
        return false;
    if (digits[strspn(digits, "0123456789")] != '\0')
        return false;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

static json_t *convert_scalar(struct walk *w, const yaml_node_t *n)
{
    const char *text = yaml_text(n);
    json_int_t number;

    if (strlen(text) != n->data.scalar.length)
        return refuse(w, n, "a text without NUL was expected");
    if (n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return json_string(text);
    if (text[0] == '\0' || strcmp(text, "null") == 0 || strcmp(text, "~") == 0)
        return json_null();
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] == 't');
    return whole_number(text, &number) ? json_integer(number) : json_string(text);
}

static json_t *convert_list(struct walk *w, const yaml_node_t *n, int depth)
{
    json_t *list = json_array();

    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
        json_t *value = convert(w, yaml_document_get_node(w->document, *i), depth);
        if (value == NULL || json_array_append_new(list, value) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static bool is_key(const yaml_node_t *n)
{
    const char *s = yaml_text(n);

    if (s == NULL || strlen(s) != n->data.scalar.length || strlen(s) > YAML_KEY_MAX)
        return false;
    while ((unsigned char)*s >= 0x20 && *s != 0x7f)
        s++;
    return *s == '\0';
}

static json_t *convert_value(struct walk *w, const yaml_node_pair_t *pair, const json_t *map, int depth)
{
    const yaml_node_t *key = yaml_document_get_node(w->document, pair->key);

    if (!is_key(key))
        return refuse(w, key, "a key was expected: a printable text of at most 512 bytes");
    if (json_object_get(map, yaml_text(key)) != NULL)
        return refuse(w, key, "a key that was given before");
    return convert(w, yaml_document_get_node(w->document, pair->value), depth);
}

static json_t *convert_map(struct walk *w, const yaml_node_t *n, int depth)
{
    json_t *map = json_object();

    for (yaml_node_pair_t *i = n->data.mapping.pairs.start; i < n->data.mapping.pairs.top; i++) {
        json_t *value = convert_value(w, i, map, depth);
        const char *key = yaml_text(yaml_document_get_node(w->document, i->key));
        if (value == NULL || json_object_set_new(map, key, value) != 0) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *convert(struct walk *w, const yaml_node_t *n, int depth)
{
    if (depth == 0)
        return refuse(w, n, "nested deeper than the 8 levels that were expected");
    if (w->left-- == 0) {
        w->left = 0;
        return refuse(w, n, "more than the 8192 values that were expected in one definition");
    }
    if (n->type == YAML_SCALAR_NODE)
        return convert_scalar(w, n);
    return n->type == YAML_SEQUENCE_NODE ? convert_list(w, n, depth - 1) : convert_map(w, n, depth - 1);
}

int yaml_json(yaml_document_t *document, const yaml_node_t *n, json_t **out, struct yaml_fault *fault)
{
    struct walk w = { document, fault, YAML_NODES_MAX };

    *fault = (struct yaml_fault){ n->start_mark.line + 1, "no memory" };
    json_t *json = convert(&w, n, YAML_DEPTH_MAX);
    if (json == NULL)
        return -1;
    *out = json;
    return 0;
}

/* Where `field` leads on: past key and dot, at its end; NULL: it is of another key. */
static const char *field_after(const char *field, const char *key)
{
    size_t len = strlen(key);

    if (strncmp(field, key, len) != 0 || (field[len] != '.' && field[len] != '\0'))
        return NULL;
    return field + len + (field[len] == '.');
}

size_t yaml_line(yaml_document_t *document, const yaml_node_t *map, const char *field)
{
    const yaml_node_t *n = map;
    size_t line = map->start_mark.line + 1;

    while (*field != '\0' && n->type == YAML_MAPPING_NODE) {
        const char *rest = NULL;
        for (yaml_node_pair_t *i = n->data.mapping.pairs.start; i < n->data.mapping.pairs.top; i++) {
            const yaml_node_t *key = yaml_document_get_node(document, i->key);
            rest = yaml_text(key) != NULL ? field_after(field, yaml_text(key)) : NULL;
            if (rest == NULL)
                continue;
            line = key->start_mark.line + 1;
            n = yaml_document_get_node(document, i->value);
            break;
        }
        if (rest == NULL)
            break;
        field = rest;
    }
    return line;
}

/* ------------------------------------------------------------- JSON to YAML */

/* What a reader refuses, or takes for the end of a line. */
static bool must_escape(gunichar c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           (c >= 0xfffe && c <= 0xffff);
}

void yaml_print_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (const char *s = text, *next; *s != '\0'; s = next) {
        gunichar c = g_utf8_get_char_validated(s, -1);
        bool is_text = c < 0x110000; /* the environment may hold anything: a path goes out as it is */
        next = is_text ? g_utf8_next_char(s) : s + 1;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", *s);
        else if (is_text && must_escape(c))
            fprintf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        else
            fwrite(s, 1, (size_t)(next - s), out);
    }
    fputc('"', out);
}

/* Needs no quotes, here and for readers that take more words for true and false. */
static bool is_plain(const char *text)
{
    static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y", "n" };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0)
            return false;
    return g_ascii_isalpha(text[0]) &&
           text[strspn(text, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-")] == '\0';
}

void yaml_print_word(const char *text, FILE *out)
{
    if (is_plain(text))
        fputs(text, out);
    else
        yaml_print_text(text, out);
}

static void print_map(const json_t *map, FILE *out)
{
    const char *key, *between = "";
    json_t *value;

    fputc('{', out);
    json_object_foreach((json_t *)map, key, value)
    {
        fputs(between, out);
        yaml_print_word(key, out);
        fputs(": ", out);
        yaml_print(value, out);
        between = ", ";
    }
    fputc('}', out);
}

static void print_list(const json_t *list, FILE *out)
{
    fputc('[', out);
    for (size_t i = 0; i < json_array_size(list); i++) {
        fputs(i > 0 ? ", " : "", out);
        yaml_print(json_array_get(list, i), out);
    }
    fputc(']', out);
}

void yaml_print(const json_t *value, FILE *out)
{
    if (json_is_object(value))
        print_map(value, out);
    else if (json_is_array(value))
        print_list(value, out);
    else if (json_is_string(value))
        yaml_print_word(json_string_value(value), out);
    else
        json_dumpf(value, out, JSON_ENCODE_ANY);
}
