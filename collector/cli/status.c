/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "alerts.h"

static const char help[] = "usage: tollgate status\n"
                           "\n"
                           "The collector on one screen. Exit status 0: it is ready; 1: it is not.\n"
                           "\n"
                           "  tollgate status\n"
                           "  tollgate status --url http://10.0.0.5:7448 --token \"$TOKEN\"\n";

static void line(const char *name, const char *text)
{
    printf("%-12s", name);
    human_text(stdout, text);
    putchar('\n');
}

static const char *text_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

/* A counter for people; "-" if this collector has none of that name. */
static void count_of(const char *metrics, const char *name, char out[CLI_TEXT])
{
    double v = exposition_sum(metrics, name);

    if (isnan(v))
        snprintf(out, CLI_TEXT, "-");
    else
        human_count((int64_t)v, out);
}

static void version_show(const struct cli *c, const json_t *version)
{
    char text[512], age[CLI_TEXT];

    snprintf(text, sizeof text, "%s at %s", text_of(version, "version"), c->url);
    line("tollgated", text);
    human_ms(json_integer_value(json_object_get(version, "now_ms")) -
                 json_integer_value(json_object_get(version, "started_ms")),
             age);
    snprintf(text, sizeof text, "%s (since %.19sZ)", age, text_of(version, "started"));
    line("up", text);
    line("listens", text_of(version, "endpoints"));
}

/* True: ready. */
static bool ready_show(const struct cli *c)
{
    struct cli_answer a;

    cli_get(c, "/readyz", false, 10, &a);
    json_t *answer = json_loadb(a.body ? a.body : "", a.len, 0, NULL),
           *reasons = json_object_get(answer, "reasons");
    line("ready", a.status == 200 ? "yes" : "NO");
    for (size_t i = 0; i < json_array_size(reasons); i++)
        line("", json_string_value(json_array_get(reasons, i)));
    json_decref(answer);
    cli_answer_fini(&a);
    return a.status == 200;
}

static void counters_show(const char *metrics)
{
    char a[CLI_TEXT], b[CLI_TEXT], d[CLI_TEXT], text[4 * CLI_TEXT];

    count_of(metrics, "tollgate_events_stored_total", a);
    count_of(metrics, "tollgate_events_duplicate_total", b);
    snprintf(text, sizeof text, "%s stored since start, %s duplicates", a, b);
    line("events", text);
    count_of(metrics, "tollgate_events_conflict_total", a);
    count_of(metrics, "tollgate_events_quarantined_total", b);
    count_of(metrics, "tollgate_events_misdated_total", d);
    snprintf(text, sizeof text, "%s conflicts, %s quarantined, %s with a wrong date", a, b, d);
    line("", text);
    count_of(metrics, "tollgate_queue_events", a);
    count_of(metrics, "tollgate_queue_events_limit", b);
    snprintf(text, sizeof text, "%s of %s events", a, b);
    line("queue", text);
    count_of(metrics, "tollgate_streams_known", a);
    line("streams", a);
}

static void rate_show(const struct cli *c)
{
    char text[2 * CLI_TEXT], count[CLI_TEXT];
    int status;
    json_t *usage = cli_json(c, "/v1/usage?from=-1m", false, &status);
    int64_t calls = json_integer_value(json_object_get(json_object_get(usage, "totals"), "calls"));

    human_count(calls, count);
    snprintf(text, sizeof text, "%s calls in the last minute, %.1f a second", count, (double)calls / 60);
    line("rate", usage ? text : "-");
    json_decref(usage);
}

/* The file's size can be seen only from the same machine. */
static void database_show(const json_t *version, const char *metrics)
{
    const char *path = text_of(version, "database");
    double wal = exposition_sum(metrics, "tollgate_wal_bytes");
    char size[CLI_TEXT] = "-", log[CLI_TEXT] = "-", text[1024];
    struct stat st;

    if (stat(path, &st) == 0)
        human_bytes(st.st_size, size);
    if (!isnan(wal))
        human_bytes((int64_t)wal, log);
    snprintf(text, sizeof text, "%.800s, %s, write-ahead log %s", path, size, log);
    line("database", text);
}

static void losses_show(const struct cli *c)
{
    char worst[256], count[CLI_TEXT], text[512];
    int64_t lost = reports_lost(c, worst, sizeof worst);

    human_count(lost, count);
    if (lost > 0)
        snprintf(text, sizeof text, "%s events, reported by emitters in 7 days, most by %s", count, worst);
    else
        snprintf(text, sizeof text, "%s", lost == 0 ? "none reported by emitters in 7 days" : "-");
    line("lost", text);
}

/* How many of these nobody has acknowledged. -1: the alerts cannot be read. */
static int64_t unacked(const struct cli *c, const char *path)
{
    struct cli_answer a;

    cli_get(c, path, false, 10, &a);
    json_t *answer = a.status == 200 ? json_loadb(a.body ? a.body : "", a.len, 0, NULL) : NULL,
           *n = json_object_get(answer, "unacked");
    int64_t result = json_is_integer(n) ? json_integer_value(n) : -1;
    json_decref(answer);
    cli_answer_fini(&a);
    return result;
}

static void alerts_show(const struct cli *c)
{
    int64_t open = unacked(c, "/v1/alerts?state=open&limit=1"),
            critical = unacked(c, "/v1/alerts?state=open&severity=critical&limit=1");
    char count[CLI_TEXT], grave[CLI_TEXT], text[4 * CLI_TEXT];

    unacked_count(open, count);
    unacked_count(critical, grave);
    if (open > 0)
        snprintf(text, sizeof text,
                 "%s open and not acknowledged, %s critical (tollgate alerts --open --unacked)", count,
                 grave);
    else
        snprintf(text, sizeof text, "%s", open == 0 ? "none open that is not acknowledged" : "-");
    line("alerts", text);
}

int command_status(int argc, char **argv)
{
    static const struct cli_option options[] = { { 0 } };
    struct cli c = { 0 };
    struct cli_answer metrics;
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    json_t *version = cli_json(&c, "/version", false, &status);
    if (!version)
        return status;
    version_show(&c, version);
    bool ready = ready_show(&c);
    cli_get(&c, "/metrics", false, 10, &metrics);
    counters_show(metrics.body ? metrics.body : "");
    rate_show(&c);
    database_show(version, metrics.body ? metrics.body : "");
    losses_show(&c);
    alerts_show(&c);
    cli_answer_fini(&metrics);
    json_decref(version);
    return ready ? CLI_OK : CLI_FAILED;
}
