/* SPDX-License-Identifier: MIT
 *
 * post.c: each JSON event becomes a MessagePack map and goes through decode_event, so there is one
 * set of rules. Good events of a body are stored in one transaction; bad ones are answered one by
 * one, with their line or index, and leave nothing behind.
 */
#include "post.h"

#include <glib.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/batch.h"
#include "../base/log.h"
#include "../base/utf8.h"
#include "decode.h"
#include "named.h"

#define DEFAULT_SOURCE "http"
#define NESTING_MAX    4
#define IGNORED_MAX    8 /* unknown names that an answer lists for one event */

/* A body on its way. The batch comes first: done gets it back. */
struct posting {
    struct batch batch;
    struct queue *committed; /* owned; gets the batch back */
    json_t *results;         /* owned; one for each event of the body, good or bad */
    size_t bad;
    const char *unit; /* "line" or "index" */
};

static void batch_done(struct batch *b)
{
    queue_push(((struct posting *)b->owner)->committed, &b->item, 0);
}

/* -------------------------------------------------------- JSON to MessagePack */

static bool pack_value(msgpack_packer *pk, json_t *v, int depth);

static bool pack_object(msgpack_packer *pk, json_t *object, int depth)
{
    const char *name;
    json_t *value;

    msgpack_pack_map(pk, json_object_size(object));
    json_object_foreach(object, name, value)
    {
        msgpack_pack_str(pk, strlen(name));
        msgpack_pack_str_body(pk, name, strlen(name));
        if (!pack_value(pk, value, depth - 1))
            return false;
    }
    return true;
}

/* Arrays are no event's value; they are packed as one so that the decoder names the field. */
static bool pack_value(msgpack_packer *pk, json_t *v, int depth)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return depth > 0 && pack_object(pk, v, depth);
    case JSON_ARRAY:
        return msgpack_pack_array(pk, 0) == 0;
    case JSON_STRING:
        msgpack_pack_str(pk, json_string_length(v));
        return msgpack_pack_str_body(pk, json_string_value(v), json_string_length(v)) == 0;
    case JSON_INTEGER:
        return msgpack_pack_int64(pk, json_integer_value(v)) == 0;
    case JSON_REAL:
        return msgpack_pack_double(pk, json_real_value(v)) == 0;
    case JSON_NULL:
        return msgpack_pack_nil(pk) == 0;
    default:
        return (json_is_true(v) ? msgpack_pack_true(pk) : msgpack_pack_false(pk)) == 0;
    }
}

/* Names that GET /v1/events adds to an event: an export can be posted again. */
static bool is_read_only_name(const char *name)
{
    static const char *const names[] = {
        "id", "ts", "received", "received_ms", "source", "state", "cursor", "epoch",
#define TG_DISPATCH_DERIVED(name) #name,
#include "../../schema/event.def"
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* "ts" as RFC 3339 stands for ts_ms. */
static bool fill_time(json_t *event, struct decode_fault *fault)
{
    const char *text = json_string_value(json_object_get(event, "ts"));

    json_t *ms = json_object_get(event, "ts_ms");

    if (text == NULL || (ms != NULL && !json_is_null(ms)))
        return true;
    GDateTime *t = g_date_time_new_from_iso8601(text, NULL);
    if (t == NULL) {
        char value[80];
        snprintf(fault->text, sizeof fault->text, "ts: %s where a time as in RFC 3339 was expected",
                 log_quote(text, strlen(text), value, sizeof value));
        return false;
    }
    json_object_set_new(event, "ts_ms",
                        json_integer(g_date_time_to_unix(t) * 1000 + g_date_time_get_microsecond(t) / 1000));
    g_date_time_unref(t);
    return true;
}

static bool encode(json_t *event, struct arena *arena, struct slice *out, struct decode_fault *fault)
{
    msgpack_sbuffer buf;
    msgpack_packer pk;

    if (!json_is_object(event)) {
        snprintf(fault->text, sizeof fault->text, "event: an object was expected");
        return false;
    }
    if (!fill_time(event, fault))
        return false;
    msgpack_sbuffer_init(&buf);
    msgpack_packer_init(&pk, &buf, msgpack_sbuffer_write);
    bool ok = pack_object(&pk, event, NESTING_MAX);
    uint8_t *copy = ok ? arena_take(arena, buf.size) : NULL;
    if (copy != NULL) {
        memcpy(copy, buf.data, buf.size);
        *out = (struct slice){ copy, (uint32_t)buf.size };
    }
    msgpack_sbuffer_destroy(&buf);
    if (!ok)
        snprintf(fault->text, sizeof fault->text, "event: objects are nested deeper than %d", NESTING_MAX);
    return copy != NULL;
}

/* ------------------------------------------------------------------- results */

static json_t *new_result(struct posting *p, size_t at)
{
    json_t *result = json_object();

    json_object_set_new(result, p->unit, json_integer((json_int_t)at));
    json_array_append_new(p->results, result);
    return result;
}

/* Texts about what somebody sent may hold a piece of it, cut anywhere. */
static json_t *json_detail(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    json_t *out = json_string(valid);

    g_free(valid);
    return out;
}

static void reject(struct posting *p, size_t at, const char *detail)
{
    json_t *result = new_result(p, at);

    json_object_set_new(result, "result", json_string("rejected"));
    json_object_set_new(result, "detail", json_detail(detail));
    p->bad++;
}

/* An unknown name is no fault (another version may know it), but the sender is told. */
static void list_ignored(json_t *result, json_t *event, int kind)
{
    json_t *ignored = json_array(), *value;
    const char *name;

    json_object_foreach(event, name, value)
    {
        if (named_position(kind, name, strlen(name)) < 0 && !is_read_only_name(name) &&
            json_array_size(ignored) < IGNORED_MAX)
            json_array_append_new(ignored, json_string(name));
    }
    if (json_array_size(ignored) > 0)
        json_object_set(result, "ignored", ignored);
    json_decref(ignored);
}

/* One event of the body: into the batch, or rejected. */
static void take_event(struct posting *p, size_t at, json_t *event)
{
    struct batch_event *e = &p->batch.events[p->batch.count];
    struct decode_fault fault = { "no memory" };
    struct slice wire;

    if (!encode(event, &p->batch.arena, &wire, &fault) ||
        decode_event(wire, &p->batch.arena, &e->event, &p->batch.repaired, &fault) != 0) {
        reject(p, at, fault.text);
        return;
    }
    e->fault = NULL;
    e->fault_count = 0;
    p->batch.count++;
    list_ignored(new_result(p, at), event, e->event.kind);
}

static const char *result_name(enum event_result r)
{
    static const char *const names[] = { [EVENT_STORED] = "stored",
                                         [EVENT_DUPLICATE] = "duplicate",
                                         [EVENT_REPLACED] = "replaced",
                                         [EVENT_CONFLICT] = "conflict",
                                         [EVENT_QUARANTINED] = "quarantined" };
    return names[r];
}

/* After the commit: what became of each good event, in the order of the body. */
static void fill_results(struct posting *p, size_t tally[EVENT_QUARANTINED + 1])
{
    size_t i, next = 0;
    json_t *result;

    json_array_foreach(p->results, i, result)
    {
        if (json_object_get(result, "result") != NULL)
            continue;
        const struct batch_event *e = &p->batch.events[next++];
        char id[33];
        for (int k = 0; k < 16; k++)
            snprintf(id + 2 * k, 3, "%02x", e->event.id[k]);
        json_object_set_new(result, "result", json_string(result_name(e->result)));
        json_object_set_new(result, "event_id", json_string(id));
        tally[e->result]++;
    }
}

static int problem(int status, const char *type, const char *title, const char *detail, json_t *results,
                   char **json)
{
    json_t *o = json_pack("{s:s, s:s, s:i, s:o}", "type", type, "title", title, "status", status, "detail",
                          json_detail(detail));

    if (results != NULL)
        json_object_set(o, "results", results);
    *json = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return status;
}

static int answer(struct posting *p, char **json)
{
    size_t tally[EVENT_QUARANTINED + 1] = { 0 };

    fill_results(p, tally);
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:O}", "stored",
                          (json_int_t)tally[EVENT_STORED] + (json_int_t)tally[EVENT_REPLACED], "replaced",
                          (json_int_t)tally[EVENT_REPLACED], "duplicates", (json_int_t)tally[EVENT_DUPLICATE],
                          "conflicts", (json_int_t)tally[EVENT_CONFLICT], "rejected", (json_int_t)p->bad,
                          "results", p->results);
    *json = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return p->bad > 0 ? 207 : 200;
}

/* ---------------------------------------------------------------------- body */

static bool reserve(struct posting *p, size_t count, int *status, char **json)
{
    char detail[96];

    if (count > BATCH_EVENTS_MAX) {
        snprintf(detail, sizeof detail, "%zu events where at most %d were expected", count, BATCH_EVENTS_MAX);
        *status = problem(413, "about:blank", "Too many events in one request", detail, NULL, json);
    } else if (!batch_reserve(&p->batch, count > 0 ? count : 1)) {
        *status = problem(503, "about:blank", "No memory", "try again later", NULL, json);
    } else {
        return true;
    }
    return false;
}

static bool is_blank(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r')
            return false;
    return true;
}

/* The next line of a body, without its end; false when there is none. */
static bool next_line(const char **at, const char *end, const char **line, size_t *len)
{
    if (*at >= end)
        return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    *line = *at;
    *len = (size_t)((stop != NULL ? stop : end) - *at);
    *at += *len + 1;
    return true;
}

static size_t count_lines(const char *body, size_t body_len)
{
    const char *at = body, *line;
    size_t n = 0, len;

    while (next_line(&at, body + body_len, &line, &len))
        n += !is_blank(line, len);
    return n;
}

/* Lines of events, and not a broken array: the first line alone is a value. */
static bool looks_like_lines(const char *body, size_t body_len)
{
    const char *at = body, *line;
    size_t len;

    while (next_line(&at, body + body_len, &line, &len)) {
        if (is_blank(line, len))
            continue;
        json_t *first = json_loadb(line, len, 0, NULL);
        bool one = json_is_object(first);
        json_decref(first);
        return one && at < body + body_len;
    }
    return false;
}

static void take_lines(struct posting *p, const char *body, size_t body_len)
{
    const char *at = body, *line;
    json_error_t error;
    size_t len;

    p->unit = "line";
    for (size_t number = 1; next_line(&at, body + body_len, &line, &len); number++) {
        if (is_blank(line, len))
            continue;
        json_t *event = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
        if (event != NULL)
            take_event(p, number, event);
        else
            reject(p, number, error.text);
        json_decref(event);
    }
}

static void take_json(struct posting *p, json_t *value)
{
    size_t i;
    json_t *event;

    p->unit = "index";
    if (!json_is_array(value)) {
        take_event(p, 0, value);
        return;
    }
    json_array_foreach(value, i, event)
    {
        take_event(p, i, event);
    }
}

/* True: the events are in the batch. False: *status and *json are the answer. */
static bool read_body(struct posting *p, const char *content_type, const char *body, size_t len, int *status,
                      char **json)
{
    bool lines = content_type != NULL && strstr(content_type, "ndjson") != NULL;
    json_error_t error;
    json_t *value = lines ? NULL : json_loadb(body, len, JSON_REJECT_DUPLICATES, &error);
    bool ok;

    if (value == NULL && !lines && !looks_like_lines(body, len)) {
        char detail[256];
        snprintf(detail, sizeof detail, "line %d, column %d: %.160s", error.line, error.column, error.text);
        *status = problem(400, "about:blank", "The body is not JSON", detail, NULL, json);
        return false;
    }
    if (value != NULL) {
        ok = reserve(p, json_is_array(value) ? json_array_size(value) : 1, status, json);
        if (ok)
            take_json(p, value);
        json_decref(value);
    } else {
        ok = reserve(p, count_lines(body, len), status, json);
        if (ok)
            take_lines(p, body, len);
    }
    return ok;
}

/* Waits for the commit: the writer answers every batch. */
static void wait_committed(struct posting *p)
{
    struct queue_item *item;

    queue_pop(p->committed, -1, &item);
}

static int store(const struct post *post, struct posting *p, char **json)
{
    if (json_array_size(p->results) == 0)
        return problem(400, "about:blank", "No event in the body",
                       "an object, an array or lines of objects were expected", NULL, json);
    if (p->batch.count == 0)
        return problem(400, "about:blank", "No event could be understood", "see results", p->results, json);
    p->batch.item.weight = p->batch.count;
    if (queue_push(post->queue, &p->batch.item, 0) != QUEUE_OK) {
        count_add(&post->counters->posts_busy, 1);
        return problem(503, "about:blank", "The collector is busy",
                       "its queue is full: try again in a second", NULL, json);
    }
    wait_committed(p);
    count_add(&post->counters->strings_repaired, p->batch.repaired);
    if (p->batch.status != BATCH_SETTLED)
        return problem(503, "about:blank", "The store cannot write now",
                       "nothing was stored: try again later", NULL, json);
    return answer(p, json);
}

int post_events(struct post *post, const char *content_type, const char *source, const char *body, size_t len,
                char **json)
{
    struct posting p = { .results = json_array(), .committed = queue_new(1), .unit = "index" };
    size_t source_len = source != NULL ? strlen(source) : 0;
    int status;

    *json = NULL;
    if (atomic_fetch_add(&post->running, 1) >= POSTS_MAX) {
        count_add(&post->counters->posts_busy, 1);
        status = problem(503, "about:blank", "The collector is busy",
                         "too many posts at once: try again in a second", NULL, json);
    } else if (p.committed == NULL) {
        status = problem(503, "about:blank", "No memory", "try again later", NULL, json);
    } else if (source_len > SOURCE_MAX || !utf8_valid((const uint8_t *)source, source_len)) {
        status = problem(400, "about:blank", "Bad parameter", "source: 1 to 255 bytes of UTF-8 were expected",
                         NULL, json);
    } else {
        snprintf(p.batch.source, sizeof p.batch.source, "%s", source_len > 0 ? source : DEFAULT_SOURCE);
        p.batch.done = batch_done;
        p.batch.owner = &p;
        if (read_body(&p, content_type, body, len, &status, json))
            status = store(post, &p, json);
    }
    atomic_fetch_sub(&post->running, 1);
    json_decref(p.results);
    batch_fini(&p.batch);
    queue_free(p.committed);
    return status;
}
