/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "govern.h"

static const char help[] = "usage: tollgate audit [--limit N] [--before ID] [--json]\n"
                           "\n"
                           "Who changed what: budgets, allowances, pauses, prices; the newest first.\n"
                           "\n"
                           "  --limit N       rows at most, up to 1000\n"
                           "  --before ID     goes on where the page before ended\n"
                           "  --json          for programs\n"
                           "\n"
                           "  tollgate audit --limit 20\n";

static void detail_add(struct table *t, const json_t *row)
{
    char *text = json_dumps(json_object_get(row, "detail"), JSON_COMPACT);

    table_add(t, text ? text : "");
    free(text);
}

static void show(const json_t *answer)
{
    const json_t *rows = json_object_get(answer, "audit");
    struct table t;
    char id[CLI_TEXT];

    if (json_array_size(rows) == 0) {
        printf("nothing has been changed\n");
        return;
    }
    table_init(&t, 5);
    for (unsigned i = 1; i < 5; i++)
        table_left(&t, i);
    table_add(&t, "ID");
    table_add(&t, "TIME");
    table_add(&t, "AUTHOR");
    table_add(&t, "WHAT");
    table_add(&t, "DETAIL");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        snprintf(id, sizeof id, "%lld", (long long)row_number(row, "id"));
        table_add(&t, id);
        cell_time(&t, row, "ts_ms");
        cell_name(&t, row, "author");
        cell_name(&t, row, "what");
        detail_add(&t, row);
    }
    table_print(&t);
}

int command_audit(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        { "limit", "limit", NULL }, { "before", "before", NULL }, { "json", NULL, &as_json }, { 0 }
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (as_json)
        return cli_copy(&c, "/v1/audit");
    json_t *answer = cli_json(&c, "/v1/audit", true, &status);
    if (!answer)
        return status;
    show(answer);
    json_decref(answer);
    return CLI_OK;
}
