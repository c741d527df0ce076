/* SPDX-License-Identifier: MIT
 *
 * Invariants: a request belongs to its connection's thread; the server's own fields do not change
 * while it listens, but for counters and the stopping flag, which are atomic. A request is refused
 * only after its body was read (up to HTTP_DRAIN_MAX): a peer that is still sending would otherwise
 * see a reset instead of the answer.
 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guard.h"
#include "request.h"
#include "routes.h"

#define HTTP_ADDRESS "127.0.0.1"
/* Reserved, hardly used: a parser that recurses over what a peer sent takes 170 KiB of it (jansson,
 * 2,048 deep), under a sanitizer 1 MiB. */
#define HTTP_STACK_BYTES (2u << 20)
#define HTTP_DRAIN_MAX   (4 * HTTP_BODY_MAX) /* of a body that is refused */
#define HTTP_OVERFLOW    16u /* connections over the limit that are told so; more are closed unheard */
#define HTTP_BACKLOG     128
/* Page caches of the connections that exports and live streams have to themselves, so that they take none
 * from queries. */
#define HTTP_EXPORTERS_KIB 512
#define HTTP_VIEWERS_KIB   256

/* -------------------------------------------------------------- requests */

/* What speaks against the request before its body is read. */
static int request_check(struct request *r, const char *method, struct problem *p)
{
    if (atomic_load(&r->server->counters.connections) - atomic_load(&r->server->counters.streams) >
        r->server->connections)
        return problem_set(p, 503, "too many connections (limit %u)", r->server->connections);
    if (guard_request(r, p) != 0)
        return -1;
    if (!r->route)
        return problem_set(p, 404, "nothing is here; the routes are described in openapi.yaml");
    route_fn run = r->method < METHODS ? r->route->run[r->method] : NULL;
    if (!run)
        return problem_set(p, 405, "%.40s is not for %s", method, r->route->path);
    if (run == take_events && !r->server->hooks.post)
        return problem_set(p, 404, "this collector takes no events over HTTP");
    if ((run == take_govern || run == show_explain) && !r->server->hooks.govern)
        return problem_set(p, 404, "this collector governs nothing");
    if (run == take_alert_test && !r->server->hooks.alert_test)
        return problem_set(p, 404, "this collector tells nobody of alerts");
    return route_params(r, p);
}

static void body_too_long(struct problem *p)
{
    problem_fill(p, 413, "the body is longer than %u bytes: send less at a time", HTTP_BODY_MAX);
}

/* Keeps a piece of the body, or drops it if the request is refused anyway. */
static enum MHD_Result body_take(struct request *r, const char *data, size_t len)
{
    r->body_seen += len;
    if (r->refusal.status == 0 && r->body_seen > HTTP_BODY_MAX)
        body_too_long(&r->refusal);
    if (r->refusal.status == 0)
        text_add(&r->body, data, len);
    return r->body_seen > HTTP_DRAIN_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result request_answer(struct request *r)
{
    if (r->refusal.status != 0)
        answer_problem(r, &r->refusal);
    else
        r->route->run[r->method](r);
    return r->result;
}

/* The first call of a request: headers only. */
static enum MHD_Result request_begin(struct http_server *s, struct MHD_Connection *connection,
                                     const char *url, const char *method, const char *version, void **slot)
{
    struct request *r = calloc(1, sizeof *r);

    if (!r)
        return MHD_NO;
    *slot = r;
    r->server = s;
    r->connection = connection;
    r->head = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    r->plain = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
    r->begun_us = mono_us();
    r->method = method_code(method);
    r->route = route_find(url, &r->rest, &r->rest_len);
    request_check(r, method, &r->refusal);

    const char *length = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long bytes = length ? strtoull(length, NULL, 10) : 0;
    if (bytes > HTTP_BODY_MAX && r->refusal.status == 0)
        body_too_long(&r->refusal);
    bool waits = request_header(r, MHD_HTTP_HEADER_EXPECT) != NULL; /* to be told whether to send it */
    if (r->refusal.status != 0 && (waits || bytes > HTTP_DRAIN_MAX))
        return request_answer(r);
    return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *data_len,
                                  void **slot)
{
    struct request *r = *slot;

    if (!r)
        return request_begin(cls, connection, url, method, version, slot);
    if (*data_len > 0) {
        enum MHD_Result result = body_take(r, data, *data_len);
        *data_len = 0;
        return result;
    }
    return request_answer(r);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    struct http_server *s = cls;
    struct request *r = *slot;

    (void)connection;
    if (!r)
        return;
    int route = route_number(r->route);
    atomic_fetch_add(&s->counters.requests[route][r->status], 1);
    histogram_add(&s->counters.duration_us[route], mono_us() - r->begun_us);
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK && !r->endless)
        atomic_fetch_add(&s->counters.cut, 1);
    text_fini(&r->body);
    free(r);
    *slot = NULL;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *s = cls;
    struct http_connection *c = *slot;

    (void)connection;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *slot = calloc(1, sizeof *c); /* NULL: it cannot become a stream */
        atomic_fetch_add(&s->counters.connections, 1);
        return;
    }
    atomic_fetch_sub(&s->counters.connections, 1);
    if (c && c->stream)
        atomic_fetch_sub(&s->counters.streams, 1);
    free(c);
}

/* -------------------------------------------------------------- start, stop */

struct listener {
    int fd;
    bool v6;
    uint16_t port;
};

static int listen_socket(const char *address, uint16_t port, struct listener *out)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    struct sockaddr *name = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t len = is_v6 ? sizeof v6 : sizeof v4;
    int one = 1, fd;

    if (!is_v6 && inet_pton(AF_INET, address, &v4.sin_addr) != 1)
        return -EINVAL;
    fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, name, len) != 0 || listen(fd, HTTP_BACKLOG) != 0 || getsockname(fd, name, &len) != 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    *out = (struct listener){ fd, is_v6, ntohs(is_v6 ? v6.sin6_port : v4.sin_port) };
    return 0;
}

static struct MHD_Daemon *daemon_start(struct http_server *s, const struct listener *l, unsigned per_ip)
{
    unsigned flags =
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC;

    return MHD_start_daemon(
        flags | (l->v6 ? MHD_USE_IPv6 : 0), 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, l->fd,
        MHD_OPTION_CONNECTION_LIMIT, s->connections + s->streams + HTTP_OVERFLOW,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_ip, MHD_OPTION_CONNECTION_TIMEOUT, s->timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADER_MAX, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)HTTP_STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
}

static void server_free(struct http_server *s)
{
    pool_free(s->pool);
    pool_free(s->exporters);
    pool_free(s->viewers);
    free(s->address);
    free(s->token);
    free(s->database);
    free(s->endpoints);
    free(s);
}

static struct http_server *server_new(const struct http_options *opt)
{
    struct http_server *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->address = strdup(opt->address ? opt->address : HTTP_ADDRESS);
    s->database = strdup(opt->database);
    s->endpoints = strdup(opt->endpoints ? opt->endpoints : "");
    s->token = opt->token && opt->token[0] ? strdup(opt->token) : NULL;
    s->pool = pool_new(opt->database);
    s->exporters = pool_new_of(opt->database, 2, HTTP_EXPORTERS_KIB);
    s->viewers = pool_new_of(opt->database, 1, HTTP_VIEWERS_KIB);
    s->streams = opt->streams ? opt->streams : HTTP_STREAMS;
    s->connections = opt->connections ? opt->connections : HTTP_CONNECTIONS;
    s->timeout_s = opt->timeout_s ? opt->timeout_s : HTTP_TIMEOUT_S;
    s->query_ms = opt->query_ms ? opt->query_ms : HTTP_QUERY_MS;
    s->started_ms = wall_ms();
    s->hooks = opt->hooks;
    if (!s->address || !s->database || !s->endpoints || !s->pool || !s->exporters || !s->viewers ||
        (opt->token && opt->token[0] && !s->token)) {
        server_free(s);
        return NULL;
    }
    return s;
}

static int failed(char error[HTTP_ERROR_BYTES], int err, const char *address, unsigned port, const char *why)
{
    snprintf(error, HTTP_ERROR_BYTES, "HTTP on %s port %u: %s", address, port, why);
    return err;
}

int http_start(const struct http_options *opt, char error[HTTP_ERROR_BYTES], struct http_server **out)
{
    const char *address = opt->address ? opt->address : HTTP_ADDRESS;
    struct listener l = { .fd = -1 };

    if (!guard_loopback(address) && !(opt->token && opt->token[0]))
        return failed(error, -EINVAL, address, opt->port, "a token is needed off loopback");
    int err = listen_socket(address, opt->port, &l);
    if (err == -EINVAL)
        return failed(error, err, address, opt->port, "not a numeric address");
    if (err != 0)
        return failed(error, err, address, opt->port, strerror(-err));
    struct http_server *s = server_new(opt);
    if (s) {
        s->port = l.port;
        s->daemon = daemon_start(s, &l, opt->per_ip);
    }
    if (!s || !s->daemon) {
        close(l.fd);
        if (s)
            server_free(s);
        return failed(error, -ENOMEM, address, opt->port, "no memory or threads");
    }
    *out = s;
    return 0;
}

uint16_t http_port(const struct http_server *s)
{
    return s->port;
}

void http_stop(struct http_server *s)
{
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    pool_stop(s->pool);
    pool_stop(s->exporters);
    pool_stop(s->viewers);
    MHD_stop_daemon(s->daemon);
    server_free(s);
}
