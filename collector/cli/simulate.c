/* SPDX-License-Identifier: MIT
 *
 * budgets simulate: what the budgets of a file would have alerted and blocked, from the calls that are
 * stored.
 */
#include "../writer/simulate.h"

#include <stdlib.h>
#include <string.h>

#include "../base/event.h"
#include "database.h"
#include "definitions.h"
#include "govern.h"

#define ACCOUNTS_SHOWN 20 /* of one budget, without --verbose */
#define KEY_ROOM       256

static const char help[] =
    "usage: tollgate budgets simulate FILE [--from TIME] [--to TIME] [--verbose] [--json] [--database PATH]\n"
    "\n"
    "What the budgets in FILE would have alerted and blocked, from the calls that are stored; nothing is\n"
    "changed. FILE is a tollgate.yaml with budgets, a list of them or one, in YAML or JSON. The time is\n"
    "that of each call's arrival. A call that would have been blocked does not count, as it would not\n"
    "have been made: what it cost is what would have been saved. Where a budget only warns, downgrades or\n"
    "delays, and in shadow, calls are made and count. Allowances, pauses and policies are left out.\n"
    "\n"
    "  --from TIME      from when on (-30d); what came before in a window that ran then counts too\n"
    "  --to TIME        until when (now)\n"
    "  --verbose        every account, and everything in its order\n"
    "  --json           for programs: exact amounts in the budget's unit (10^-9 USD, tokens or calls)\n"
    "  --database PATH  the collector's file (default: the one that tollgated uses if it is not told)\n"
    "\n"
    "The exit status is 0, 1 if the file cannot be read, 2 if a budget or an option is wrong.\n"
    "\n"
    "  tollgate budgets simulate tollgate.yaml\n"
    "  tollgate budgets simulate draft.yaml --from -7d --verbose\n";

/* What is asked, and the answer. */
struct run {
    struct simulate_options options;
    struct simulate_result result;
};

static const struct budget *budget_of(const struct run *r, uint32_t account)
{
    return r->options.budgets[r->result.account[account].budget];
}

static const char *action_text(const struct budget *b)
{
    return b->action == ACTION_WARN ? "alert" : action_name((int)b->action);
}

/* "blocked", as calls that came meanwhile would have been; NULL: an alert holds nothing. */
static const char *held_text(const struct budget *b)
{
    return b->action == ACTION_BLOCK       ? "blocked"
           : b->action == ACTION_DELAY     ? "delayed"
           : b->action == ACTION_DOWNGRADE ? "downgraded"
                                           : NULL;
}

/* ------------------------------------------------------------------- the table */

static void time_text(int64_t ms, char out[CLI_TEXT])
{
    char text[CLI_TEXT];

    human_time(ms, text);
    snprintf(out, CLI_TEXT, "%.20sZ", text);
}

static void until_text(const struct run *r, int64_t ms, char out[CLI_TEXT])
{
    if (ms == WINDOW_NEVER)
        snprintf(out, CLI_TEXT, "for good");
    else
        time_text(ms, out);
    if (ms != WINDOW_NEVER && ms > r->options.to_ms)
        snprintf(out + strlen(out), CLI_TEXT - strlen(out), " (later)");
}

/* "50 % 2026-11-20 08:00:05Z, 80 % ..." */
static void thresholds_add(struct table *t, const struct run *r, const struct simulate_account *a)
{
    const struct budget *b = r->options.budgets[a->budget];
    char text[BUDGET_ALERTS_MAX * CLI_TEXT] = "-", at[CLI_TEXT];
    size_t used = 0;

    for (unsigned i = 0; i < b->alerts; i++) {
        if (a->first_ms[i] == UNKNOWN)
            continue;
        time_text(a->first_ms[i], at);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u %% %s", used ? ", " : "", b->alert[i],
                                 at);
    }
    table_add(t, text);
}

static void held_add(struct table *t, const struct budget *b, const struct simulate_sum *held)
{
    char text[CLI_TEXT], unknown[CLI_TEXT];

    human_count(held->calls, text);
    table_add(t, text);
    amount_short(unit_name((int)b->unit), held->amount, text);
    if (held->unknown > 0) {
        human_count(held->unknown, unknown);
        snprintf(text + strlen(text), CLI_TEXT - strlen(text), " + %.20s unknown", unknown);
    }
    table_add(t, text);
}

static void account_row(struct table *t, const struct run *r, uint32_t account)
{
    const struct simulate_account *a = &r->result.account[account];
    const struct budget *b = budget_of(r, account);
    char text[KEY_ROOM];

    table_add(t, b->name);
    simulate_key_text(&r->options, &r->result, account, text, sizeof text);
    table_add(t, text);
    snprintf(text, sizeof text, "%s%s", action_text(b), b->shadow ? " (shadow)" : "");
    table_add(t, text);
    human_count(a->periods, text);
    table_add(t, text);
    if (a->first_period == SIMULATE_NONE) {
        table_add(t, "-");
        table_add(t, "-");
    } else {
        time_text(r->result.period[a->first_period].from_ms, text);
        table_add(t, text);
        until_text(r, r->result.period[a->first_period].until_ms, text);
        table_add(t, text);
    }
    held_add(t, b, &a->held);
    thresholds_add(t, r, a);
}

static void quiet_row(struct table *t, const struct budget *b)
{
    table_add(t, b->name);
    table_add(t, "(nothing reached)");
    for (int i = 0; i < 7; i++)
        table_add(t, "-");
}

/* After the table: of which budgets not every account is shown. */
static void rest_show(const struct run *r)
{
    char count[CLI_TEXT];

    for (size_t b = 0; b < r->options.budget_count; b++) {
        int64_t n = 0;
        for (uint32_t i = 0; i < r->result.accounts; i++)
            n += r->result.account[i].budget == b;
        if (n <= ACCOUNTS_SHOWN)
            continue;
        human_count(n, count);
        printf("%s: %d of %s are shown (--verbose)\n", r->options.budgets[b]->name, ACCOUNTS_SHOWN, count);
    }
}

static void table_show(const struct run *r, bool all)
{
    static const char *const heads[] = { "BUDGET", "KEY",   "ACTION", "TIMES",     "AT ITS LIMIT",
                                         "UNTIL",  "CALLS", "AMOUNT", "THRESHOLDS" };
    struct table t;

    table_init(&t, 9);
    for (unsigned i = 0; i < 9; i++) {
        if (i != 3 && i != 6 && i != 7)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    for (size_t b = 0; b < r->options.budget_count; b++) {
        int shown = 0;
        for (uint32_t i = 0; i < r->result.accounts; i++)
            if (r->result.account[i].budget == b && (++shown <= ACCOUNTS_SHOWN || all))
                account_row(&t, r, i);
        if (shown == 0)
            quiet_row(&t, r->options.budgets[b]);
    }
    table_print(&t);
    if (!all)
        rest_show(r);
}

/* ---------------------------------------------------------------- the timeline */

struct moment {
    int64_t ms;
    enum { CROSSED, BEGAN, ENDED } what;
    uint32_t at; /* which crossing, or period */
};

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    if (x->ms != y->ms)
        return x->ms < y->ms ? -1 : 1;
    return x->what != y->what ? (int)x->what - (int)y->what : x->at < y->at ? -1 : x->at > y->at;
}

/* In the order of time; owned by the caller. */
static struct moment *moments_of(const struct run *r, size_t *count)
{
    const struct simulate_result *s = &r->result;
    struct moment *all = malloc(((size_t)s->crossings + 2 * (size_t)s->periods + 1) * sizeof *all);
    size_t n = 0;

    for (uint32_t i = 0; all && i < s->crossings; i++)
        all[n++] = (struct moment){ s->crossing[i].at_ms, CROSSED, i };
    for (uint32_t i = 0; all && i < s->periods; i++) {
        all[n++] = (struct moment){ s->period[i].from_ms, BEGAN, i };
        if (s->period[i].until_ms < r->options.to_ms)
            all[n++] = (struct moment){ s->period[i].until_ms, ENDED, i };
    }
    if (all)
        qsort(all, n, sizeof *all, by_time);
    *count = n;
    return all;
}

static void moment_show(const struct run *r, const struct moment *m)
{
    bool crossed = m->what == CROSSED;
    const struct simulate_crossing *c = crossed ? &r->result.crossing[m->at] : NULL;
    const struct simulate_period *p = crossed ? NULL : &r->result.period[m->at];
    uint32_t account = crossed ? r->result.crossing[m->at].account : r->result.period[m->at].account;
    const struct budget *b = budget_of(r, account);
    char text[KEY_ROOM], count[CLI_TEXT];

    time_text(m->ms, count);
    printf("%s  ", count);
    human_text(stdout, b->name);
    simulate_key_text(&r->options, &r->result, account, text, sizeof text);
    if (text[0]) {
        printf(" (");
        human_text(stdout, text);
        putchar(')');
    }
    if (c) {
        amount_exact(unit_name((int)b->unit), c->spent, text);
        printf(" reached %u %%: %s\n", c->percent, text);
        return;
    }
    human_count(p->held.calls, count);
    amount_exact(unit_name((int)b->unit), p->held.amount, text);
    if (m->what == BEGAN)
        printf(" at its limit: %s calls%s%s %s%s\n", count, b->unit == UNIT_CALLS ? "" : " of ",
               b->unit == UNIT_CALLS ? "" : text, b->shadow ? "would be " : "", held_text(b));
    else
        printf(" open again\n");
}

static void timeline_show(const struct run *r)
{
    size_t count;
    struct moment *all = moments_of(r, &count);

    if (count > 0)
        putchar('\n');
    for (size_t i = 0; i < count; i++)
        moment_show(r, &all[i]);
    free(all);
    if (r->result.cut)
        printf("and more: only the first %d of a kind are kept\n", SIMULATE_MOMENTS_MAX);
}

/* ------------------------------------------------------------------ the totals */

static void unknown_show(int64_t calls)
{
    char text[CLI_TEXT];

    if (calls > 0) {
        human_count(calls, text);
        printf(", and what %s calls of unknown cost came to", text);
    }
}

static void totals_show(const struct run *r)
{
    const struct simulate_result *s = &r->result;
    char from[CLI_TEXT], to[CLI_TEXT], calls[CLI_TEXT], usd[CLI_TEXT], held[CLI_TEXT], saved[CLI_TEXT];

    time_text(r->options.from_ms, from);
    time_text(r->options.to_ms, to);
    human_count(s->all.calls, calls);
    human_count(s->blocked.calls, held);
    human_usd(s->all.amount, usd);
    human_usd(s->blocked.amount, saved);
    printf("\nFrom %s to %s: would have saved %s of %s", from, to, saved, usd);
    unknown_show(s->blocked.unknown);
    printf("; of %s calls %s would not have been made.\n", calls, held);
    if (s->shadow.calls > 0) {
        human_count(s->shadow.calls, held);
        human_usd(s->shadow.amount, saved);
        printf("Shadows would have blocked %s calls more, of %s", held, saved);
        unknown_show(s->shadow.unknown);
        printf(", if they were none.\n");
    }
    if (s->log_ms != UNKNOWN) {
        time_text(s->log_ms, from);
        printf("The log begins at %s: what came before and would have counted is not in it.\n", from);
    }
}

/* ------------------------------------------------------------------ programs */

static json_t *ms_json(int64_t ms)
{
    return ms == UNKNOWN || ms == WINDOW_NEVER ? json_null() : json_integer(ms);
}

static json_t *sum_json(const struct simulate_sum *s)
{
    return json_pack("{s:I, s:I, s:I}", "calls", (json_int_t)s->calls, "amount", (json_int_t)s->amount,
                     "unknown_calls", (json_int_t)s->unknown);
}

static json_t *account_json(const struct run *r, uint32_t account)
{
    const struct simulate_account *a = &r->result.account[account];
    const struct budget *b = budget_of(r, account);
    json_t *thresholds = json_array();
    char key[KEY_ROOM];

    simulate_key_text(&r->options, &r->result, account, key, sizeof key);
    for (unsigned i = 0; i < b->alerts; i++)
        if (a->first_ms[i] != UNKNOWN)
            json_array_append_new(thresholds,
                                  json_pack("{s:i, s:I, s:i}", "percent", b->alert[i], "first_ms",
                                            (json_int_t)a->first_ms[i], "times", (int)a->times[i]));
    json_t *o =
        json_pack("{s:s, s:o, s:o}", "key", key, "thresholds", thresholds, "held", sum_json(&a->held));
    json_object_set_new(o, "periods", json_array());
    return o;
}

static json_t *budget_json_of(const struct run *r, size_t at)
{
    const struct budget *b = r->options.budgets[at];
    const struct simulate_budget *s = &r->result.budget[at];

    return json_pack("{s:s, s:s, s:I, s:s, s:b, s:o, s:o, s:I, s:I, s:[]}", "name", b->name, "unit",
                     unit_name((int)b->unit), "limit", (json_int_t)b->limit, "action", action_text(b),
                     "shadow", b->shadow, "calls", sum_json(&s->all), "held", sum_json(&s->held), "crossings",
                     (json_int_t)s->crossings, "times_at_limit", (json_int_t)s->periods, "accounts");
}

static json_t *budgets_json(const struct run *r)
{
    json_t *list = json_array();
    json_t **account = calloc(r->result.accounts + 1, sizeof(json_t *)); /* borrowed from the list */

    for (size_t i = 0; account && i < r->options.budget_count; i++)
        json_array_append_new(list, budget_json_of(r, i));
    for (uint32_t i = 0; account && i < r->result.accounts; i++) {
        json_t *budget = json_array_get(list, r->result.account[i].budget);
        account[i] = account_json(r, i);
        json_array_append_new(json_object_get(budget, "accounts"), account[i]);
    }
    for (uint32_t i = 0; account && i < r->result.periods; i++) {
        const struct simulate_period *p = &r->result.period[i];
        json_t *o = sum_json(&p->held);
        json_object_set_new(o, "from_ms", json_integer(p->from_ms));
        json_object_set_new(o, "until_ms", ms_json(p->until_ms));
        json_array_append_new(json_object_get(account[p->account], "periods"), o);
    }
    free(account);
    return list;
}

static json_t *crossings_json(const struct run *r)
{
    json_t *list = json_array();
    char key[KEY_ROOM];

    for (uint32_t i = 0; i < r->result.crossings; i++) {
        const struct simulate_crossing *c = &r->result.crossing[i];
        simulate_key_text(&r->options, &r->result, c->account, key, sizeof key);
        json_array_append_new(list, json_pack("{s:I, s:s, s:s, s:i, s:I}", "at_ms", (json_int_t)c->at_ms,
                                              "budget", budget_of(r, c->account)->name, "key", key, "percent",
                                              c->percent, "spent", (json_int_t)c->spent));
    }
    return list;
}

static void show_json(const struct run *r, bool verbose)
{
    const struct simulate_result *s = &r->result;
    json_t *o =
        json_pack("{s:I, s:I, s:o, s:b, s:o, s:o, s:o, s:o}", "from_ms", (json_int_t)r->options.from_ms,
                  "to_ms", (json_int_t)r->options.to_ms, "log_begins_ms", ms_json(s->log_ms), "complete",
                  !s->cut, "all", sum_json(&s->all), "blocked", sum_json(&s->blocked), "shadow",
                  sum_json(&s->shadow), "budgets", budgets_json(r));

    if (verbose)
        json_object_set_new(o, "crossings", crossings_json(r));
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

/* --------------------------------------------------------------------- running */

/* The zone of budgets that name none, as the collector would take it. */
static const char *zone_in(const json_t *file)
{
    const char *zone = json_string_value(json_object_get(json_object_get(file, "rollups"), "zone"));

    return zone ? zone : "UTC";
}

static bool is_twice(const struct run *r, const char *name)
{
    for (size_t i = 0; i < r->options.budget_count; i++)
        if (strcmp(r->options.budgets[i]->name, name) == 0)
            return true;
    return false;
}

/* One more of the file's budgets. */
static int take(struct run *r, const char *path, const json_t *definition, const char *zone)
{
    struct budget *b;
    struct fault fault;

    if (budget_parse(definition, zone, &b, &fault) != 0) {
        cli_fail("%s: budget %zu: %s: \"%s\" where %s was expected", path, r->options.budget_count + 1,
                 fault.field, fault.value, fault.expected);
        return CLI_USAGE;
    }
    if (is_twice(r, b->name)) {
        cli_fail("%s: budget %zu: name: \"%s\" is there twice", path, r->options.budget_count + 1, b->name);
        budget_free(b);
        return CLI_USAGE;
    }
    r->options.budgets[r->options.budget_count++] = b;
    return CLI_OK;
}

static int take_file(struct run *r, const char *path)
{
    json_t *file = NULL;
    int status;
    json_t *list = definitions_read(path, "budgets", &file, &status);
    size_t count = json_array_size(list);

    if (list && (count == 0 || count > BUDGETS_MAX)) {
        cli_fail("%s: %zu budgets where 1 to %d were expected", path, count, BUDGETS_MAX);
        status = CLI_USAGE;
    } else if (list) {
        r->options.budgets = calloc(count, sizeof(struct budget *));
        status = r->options.budgets ? CLI_OK : cli_fail("out of memory");
    }
    for (size_t i = 0; r->options.budgets && i < count && status == CLI_OK; i++)
        status = take(r, path, json_array_get(list, i), zone_in(file));
    json_decref(list);
    json_decref(file);
    return status;
}

static int run(struct run *r, struct cli *c)
{
    struct database d;
    int status = database_open(&d, c, "simulating");

    if (status != CLI_OK)
        return status;
    r->options.progress = database_progress;
    r->options.progress_arg = &d;
    int rc = simulate(d.db, &r->options, &r->result);
    database_close(&d);
    return rc == 0 ? CLI_OK : cli_fail("%s: %s", d.path, database_why(&d, r->result.error));
}

int command_simulate(int argc, char **argv)
{
    bool as_json = false, verbose = false;
    const struct cli_option options[] = { DATABASE_OPTION,
                                          { "from", "from", NULL },
                                          { "to", "to", NULL },
                                          { "verbose", NULL, &verbose },
                                          { "json", NULL, &as_json },
                                          { 0 } };
    struct cli c = { .operands_min = 1, .operands_max = 1 };
    struct run r = { .options = { .budgets = NULL } };
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if ((status = database_span(&c, &r.options.from_ms, &r.options.to_ms)) == CLI_OK &&
        (status = take_file(&r, c.operand[0])) == CLI_OK)
        status = run(&r, &c);
    if (status == CLI_OK && as_json) {
        show_json(&r, verbose);
    } else if (status == CLI_OK) {
        table_show(&r, verbose);
        if (verbose)
            timeline_show(&r);
        totals_show(&r);
    }
    simulate_fini(&r.result);
    for (size_t i = 0; i < r.options.budget_count; i++)
        budget_free(r.options.budgets[i]);
    free(r.options.budgets);
    return status;
}
