/* SPDX-License-Identifier: MIT
 *
 * request.h: one request, owned by its connection's thread from the first header to the last byte
 * of the answer; what all routes need to read parameters and to answer.
 */
#ifndef COLLECTOR_HTTP_REQUEST_H
#define COLLECTOR_HTTP_REQUEST_H

#include <microhttpd.h>

#include "../base/clock.h"
#include "../query/events.h"
#include "../query/filter.h"
#include "../query/pool.h"
#include "../query/problem.h"
#include "metrics.h"
#include "server.h"
#include "text.h"

#define REQUEST_PARAMS_MAX 64
#define REQUEST_NEXT       64 /* bytes of any cursor */

struct http_server {
    struct MHD_Daemon *daemon;                    /* owned */
    struct query_pool *pool;                      /* owned */
    struct query_pool *exporters;                 /* owned; two connections, of all exports */
    struct query_pool *viewers;                   /* owned; one connection, of all live streams */
    int64_t viewers_rest_until_us;                /* of whoever has borrowed that connection */
    char *address, *token, *database, *endpoints; /* owned */
    unsigned connections, streams, query_ms, timeout_s;
    uint16_t port;
    int64_t started_ms; /* wall time */
    struct http_hooks hooks;
    atomic_bool stopping;
    _Atomic int64_t exports; /* open now */
    struct http_counters counters;
};

/* What is known of a connection; its thread's own. */
struct http_connection {
    bool stream; /* it has a place among the live streams, until it is closed */
};

struct request_param {
    const char *name, *value; /* borrowed from the connection; value is never NULL */
};

enum method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHODS };

struct request {
    struct http_server *server;
    struct MHD_Connection *connection;
    enum method method;        /* METHODS: one that no route has */
    const struct route *route; /* NULL: no such path */
    const char *rest;          /* what the path has in the place of {id}; borrowed from the connection */
    size_t rest_len;           /* bytes of it; more may follow */
    struct text body;
    size_t body_seen; /* bytes that came, kept or not */
    struct request_param param[REQUEST_PARAMS_MAX];
    unsigned params;
    int64_t begun_us;
    int status;              /* answered with this; 0: not yet */
    enum MHD_Result result;  /* of queueing the answer */
    bool plain;              /* HTTP/1.0: without chunks, an answer that is cut looks like one that ends */
    bool head;               /* only the head of the answer is asked for */
    bool endless;            /* the answer ends when the peer goes */
    bool truncated;          /* told as a header, where the format has no place for it */
    char next[REQUEST_NEXT]; /* the cursor of the next page; empty: none */
    struct problem refusal;  /* status not 0: the answer, once the body is read */
};

/* The value of a parameter, or NULL. */
const char *request_param(const struct request *r, const char *name);
const char *request_header(const struct request *r, const char *name);

/* Parses a number from 1 to max into *out, which stays as it is when the parameter is missing. 0 or -1. */
int request_number(const struct request *r, const char *name, unsigned max, struct problem *p, unsigned *out);

/* Parses `from` and `to` into what is there already. 0 or -1. */
int request_times(const struct request *r, struct problem *p, int64_t *from_ms, int64_t *to_ms);

/* Adds a term for each parameter that is a field before end, or a tag. 0 or -1. */
int request_filters(const struct request *r, int end, struct problem *p, struct filter *f);

/* Whether the peer has gone, or goes within wait_ms: nobody waits for the answer any more. */
bool peer_gone(struct MHD_Connection *connection, int wait_ms);

/* When the request's query must be done. */
struct monotime request_deadline(const struct request *r);

/* Answers. Each takes what it is given, whatever happens. */
void answer_text(struct request *r, int status, const char *content_type, struct text *body);
void answer_problem(struct request *r, const struct problem *p);
void answer_response(struct request *r, int status, const char *content_type, struct MHD_Response *response);

/* json, ndjson or csv, from `format` or else the Accept header. 0 or -1 and *p filled. */
enum format { FORMAT_JSON, FORMAT_NDJSON, FORMAT_CSV };
int request_format(const struct request *r, bool ndjson, struct problem *p, enum format *out);

#define TYPE_JSON    "application/json"
#define TYPE_NDJSON  "application/x-ndjson"
#define TYPE_CSV     "text/csv; charset=utf-8"
#define TYPE_STREAM  "text/event-stream"
#define TYPE_PROBLEM "application/problem+json"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

#endif
