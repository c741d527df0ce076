/* SPDX-License-Identifier: MIT */
#include "yaml_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reading {
    yaml_parser_t parser;
    yaml_event_t event; /* the one that is read now */
    unsigned nodes;
    char *error; /* YAML_ERROR_MAX */
};

static json_t *node_read(struct reading *in, unsigned depth);

static json_t *wrong(struct reading *in, const char *what)
{
    snprintf(in->error, YAML_ERROR_MAX, "line %zu: %s", in->event.start_mark.line + 1, what);
    return NULL;
}

/* Goes to the next event. False: in->error says why there is none. */
static bool next(struct reading *in)
{
    yaml_event_delete(&in->event);
    if (yaml_parser_parse(&in->parser, &in->event))
        return true;
    memset(&in->event, 0, sizeof in->event);
    snprintf(in->error, YAML_ERROR_MAX, "line %zu: %s", in->parser.problem_mark.line + 1,
             in->parser.problem ? in->parser.problem : "this is not YAML");
    return false;
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *d)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, d) == 0;
}

/* A scalar without quotes, by the core schema, but that fractions stay text: amounts are exact. */
static json_t *plain_read(const char *text, size_t len)
{
    char *end;

    if (len == 0 || strcmp(text, "~") == 0 || is_one_of(text, "null", "Null", "NULL"))
        return json_null();
    if (is_one_of(text, "true", "True", "TRUE") || is_one_of(text, "false", "False", "FALSE"))
        return json_boolean(text[0] == 't' || text[0] == 'T');
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (*end == 0 && errno == 0 && strspn(text, "-0123456789") == len)
        return json_integer(n);
    return json_stringn(text, len);
}

static json_t *scalar_read(struct reading *in)
{
    const char *text = (const char *)in->event.data.scalar.value;
    size_t len = in->event.data.scalar.length;

    if (in->event.data.scalar.tag)
        return wrong(in, "tags are not understood");
    json_t *value = in->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain_read(text, len)
                                                                           : json_stringn(text, len);
    return value ? value : wrong(in, "this text cannot be taken");
}

/* The key is in in->event. */
static bool pair_read(struct reading *in, json_t *object, unsigned depth)
{
    char key[256];

    if (in->event.type != YAML_SCALAR_EVENT || in->event.data.scalar.length >= sizeof key ||
        memchr(in->event.data.scalar.value, 0, in->event.data.scalar.length)) {
        wrong(in, "a name was expected");
        return false;
    }
    snprintf(key, sizeof key, "%s", (const char *)in->event.data.scalar.value);
    if (json_object_get(object, key)) {
        wrong(in, "this name comes twice");
        return false;
    }
    json_t *value = next(in) ? node_read(in, depth) : NULL;
    return value && json_object_set_new(object, key, value) == 0;
}

static json_t *mapping_read(struct reading *in, unsigned depth)
{
    json_t *object = json_object();

    while (next(in)) {
        if (in->event.type == YAML_MAPPING_END_EVENT)
            return object;
        if (!pair_read(in, object, depth))
            break;
    }
    json_decref(object);
    return NULL;
}

static json_t *sequence_read(struct reading *in, unsigned depth)
{
    json_t *array = json_array(), *value;

    while (next(in)) {
        if (in->event.type == YAML_SEQUENCE_END_EVENT)
            return array;
        if (!(value = node_read(in, depth)) || json_array_append_new(array, value) != 0)
            break;
    }
    json_decref(array);
    return NULL;
}

/* The node that begins with in->event. NULL: in->error says why not, or is empty: no memory. */
static json_t *node_read(struct reading *in, unsigned depth)
{
    if (depth == YAML_DEPTH_MAX || ++in->nodes > YAML_NODES_MAX)
        return wrong(in, "this is too deep or too much");
    switch (in->event.type) {
    case YAML_SCALAR_EVENT:
        return scalar_read(in);
    case YAML_MAPPING_START_EVENT:
        return mapping_read(in, depth + 1);
    case YAML_SEQUENCE_START_EVENT:
        return sequence_read(in, depth + 1);
    case YAML_ALIAS_EVENT:
        return wrong(in, "aliases are not understood");
    default:
        return wrong(in, "there is nothing here");
    }
}

/* Stream and document begin, one node, and both end. */
static json_t *document_read(struct reading *in)
{
    if (!next(in)) /* the stream begins */
        return NULL;
    if (!next(in))
        return NULL;
    if (in->event.type != YAML_DOCUMENT_START_EVENT)
        return wrong(in, "there is nothing here");
    json_t *value = next(in) ? node_read(in, 0) : NULL;
    if (value && next(in) && next(in)) {
        if (in->event.type == YAML_STREAM_END_EVENT)
            return value;
        wrong(in, "only one document was expected");
    }
    json_decref(value);
    return NULL;
}

json_t *yaml_read_json(const char *text, size_t len, char error[YAML_ERROR_MAX])
{
    struct reading in = { .error = error };

    snprintf(error, YAML_ERROR_MAX, "out of memory");
    if (!yaml_parser_initialize(&in.parser))
        return NULL;
    yaml_parser_set_input_string(&in.parser, (const unsigned char *)text, len);
    json_t *value = document_read(&in);
    yaml_event_delete(&in.event);
    yaml_parser_delete(&in.parser);
    return value;
}
