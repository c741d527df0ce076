/* SPDX-License-Identifier: MIT
 *
 * How fast the file grows, whether retention will stop it, and when the disk is full if not. The
 * growth is what events came in the last days times what an event takes: the file itself does not
 * show it, because it grows in leaps and reuses what retention frees.
 */
#include <math.h>
#include <sys/statvfs.h>

#include "../base/clock.h"
#include "doctor.h"
#include "rows.h"

#define DAY_MS    86400000.0
#define SPAN_DAYS 7
#define LEAST_MS  3600000 /* of history that a rate needs */
#define WARN_DAYS 30
#define FAIL_DAYS 2
#define DAYS_TOLD 3650
#define MARGIN    1.1 /* by which a prediction may be wrong */

struct growth {
    double per_event, events_per_day; /* bytes; 0: not known */
    int64_t span_ms;                  /* in which the events came */
    double used, room;                /* bytes of the file; left on the disk (NAN: not known) */
    double age_days;                  /* for which calls are kept; NAN: not known; INFINITY: for ever */
};

/* The pieces of the log that the last days have filled. */
static bool rates_read(sqlite3 *db, struct growth *g)
{
    static const char sql[] =
        "SELECT sum(dispatches + messages + reports), min(first_received_ms), max(last_received_ms)"
        " FROM log_partition WHERE last_received_ms >= ?1";
    int64_t now = wall_ms(), events = 0, first = now, last = 0;
    sqlite3_stmt *stmt;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return false;
    sqlite3_bind_int64(stmt, 1, now - (int64_t)(SPAN_DAYS * DAY_MS));
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
        events = sqlite3_column_int64(stmt, 0);
        first = sqlite3_column_int64(stmt, 1);
        last = sqlite3_column_int64(stmt, 2);
    }
    sqlite3_finalize(stmt);
    g->span_ms = (last > now ? last : now) - first;
    if (g->span_ms < LEAST_MS || events == 0)
        return false;
    g->events_per_day = (double)events / (double)g->span_ms * DAY_MS;
    double all =
        (double)doctor_number(db, "SELECT sum(dispatches + messages + reports) FROM log_partition", 0);
    g->per_event = all > 0 ? g->used / all : 0;
    return true;
}

static void room_read(const struct doctor *d, struct growth *g)
{
    struct statvfs fs;

    g->room = exposition_sum(d->metrics, "tollgate_disk_free_bytes");
    if (cli_is_local(&d->c) && statvfs(doctor_said(d, "database"), &fs) == 0)
        g->room = (double)fs.f_bavail * (double)fs.f_frsize;
}

static void age_read(const struct doctor *d, struct growth *g)
{
    double s = exposition_sum_of(d->metrics, "tollgate_retention_age_seconds", "kind", "dispatch");

    g->age_days = s > 0 ? s * 1000 / DAY_MS : isnan(s) ? NAN : INFINITY;
}

/* "for 90 d 00 h" */
static void age_text(const struct growth *g, char *out, size_t size)
{
    char days[CLI_TEXT];

    human_ms((int64_t)(isfinite(g->age_days) ? g->age_days * DAY_MS : 0), days);
    if (isnan(g->age_days))
        snprintf(out, size, "as long as tollgate.yaml says");
    else
        snprintf(out, size, "for %s", isinf(g->age_days) ? "ever" : days);
}

/* What is kept, and whether it is being kept so. */
static void retention_tell(struct doctor *d, sqlite3 *db, const struct growth *g)
{
    int64_t dropped = doctor_number(db, "SELECT max(through_id) FROM log_dropped", 0);
    int64_t since = doctor_number(db, "SELECT min(first_received_ms) FROM log_partition", 0);
    bool busy = exposition_sum(d->metrics, "tollgate_retention_busy") > 0;
    char begin[CLI_TEXT], age[2 * CLI_TEXT];

    age_text(g, age, sizeof age);
    human_time(since, begin);
    doctor_tell(d, VERDICT_OK, "retention", "calls are kept %s; %s%.16s%s%s%s", age,
                since ? "the log begins at " : "", since ? begin : "", since ? "Z, " : "",
                dropped ? "older ones were deleted" : "nothing was deleted yet",
                busy ? "; deleting now" : "");
}

/* "4.2 GiB a day (as in the last 7 d 00 h)" */
static void rate_text(const struct growth *g, char *out, size_t size)
{
    char rate[CLI_TEXT], span[CLI_TEXT];

    human_bytes((int64_t)(g->per_event * g->events_per_day), rate);
    human_ms(g->span_ms, span);
    snprintf(out, size, "%s a day (as in the last %s)", rate, span);
}

static void full_tell(struct doctor *d, const struct growth *g, const char *rate)
{
    double days = g->room / (g->per_event * g->events_per_day);
    char room[CLI_TEXT], left[CLI_TEXT], when[CLI_TEXT];
    enum verdict v = days < FAIL_DAYS ? VERDICT_FAIL : days < WARN_DAYS ? VERDICT_WARN : VERDICT_OK;

    human_bytes((int64_t)g->room, room);
    if (days > DAYS_TOLD) {
        doctor_tell(d, v, "growth", "%s; the disk has %s left, enough for years", rate, room);
        return;
    }
    doctor_fact(d, "disk_full_in_days", (int64_t)days);
    human_ms((int64_t)(days * DAY_MS), left);
    human_time(wall_ms() + (int64_t)(days * DAY_MS), when);
    doctor_tell(
        d, v, "growth", "%s; the disk has %s left and is full in %s (%.10s)%s", rate, room, left, when,
        v == VERDICT_OK ? ""
                        : ": shorten retention.dispatch in tollgate.yaml(5), or move the database to a "
                          "larger disk");
}

/* With a finite age the file stops growing: does it fit? */
static void growth_tell(struct doctor *d, const struct growth *g)
{
    double per_day = g->per_event * g->events_per_day, settled = per_day * g->age_days * MARGIN;
    char rate[3 * CLI_TEXT], size[CLI_TEXT];

    doctor_fact(d, "growth_bytes_per_day", (int64_t)per_day);
    rate_text(g, rate, sizeof rate);
    if (isfinite(settled) && (isnan(g->room) || settled < g->used + g->room)) {
        human_bytes((int64_t)(settled > g->used ? settled : g->used), size);
        doctor_tell(d, VERDICT_OK, "growth", "%s; with this retention the file stops at about %s%s", rate,
                    size, isnan(g->room) ? "" : ", which fits");
    } else if (isnan(g->room) || per_day < 1) {
        doctor_tell(d, VERDICT_OK, "growth", "%s", rate);
    } else {
        full_tell(d, g, rate);
    }
}

void doctor_growth(struct doctor *d, sqlite3 *db)
{
    struct growth g = { .room = NAN };

    if (!db)
        return;
    g.used =
        (double)(doctor_number(db, "PRAGMA page_size", 0) *
                 (doctor_number(db, "PRAGMA page_count", 0) - doctor_number(db, "PRAGMA freelist_count", 0)));
    room_read(d, &g);
    age_read(d, &g);
    if (rates_read(db, &g))
        growth_tell(d, &g);
    else
        doctor_tell(d, VERDICT_OK, "growth",
                    "less than an hour of history in the last %d days: too early to say", SPAN_DAYS);
    retention_tell(d, db, &g);
}
