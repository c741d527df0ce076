/* SPDX-License-Identifier: MIT
 *
 * definitions.h: a file of budgets: a definition, a list of them, or a configuration with a list under
 * budgets; in YAML or JSON.
 */
#ifndef COLLECTOR_CLI_DEFINITIONS_H
#define COLLECTOR_CLI_DEFINITIONS_H

#include "cli.h"

/* path "-": standard input. *file is what is to be given back (json_decref); the result is a new reference to
 * a list. NULL: has been told, *status is the exit status. */
json_t *definitions_read(const char *path, json_t **file, int *status);

#endif
