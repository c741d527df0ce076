/* SPDX-License-Identifier: MIT
 *
 * history.c: prints the calls of history.h as events, one JSON object in a line, in the order of time; an
 * agent is a team. What it prints depends on its arguments alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "history.h"

#define DAYS_MAX 3650
#define PACE_MAX 200

static void print_call(const struct history *h, unsigned team, int64_t minute, unsigned call,
                       int64_t begin_ms)
{
    const int64_t at_ms = begin_ms + minute * 60000 + (int64_t)call * (60000 / HISTORY_TRIES);
    struct tg_dispatch d = TG_DISPATCH_INIT;

    history_usage(h, team, minute, call, &d);
    printf("{\"kind\":\"dispatch\",\"ts_ms\":%" PRId64 ",\"agent_id\":\"%s\",\"model\":\"gpt-5.1\","
           "\"status\":\"ok\",\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
           ",\"cost_reported_nanousd\":%" PRId64 "}\n",
           at_ms, history_teams[team].name, d.usage.prompt_tokens, d.usage.completion_tokens,
           history_cost(&d));
}

static int wrong(void)
{
    fprintf(stderr,
            "usage: history SEED PACE DAYS BEGIN_MS: a Monday at 00:00 UTC; PACE: calls of a team in an "
            "hour of its busy time, up to %d\n",
            PACE_MAX);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return wrong();
    const struct history h = { .seed = strtoull(argv[1], NULL, 10),
                               .pace = (unsigned)strtoul(argv[2], NULL, 10) };
    const int64_t days = strtoll(argv[3], NULL, 10), begin_ms = strtoll(argv[4], NULL, 10);

    if (h.pace < 1 || h.pace > PACE_MAX || days < 1 || days > DAYS_MAX || begin_ms <= 0)
        return wrong();
    for (int64_t minute = 0; minute < days * HISTORY_DAY; minute++)
        for (unsigned team = 0; team < HISTORY_TEAMS; team++) {
            const unsigned calls = history_calls(&h, team, minute);
            for (unsigned call = 0; call < calls; call++)
                print_call(&h, team, minute, call, begin_ms);
        }
    return 0;
}
