/* SPDX-License-Identifier: MIT
 *
 * doctor: one check after the other, each with what to do. What needs the machine itself (sockets,
 * files) is looked at only if the collector runs here.
 */
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
#include <time.h>
#include <unistd.h>

#include "../../include/tollgate.h"
#include "cli.h"

#define SKEW_MS    2000 /* between the collector's clock and ours */
#define ROOM_BYTES (256LL << 20)
#define CIFS_MAGIC 0xff534d42
#define FUSE_MAGIC 0x65735546

static const char help[] =
    "usage: tollgate doctor\n"
    "\n"
    "Checks one by one: ok, warn or fail, and what to do. Exit status 1 if anything failed.\n"
    "\n"
    "  tollgate doctor\n"
    "  tollgate doctor --url http://10.0.0.5:7448 --token \"$TOKEN\"\n";

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct doctor {
    struct cli c;
    json_t *version; /* owned */
    char *metrics;   /* borrowed */
    unsigned failures;
};

/* One line: the verdict, what was looked at, what was found or is to be done. */
__attribute__((format(printf, 4, 5))) static void tell(struct doctor *d, enum verdict v, const char *what,
                                                       const char *fmt, ...)
{
    static const char *const names[] = { "ok", "warn", "fail" };
    static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
    bool colour = cli_colour();
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    printf("%s%-4s%s  %-10s  ", colour ? colours[v] : "", names[v], colour ? "\033[0m" : "", what);
    human_text(stdout, text);
    putchar('\n');
    d->failures += v == VERDICT_FAIL;
}

static const char *said(const struct doctor *d, const char *name)
{
    const char *s = json_string_value(json_object_get(d->version, name));

    return s ? s : "";
}

static bool is_local(const struct doctor *d)
{
    return strstr(d->c.url, "//127.") || strstr(d->c.url, "//localhost") || strstr(d->c.url, "//[::1]");
}

static bool check_reachable(struct doctor *d)
{
    struct cli_answer a;

    cli_get(&d->c, "/version", false, 10, &a);
    d->version = a.status == 200 ? json_loadb(a.body, a.len, 0, NULL) : NULL;
    if (d->version)
        tell(d, VERDICT_OK, "reachable", "tollgated %s at %s", said(d, "version"), d->c.url);
    else if (a.status == 401)
        tell(d, VERDICT_FAIL, "reachable", "%s wants a token: set TOLLGATE_TOKEN or --token", d->c.url);
    else if (a.status != 0)
        tell(d, VERDICT_FAIL, "reachable", "%s answers, but not like a collector (status %ld)", d->c.url,
             a.status);
    else
        tell(d, VERDICT_FAIL, "reachable", "%s: %s: start tollgated, or set TOLLGATE_URL", d->c.url, a.why);
    cli_answer_fini(&a);
    return d->version != NULL;
}

static void check_version(struct doctor *d)
{
    if (strcmp(said(d, "version"), TG_VERSION) == 0)
        tell(d, VERDICT_OK, "version", "this command and the collector are both %s", TG_VERSION);
    else
        tell(d, VERDICT_WARN, "version", "this command is %s, the collector %s: install the same", TG_VERSION,
             said(d, "version"));
}

static void check_ready(struct doctor *d)
{
    struct cli_answer a;

    cli_get(&d->c, "/readyz", false, 10, &a);
    json_t *answer = json_loadb(a.body ? a.body : "", a.len, 0, NULL),
           *reasons = json_object_get(answer, "reasons");
    if (a.status == 200)
        tell(d, VERDICT_OK, "ready", "a test event has gone the whole way");
    else if (json_array_size(reasons) == 0)
        tell(d, VERDICT_FAIL, "ready", "/readyz answers %ld", a.status);
    for (size_t i = 0; i < json_array_size(reasons); i++)
        tell(d, VERDICT_FAIL, "ready", "%s", json_string_value(json_array_get(reasons, i)));
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
        tell(d, VERDICT_FAIL, "socket", "%s: %s: restart tollgated", path, strerror(errno));
    else if (!S_ISSOCK(st.st_mode))
        tell(d, VERDICT_FAIL, "socket", "%s is not a socket: remove it and restart tollgated", path);
    else if (access(path, W_OK) != 0)
        tell(d, VERDICT_FAIL, "socket", "%s: this user may not connect: run the gateway as user %u", path,
             st.st_uid);
    else if (stat(parent, &dir) == 0 && (dir.st_mode & 022) != 0)
        tell(d, VERDICT_WARN, "socket", "%s can be changed by others: chmod 700 it", parent);
    else
        tell(d, VERDICT_OK, "socket", "%s", path);
}

static void check_endpoints(struct doctor *d)
{
    char *list = strdup(said(d, "endpoints")), *rest = list, *at;

    while (list && (at = strsep(&rest, " ")) != NULL) {
        if (strncmp(at, "ipc://", 6) == 0 && is_local(d))
            check_socket(d, at + 6);
        else if (at[0])
            tell(d, VERDICT_OK, "endpoint", "%s", at);
    }
    if (list && !list[0])
        tell(d, VERDICT_WARN, "endpoint",
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
    const char *path = said(d, "database");
    char room[CLI_TEXT];
    struct statvfs vfs;
    struct statfs fs;

    if (statfs(path, &fs) != 0 || statvfs(path, &vfs) != 0) {
        tell(d, VERDICT_FAIL, "database", "%s: %s", path, strerror(errno));
        return;
    }
    int64_t left = (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize;
    human_bytes(left, room);
    if (is_remote(&fs))
        tell(d, VERDICT_FAIL, "database", "%s is on a network or user file system: move it to a local disk",
             path);
    else if (left < ROOM_BYTES)
        tell(d, VERDICT_WARN, "database", "%s: only %s left: make room", path, room);
    else
        tell(d, VERDICT_OK, "database", "%s, %s left", path, room);
}

static void check_store(struct doctor *d)
{
    double writable = exposition_sum(d->metrics, "tollgate_store_writable");

    if (isnan(writable))
        tell(d, VERDICT_WARN, "store", "the collector does not say whether it can write");
    else if (writable < 1)
        tell(d, VERDICT_FAIL, "store",
             "the collector cannot write: make room or mend the disk; emitters keep their events");
    else
        tell(d, VERDICT_OK, "store", "the collector can write");
}

/* A counter that should be 0. */
static void check_counter(struct doctor *d, const char *name, const char *what, const char *none,
                          const char *todo)
{
    double n = exposition_sum(d->metrics, name);
    char count[CLI_TEXT];

    if (isnan(n) || n < 1) {
        tell(d, VERDICT_OK, what, "%s", none);
        return;
    }
    human_count((int64_t)n, count);
    tell(d, VERDICT_WARN, what, "%s %s", count, todo);
}

static void check_losses(struct doctor *d)
{
    char worst[256], count[CLI_TEXT];
    int64_t lost = reports_lost(&d->c, worst, sizeof worst);

    human_count(lost, count);
    if (lost > 0)
        tell(d, VERDICT_WARN, "emitters",
             "%s events lost in 7 days, most by %s: a larger spool_bytes holds more", count, worst);
    else if (lost == 0)
        tell(d, VERDICT_OK, "emitters", "none has reported a loss in 7 days");
    else
        tell(d, VERDICT_FAIL, "emitters", "their reports cannot be read");
}

static void check_clock(struct doctor *d)
{
    int64_t here, there = json_integer_value(json_object_get(d->version, "now_ms"));
    char skew[CLI_TEXT];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    here = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    human_ms(llabs(here - there), skew);
    if (llabs(here - there) > SKEW_MS)
        tell(d, VERDICT_WARN, "clock", "the collector's differs from this machine's by %s: run a time daemon",
             skew);
    else
        tell(d, VERDICT_OK, "clock", "the same here and there");
}

static void check_traffic(struct doctor *d)
{
    int status;
    json_t *usage = cli_json(&d->c, "/v1/usage?from=-24h", false, &status);
    int64_t calls = json_integer_value(json_object_get(json_object_get(usage, "totals"), "calls"));
    char count[CLI_TEXT];

    human_count(calls, count);
    if (!usage)
        tell(d, VERDICT_FAIL, "traffic", "/v1/usage cannot be read");
    else if (calls == 0)
        tell(d, VERDICT_WARN, "traffic", "no call in 24 h: does a gateway send here? see TOLLGATE_ENDPOINT");
    else
        tell(d, VERDICT_OK, "traffic", "%s calls in 24 h", count);
    json_decref(usage);
}

static void check_all(struct doctor *d)
{
    struct cli_answer metrics;

    check_version(d);
    check_ready(d);
    check_endpoints(d);
    if (is_local(d))
        check_file(d);
    cli_get(&d->c, "/metrics", false, 10, &metrics);
    d->metrics = metrics.body ? metrics.body : "";
    check_store(d);
    check_counter(d, "tollgate_events_quarantined_total", "quarantine", "empty since the start",
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

int command_doctor(int argc, char **argv)
{
    static const struct cli_option options[] = { { 0 } };
    struct doctor d = { 0 };
    int status = cli_options(&d.c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (check_reachable(&d))
        check_all(&d);
    json_decref(d.version);
    return d.failures ? CLI_FAILED : CLI_OK;
}
