/* SPDX-License-Identifier: MIT
 *
 * The operator's prices, from the configuration file. Numbers with a point stay text, so that they are exact.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "price.h"

#define DEPTH_MAX 16

static json_t *node_json(yaml_document_t *d, const yaml_node_t *n, int depth);

static json_t *scalar_json(const yaml_node_t *n)
{
    const char *text = (const char *)n->data.scalar.value;
    char *end;

    if (n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            return json_boolean(text[0] == 't');
        errno = 0;
        long long whole = strtoll(text, &end, 10);
        if (end != text && *end == 0 && errno == 0)
            return json_integer(whole);
    }
    return json_string(text);
}

static json_t *sequence_json(yaml_document_t *d, const yaml_node_t *n, int depth)
{
    json_t *list = json_array();

    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++)
        json_array_append_new(list, node_json(d, yaml_document_get_node(d, *i), depth + 1));
    return list;
}

static json_t *mapping_json(yaml_document_t *d, const yaml_node_t *n, int depth)
{
    json_t *object = json_object();

    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(d, p->key);
        if (key->type == YAML_SCALAR_NODE)
            json_object_set_new(object, (const char *)key->data.scalar.value,
                                node_json(d, yaml_document_get_node(d, p->value), depth + 1));
    }
    return object;
}

static json_t *node_json(yaml_document_t *d, const yaml_node_t *n, int depth)
{
    if (depth > DEPTH_MAX)
        return json_null();
    return n->type == YAML_SCALAR_NODE     ? scalar_json(n)
           : n->type == YAML_SEQUENCE_NODE ? sequence_json(d, n, depth)
                                           : mapping_json(d, n, depth);
}

static json_t *section(yaml_document_t *d)
{
    const yaml_node_t *root = yaml_document_get_root_node(d);

    if (root == NULL || root->type != YAML_MAPPING_NODE)
        return json_array();
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(d, p->key);
        if (key->type == YAML_SCALAR_NODE && strcmp((const char *)key->data.scalar.value, "prices") == 0)
            return node_json(d, yaml_document_get_node(d, p->value), 0);
    }
    return json_array();
}

json_t *price_config_read(const char *path)
{
    FILE *file = fopen(path, "r");
    json_t *prices = NULL;
    yaml_parser_t parser;
    yaml_document_t document;

    if (file == NULL) {
        cli_fail("%s: %s", path, strerror(errno));
        return NULL;
    }
    if (yaml_parser_initialize(&parser)) {
        yaml_parser_set_input_file(&parser, file);
        if (yaml_parser_load(&parser, &document)) {
            prices = section(&document);
            yaml_document_delete(&document);
        } else {
            cli_fail("%s:%zu: %s", path, parser.problem_mark.line + 1,
                     parser.problem != NULL ? parser.problem : "this is not YAML");
        }
        yaml_parser_delete(&parser);
    }
    fclose(file);
    return prices;
}
