/* SPDX-License-Identifier: MIT
 *
 * runaway replay: what the runaway rules of a file would have said of the calls that are stored.
 */
#include <stdlib.h>
#include <string.h>

#include "../writer/runaway_log.h"
#include "../writer/store.h"
#include "database.h"
#include "rows.h"
#include "runaway_rules.h"

#define TICK_ROWS    8192
#define TICK_STEPS   100000 /* of SQLite's machine */
#define FINDINGS_MAX 100000 /* that are kept; all are counted */
#define NAMES_MAX    100000 /* of a rule and a look; all are counted */

static const char help[] =
    "usage: tollgate runaway replay [DATABASE] [-c FILE] [--from TIME] [--to TIME] [--verbose] [--json]\n"
    "\n"
    "What the rules would have said of the calls that are stored, in the order of the calls' own times;\n"
    "nothing is changed. For each rule and look: how often, of whom first, after how many calls, and when.\n"
    "A rule that stays broken is told again after each cool-down. The calls are those that were made: what\n"
    "a block or a delay would have kept back is looked at, too.\n"
    "\n"
    "  DATABASE           the collector's file (default: the one that tollgated uses if it is not told)\n"
    "  -c, --config FILE  a tollgate.yaml, or its section runaway alone; without it the default rules\n"
    "  --from TIME        from when on (-30d); what came before is not looked at\n"
    "  --to TIME          until when (now)\n"
    "  --verbose          everything in its order\n"
    "  --json             for programs\n"
    "\n"
    "The exit status is 0, 1 if the file cannot be read, 2 if a rule or an option is wrong.\n"
    "\n"
    "  tollgate runaway replay\n"
    "  tollgate runaway replay events.db -c draft.yaml --from -7d --verbose\n";

/* What was told of a rule and a look. */
struct sum {
    int64_t times, subjects;
    json_t *names; /* owned: those that have been told of */
    json_t *first; /* owned; NULL: nothing was */
};

struct replay {
    int64_t from_ms, to_ms, calls, findings;
    struct runaway_rules rules;
    struct runaway *seen; /* owned */
    struct sum sum[RUNAWAY_KIND_COUNT][LOOKS];
    json_t *all; /* owned */
    struct database database;
};

/* ------------------------------------------------------------------- looking */

static json_t *text_json(struct slice s)
{
    json_t *text = s.at ? json_stringn((const char *)s.at, s.len) : NULL;

    return text ? text : json_string("\xef\xbf\xbd"); /* no UTF-8 */
}

static json_t *finding_json(const struct runaway_finding *f)
{
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:s}", "rule",
                     runaway_kind_name((int)f->rule->kind), "look", runaway_look_name((int)f->look), "name",
                     text_json(f->name), "value", (json_int_t)f->value, "limit", (json_int_t)f->limit, "unit",
                     runaway_kind_unit((int)f->rule->kind), "calls", (json_int_t)f->calls, "first_ms",
                     (json_int_t)f->first_ms, "last_ms", (json_int_t)f->last_ms, "event", (json_int_t)f->row,
                     "text", f->text);
}

static int found(void *arg, const struct runaway_finding *f)
{
    struct replay *r = arg;
    struct sum *s = &r->sum[f->rule->kind][f->look];
    json_t *json = finding_json(f);
    const char *name = json_string_value(json_object_get(json, "name"));

    if (!json)
        return -SQLITE_NOMEM;
    if (!s->names)
        s->names = json_object();
    if (json_object_size(s->names) >= NAMES_MAX || !json_object_get(s->names, name)) {
        s->subjects++;
        if (json_object_size(s->names) < NAMES_MAX)
            json_object_set_new(s->names, name, json_true());
    }
    s->times++;
    if (!s->first)
        s->first = json_incref(json);
    if (r->findings++ < FINDINGS_MAX)
        json_array_append(r->all, json);
    json_decref(json);
    return 0;
}

/* SQLite sorts the calls before it gives the first one. */
static int goes_on(void *arg)
{
    struct replay *r = arg;

    return !database_progress(&r->database, 0, 0);
}

static int look(struct replay *r, sqlite3 *db)
{
    struct runaway_log log;
    struct runaway_call call;
    int rc = runaway_log_open(&log, db, RUNAWAY_BY_TIME);

    if (rc == 0) {
        runaway_log_seek(&log, 0, INT64_MAX, r->from_ms, r->to_ms, INT64_MAX);
        while ((rc = runaway_log_next(&log, &call)) == 1) {
            if (++r->calls % TICK_ROWS == 0 && !database_progress(&r->database, 0, 0))
                rc = -SQLITE_INTERRUPT;
            else
                rc = runaway_look_at(r->seen, &call, false, found, r);
            if (rc != 0)
                break;
        }
    }
    runaway_log_close(&log);
    return rc;
}

/* ------------------------------------------------------------------- showing */

static void time_text(int64_t ms, char out[CLI_TEXT])
{
    char text[CLI_TEXT];

    human_time(ms, text);
    snprintf(out, CLI_TEXT, "%.20sZ", text);
}

/* The sentence without the name before it, which stands in a column of its own. */
static const char *what_of(const json_t *finding)
{
    const char *text = json_string_value(json_object_get(finding, "text"));
    const char *name = json_string_value(json_object_get(finding, "name"));
    const char *at = strstr(text, name);

    return at && strncmp(at + strlen(name), ": ", 2) == 0 ? at + strlen(name) + 2 : text;
}

static void add_sum(struct table *t, int kind, int look, const struct sum *s)
{
    char text[CLI_TEXT];

    table_add(t, runaway_kind_name(kind));
    table_add(t, runaway_look_text(look));
    human_count(s->times, text);
    table_add(t, text);
    human_count(s->subjects, text);
    table_add(t, text);
    table_add(t, json_string_value(json_object_get(s->first, "name")));
    human_count(json_integer_value(json_object_get(s->first, "calls")), text);
    table_add(t, text);
    time_text(json_integer_value(json_object_get(s->first, "last_ms")), text);
    table_add(t, text);
    table_add(t, what_of(s->first));
}

static void show_table(const struct replay *r)
{
    static const char *const heads[] = { "RULE",  "LOOK",        "TIMES", "SUBJECTS",
                                         "FIRST", "AFTER CALLS", "WHEN",  "EVIDENCE" };
    struct table t;

    table_init(&t, 8);
    for (unsigned i = 0; i < 8; i++) {
        if (i != 2 && i != 3 && i != 5)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    for (int kind = 0; kind < RUNAWAY_KIND_COUNT; kind++)
        for (int look = 0; look < LOOKS; look++)
            if (r->sum[kind][look].times > 0)
                add_sum(&t, kind, look, &r->sum[kind][look]);
    table_print(&t);
}

static void show_all(const struct replay *r)
{
    char at[CLI_TEXT];
    size_t i;
    json_t *f;

    putchar('\n');
    json_array_foreach(r->all, i, f)
    {
        time_text(json_integer_value(json_object_get(f, "last_ms")), at);
        printf("%s  %s  ", at, json_string_value(json_object_get(f, "rule")));
        human_text(stdout, json_string_value(json_object_get(f, "text")));
        putchar('\n');
    }
    if (r->findings > FINDINGS_MAX)
        printf("and more: only the first %d are kept\n", FINDINGS_MAX);
}

static void show(const struct replay *r, bool verbose)
{
    char from[CLI_TEXT], to[CLI_TEXT], calls[CLI_TEXT], findings[CLI_TEXT];

    if (r->findings > 0)
        show_table(r);
    if (r->findings > 0 && verbose)
        show_all(r);
    time_text(r->from_ms, from);
    time_text(r->to_ms, to);
    human_count(r->calls, calls);
    human_count(r->findings, findings);
    printf("%sFrom %s to %s: %s calls, %s findings.\n", r->findings > 0 ? "\n" : "", from, to, calls,
           findings);
}

static void show_json(const struct replay *r)
{
    json_t *sums = json_array();

    for (int kind = 0; kind < RUNAWAY_KIND_COUNT; kind++)
        for (int look = 0; look < LOOKS; look++) {
            const struct sum *s = &r->sum[kind][look];
            if (s->times > 0)
                json_array_append_new(
                    sums, json_pack("{s:s, s:s, s:I, s:I, s:O}", "rule", runaway_kind_name(kind), "look",
                                    runaway_look_name(look), "times", (json_int_t)s->times, "subjects",
                                    (json_int_t)s->subjects, "first", s->first));
        }
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:b, s:o, s:O}", "from_ms", (json_int_t)r->from_ms, "to_ms",
                          (json_int_t)r->to_ms, "calls", (json_int_t)r->calls, "findings_count",
                          (json_int_t)r->findings, "complete", r->findings <= FINDINGS_MAX, "rules", sums,
                          "findings", r->all);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

/* ------------------------------------------------------------------- running */

static int run(struct replay *r, struct cli *c)
{
    struct database *d = &r->database;
    int status = database_open(d, c, "looking");

    if (status != CLI_OK)
        return status;
    sqlite3_progress_handler(d->db, TICK_STEPS, goes_on, r);
    int rc = look(r, d->db);
    char error[240];
    snprintf(error, sizeof error, "%s", store_why(d->db, rc));
    database_close(d);
    return rc == 0 ? CLI_OK : cli_fail("%s: %s", d->path, database_why(d, error));
}

static void fini(struct replay *r)
{
    runaway_free(r->seen);
    runaway_rules_fini(&r->rules);
    json_decref(r->all);
    for (int kind = 0; kind < RUNAWAY_KIND_COUNT; kind++)
        for (int look = 0; look < LOOKS; look++) {
            json_decref(r->sum[kind][look].names);
            json_decref(r->sum[kind][look].first);
        }
}

int command_runaway_replay(int argc, char **argv)
{
    bool as_json = false, verbose = false;
    const struct cli_option options[] = { DATABASE_OPTION,
                                          RUNAWAY_CONFIG_OPTION,
                                          { "from", "from", NULL },
                                          { "to", "to", NULL },
                                          { "verbose", NULL, &verbose },
                                          { "json", NULL, &as_json },
                                          { 0 } };
    struct cli c = { .operands_max = 1 };
    struct replay r = { .all = NULL };

    runaway_rules_option(argc, argv);
    int status = cli_options(&c, argc, argv, options, false, help);
    if (status >= 0)
        return status;
    if (c.operands > 0)
        cli_param_default(&c, "database", c.operand[0]);
    if ((status = database_span(&c, &r.from_ms, &r.to_ms)) == CLI_OK &&
        (status = runaway_rules_read(&r.rules, &c)) == CLI_OK) {
        r.all = json_array();
        if (!r.all || runaway_new(&r.seen) != 0) {
            status = cli_fail("out of memory");
        } else {
            runaway_use(r.seen, r.rules.rule, r.rules.count);
            status = run(&r, &c);
        }
    }
    if (status == CLI_OK && as_json)
        show_json(&r);
    else if (status == CLI_OK)
        show(&r, verbose);
    fini(&r);
    return status;
}
