/* SPDX-License-Identifier: MIT
 *
 * check: what would be said to a call now. Nothing is reserved.
 */
#include <string.h>

#include "../base/clock.h"
#include "govern.h"

static const char help[] =
    "usage: tollgate check [--agent A] [--session S] [--root-session S] [--user U] [--provider P] [--model "
    "M]\n"
    "                      [--lane L] [--surface S] [--channel C] [--trigger T] [--tag NAME=VALUE...] "
    "[--json]\n"
    "\n"
    "What a budget, policy or pause says to such a call now. Nothing is reserved and nothing counted.\n"
    "Exit status 0: it may be made (allow, warn); 3: not as it is (block, downgrade, delay); 1: nobody\n"
    "could be asked; 2: a wrong option.\n"
    "\n"
    "  --json          the whole verdict, for programs; the exit status is the same\n"
    "\n"
    "  tollgate check --agent researcher --session s-42 --model claude-sonnet-4-5 && run-it\n"
    "  tollgate check --agent coder --lane batch --tag team=search --json\n";

static int no_memory(void)
{
    return cli_fail("out of memory");
}

/* The options as a call; -1: has been told. */
static int subject_put(const struct cli *c, json_t *body)
{
    json_t *tags = json_object();

    for (unsigned i = 0; tags && i < c->params; i++) {
        const struct cli_param *param = &c->param[i];
        if (!govern_put(param->tag ? tags : body, param->name, param->value)) {
            json_decref(tags);
            return -1;
        }
    }
    if (!tags || (json_object_size(tags) > 0 && json_object_set(body, "tags", tags) != 0)) {
        json_decref(tags);
        no_memory();
        return -1;
    }
    json_decref(tags);
    return 0;
}

static void line(const char *name, const char *text)
{
    if (!text || !text[0])
        return;
    printf("%-12s", name);
    human_text(stdout, text);
    putchar('\n');
}

static void action_show(const json_t *verdict, const char *action)
{
    const char *code = cli_colour() ? action_colour(action) : NULL,
               *kind = row_text(verdict, "kind", "budget");

    if (code)
        printf("\033[1;%sm", code);
    human_text(stdout, action);
    if (code)
        fputs("\033[0m", stdout);
    if (row_text(verdict, "budget", NULL)) {
        printf(" by %s ", strcmp(kind, "policy") == 0  ? "policy"
                          : strcmp(kind, "pause") == 0 ? "pause"
                                                       : "budget");
        human_text(stdout, row_text(verdict, "budget", ""));
    }
    putchar('\n');
}

static void numbers_show(const json_t *verdict)
{
    const char *unit = row_text(verdict, "unit", "");
    char spent[CLI_TEXT], limit[CLI_TEXT], text[3 * CLI_TEXT];

    if (row_known(verdict, "spent") && row_known(verdict, "limit")) {
        amount_exact(unit, row_number(verdict, "spent"), spent);
        amount_exact(unit, row_number(verdict, "limit"), limit);
        snprintf(text, sizeof text, "%s of %s", spent, limit);
        line("spent", text);
    }
    if (row_known(verdict, "opens_ms")) {
        human_until(row_number(verdict, "opens_ms"), wall_ms(), text);
        line("opens again", text);
    }
    if (row_known(verdict, "delay_ms")) {
        human_ms(row_number(verdict, "delay_ms"), text);
        line("wait", text);
    }
}

static void show(const json_t *verdict, const char *action)
{
    const json_t *shadow = json_object_get(verdict, "shadow");
    char text[512];

    action_show(verdict, action);
    line("because", row_text(verdict, "text", NULL));
    numbers_show(verdict);
    line("use model", row_text(verdict, "use_model", NULL));
    line("use lane", row_text(verdict, "use_lane", NULL));
    for (size_t i = 0; i < json_array_size(shadow); i++) {
        const json_t *row = json_array_get(shadow, i);
        snprintf(text, sizeof text, "%.60s would %.20s: %.400s", row_text(row, "budget", "?"),
                 row_text(row, "action", "?"), row_text(row, "text", ""));
        human_whole(text);
        line("shadow", text);
    }
}

int command_check(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = { { "json", NULL, &as_json }, { 0 } };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, true, help);
    json_t *body;

    if (status >= 0)
        return status;
    if (!(body = json_object()))
        return no_memory();
    if (subject_put(&c, body) != 0) {
        json_decref(body);
        return CLI_USAGE;
    }
    json_t *verdict = govern_change(&c, "POST", "/v1/check", body, as_json, &status);
    if (!verdict)
        return status;
    const char *action = row_text(verdict, "action", "");
    status = strcmp(action, "allow") == 0 || strcmp(action, "warn") == 0 ? CLI_OK : CLI_REFUSED;
    if (!as_json)
        show(verdict, action);
    json_decref(verdict);
    return status;
}
