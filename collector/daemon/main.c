/* SPDX-License-Identifier: MIT
 *
 * main.c: starts the collector's threads in the order of the data flow's end (store first, so that
 * nothing arrives where nobody takes it) and stops them in the reverse order. Signals are blocked
 * everywhere and waited for here. Only this file exits.
 */
#include <errno.h>
#include <malloc.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../include/tollgate.h"
#include "../alarm/notifier.h"
#include "../base/log.h"
#include "../base/paths.h"
#include "../base/zone.h"
#include "../govern/office.h"
#include "../http/server.h"
#include "../ingest/post.h"
#include "../ingest/socket.h"
#include "../writer/writer.h"
#include "address.h"
#include "config.h"
#include "governing.h"
#include "measures.h"
#include "selftest.h"

#define DAY_MS             86400000LL
#define SECOND_MS          1000LL
#define SELFTEST_TURN_MS   200
#define COMMIT_WAIT_MAX_MS 1000

struct daemon {
    const char *config_path; /* NULL: no file */
    struct config config;
    struct zone *zone;
    struct governing governing;
    struct board_stand *stand;
    struct office office;
    struct retention_ages ages;
    struct counters counters;
    struct ticker commits, alerts;
    struct queue *queue;
    struct writer *writer;
    struct notifier *notifier;
    struct ingest_socket *socket;
    struct post post;
    struct http_server *http;
    _Atomic bool passed_selftest, stopping;
};

/* ------------------------------------------------------------ hooks for HTTP */

static int hook_post(void *arg, const char *content_type, const char *source, const char *body, size_t len,
                     char **json)
{
    return post_events(&((struct daemon *)arg)->post, content_type, source, body, len, json);
}

static size_t hook_ready(void *arg, char reasons[][HTTP_REASON_BYTES], size_t max)
{
    struct daemon *d = arg;
    size_t n = 0;

    if (!d->passed_selftest && n < max)
        snprintf(reasons[n++], HTTP_REASON_BYTES, "the self-test event has not gone the whole way yet");
    if (count_get(&d->counters.store_writable) == 0 && n < max)
        snprintf(reasons[n++], HTTP_REASON_BYTES,
                 "the store cannot write (disk full or a fault): see the log");
    if (d->stopping && n < max)
        snprintf(reasons[n++], HTTP_REASON_BYTES, "stopping");
    return n;
}

static void hook_metrics(void *arg, metric_fn emit, void *sink)
{
    struct daemon *d = arg;
    struct measures all = { &d->counters, d->queue, d->writer, d->notifier, d->config.database, &d->ages };

    measures_emit(&all, emit, sink);
}

static uint64_t hook_commit_wait(void *arg, uint64_t seen, int timeout_ms)
{
    struct daemon *d = arg;
    uint32_t tick = ticker_read(&d->commits); /* before the look at commits: no tick is missed */

    if (timeout_ms > 0 && !d->stopping && (uint64_t)count_get(&d->counters.commits) <= seen)
        ticker_wait(&d->commits, tick, timeout_ms < COMMIT_WAIT_MAX_MS ? timeout_ms : COMMIT_WAIT_MAX_MS);
    return (uint64_t)count_get(&d->counters.commits);
}

static int hook_govern(void *arg, const char *op, const json_t *request, json_t **answer)
{
    return office_ask(&((struct daemon *)arg)->office, op, request, answer);
}

static int hook_alert_test(void *arg, const char *destination, json_t **answer)
{
    return notifier_test(((struct daemon *)arg)->notifier, destination, answer);
}

/* ------------------------------------------------------------------ starting */

/* The socket's directory must be ours alone: whoever can write there can stand in for us. */
static int check_socket_directory(const char *endpoint, char *error, size_t size)
{
    char dir[CONFIG_TEXT_MAX];
    struct stat st;

    if (strncmp(endpoint, "ipc://", 6) != 0)
        return 0;
    snprintf(dir, sizeof dir, "%s", endpoint + 6);
    if (paths_make_parents(dir) != 0) {
        snprintf(error, size, "%.200s: %s", dir, strerror(errno));
        return -1;
    }
    *strrchr(dir, '/') = '\0';
    if (stat(dir[0] != '\0' ? dir : "/", &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return 0;
    snprintf(error, size, "%.200s: a directory of this user that nobody else may write to was expected", dir);
    return -1;
}

/* At the start and on a HUP; the writer looks at them now and then. */
static void set_ages(struct daemon *d)
{
    const struct config *c = &d->config;
    const int64_t ms[RETENTION_KINDS] = {
        [RETAIN_DISPATCH] = c->keep_dispatch, [RETAIN_MESSAGE] = c->keep_message,
        [RETAIN_REPORT] = c->keep_report,     [RETAIN_QUARANTINE] = c->keep_quarantine,
        [RETAIN_MINUTE] = c->keep_minute,     [RETAIN_QUARTER] = c->keep_quarter,
        [RETAIN_DAY] = c->keep_day,           [RETAIN_SESSION] = c->keep_session,
        [RETAIN_ALERT] = c->keep_alert,
    };

    for (int kind = 0; kind < RETENTION_KINDS; kind++)
        retention_set_age(&d->ages, (enum retention_kind)kind, ms[kind]);
}

static int start_writer(struct daemon *d, char *error)
{
    const struct config *c = &d->config;
    struct writer_options options = {
        .path = c->database,
        .synchronous = c->synchronous,
        .stream_days = c->stream_days,
        .stand = d->stand,
        .alerts = &d->alerts,
        .journal = { .past_ms = c->past_days * DAY_MS,
                     .future_ms = c->future_minutes * 60 * SECOND_MS,
                     .quarantine_rows = c->quarantine_rows,
                     .combinations = c->combinations,
                     .ages = &d->ages,
                     .watching = { .silent_ms =
                                       c->silent_after_ms == CONFIG_FOREVER ? 0 : c->silent_after_ms } },
    };

    if ((options.journal.zone = d->zone = zone_open(c->zone)) == NULL) {
        snprintf(error, STORE_ERROR_MAX, "%.60s: this time zone cannot be read", c->zone);
        return -1;
    }
    if (governing_init(&d->governing, c, error) != 0)
        return -1;
    options.journal.prices = d->governing.prices;
    struct ledger_options governing = { .prices = d->governing.prices,
                                        .prompt_tokens = c->estimate_prompt_tokens,
                                        .completion_tokens = c->estimate_completion_tokens,
                                        .ttl_ms = c->reservation_ttl_ms,
                                        .open_max = c->reservations_open,
                                        .zone = c->zone };
    options.journal.governing = &governing;
    set_ages(d);
    if (paths_make_parents(c->database) != 0) {
        snprintf(error, STORE_ERROR_MAX, "%.300s: %s", c->database, strerror(errno));
        return -1;
    }
    if (writer_start(&options, d->queue, &d->counters, &d->commits, error, &d->writer) != 0)
        return -1;
    if (governing_give(&d->governing, c, d->queue))
        return 0;
    snprintf(error, STORE_ERROR_MAX, "%.300s: the budgets cannot be written", c->database);
    return -1;
}

/* The configuration's list goes over to the notifier: nobody else looks at it. */
static void give_destinations(struct daemon *d)
{
    notifier_use(d->notifier, d->config.destinations, d->config.destination_count);
    d->config.destinations = NULL;
    d->config.destination_count = 0;
}

static int start_notifier(struct daemon *d, char *error)
{
    char link[CONFIG_TEXT_MAX + 16];
    struct notifier_options options = { .database = d->config.database,
                                        .link = config_link(&d->config, link, sizeof link) ? link : NULL,
                                        .writer = d->queue,
                                        .alerts = &d->alerts,
                                        .counters = &d->counters };

    if (notifier_start(&options, error, &d->notifier) != 0)
        return -1;
    give_destinations(d); /* before anything comes in: what that raises is told to all of them */
    return 0;
}

static int start_socket(struct daemon *d, char *error)
{
    struct socket_options options = { .endpoint_count = (int)d->config.event_endpoints, .stand = d->stand };

    for (int i = 0; i < options.endpoint_count; i++) {
        options.endpoints[i] = d->config.events[i];
        if (check_socket_directory(d->config.events[i], error, SOCKET_ERROR_MAX) != 0)
            return -1;
    }
    return socket_start(&options, d->queue, &d->counters, error, &d->socket);
}

static void join_endpoints(const struct daemon *d, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (int i = 0; i < d->config.event_endpoints && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? " " : "", socket_endpoint(d->socket, i));
}

static int start_http(struct daemon *d, char *error)
{
    char host[CONFIG_TEXT_MAX], endpoints[2048];
    struct http_options options = {
        .address = host,
        .token = d->config.token,
        .database = d->config.database,
        .endpoints = endpoints,
        .connections = (unsigned)d->config.http_connections,
        .per_ip = (unsigned)d->config.per_ip,
        .timeout_s = (unsigned)(d->config.http_timeout_ms / SECOND_MS),
        .streams = (unsigned)d->config.streams,
        .query_ms = (unsigned)d->config.query_ms,
        .hooks = { d, hook_post, hook_ready, hook_metrics, hook_commit_wait, hook_govern, hook_alert_test },
    };

    if (!address_split(d->config.http, host, sizeof host, &options.port))
        return 0; /* off */
    join_endpoints(d, endpoints, sizeof endpoints);
    d->post.queue = d->queue;
    d->post.counters = &d->counters;
    return http_start(&options, error, &d->http);
}

static int start(struct daemon *d)
{
    char error[STORE_ERROR_MAX] = "no memory";

    d->office.queue = d->queue = queue_new((size_t)d->config.queue_events);
    d->stand = board_stand_new();
    if (d->queue != NULL && d->stand != NULL && start_writer(d, error) == 0 &&
        start_notifier(d, error) == 0 && start_socket(d, error) == 0 && start_http(d, error) == 0)
        return 0;
    fprintf(stderr, "tollgated: %s\n", error);
    return -1;
}

static void stop(struct daemon *d)
{
    d->stopping = true;
    ticker_tick(&d->commits); /* long polls end */
    notifier_stop(d->notifier);
    http_stop(d->http);
    socket_stop(d->socket);
    if (d->queue != NULL)
        queue_close(d->queue);
    writer_stop(d->writer);
    notifier_free(d->notifier);
    ticker_fini(&d->alerts);
    socket_free(d->socket);
    queue_free(d->queue);
    zone_close(d->zone);
    governing_fini(&d->governing);
    board_stand_free(d->stand);
    config_fini(&d->config);
}

/* ------------------------------------------------------------------- running */

static void say_ready(const struct daemon *d)
{
    char endpoints[2048], host[CONFIG_TEXT_MAX];
    uint16_t port;

    join_endpoints(d, endpoints, sizeof endpoints);
    if (d->http == NULL)
        log_info("ready", "version=%s http=off events=\"%s\" database=%s", TG_VERSION, endpoints,
                 d->config.database);
    else if (address_split(d->config.http, host, sizeof host, &port))
        log_info("ready",
                 strchr(host, ':') != NULL ? "version=%s http=http://[%s]:%u events=\"%s\" database=%s"
                                           : "version=%s http=http://%s:%u events=\"%s\" database=%s",
                 TG_VERSION, host, (unsigned)http_port(d->http), endpoints, d->config.database);
}

static void reload(struct daemon *d)
{
    char error[CONFIG_ERROR_MAX], frozen[256];
    struct config wanted;

    if (d->config_path == NULL) {
        log_info("reload", "result=\"there is no configuration file\"");
        return;
    }
    if (config_read(d->config_path, &wanted, error) != 0) {
        log_error("reload", "result=\"nothing changed\" text=\"%s\"", error);
        return;
    }
    if (wanted.empty && !d->config.empty) {
        log_error("reload", "result=\"nothing changed\" text=\"%s: the file is empty\"", d->config_path);
        config_fini(&wanted);
        return;
    }
    config_reload(&d->config, &wanted);
    set_ages(d);
    log_set_level((enum log_level)log_level_code(d->config.log_level));
    if (config_frozen(&d->config, &wanted, frozen, sizeof frozen) > 0)
        log_warn("reload", "log_level=%s needs_restart=%s", wanted.log_level, frozen);
    else
        log_info("reload", "log_level=%s", wanted.log_level);
    give_destinations(d);
    governing_reload(&d->governing, &d->config, &wanted, d->queue);
}

/* Until TERM or INT. While the self-test runs, its socket is waited for instead of the signals. */
static void run(struct daemon *d, const sigset_t *signals)
{
    struct selftest *test = selftest_open(socket_endpoint(d->socket, 0), d->config.database);
    struct timespec none = { 0, 0 };

    for (;;) {
        if (test != NULL && selftest_step(test, SELFTEST_TURN_MS)) {
            d->passed_selftest = true;
            selftest_close(test);
            test = NULL;
            say_ready(d);
        }
        int sig = test != NULL ? sigtimedwait(signals, NULL, &none) : sigwaitinfo(signals, NULL);
        if (sig == SIGHUP)
            reload(d);
        else if (sig == SIGTERM || sig == SIGINT)
            break;
    }
    selftest_close(test);
    log_info("stopping", "events_waiting=%zu", queue_weight(d->queue));
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int serve(struct daemon *d)
{
    sigset_t signals;
    int rc = 1;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGPIPE);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    sigdelset(&signals, SIGPIPE);
    raise_file_limit();
    log_set_level((enum log_level)log_level_code(d->config.log_level));
    if (start(d) == 0) {
        run(d, &signals);
        rc = 0;
    }
    stop(d);
    if (rc == 0)
        log_info("stopped", "events_stored=%lld", (long long)count_get(&d->counters.events_stored));
    return rc;
}

/* -------------------------------------------------------------- command line */

static const char help[] =
    "tollgated: collects what AI agents spend, and answers questions about it.\n"
    "\n"
    "usage: tollgated [-c FILE] [-n]\n"
    "  -c, --config FILE  read this YAML file; without it: loopback, an ipc socket in\n"
    "                     the runtime directory, a database in the state directory\n"
    "  -n, --check        check the configuration and print it complete, then exit\n"
    "  -h, --help         this text\n"
    "      --version      the version\n"
    "\n"
    "examples:\n"
    "  tollgated                        # all defaults, HTTP on 127.0.0.1:7448\n"
    "  tollgated -n > tollgate.yaml     # a complete file to start from\n"
    "  tollgated -c tollgate.yaml\n"
    "  kill -HUP PID                    # read the file again\n"
    "\n"
    "See tollgated(8) and tollgate.yaml(5).\n";

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct daemon *d, bool *check)
{
    static const struct option options[] = { { "config", required_argument, NULL, 'c' },
                                             { "check", no_argument, NULL, 'n' },
                                             { "help", no_argument, NULL, 'h' },
                                             { "version", no_argument, NULL, 'V' },
                                             { NULL, 0, NULL, 0 } };
    int o;

    opterr = 0;
    while ((o = getopt_long(argc, argv, ":c:nh", options, NULL)) != -1) {
        if (o == 'c') {
            d->config_path = optarg;
        } else if (o == 'n') {
            *check = true;
        } else if (o == 'h' || o == 'V') {
            fputs(o == 'h' ? help : "tollgated " TG_VERSION "\n", stdout);
            return 0;
        } else {
            fprintf(stderr, "tollgated: %s: %s (see --help)\n", argv[optind - 1],
                    o == ':' ? "a file name was expected after it" : "unknown option");
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "tollgated: %s: no argument was expected (see --help)\n", argv[optind]);
        return 2;
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct daemon d;
    char error[CONFIG_ERROR_MAX];
    bool check = false;
    int rc = parse_options(argc, argv, &d, &check);

    if (rc >= 0)
        return rc;
    config_default(&d.config);
    config_judge_prices = governing_judge_prices;
    if (d.config_path != NULL && config_read(d.config_path, &d.config, error) != 0) {
        fprintf(stderr, "tollgated: %s\n", error);
        return 2;
    }
    if (check) {
        config_print(&d.config, stdout);
        config_contradictions(&d.config, "tollgated: ", stderr);
        return 0;
    }
    mallopt(M_ARENA_MAX, 2);            /* else each of a few hundred threads may keep memory of its own */
    mallopt(M_TRIM_THRESHOLD, 1 << 18); /* and what large frames took is given back */
    return serve(&d);
}
