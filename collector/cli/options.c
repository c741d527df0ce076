/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
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
        if (!c->param[i].tag && strcmp(c->param[i].name, name) == 0)
            return c->param[i].value;
    }
    return NULL;
}

void cli_param_default(struct cli *c, const char *name, const char *value)
{
    if (!cli_param(c, name) && c->params < CLI_PARAMS_MAX)
        c->param[c->params++] = (struct cli_param){ name, value, false };
}

static int wrong(const char *what, const char *option)
{
    fprintf(stderr, "tollgate: %s: %s (see --help)\n", option, what);
    return CLI_USAGE;
}

/* Takes the value of an option, from after `=` or the next argument. */
static char *value_of(int argc, char **argv, int *i)
{
    char *equals = strchr(argv[*i], '=');

    if (equals)
        return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static bool is_full(const struct cli *c)
{
    return c->params >= CLI_PARAMS_MAX - CLI_PARAMS_OWN;
}

static int take_value(struct cli *c, const char *param, const char *value, const char *option)
{
    if (strcmp(param, "url") == 0)
        c->url = value;
    else if (strcmp(param, "token") == 0)
        c->token = value;
    else if (cli_param(c, param))
        return wrong("given twice", option);
    else if (is_full(c))
        return wrong("too many options", option);
    else
        c->param[c->params++] = (struct cli_param){ param, value, false };
    return -1;
}

/* NAME=VALUE, cut in two where it stands. */
static int take_tag(struct cli *c, char *pair)
{
    char *equals = strchr(pair, '=');

    if (!equals || equals == pair)
        return wrong("NAME=VALUE was expected", "--tag");
    *equals = 0;
    for (unsigned i = 0; i < c->params; i++) {
        if (c->param[i].tag && strcmp(c->param[i].name, pair) == 0)
            return wrong("given twice", pair);
    }
    if (is_full(c))
        return wrong("too many options", "--tag");
    c->param[c->params++] = (struct cli_param){ pair, equals + 1, true };
    return -1;
}

static int take_option(struct cli *c, int argc, char **argv, int *i, const struct cli_option *options,
                       bool filters)
{
    const char *option = argv[*i], *given = option + 2, *param = NULL;
    const struct cli_option *o = option_find(options, given);
    bool tag = filters && !o && same_name(given, "tag");

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
    if (!param && !tag)
        return wrong("unknown option", option);
    char *value = value_of(argc, argv, i);
    if (!value)
        return wrong("needs a value", option);
    return tag ? take_tag(c, value) : take_value(c, param, value, option);
}

static int take_operand(struct cli *c, const char *operand, bool ended)
{
    if (c->operands == c->operands_max || (operand[0] == '-' && operand[1] && !ended))
        return wrong("unknown argument", operand);
    c->operand[c->operands++] = operand;
    return -1;
}

int cli_options(struct cli *c, int argc, char **argv, const struct cli_option *options, bool filters,
                const char *help)
{
    const char *url = getenv("TOLLGATE_URL");
    bool ended = false; /* after -- all are operands */

    c->url = url && url[0] ? url : CLI_URL;
    c->token = getenv("TOLLGATE_TOKEN");
    for (int i = 1; i < argc; i++) {
        int status = -1;
        if (!ended && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            fputs(help, stdout);
            return CLI_OK;
        }
        if (!ended && strcmp(argv[i], "--") == 0)
            ended = true;
        else if (!ended && strncmp(argv[i], "--", 2) == 0)
            status = take_option(c, argc, argv, &i, options, filters);
        else
            status = take_operand(c, argv[i], ended);
        if (status >= 0)
            return status;
    }
    return c->operands < c->operands_min ? wrong("missing: see --help", argv[0]) : -1;
}

int cli_number(const struct cli *c, const char *name, int64_t max, int64_t *out)
{
    const char *text = cli_param(c, name);
    char *end = NULL;

    if (!text)
        return 0;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < 0 || n > max) {
        cli_fail("--%s: \"%s\" where a whole number up to %lld was expected", name, text, (long long)max);
        return -1;
    }
    *out = n;
    return 0;
}

int cli_fail(const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fputs("tollgate: ", stderr);
    human_text(stderr, text);
    fputc('\n', stderr);
    return CLI_FAILED;
}
