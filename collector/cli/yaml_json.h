/* SPDX-License-Identifier: MIT
 *
 * yaml_json.h: YAML, of which JSON is a part, as JSON. Pure.
 */
#ifndef COLLECTOR_CLI_YAML_JSON_H
#define COLLECTOR_CLI_YAML_JSON_H

#include <jansson.h>
#include <stddef.h>

#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX 100000
#define YAML_ERROR_MAX 256

/* One document, a new reference. Plain scalars become null, true, false or whole numbers where they look so;
 * all others are text. Aliases, tags and names that come twice are refused. NULL: error says why and in which
 * line. */
json_t *yaml_read_json(const char *text, size_t len, char error[YAML_ERROR_MAX]);

#endif
