/* SPDX-License-Identifier: MIT
 *
 * allowances and pauses: what somebody has decided by hand, and holds or has held.
 */
#include "govern.h"

static const char allowances_help[] = "usage: tollgate allowances [--all] [--json]\n"
                                      "\n"
                                      "The raises of budgets that hold now.\n"
                                      "\n"
                                      "  --all           also those that are over\n"
                                      "  --json          for programs\n"
                                      "\n"
                                      "  tollgate allowances --all\n";
static const char pauses_help[] = "usage: tollgate pauses [--all] [--json]\n"
                                  "\n"
                                  "Who is paused now.\n"
                                  "\n"
                                  "  --all           also who was\n"
                                  "  --json          for programs\n"
                                  "\n"
                                  "  tollgate pauses --all\n"
                                  "  tollgate resume agent=researcher\n";

static int list(int argc, char **argv, const char *help, const char *path, const char *none,
                void (*show)(const json_t *, const char *))
{
    bool as_json = false, all = false;
    const struct cli_option options[] = { { "all", NULL, &all }, { "json", NULL, &as_json }, { 0 } };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (all)
        cli_param_default(&c, "all", "true");
    if (as_json)
        return cli_copy(&c, path);
    json_t *answer = cli_json(&c, path, true, &status);
    if (!answer)
        return status;
    show(answer, none);
    json_decref(answer);
    return CLI_OK;
}

int command_allowances(int argc, char **argv)
{
    return list(argc, argv, allowances_help, "/v1/allowances", "no allowances\n", allowances_show);
}

int command_pauses(int argc, char **argv)
{
    return list(argc, argv, pauses_help, "/v1/pauses", "nobody is paused\n", pauses_show);
}
