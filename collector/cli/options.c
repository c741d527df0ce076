/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* The names by which events can be chosen; `_id` may be left out. */
static const char *const filter_names[] = {
    "source",
#define TG_HEAD_TEXT(name) #name,
#define TG_DIMS_TEXT(name) #name,
#define TG_DIMS_ENUM(name) #name,
#include "../../schema/event.def"
    "run_id", "call_id", "response_id", "trace_id", "span_id", "message_id", "event_id",
};

/* --agent, --agent-id and --agent_id are the same. */
static bool same_name(const char *given, const char *name)
{
    size_t i = 0;

    for (; given[i] && given[i] != '='; i++) {
        if ((given[i] == '-' ? '_' : given[i]) != name[i])
            return false;
    }
    return name[i] == 0 || strcmp(name + i, "_id") == 0;
}

static const char *filter_param(const char *given)
{
    for (size_t i = 0; i < sizeof filter_names / sizeof *filter_names; i++) {
        if (same_name(given, filter_names[i]))
            return filter_names[i];
    }
    return NULL;
}

static const struct cli_option *option_find(const struct cli_option *o, const char *given)
{
    size_t len = strcspn(given, "=");

    for (; o->name; o++) {
        if (strncmp(o->name, given, len) == 0 && o->name[len] == 0)
            return o;
    }
    return NULL;
}

const char *cli_param(const struct cli *c, const char *name)
{
    for (unsigned i = 0; i < c->params; i++) {
        if (strcmp(c->param[i].name, name) == 0)
            return c->param[i].value;
    }
    return NULL;
}

void cli_param_default(struct cli *c, const char *name, const char *value)
{
    if (!cli_param(c, name) && c->params < CLI_PARAMS_MAX)
        c->param[c->params++] = (struct cli_param){ name, value };
}

static int wrong(const char *what, const char *option)
{
    fprintf(stderr, "tollgate: %s: %s (see --help)\n", option, what);
    return CLI_USAGE;
}

/* Takes the value of an option, from after `=` or the next argument. */
static const char *value_of(int argc, char **argv, int *i)
{
    const char *equals = strchr(argv[*i], '=');

    if (equals)
        return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static int take_value(struct cli *c, const char *param, const char *value, const char *option)
{
    if (strcmp(param, "url") == 0)
        c->url = value;
    else if (strcmp(param, "token") == 0)
        c->token = value;
    else if (cli_param(c, param) || c->params == CLI_PARAMS_MAX)
        return wrong("given twice", option);
    else
        c->param[c->params++] = (struct cli_param){ param, value };
    return -1;
}

static int take_option(struct cli *c, int argc, char **argv, int *i, const struct cli_option *options,
                       bool filters)
{
    const char *option = argv[*i], *given = option + 2, *param = NULL;
    const struct cli_option *o = option_find(options, given);

    if (o && !o->param) {
        if (strchr(given, '='))
            return wrong("takes no value", option);
        *o->flag = true;
        return -1;
    }
    if (o)
        param = o->param;
    else if (same_name(given, "url") || same_name(given, "token"))
        param = given[0] == 'u' ? "url" : "token";
    else if (filters)
        param = filter_param(given);
    if (!param)
        return wrong("unknown option", option);
    const char *value = value_of(argc, argv, i);
    return value ? take_value(c, param, value, option) : wrong("needs a value", option);
}

int cli_options(struct cli *c, int argc, char **argv, const struct cli_option *options, bool filters,
                const char *help)
{
    const char *url = getenv("TOLLGATE_URL");

    c->url = url && url[0] ? url : CLI_URL;
    c->token = getenv("TOLLGATE_TOKEN");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return CLI_OK;
        }
        if (strncmp(argv[i], "--", 2) != 0 || argv[i][2] == 0)
            return wrong("unknown argument", argv[i]);
        int status = take_option(c, argc, argv, &i, options, filters);
        if (status >= 0)
            return status;
    }
    return -1;
}
