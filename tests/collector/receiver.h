/* SPDX-License-Identifier: MIT
 *
 * receiver.h: a real HTTP server in the test's process that takes what a notifier sends, and behaves as badly
 * as it is told to. Each path is a destination of its own: "/a" to "/z".
 */
#ifndef TESTS_RECEIVER_H
#define TESTS_RECEIVER_H

#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <time.h>

#define RECEIVER_PATHS  26
#define RECEIVER_MAX    1000 /* requests that are remembered */
#define RECEIVER_WAIT_S 60

struct received {
    char path, key[64], signature[80], agent[64];
    unsigned status; /* that it was answered with; 0: not at all */
    char *text;
    json_t *body;
};

struct receiver {
    struct MHD_Daemon *daemon;
    uint16_t port;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct {
        unsigned status;         /* 0: the connection is closed */
        bool held;               /* the answer waits until it is not */
        bool broken;             /* its body breaks off */
        const char *retry_after; /* NULL: none */
        size_t seen, taken;      /* requests; those answered with 200 */
    } path[RECEIVER_PATHS];
    struct received got[RECEIVER_MAX];
    size_t count;
};

struct receiver_upload {
    char *text;
    size_t len;
};

static inline const char *receiver_header(struct MHD_Connection *c, const char *name)
{
    const char *value = MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
    return value != NULL ? value : "";
}

static inline void receiver_note(struct receiver *r, struct received *got, struct MHD_Connection *c, char at,
                                 struct receiver_upload *up)
{
    *got = (struct received){ .path = at, .text = up->text, .body = json_loads(up->text, 0, NULL) };
    up->text = NULL;
    snprintf(got->key, sizeof got->key, "%s", receiver_header(c, "Idempotency-Key"));
    snprintf(got->signature, sizeof got->signature, "%s", receiver_header(c, "X-Hub-Signature-256"));
    snprintf(got->agent, sizeof got->agent, "%s", receiver_header(c, "User-Agent"));
    r->path[at - 'a'].seen++;
    pthread_cond_broadcast(&r->moved);
}

/* A body that ends before it should. */
static inline ssize_t receiver_break_off(void *arg, uint64_t at, char *to, size_t room)
{
    (void)arg;
    if (at > 0 || room == 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    *to = 'b';
    return 1;
}

static inline enum MHD_Result receiver_answer(struct receiver *r, struct MHD_Connection *c, char at,
                                              struct receiver_upload *up)
{
    pthread_mutex_lock(&r->lock);
    struct received *got = r->count < RECEIVER_MAX ? &r->got[r->count++] : NULL;
    if (got != NULL)
        receiver_note(r, got, c, at, up);
    while (r->path[at - 'a'].held)
        pthread_cond_wait(&r->moved, &r->lock);
    unsigned status = r->path[at - 'a'].status;
    const char *retry_after = r->path[at - 'a'].retry_after;
    bool broken = r->path[at - 'a'].broken;
    if (got != NULL)
        got->status = status;
    r->path[at - 'a'].taken += status == 200;
    pthread_cond_broadcast(&r->moved);
    pthread_mutex_unlock(&r->lock);
    if (status == 0)
        return MHD_NO;
    struct MHD_Response *answer =
        broken ? MHD_create_response_from_callback(7, 512, receiver_break_off, NULL, NULL)
               : MHD_create_response_from_buffer(7, (void *)"because", MHD_RESPMEM_PERSISTENT);
    if (retry_after != NULL)
        MHD_add_response_header(answer, "Retry-After", retry_after);
    if (status / 100 == 3)
        MHD_add_response_header(answer, "Location", "/z");
    enum MHD_Result result = MHD_queue_response(c, status, answer);
    MHD_destroy_response(answer);
    return result;
}

static inline enum MHD_Result receiver_take(void *arg, struct MHD_Connection *c, const char *url,
                                            const char *method, const char *version, const char *data,
                                            size_t *size, void **state)
{
    struct receiver_upload *up = *state;

    (void)version;
    if (up == NULL) {
        *state = calloc(1, sizeof *up);
        return *state != NULL ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        char *more = realloc(up->text, up->len + *size + 1);
        if (more == NULL)
            return MHD_NO;
        memcpy(more + up->len, data, *size);
        up->text = more;
        up->len += *size;
        more[up->len] = '\0';
        *size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "POST") != 0 || up->text == NULL || url[1] < 'a' || url[1] > 'z')
        return MHD_NO;
    return receiver_answer(arg, c, url[1], up);
}

static inline void receiver_forget(void *arg, struct MHD_Connection *c, void **state,
                                   enum MHD_RequestTerminationCode why)
{
    struct receiver_upload *up = *state;

    (void)arg;
    (void)c;
    (void)why;
    if (up != NULL)
        free(up->text);
    free(up);
}

static inline void receiver_start(struct receiver *r)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

    *r = (struct receiver){ .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };
    for (int i = 0; i < RECEIVER_PATHS; i++)
        r->path[i].status = 200;
    r->daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0,
                         NULL, NULL, receiver_take, r, MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_NOTIFY_COMPLETED,
                         receiver_forget, NULL, MHD_OPTION_END);
    assert_non_null(r->daemon);
    r->port = MHD_get_daemon_info(r->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static inline void receiver_set(struct receiver *r, char at, unsigned status, bool held)
{
    pthread_mutex_lock(&r->lock);
    r->path[at - 'a'].status = status;
    r->path[at - 'a'].held = held;
    pthread_cond_broadcast(&r->moved);
    pthread_mutex_unlock(&r->lock);
}

static inline void receiver_stop(struct receiver *r)
{
    for (char at = 'a'; at <= 'z'; at++)
        receiver_set(r, at, 503, false);
    MHD_stop_daemon(r->daemon);
    for (size_t i = 0; i < r->count; i++) {
        free(r->got[i].text);
        json_decref(r->got[i].body);
    }
}

/* Until so many requests have come (taken: were answered with 200). */
static inline void receiver_wait(struct receiver *r, char at, bool taken, size_t count)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RECEIVER_WAIT_S;
    pthread_mutex_lock(&r->lock);
    size_t *have = taken ? &r->path[at - 'a'].taken : &r->path[at - 'a'].seen;
    while (*have < count && rc == 0)
        rc = pthread_cond_timedwait(&r->moved, &r->lock, &until);
    size_t came = *have;
    pthread_mutex_unlock(&r->lock);
    if (came < count)
        fail_msg("/%c: %zu of %zu requests came", at, came, count);
}

static inline size_t receiver_seen(struct receiver *r, char at)
{
    pthread_mutex_lock(&r->lock);
    size_t seen = r->path[at - 'a'].seen;
    pthread_mutex_unlock(&r->lock);
    return seen;
}

static inline size_t receiver_taken(struct receiver *r, char at)
{
    pthread_mutex_lock(&r->lock);
    size_t taken = r->path[at - 'a'].taken;
    pthread_mutex_unlock(&r->lock);
    return taken;
}

#endif
