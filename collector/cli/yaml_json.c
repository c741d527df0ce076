/* SPDX-License-Identifier: MIT */
#include "yaml_json.h"

#include "../daemon/yaml_json.h"

/* The document's root as JSON, or NULL and the error. */
static json_t *read_root(yaml_document_t *document, char error[YAML_ERROR_MAX])
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    struct yaml_fault fault = { 0 };
    json_t *value = NULL;

    if (root == NULL)
        snprintf(error, YAML_ERROR_MAX, "there is nothing here");
    else if (yaml_json(document, root, &value, &fault) != 0)
        snprintf(error, YAML_ERROR_MAX, "line %zu: %.200s", fault.line, fault.what);
    return value;
}

json_t *yaml_read_json(const char *text, size_t len, char error[YAML_ERROR_MAX])
{
    yaml_document_t document;
    yaml_parser_t parser;
    json_t *value = NULL;

    if (yaml_parser_initialize(&parser) == 0) {
        snprintf(error, YAML_ERROR_MAX, "no memory");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (yaml_parser_load(&parser, &document) == 0) {
        snprintf(error, YAML_ERROR_MAX, "line %zu: %.200s", parser.problem_mark.line + 1,
                 parser.problem != NULL ? parser.problem : "this is no YAML");
    } else {
        value = read_root(&document, error);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return value;
}
