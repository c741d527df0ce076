/* SPDX-License-Identifier: MIT
 *
 * server.h: the collector's HTTP face. http_start opens the listener and the read-only database
 * connections; what HTTP cannot know by itself (ingest, readiness, counters, commits) it asks
 * through hooks, so that it includes no other stage than the queries it shows.
 *
 * One thread per connection, on purpose: nothing is ever suspended, so no slow stream can starve
 * another request. A hook is called from any of these threads, many at once.
 */
#ifndef COLLECTOR_HTTP_SERVER_H
#define COLLECTOR_HTTP_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/metric.h"

#define HTTP_BODY_MAX     (4u << 20)  /* bytes of a POST body; over it: 413 */
#define HTTP_HEADER_MAX   (32u << 10) /* bytes of request line and headers; over it: 431 or 414 */
#define HTTP_CONNECTIONS  256         /* default limit; over it: 503 and the connection closes */
#define HTTP_STREAMS      128   /* default limit of live streams, which are not among these; over it: 503 */
#define HTTP_TIMEOUT_S    30    /* default: a connection on which nothing moves is closed */
#define HTTP_QUERY_MS     10000 /* default deadline of a query; over it: 504 */
#define HTTP_WAIT_MAX_MS  60000 /* longest long-poll */
#define HTTP_REASONS_MAX  16
#define HTTP_REASON_BYTES 200
#define HTTP_ERROR_BYTES  256

/* What the daemon tells HTTP. Any may be NULL; what stands behind it then answers 404 (post, govern,
 * alert_test), is always true (ready), empty (metrics), or does not wait (commit_wait). */
struct http_hooks {
    void *arg;

    /* Ingests a body of POST /v1/events and answers after the commit. content_type may be NULL,
     * source is the `source` parameter or NULL. Returns the HTTP status and in *json a malloc'd
     * JSON text that http frees (NULL: none). A status from 400 is sent as problem+json and 503
     * carries Retry-After. May block. */
    int (*post)(void *arg, const char *content_type, const char *source, const char *body, size_t len,
                char **json);

    /* Fills in what stands against being ready, at most max reasons; returns how many. 0: ready. */
    size_t (*ready)(void *arg, char reasons[][HTTP_REASON_BYTES], size_t max);

    /* Enumerates the daemon's counters. */
    void (*metrics)(void *arg, metric_fn emit, void *sink);

    /* Waits up to timeout_ms until the number of commits is greater than seen; returns the number
     * now. timeout_ms 0: does not wait. Should return early when the daemon stops; http asks in
     * slices of at most a second anyway. */
    uint64_t (*commit_wait)(void *arg, uint64_t seen, int timeout_ms);

    /* Asks the governor: govern/office.h says which op takes which request and answers what. Returns the
     * HTTP status and in *answer a new reference that http gives back; a status from 400 is sent as
     * problem+json, NULL as 503: no memory. request is borrowed. May block. */
    int (*govern)(void *arg, const char *op, const json_t *request, json_t **answer);

    /* Sends a test alert to the destination of this name, NULL: to each. As govern; may block for their
     * timeouts. */
    int (*alert_test)(void *arg, const char *destination, json_t **answer);
};

/* Strings are copied by http_start. 0 and NULL: the default. */
struct http_options {
    const char *address;   /* numeric IPv4 or IPv6; NULL: 127.0.0.1 */
    uint16_t port;         /* 0: an ephemeral one, see http_port */
    const char *token;     /* NULL or "": none. Required (EINVAL) off loopback */
    const char *database;  /* path of the SQLite file; must exist when the first query comes */
    const char *endpoints; /* where events come in, for /version; space separated; may be NULL */
    unsigned connections;  /* limit over all peers */
    unsigned streams;      /* limit of live streams; their connections do not count as others */
    unsigned per_ip;       /* limit of one peer address; 0: none */
    unsigned timeout_s;
    unsigned query_ms;
    struct http_hooks hooks;
};

struct http_server;

/* Starts to listen. On success *out is owned by the caller until http_stop. On failure returns
 * -errno and writes what was wrong, for a person, to error; *out is untouched. */
int http_start(const struct http_options *opt, char error[HTTP_ERROR_BYTES], struct http_server **out);

/* The port that is listened on. */
uint16_t http_port(const struct http_server *s);

/* Stops listening, interrupts queries, ends streams visibly, waits for every request and frees s.
 * NULL is fine. */
void http_stop(struct http_server *s);

#endif
