/* SPDX-License-Identifier: MIT
 *
 * runaway_rules.h: the runaway rules of a configuration, for commands that look at them themselves.
 */
#ifndef COLLECTOR_CLI_RUNAWAY_RULES_H
#define COLLECTOR_CLI_RUNAWAY_RULES_H

#include "../alarm/runaway_rule.h"
#include "cli.h"

#define RUNAWAY_CONFIG_OPTION    \
    {                            \
        "config", "config", NULL \
    }

struct runaway_rules {
    struct runaway_rule *rule[RUNAWAY_RULES_MAX]; /* owned, each of them */
    size_t count;
};

/* -c becomes --config, as the daemon has it: before cli_options. */
void runaway_rules_option(int argc, char **argv);

/* Reads --config; none if it is not given: the default rules hold. Returns the exit status; fini is due in
 * any case. */
int runaway_rules_read(struct runaway_rules *r, const struct cli *c);
void runaway_rules_fini(struct runaway_rules *r);

/* "session", "root session", "agent" */
const char *runaway_look_text(int look);

#endif
