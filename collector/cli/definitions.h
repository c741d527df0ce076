/* SPDX-License-Identifier: MIT
 *
 * definitions.h: a file of budgets or of runaway rules: a definition, a list of them, or a configuration with
 * a list in its section; in YAML or JSON.
 */
#ifndef COLLECTOR_CLI_DEFINITIONS_H
#define COLLECTOR_CLI_DEFINITIONS_H

#include "cli.h"

/* section: "budgets", "runaway". path "-": standard input. *file is what is to be given back (json_decref);
 * the result is a new reference to a list. NULL: has been told, *status is the exit status. */
json_t *definitions_read(const char *path, const char *section, json_t **file, int *status);

#endif
