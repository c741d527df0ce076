/* SPDX-License-Identifier: MIT
 *
 * tollgate: asks a collector over HTTP, for people and for scripts.
 */
#include <curl/curl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "../../include/tollgate.h"
#include "../query/field.h"
#include "cli.h"

static const char help[] =
    "usage: tollgate COMMAND [OPTION...]\n"
    "\n"
    "Reading\n"
    "  usage              sums of calls, tokens, costs and latency, by agent, model, ... and time\n"
    "  agents, models     every agent; every model\n"
    "  efficiency         what a million tokens cost, cache hits, speed and errors, by model\n"
    "  risk               what speaks against each agent, as evidence\n"
    "  sessions           every session, the latest first\n"
    "  session ID         one session, call by call\n"
    "  events             the events themselves\n"
    "  tail               events as they arrive\n"
    "  alerts             what somebody is to hear of: a list, one, as they come; ack, test\n"
    "  status             the collector on one screen\n"
    "  doctor             what is wrong, how large and how fast it is, and what to do about it\n"
    "\n"
    "Governing\n"
    "  budgets            what is spent, reserved and left, and when it opens again; simulate FILE:\n"
    "                     what other budgets would have blocked\n"
    "  budget             explains one budget, call by call; sets and deletes budgets\n"
    "  burn               how fast each budget is spent, what it will come to, and when it is gone;\n"
    "                     --replay: how far that would have been off on your own history\n"
    "  allow              raises a budget for a while; allowances: which raises there are\n"
    "  pause, resume      stops an agent, a session, ... at once; pauses: who is stopped\n"
    "  check              what would be said to a call now\n"
    "  audit              who changed what\n"
    "  runaway            the rules by which loops are recognised; runaway replay: what they would have\n"
    "                     said of the calls that are stored\n"
    "  prices             the price list; price explain MODEL: what a call costs, line by line\n"
    "  reprice            prices stored calls again, by the list of now\n"
    "\n"
    "Keeping\n"
    "  backup FILE        copies the database, while the collector runs\n"
    "  restore FILE       puts a backup in its place, while the collector does not\n"
    "  rebuild            counts the sums again from the log, and compares or replaces them\n"
    "  ledger verify      counts the budgets again from the log, and compares\n"
    "\n"
    "Reading and governing take --url URL ($TOLLGATE_URL, default " CLI_URL ") and\n"
    "--token TOKEN ($TOLLGATE_TOKEN). Every command takes --help, which shows examples.\n"
    "\n"
    "  tollgate usage --by agent,model --from -24h\n"
    "  tollgate sessions --order=-tokens --limit 10\n"
    "  tollgate budgets\n"
    "  tollgate burn\n"
    "  tollgate allow daily-research +5usd --for 2h --reason \"the release\"\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    /* reading */
    { "usage", command_usage },
    { "agents", command_agents },
    { "models", command_models },
    { "efficiency", command_efficiency },
    { "risk", command_risk },
    { "sessions", command_sessions },
    { "session", command_session },
    { "events", command_events },
    { "tail", command_tail },
    { "alerts", command_alerts },
    { "status", command_status },
    { "doctor", command_doctor },
    /* governing */
    { "budgets", command_budgets },
    { "budget", command_budget },
    { "burn", command_burn },
    { "allow", command_allow },
    { "allowances", command_allowances },
    { "pause", command_pause },
    { "resume", command_resume },
    { "pauses", command_pauses },
    { "check", command_check },
    { "audit", command_audit },
    { "runaway", command_runaway },
    { "prices", command_prices },
    { "price", command_price },
    { "reprice", command_reprice },
    /* keeping */
    { "backup", command_backup },
    { "restore", command_restore },
    { "rebuild", command_rebuild },
    { "ledger", command_ledger },
};
#define COMMANDS (sizeof commands / sizeof *commands)

static int unknown(const char *name)
{
    const char *names[COMMANDS], *near = NULL;

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    if (name)
        near = nearest_name(name, names, COMMANDS);
    if (near)
        cli_fail("%s: there is no such command; did you mean %s? (see --help)", name, near);
    else
        cli_fail("%s: a command was expected (see --help)", name ? name : "no command");
    return CLI_USAGE;
}

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
    for (size_t i = 0; name && i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return unknown(name);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, ""); /* which characters the terminal has; numbers stay as they are */
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = run(argc, argv);
    curl_global_cleanup();
    return status;
}
