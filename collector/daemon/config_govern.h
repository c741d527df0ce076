/* SPDX-License-Identifier: MIT
 *
 * config_govern.h: the lists of the configuration: budgets, policies, prices, destinations of alerts, runaway
 * rules. For config.c.
 */
#ifndef COLLECTOR_CONFIG_GOVERN_H
#define COLLECTOR_CONFIG_GOVERN_H

#include <yaml.h>

#include "config.h"

#define CONFIG_GOVERN_SECTIONS "budgets, policies, prices, alerts, runaway" /* as errors list them */

/* A file that is being read; all borrowed. */
struct config_source {
    const char *name;
    yaml_document_t *document;
    char *error; /* CONFIG_ERROR_MAX */
};

/* Whether a section of this name is one of the lists. */
bool config_govern_has(const char *section);

/* Reads the lists of the root's map into c, whose zone is what budgets have that name none. On failure -1 and
 * the error is written; what was read stays in c and is the caller's to free. */
int config_govern_read(const struct config_source *source, struct config *c);

void config_govern_print(const struct config *c, FILE *out);
void config_govern_swap(struct config *a, struct config *b); /* the lists */
void config_govern_free(struct config *c);

#endif
