/* SPDX-License-Identifier: MIT
 *
 * doctor: one check after the other, each with what to do. What needs the machine itself (sockets,
 * files) is looked at only if the collector runs here.
 */
#include "doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../../include/tollgate.h"
#include "../base/clock.h"

#define SKEW_MS    2000 /* between the collector's clock and ours */
#define ROOM_BYTES (256LL << 20)
#define BUSY_MS    1000
#define CIFS_MAGIC 0xff534d42
#define FUSE_MAGIC 0x65735546

static const char help[] =
    "usage: tollgate doctor [--json]\n"
    "\n"
    "Checks one by one: ok, warn or fail, and what to do; what takes the room on the disk, how fast it\n"
    "grows, how fast queries are. Exit status 1 if something needs attention (warn, fail).\n"
    "\n"
    "  --json  the findings and the numbers behind them, for programs\n"
    "\n"
    "  tollgate doctor\n"
    "  tollgate doctor --url http://10.0.0.5:7448 --token \"$TOKEN\"\n"
    "  tollgate doctor --json | jq '.facts.disk_full_in_days'\n";

/* A finding is never left out: a text that is no UTF-8, as a path may be, is made ASCII. */
static void check_add(struct doctor *d, const char *verdict, const char *what, char *text)
{
    json_t *told = json_string(text);

    for (char *at = text; !told && *at; at++)
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    if (!told)
        told = json_string(text);
    json_array_append_new(d->checks,
                          json_pack("{s:s, s:s, s:o}", "verdict", verdict, "what", what, "text", told));
}

void doctor_tell(struct doctor *d, enum verdict v, const char *what, const char *fmt, ...)
{
    static const char *const names[] = { "ok", "warn", "fail" };
    static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
    bool colour = cli_colour();
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    human_whole(text);
    d->attention += v != VERDICT_OK;
    if (d->checks) {
        check_add(d, names[v], what, text);
        return;
    }
    printf("%s%-4s%s  %-10s  ", colour ? colours[v] : "", names[v], colour ? "\033[0m" : "", what);
    human_text(stdout, text);
    putchar('\n');
}

void doctor_fact(struct doctor *d, const char *name, int64_t n)
{
    if (d->facts)
        json_object_set_new(d->facts, name, json_integer(n));
}

const char *doctor_said(const struct doctor *d, const char *name)
{
    const char *s = json_string_value(json_object_get(d->version, name));

    return s ? s : "";
}

sqlite3 *doctor_open(const struct doctor *d)
{
    sqlite3 *db = NULL;

    if (!cli_is_local(&d->c))
        return NULL;
    if (sqlite3_open_v2(doctor_said(d, "database"), &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
        SQLITE_OK) {
        sqlite3_busy_timeout(db, BUSY_MS);
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return db;
    }
    sqlite3_close(db);
    return NULL;
}

int64_t doctor_number(sqlite3 *db, const char *sql, int64_t otherwise)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW &&
        sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        otherwise = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return otherwise;
}

static bool check_reachable(struct doctor *d)
{
    struct cli_answer a;

    d->asked_ms = wall_ms();
    cli_get(&d->c, "/version", false, 10, &a);
    d->answered_ms = wall_ms();
    d->version = a.status == 200 ? json_loadb(a.body, a.len, 0, NULL) : NULL;
    if (d->version)
        doctor_tell(d, VERDICT_OK, "reachable", "tollgated %s at %s", doctor_said(d, "version"), d->c.url);
    else if (a.status == 401)
        doctor_tell(d, VERDICT_FAIL, "reachable", "%s wants a token: set TOLLGATE_TOKEN or --token",
                    d->c.url);
    else if (a.status != 0)
        doctor_tell(d, VERDICT_FAIL, "reachable", "%s answers, but not like a collector (status %ld)",
                    d->c.url, a.status);
    else
        doctor_tell(d, VERDICT_FAIL, "reachable", "%s: %s: start tollgated, or set TOLLGATE_URL", d->c.url,
                    a.why);
    cli_answer_fini(&a);
    return d->version != NULL;
}

static void check_version(struct doctor *d)
{
    if (strcmp(doctor_said(d, "version"), TG_VERSION) == 0)
        doctor_tell(d, VERDICT_OK, "version", "this command and the collector are both %s", TG_VERSION);
    else
        doctor_tell(d, VERDICT_WARN, "version", "this command is %s, the collector %s: install the same",
                    TG_VERSION, doctor_said(d, "version"));
}

static void check_ready(struct doctor *d)
{
    struct cli_answer a;

    cli_get(&d->c, "/readyz", false, 10, &a);
    json_t *answer = json_loadb(a.body ? a.body : "", a.len, 0, NULL),
           *reasons = json_object_get(answer, "reasons");
    if (a.status == 200)
        doctor_tell(d, VERDICT_OK, "ready", "a test event has gone the whole way");
    else if (json_array_size(reasons) == 0)
        doctor_tell(d, VERDICT_FAIL, "ready", "/readyz answers %ld", a.status);
    for (size_t i = 0; i < json_array_size(reasons); i++)
        doctor_tell(d, VERDICT_FAIL, "ready", "%s", json_string_value(json_array_get(reasons, i)));
    json_decref(answer);
    cli_answer_fini(&a);
}

/* The directory decides who may connect: it must be ours and closed to others. */
static void check_socket(struct doctor *d, const char *path)
{
    struct stat st, dir;
    char parent[1024];

    snprintf(parent, sizeof parent, "%s", path);
    if (strrchr(parent, '/'))
        *strrchr(parent, '/') = 0;
    if (stat(path, &st) != 0)
        doctor_tell(d, VERDICT_FAIL, "socket", "%s: %s: restart tollgated", path, strerror(errno));
    else if (!S_ISSOCK(st.st_mode))
        doctor_tell(d, VERDICT_FAIL, "socket", "%s is not a socket: remove it and restart tollgated", path);
    else if (access(path, W_OK) != 0)
        doctor_tell(d, VERDICT_FAIL, "socket", "%s: this user may not connect: run the gateway as user %u",
                    path, st.st_uid);
    else if (stat(parent, &dir) == 0 && (dir.st_mode & 022) != 0)
        doctor_tell(d, VERDICT_WARN, "socket", "%s can be changed by others: chmod 700 it", parent);
    else
        doctor_tell(d, VERDICT_OK, "socket", "%s", path);
}

static void check_endpoints(struct doctor *d)
{
    char *list = strdup(doctor_said(d, "endpoints")), *rest = list, *at;

    while (list && (at = strsep(&rest, " ")) != NULL) {
        if (strncmp(at, "ipc://", 6) == 0 && cli_is_local(&d->c))
            check_socket(d, at + 6);
        else if (at[0])
            doctor_tell(d, VERDICT_OK, "endpoint", "%s", at);
    }
    if (list && !list[0])
        doctor_tell(d, VERDICT_WARN, "endpoint",
                    "events are taken over HTTP only: see listen.events in tollgate.yaml(5)");
    free(list);
}

/* SQLite's locks and shared memory do not work over a network. */
static bool is_remote(const struct statfs *fs)
{
    unsigned long type = (unsigned long)fs->f_type & 0xffffffff;

    return type == NFS_SUPER_MAGIC || type == SMB_SUPER_MAGIC || type == CIFS_MAGIC || type == FUSE_MAGIC ||
           type == V9FS_MAGIC;
}

static void check_file(struct doctor *d)
{
    const char *path = doctor_said(d, "database");
    char room[CLI_TEXT];
    struct statvfs vfs;
    struct statfs fs;

    if (statfs(path, &fs) != 0 || statvfs(path, &vfs) != 0) {
        doctor_tell(d, VERDICT_FAIL, "database", "%s: %s", path, strerror(errno));
        return;
    }
    int64_t left = (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize;
    human_bytes(left, room);
    if (is_remote(&fs))
        doctor_tell(d, VERDICT_FAIL, "database",
                    "%s is on a network or user file system: move it to a local disk", path);
    else if (left < ROOM_BYTES)
        doctor_tell(d, VERDICT_WARN, "database", "%s: only %s left: make room", path, room);
    else
        doctor_tell(d, VERDICT_OK, "database", "%s, %s left", path, room);
}

static void check_store(struct doctor *d)
{
    double writable = exposition_sum(d->metrics, "tollgate_store_writable");

    if (isnan(writable))
        doctor_tell(d, VERDICT_WARN, "store", "the collector does not say whether it can write");
    else if (writable < 1)
        doctor_tell(d, VERDICT_FAIL, "store",
                    "the collector cannot write: make room or mend the disk; emitters keep their events");
    else
        doctor_tell(d, VERDICT_OK, "store", "the collector can write");
}

/* A counter that should be 0. That nobody tells it does not make it 0. */
static void check_counter(struct doctor *d, const char *name, const char *what, const char *none,
                          const char *todo)
{
    double n = exposition_sum(d->metrics, name);
    char count[CLI_TEXT];

    human_count(n >= 1 ? (int64_t)n : 0, count);
    if (isnan(n))
        doctor_tell(d, VERDICT_WARN, what, "the collector does not say (%s)", name);
    else if (n < 1)
        doctor_tell(d, VERDICT_OK, what, "%s", none);
    else
        doctor_tell(d, VERDICT_WARN, what, "%s %s", count, todo);
}

static void check_losses(struct doctor *d)
{
    char worst[256], count[CLI_TEXT];
    int64_t lost = reports_lost(&d->c, worst, sizeof worst);

    human_count(lost, count);
    if (lost > 0)
        doctor_tell(d, VERDICT_WARN, "emitters",
                    "%s events lost in 7 days, most by %s: a larger spool_bytes holds more", count, worst);
    else if (lost == 0)
        doctor_tell(d, VERDICT_OK, "emitters", "none has reported a loss in 7 days");
    else
        doctor_tell(d, VERDICT_FAIL, "emitters", "their reports cannot be read");
}

/* The collector's time must have been between the question and the answer. */
static void check_clock(struct doctor *d)
{
    int64_t there = json_integer_value(json_object_get(d->version, "now_ms"));
    int64_t apart = there < d->asked_ms ? d->asked_ms - there : there - d->answered_ms;
    char skew[CLI_TEXT];

    human_ms(apart, skew);
    if (apart > SKEW_MS)
        doctor_tell(d, VERDICT_WARN, "clock",
                    "the collector's differs from this machine's by %s: run a time daemon", skew);
    else
        doctor_tell(d, VERDICT_OK, "clock", "the same here and there");
}

static void check_traffic(struct doctor *d)
{
    int status;
    json_t *usage = cli_json(&d->c, "/v1/usage?from=-24h", false, &status);
    int64_t calls = json_integer_value(json_object_get(json_object_get(usage, "totals"), "calls"));
    char count[CLI_TEXT];

    human_count(calls, count);
    if (!usage)
        doctor_tell(d, VERDICT_FAIL, "traffic", "/v1/usage cannot be read");
    else if (calls == 0)
        doctor_tell(d, VERDICT_WARN, "traffic",
                    "no call in 24 h: does a gateway send here? see TOLLGATE_ENDPOINT");
    else
        doctor_tell(d, VERDICT_OK, "traffic", "%s calls in 24 h", count);
    json_decref(usage);
}

/* The file's own. It is opened read-only, and only while nothing else of ours has it open. */
static void check_database(struct doctor *d)
{
    doctor_wal(d);
    sqlite3 *db = doctor_open(d);
    doctor_size(d, db);
    doctor_growth(d, db);
    doctor_alerts(d, db);
    sqlite3_close(db);
}

static void check_all(struct doctor *d)
{
    struct cli_answer metrics;

    check_version(d);
    check_ready(d);
    check_endpoints(d);
    if (cli_is_local(&d->c))
        check_file(d);
    cli_get(&d->c, "/metrics", false, 10, &metrics);
    d->metrics = metrics.status == 200 && metrics.body ? metrics.body : ""; /* half of it says nothing */
    check_store(d);
    check_database(d);
    doctor_speed(d);
    doctor_names(d);
    check_counter(d, "tollgate_events_quarantined_total", "quarantine", "nothing since the start",
                  "events could not be understood since the start: see `reason` in the table quarantine");
    check_counter(d, "tollgate_events_conflict_total", "conflicts", "none since the start",
                  "second final records said something else: a gateway tells the same call twice");
    check_counter(d, "tollgate_events_misdated_total", "dates", "all plausible since the start",
                  "events were far from the collector's time: check the gateways' clocks");
    check_losses(d);
    check_clock(d);
    check_traffic(d);
    cli_answer_fini(&metrics);
}

static void json_show(struct doctor *d)
{
    json_t *all =
        json_pack("{s:b, s:O, s:O}", "healthy", d->attention == 0, "checks", d->checks, "facts", d->facts);

    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII); /* a terminal obeys U+0080-9F */
    putchar('\n');
    json_decref(all);
}

int command_doctor(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = { { "json", NULL, &as_json }, { 0 } };
    struct doctor d = { .metrics = "" };
    int status = cli_options(&d.c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    d.checks = as_json ? json_array() : NULL;
    d.facts = as_json ? json_object() : NULL;
    if (check_reachable(&d))
        check_all(&d);
    if (as_json)
        json_show(&d);
    json_decref(d.version);
    json_decref(d.checks);
    json_decref(d.facts);
    return d.attention ? CLI_FAILED : CLI_OK;
}
