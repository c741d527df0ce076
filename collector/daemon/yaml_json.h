/* SPDX-License-Identifier: MIT
 *
 * yaml_json.h: a YAML node as JSON, and JSON as YAML. A plain scalar that is true, false, null (or ~, or
 * nothing) or a whole number becomes that; every other one, and what is quoted, becomes a text: `5 usd` and
 * `0.10` stay as they were written.
 */
#ifndef COLLECTOR_YAML_JSON_H
#define COLLECTOR_YAML_JSON_H

#include <jansson.h>
#include <stdio.h>
#include <yaml.h>

#define YAML_DEPTH_MAX 8
#define YAML_NODES_MAX 8192 /* of one node with all that is inside; what an alias names counts each time */
#define YAML_KEY_MAX   512  /* bytes */

struct yaml_fault {
    size_t line;
    const char *what; /* static */
};

/* *out is a new reference. On failure -1, and fault says what and where: too deep, too much, a key that is no
 * text, too long, not printable, or given twice. */
int yaml_json(yaml_document_t *document, const yaml_node_t *n, json_t **out, struct yaml_fault *fault);

/* The line of a field, "scope.agent", inside a map; of the map itself where it is not found. From 1. */
size_t yaml_line(yaml_document_t *document, const yaml_node_t *map, const char *field);

/* The text of a scalar; else NULL. */
const char *yaml_text(const yaml_node_t *n);

/* A text in double quotes, with whatever YAML would not keep escaped. */
void yaml_print_text(const char *text, FILE *out);

/* A text that yaml_json takes for a text, in quotes only where it needs them. */
void yaml_print_word(const char *text, FILE *out);

/* JSON in one line, so that yaml_json makes the same of it. Texts must have no NUL. */
void yaml_print(const json_t *value, FILE *out);

#endif
