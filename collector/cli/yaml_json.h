/* SPDX-License-Identifier: MIT
 *
 * yaml_json.h: a YAML file, of which JSON is a part, as JSON: what its scalars become stands in
 * daemon/yaml_json.h. Pure.
 */
#ifndef COLLECTOR_CLI_YAML_JSON_H
#define COLLECTOR_CLI_YAML_JSON_H

#include <jansson.h>
#include <stddef.h>

#define YAML_ERROR_MAX 256

/* The first document, a new reference. NULL: error says why and in which line. */
json_t *yaml_read_json(const char *text, size_t len, char error[YAML_ERROR_MAX]);

#endif
