/* SPDX-License-Identifier: MIT
 *
 * How fast it is: queries, commits, how far the projections are behind the log; and names that there
 * are too many of.
 */
#include <math.h>

#include "doctor.h"

#define QUERY_WARN_S  1.0
#define COMMIT_WARN_S 1.0
#define ENOUGH        100     /* before that a percentile says little */
#define LAG_WARN      2000000 /* events: some seconds at full load */
#define NEARLY        0.8     /* of a limit */

/* "10 ms". A bound may be infinite. */
static void human_seconds(double s, char out[CLI_TEXT])
{
    if (isinf(s))
        snprintf(out, CLI_TEXT, "off the scale");
    else if (s < 0.001)
        snprintf(out, CLI_TEXT, "1 ms");
    else
        human_ms((int64_t)(s * 1000 + 0.5), out);
}

static void queries_tell(struct doctor *d)
{
    double n, p50 = exposition_quantile(d->metrics, "tollgate_query_duration_seconds", 0.5, &n);
    double p99 = exposition_quantile(d->metrics, "tollgate_query_duration_seconds", 0.99, &n);
    double cut = exposition_sum_of(d->metrics, "tollgate_http_requests_total", "status", "504");
    char half[CLI_TEXT], most[CLI_TEXT], count[CLI_TEXT], ended[CLI_TEXT];
    bool slow = n >= ENOUGH && p99 > QUERY_WARN_S;

    if (isnan(p99))
        return;
    human_seconds(p50, half);
    human_seconds(p99, most);
    human_count((int64_t)n, count);
    human_count(cut > 0 ? (int64_t)cut : 0, ended);
    if (cut > 0)
        doctor_tell(
            d, VERDICT_WARN, "queries",
            "%s of %s took longer than limits.query_ms and were ended: ask for less time or fewer names",
            ended, count);
    else
        doctor_tell(d, slow ? VERDICT_WARN : VERDICT_OK, "queries",
                    "%s since the start; half took at most %s, 99 %% at most %s%s", count, half, most,
                    slow ? ": is the disk slow, or does somebody group by session over months?" : "");
}

static void commits_tell(struct doctor *d)
{
    double n, p99 = exposition_quantile(d->metrics, "tollgate_commit_duration_seconds", 0.99, &n);
    char most[CLI_TEXT], count[CLI_TEXT];
    bool slow = n >= ENOUGH && p99 > COMMIT_WARN_S;

    if (isnan(p99))
        return;
    human_seconds(p99, most);
    human_count((int64_t)n, count);
    doctor_tell(d, slow ? VERDICT_WARN : VERDICT_OK, "commits", "%s since the start; 99 %% took at most %s%s",
                count, most, slow ? ": the disk is slow to sync, so events wait in the gateways" : "");
}

static void lag_tell(struct doctor *d)
{
    double lag = exposition_sum(d->metrics, "tollgate_projection_lag_events");
    char count[CLI_TEXT];

    if (isnan(lag))
        return;
    human_count((int64_t)lag, count);
    doctor_fact(d, "projection_lag_events", (int64_t)lag);
    doctor_tell(d, lag > LAG_WARN ? VERDICT_WARN : VERDICT_OK, "sums", "%s events behind the log%s", count,
                lag > LAG_WARN ? ": queries add them themselves and are slow; is the disk full or slow?"
                               : ", which queries add themselves");
}

void doctor_speed(struct doctor *d)
{
    queries_tell(d);
    commits_tell(d);
    lag_tell(d);
}

void doctor_names(struct doctor *d)
{
    static const char todo[] =
        "ids that are new each time belong into session_id or run_id, not into user, channel "
        "or tags; else raise rollups.combinations";
    double known = exposition_sum(d->metrics, "tollgate_combinations_known");
    double limit = exposition_sum(d->metrics, "tollgate_combinations_limit");
    double over = exposition_sum(d->metrics, "tollgate_combinations_overflowed_total");
    char a[CLI_TEXT], b[CLI_TEXT], c[CLI_TEXT];

    if (isnan(known) || isnan(limit))
        return;
    human_count((int64_t)known, a);
    human_count((int64_t)limit, b);
    human_count(over > 0 ? (int64_t)over : 0, c);
    doctor_fact(d, "combinations", (int64_t)known);
    if (over > 0)
        doctor_tell(d, VERDICT_WARN, "names", "%s new combinations of names are summed as (other): %s", c,
                    todo);
    else if (known > NEARLY * limit)
        doctor_tell(d, VERDICT_WARN, "names", "%s combinations of %s that are told apart: %s", a, b, todo);
    else
        doctor_tell(d, VERDICT_OK, "names", "%s combinations of %s that are told apart", a, b);
}
