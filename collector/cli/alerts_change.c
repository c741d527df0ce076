/* SPDX-License-Identifier: MIT
 *
 * alerts ack, alerts test: saying that somebody has seen to alerts, and whether destinations can be told.
 */
#include <stdlib.h>
#include <string.h>

#include "alerts.h"

#define TEST_PATIENCE_S 300 /* each destination has its own time limit */

/* ----------------------------------------------------------------------- ack */

static void acked_tell(const char *id, const json_t *answer)
{
    char at[CLI_TEXT];

    human_time(row_number(answer, "acked_ms"), at);
    printf("alert ");
    human_text(stdout, id);
    printf(" is acknowledged by ");
    human_text(stdout, row_text(answer, "acked_by", "?"));
    printf(", %sZ\n", at);
}

static int ack_one(const struct cli *c, const char *id, bool as_json)
{
    char *place = cli_path("/v1/alerts/", id), *path = NULL;
    json_t *body = place && asprintf(&path, "%s/ack", place) >= 0 ? govern_body(c) : NULL, *answer = NULL;
    int status = CLI_FAILED;

    if (body && govern_put(body, "note", cli_param(c, "note")))
        answer = govern_change(c, "POST", path, body, as_json, &status);
    else
        json_decref(body);
    if (answer && !as_json)
        acked_tell(id, answer);
    free(path);
    free(place);
    status = answer ? CLI_OK : status;
    json_decref(answer);
    return status;
}

/* One that is not there does not keep the others from being acknowledged. */
int alerts_ack(const struct cli *c, bool as_json)
{
    int status = CLI_OK;

    for (unsigned i = 1; i < c->operands; i++) {
        int one = ack_one(c, c->operand[i], as_json);
        status = one > status ? one : status;
    }
    return status;
}

/* ---------------------------------------------------------------------- test */

static void results_show(const json_t *results)
{
    static const char *const heads[] = { "DESTINATION", "TYPE", "RESULT", "TIME", "ERROR" };
    struct table t;

    table_init(&t, 5);
    for (unsigned i = 0; i < 5; i++) {
        if (i != 3)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *row = json_array_get(results, i);
        bool ok = json_is_true(json_object_get(row, "ok"));
        char ms[CLI_TEXT];
        snprintf(ms, sizeof ms, "%" JSON_INTEGER_FORMAT " ms",
                 json_integer_value(json_object_get(row, "ms")));
        cell_name(&t, row, "destination");
        cell_name(&t, row, "type");
        table_add(&t, ok ? "ok" : "failed");
        table_colour(&t, ok ? "32" : "31");
        table_add(&t, ms);
        table_add(&t, row_text(row, "error", ""));
    }
    table_print(&t);
}

static bool all_told(const json_t *results)
{
    for (size_t i = 0; i < json_array_size(results); i++) {
        if (!json_is_true(json_object_get(json_array_get(results, i), "ok")))
            return false;
    }
    return true;
}

int alerts_test(struct cli *c, bool as_json)
{
    json_t *body = json_object(), *answer;
    int status = CLI_FAILED;

    c->patience_s = TEST_PATIENCE_S;
    if (!body || !govern_put(body, "destination", c->operands > 1 ? c->operand[1] : NULL)) {
        json_decref(body);
        return CLI_FAILED;
    }
    if (!(answer = govern_change(c, "POST", "/v1/alerts/test", body, as_json, &status)))
        return status;
    const json_t *results = json_object_get(answer, "results");
    status = all_told(results) ? CLI_OK : CLI_FAILED;
    if (json_array_size(results) == 0)
        status =
            cli_fail("nobody would be told: no destination is configured (see tollgate.yaml(5), alerts)");
    else if (!as_json)
        results_show(results);
    json_decref(answer);
    return status;
}
