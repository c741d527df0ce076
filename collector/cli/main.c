/* SPDX-License-Identifier: MIT
 *
 * tollgate: asks a collector over HTTP, for people and for scripts.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "../../include/tollgate.h"
#include "cli.h"

static const char help[] =
    "usage: tollgate COMMAND [OPTION...]\n"
    "\n"
    "  usage    sums of calls, tokens and latency, by agent, model, ... and time\n"
    "  events   the events themselves\n"
    "  tail     events as they arrive\n"
    "  status   the collector on one screen\n"
    "  doctor   what is wrong, and what to do about it\n"
    "\n"
    "Every command takes --url URL ($TOLLGATE_URL, default " CLI_URL "), --token TOKEN\n"
    "($TOLLGATE_TOKEN) and --help, which shows examples.\n"
    "\n"
    "  tollgate usage --by agent,model --from -24h\n"
    "  tollgate tail --agent researcher\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "usage", command_usage },   { "events", command_events }, { "tail", command_tail },
    { "status", command_status }, { "doctor", command_doctor },
};

/* --url and --token may stand before the command too: there they act as their variables do. */
static int take_leading(int argc, char **argv)
{
    static const char *const options[][2] = { { "--url", "TOLLGATE_URL" }, { "--token", "TOLLGATE_TOKEN" } };
    int at = 1;

    for (size_t i = 0; at < argc && i < 2; i++) {
        size_t len = strlen(options[i][0]);
        if (strncmp(argv[at], options[i][0], len) != 0)
            continue;
        const char *value = argv[at][len] == '=' ? argv[at] + len + 1 : at + 1 < argc ? argv[at + 1] : NULL;
        if (value == NULL || (argv[at][len] != '\0' && argv[at][len] != '='))
            break;
        setenv(options[i][1], value, 1);
        at += argv[at][len] == '=' ? 1 : 2;
        i = (size_t)-1; /* from the first option again */
    }
    return at - 1;
}

static int run(int argc, char **argv)
{
    int leading = take_leading(argc, argv);
    const char *name = argc > 1 + leading ? argv[1 + leading] : NULL;

    argc -= leading;
    argv += leading;

    if (name && (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)) {
        fputs(help, stdout);
        return CLI_OK;
    }
    if (name && strcmp(name, "--version") == 0) {
        puts("tollgate " TG_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; name && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "tollgate: %s: %s\n", name ? name : "no command",
            "usage, events, tail, status or doctor was expected (see --help)");
    return CLI_USAGE;
}

int main(int argc, char **argv)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = run(argc, argv);
    curl_global_cleanup();
    return status;
}
