/* SPDX-License-Identifier: MIT
 *
 * pause and resume: who may not call at all, or has to wait before each call, from now on.
 */
#include <stdlib.h>
#include <string.h>

#include "govern.h"

static const char pause_help[] =
    "usage: tollgate pause FIELD=VALUE --reason TEXT [--for TIME] [--delay TIME] [--author NAME] [--json]\n"
    "\n"
    "Blocks every call of an agent, a session, ... at once, until it is resumed or its time is over.\n"
    "A pause that holds already is prolonged and made harder, never shorter or softer: to do that,\n"
    "resume first. What holds then is what this command prints.\n"
    "\n"
    "  FIELD           agent, session, root_session, user, provider, model, lane, surface, channel or "
    "trigger\n"
    "  --reason TEXT   why; whoever is stopped reads it\n"
    "  --for TIME      ends by itself after 90s, 30m, 2h, 1d (a second to 366 days)\n"
    "  --delay TIME    does not block: each call has to wait so long, up to 1h\n"
    "  --author NAME   who decides; you, at this machine, if it is not given\n"
    "  --json          for programs: id, field, value, action (block, delay), delay_ms, from_ms, until_ms,\n"
    "                  ended_ms, rule, alert, author, reason\n"
    "\n"
    "  tollgate pause agent=researcher --reason \"loops since 9:40\"\n"
    "  tollgate pause agent=researcher --for 2h --delay 30s --reason \"too fast\"\n"
    "  tollgate pause session=s-42 --reason \"wrong repository\"\n";
static const char resume_help[] = "usage: tollgate resume FIELD=VALUE [--author NAME] [--json]\n"
                                  "\n"
                                  "Ends a pause.\n"
                                  "\n"
                                  "  --author NAME   who decides; you, at this machine, if it is not given\n"
                                  "  --json          for programs\n"
                                  "\n"
                                  "  tollgate resume agent=researcher\n"
                                  "  tollgate pauses\n";

struct pair {
    char *field; /* owned */
    const char *value;
};

/* FIELD=VALUE. False: has been told. */
static bool pair_read(const char *text, struct pair *out)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text || !equals[1]) {
        cli_fail("%s: FIELD=VALUE was expected, as agent=researcher (see --help)", text);
        return false;
    }
    out->field = strndup(text, (size_t)(equals - text));
    out->value = equals + 1;
    if (!out->field)
        cli_fail("out of memory");
    return out->field != NULL;
}

static void show_pause(const json_t *answer)
{
    char text[CLI_TEXT];

    if (row_known(answer, "delay_ms")) {
        human_ms(row_number(answer, "delay_ms"), text);
        printf(" has to wait %s before each call", text);
    } else {
        fputs(" is paused", stdout);
    }
    if (row_known(answer, "until_ms")) {
        human_time(row_number(answer, "until_ms"), text);
        printf(" until %sZ", text);
    }
    putchar('\n');
}

static void show(const struct pair *pair, const json_t *answer, bool pause)
{
    human_text(stdout, pair->field);
    putchar(' ');
    human_text(stdout, pair->value);
    if (pause)
        show_pause(answer);
    else
        puts(" may go on");
}

static json_t *pause_ask(const struct cli *c, const struct pair *pair, bool as_json, int *status)
{
    json_t *body = govern_body(c);

    if (body && govern_put(body, "field", pair->field) && govern_put(body, "value", pair->value) &&
        govern_put(body, "for", cli_param(c, "for")) && govern_put(body, "delay", cli_param(c, "delay")) &&
        govern_put(body, "reason", cli_param(c, "reason")))
        return govern_change(c, "POST", "/v1/pauses", body, as_json, status);
    json_decref(body);
    return NULL;
}

static json_t *resume_ask(const struct cli *c, const struct pair *pair, bool as_json, int *status)
{
    char *field = cli_path("/v1/pauses?field=", pair->field), *path = NULL;
    json_t *body = NULL, *answer = NULL;

    if (field) {
        char *value = cli_path("&value=", pair->value);
        if (value && asprintf(&path, "%s%s", field, value) < 0)
            path = NULL;
        free(value);
    }
    if (path)
        body = govern_body(c);
    if (body)
        answer = govern_change(c, "DELETE", path, body, as_json, status);
    free(field);
    free(path);
    return answer;
}

static int run(int argc, char **argv, const struct cli_option *options, const bool *as_json, bool pause)
{
    struct cli c = { .operands_min = 1, .operands_max = 1 };
    int status = cli_options(&c, argc, argv, options, false, pause ? pause_help : resume_help);
    struct pair pair;

    if (status >= 0)
        return status;
    if (!pair_read(c.operand[0], &pair))
        return CLI_USAGE;
    status = CLI_FAILED;
    json_t *answer =
        pause ? pause_ask(&c, &pair, *as_json, &status) : resume_ask(&c, &pair, *as_json, &status);
    if (answer) {
        if (!*as_json)
            show(&pair, answer, pause);
        json_decref(answer);
        status = CLI_OK;
    }
    free(pair.field);
    return status;
}

int command_pause(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        { "reason", "reason", NULL }, { "for", "for", NULL },     { "delay", "delay", NULL },
        { "author", "author", NULL }, { "json", NULL, &as_json }, { 0 },
    };

    return run(argc, argv, options, &as_json, true);
}

int command_resume(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = { { "author", "author", NULL }, { "json", NULL, &as_json }, { 0 } };

    return run(argc, argv, options, &as_json, false);
}
