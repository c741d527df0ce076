/* SPDX-License-Identifier: MIT
 *
 * tollgate: asks a collector over HTTP, for people and for scripts.
 */
#include <curl/curl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "../../include/tollgate.h"
#include "cli.h"

static const char help[] =
    "usage: tollgate COMMAND [OPTION...]\n"
    "\n"
    "  usage         sums of calls, tokens, costs and latency, by agent, model, ... and time\n"
    "  agents        every agent; models: every model\n"
    "  sessions      every session, the latest first\n"
    "  session ID    one session, call by call\n"
    "  events        the events themselves\n"
    "  tail          events as they arrive\n"
    "  status        the collector on one screen\n"
    "  doctor        what is wrong, how large and how fast it is, and what to do about it\n"
    "\n"
    "  prices        the price list; price explain MODEL: what a call costs, line by line\n"
    "\n"
    "  backup FILE   copies the database, while the collector runs\n"
    "  restore FILE  puts a backup in its place, while the collector does not\n"
    "  rebuild       counts the sums again from the log, and compares or replaces them\n"
    "\n"
    "All but the last four take --url URL ($TOLLGATE_URL, default " CLI_URL ") and\n"
    "--token TOKEN ($TOLLGATE_TOKEN). Every command takes --help, which shows examples.\n"
    "\n"
    "  tollgate usage --by agent,model --from -24h\n"
    "  tollgate sessions --order=-tokens --limit 10\n"
    "  tollgate tail --agent researcher\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "usage", command_usage },       { "agents", command_agents },   { "models", command_models },
    { "sessions", command_sessions }, { "session", command_session }, { "events", command_events },
    { "tail", command_tail },         { "status", command_status },   { "doctor", command_doctor },
    { "prices", command_prices },     { "price", command_price },     { "backup", command_backup },
    { "restore", command_restore },   { "rebuild", command_rebuild },
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
    cli_fail("%s: usage, agents, models, sessions, session, events, tail, status, doctor, prices, price, "
             "backup, restore or rebuild was expected (see --help)",
             name ? name : "no command");
    return CLI_USAGE;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, ""); /* which characters the terminal has; numbers stay as they are */
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = run(argc, argv);
    curl_global_cleanup();
    return status;
}
