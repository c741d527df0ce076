/* SPDX-License-Identifier: MIT
 *
 * ledger: whether what budgets have counted is what the log says.
 */
#include "../writer/ledger_verify.h"

#include <string.h>

#include "database.h"
#include "govern.h"

static const char help[] =
    "usage: tollgate ledger verify [--json] [--database PATH]\n"
    "\n"
    "Counts for every budget again what the calls in the log came to, adds what stands for calls that\n"
    "retention has deleted, and compares with what the collector has counted: exactly. Looks too whether\n"
    "what reservations hold is what they reserved, or were told. Reads the file, while a collector may\n"
    "run on it.\n"
    "\n"
    "  --json           for programs: exact amounts in the budget's unit (10^-9 USD, tokens or calls)\n"
    "  --database PATH  the collector's file (default: the one that tollgated uses if it is not told)\n"
    "\n"
    "The exit status is 0 if all is equal, 1 if anything differs, 2 if the command is wrong.\n"
    "\n"
    "  tollgate ledger verify\n"
    "  tollgate ledger verify --database /backup/tollgate-2026-11-21.db\n";

/* ---------------------------------------------------------------------- people */

static const char *unit_text(enum unit unit)
{
    return unit == UNIT_NONE ? "" : unit_name((int)unit);
}

/* "$5.00 in 20 calls (3 of unknown amount)" */
static void side_show(const struct ledger_difference *d, int64_t amount, int64_t calls, int64_t unknown)
{
    char text[CLI_TEXT];

    amount_exact(unit_text(d->unit), amount, text);
    printf("%s", text);
    if (d->is_posting)
        return;
    human_count(calls, text);
    printf(" in %s calls", text);
    if (unknown != 0) {
        human_count(unknown, text);
        printf(" (%s of unknown amount)", text);
    }
}

static void difference_show(const struct ledger_difference *d)
{
    char at[CLI_TEXT];

    printf("  differs: budget ");
    human_text(stdout, d->budget);
    if (d->key[0]) {
        printf(", ");
        human_text(stdout, d->key);
    }
    if (d->start_ms != 0) {
        human_time(d->start_ms, at);
        printf(", from %sZ", at);
    }
    if (d->is_posting) {
        printf(", reservation ");
        human_text(stdout, d->reservation[0] ? d->reservation : "(none)");
        printf(": %s", d->what);
    }
    printf(": is ");
    side_show(d, d->is.amount, d->is.calls, d->is.unknown);
    printf(", should be ");
    side_show(d, d->should.amount, d->should.calls, d->should.unknown);
    putchar('\n');
}

static void show(const struct ledger_report *r)
{
    char budgets[CLI_TEXT], cells[CLI_TEXT], calls[CLI_TEXT], held[CLI_TEXT], postings[CLI_TEXT];

    human_count(r->budgets, budgets);
    human_count(r->cells, cells);
    human_count(r->calls, calls);
    human_count(r->reservations, held);
    human_count(r->postings, postings);
    printf("ledger   compared: %s budgets, %s cells, %s calls, %s reservations, %s postings%s\n", budgets,
           cells, calls, held, postings, r->differences == 0 ? "; no difference" : "");
    if (r->counting > 0) {
        human_count(r->counting, budgets);
        printf("  left out: %s budgets whose past is still being counted\n", budgets);
    }
    for (int64_t i = 0; i < r->differences && i < LEDGER_DIFFERENCES; i++)
        difference_show(&r->difference[i]);
    if (r->differences > LEDGER_DIFFERENCES)
        printf("  and %lld more\n", (long long)(r->differences - LEDGER_DIFFERENCES));
}

/* -------------------------------------------------------------------- programs */

static json_t *side_json(int64_t amount, int64_t calls, int64_t unknown)
{
    return json_pack("{s:I, s:I, s:I}", "amount", (json_int_t)amount, "calls", (json_int_t)calls,
                     "unknown_calls", (json_int_t)unknown);
}

static json_t *difference_json(const struct ledger_difference *d)
{
    json_t *o = json_pack("{s:s, s:I, s:s, s:I, s:s*}", "budget", d->budget, "budget_id",
                          (json_int_t)d->budget_id, "key", d->key, "start_ms", (json_int_t)d->start_ms,
                          "unit", d->unit == UNIT_NONE ? NULL : unit_name((int)d->unit));

    if (d->is_posting) {
        json_object_set_new(o, "reservation", json_string(d->reservation));
        json_object_set_new(o, "text", json_string(d->what));
        json_object_set_new(o, "is", json_integer(d->is.amount));
        json_object_set_new(o, "should_be", json_integer(d->should.amount));
        return o;
    }
    json_object_set_new(o, "is", side_json(d->is.amount, d->is.calls, d->is.unknown));
    json_object_set_new(o, "should_be", side_json(d->should.amount, d->should.calls, d->should.unknown));
    return o;
}

static void show_json(const struct ledger_report *r)
{
    json_t *list = json_array();
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "watermark", (json_int_t)r->watermark,
                          "budgets", (json_int_t)r->budgets, "counting", (json_int_t)r->counting, "cells",
                          (json_int_t)r->cells, "calls", (json_int_t)r->calls, "reservations",
                          (json_int_t)r->reservations, "postings", (json_int_t)r->postings, "differences",
                          (json_int_t)r->differences);

    for (int64_t i = 0; i < r->differences && i < LEDGER_DIFFERENCES; i++)
        json_array_append_new(list, difference_json(&r->difference[i]));
    json_object_set_new(o, "difference", list);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

/* --------------------------------------------------------------------- running */

int command_ledger(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = { DATABASE_OPTION, { "json", NULL, &as_json }, { 0 } };
    struct cli c = { .operands_min = 1, .operands_max = 1 };
    static struct ledger_report report;
    struct database d;
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (strcmp(c.operand[0], "verify") != 0) {
        cli_fail("ledger %s: verify was expected (see --help)", c.operand[0]);
        return CLI_USAGE;
    }
    if ((status = database_open(&d, &c, "comparing")) != CLI_OK)
        return status;
    int rc = ledger_verify(d.db, database_progress, &d, &report);
    database_close(&d);
    if (rc != 0)
        return cli_fail("%s: %s", d.path, database_why(&d, report.error));
    if (as_json)
        show_json(&report);
    else
        show(&report);
    if (report.differences == 0)
        return CLI_OK;
    return cli_fail("the ledger differs from the log in %lld places", (long long)report.differences);
}
