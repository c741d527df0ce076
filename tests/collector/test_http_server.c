/* SPDX-License-Identifier: MIT
 *
 * Start, stop and hooks of the server; what it answers is tests/integration/test_http.py's business.
 */
#include "query_db.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "collector/http/guard.h"
#include "collector/http/server.h"

static struct db db;

static int database_make(void **state)
{
    (void)state;
    db_open(&db, 1);
    db_names(&db);
    db_fill(&db, 50);
    /* More than the kernel keeps for a peer that does not read. */
    db_exec(&db, "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i+1 FROM n WHERE i<61000)"
                 "INSERT INTO dispatch(id,ts_ms,received_after_ms,state,dims,event_id,call_id)"
                 "SELECT i,1795000000000,0,0,1,randomblob(16),hex(randomblob(120)) FROM n");
    return 0;
}

static int database_remove(void **state)
{
    (void)state;
    db_close(&db);
    return 0;
}

static struct http_server *server_start(struct http_options opt)
{
    struct http_server *s = NULL;
    char error[HTTP_ERROR_BYTES] = "";

    opt.database = db.path;
    if (http_start(&opt, error, &s) != 0)
        fail_msg("%s", error);
    assert_int_not_equal(http_port(s), 0);
    return s;
}

static int connect_to(const struct http_server *s, const char *request)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(http_port(s)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    return fd;
}

/* All that comes until the peer closes. */
static size_t read_all(int fd, char *out, size_t size)
{
    size_t used = 0;
    ssize_t n;

    while (used + 1 < size && (n = recv(fd, out + used, size - 1 - used, 0)) > 0)
        used += (size_t)n;
    out[used] = 0;
    close(fd);
    return used;
}

static void expect_answer(const struct http_server *s, const char *request, const char *status,
                          const char *part)
{
    static char answer[1 << 20];

    read_all(connect_to(s, request), answer, sizeof answer);
    if (strncmp(answer, status, strlen(status)) != 0 || !strstr(answer, part))
        fail_msg("%s: %s", request, answer);
}
#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#define POST(path, body) \
    "POST " path " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n" body

static void test_refuses_to_start(void **state)
{
    struct http_server *s = server_start((struct http_options){ 0 }), *none = NULL;
    const struct {
        struct http_options opt;
        int err;
        const char *says;
    } table[] = {
        { { .address = "localhost" }, -EINVAL, "token" }, /* names are looked up by nobody */
        { { .address = "localhost", .token = "t" }, -EINVAL, "numeric" },
        { { .address = "0.0.0.0" }, -EINVAL, "token" },
        { { .address = "::" }, -EINVAL, "token" },
        { { .address = "192.0.2.1", .token = "t" }, -EADDRNOTAVAIL, "192.0.2.1" },
        { { .port = http_port(s) }, -EADDRINUSE, "in use" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char error[HTTP_ERROR_BYTES] = "";
        struct http_options opt = table[i].opt;
        opt.database = db.path;
        assert_int_equal(http_start(&opt, error, &none), table[i].err);
        assert_null(none);
        if (!strstr(error, table[i].says))
            fail_msg("%s", error);
    }
    http_stop(s);
    http_stop(NULL);
}

static void test_without_hooks(void **state)
{
    struct http_server *s = server_start((struct http_options){ 0 });

    (void)state;
    expect_answer(s, GET("/readyz"), "HTTP/1.1 200", "\"ready\"");
    expect_answer(s, POST("/v1/events", "{}"), "HTTP/1.1 404", "takes no events");
    expect_answer(s, GET("/metrics"), "HTTP/1.1 200",
                  "tollgate_http_requests_total{route=\"/readyz\",status=\"200\"} 1");
    expect_answer(s, GET("/v1/events?order=asc&after=end&wait=1s"), "HTTP/1.1 200", "\"events\":[]");
    http_stop(s);
}

static size_t hook_ready(void *arg, char reasons[][HTTP_REASON_BYTES], size_t max)
{
    (void)arg;
    assert_int_equal(max, HTTP_REASONS_MAX);
    snprintf(reasons[0], HTTP_REASON_BYTES, "one \"reason\"");
    snprintf(reasons[1], HTTP_REASON_BYTES, "two");
    return 2;
}

static int hook_post(void *arg, const char *content_type, const char *source, const char *body, size_t len,
                     char **json)
{
    (void)arg;
    assert_null(content_type);
    assert_string_equal(source, "g w");
    assert_int_equal(len, 2);
    if (memcmp(body, "[]", 2) == 0)
        return 503;
    *json = strdup("{\"stored\":0}");
    return 200;
}

static void test_hooks(void **state)
{
    struct http_server *s =
        server_start((struct http_options){ .hooks = { .ready = hook_ready, .post = hook_post } });

    (void)state;
    expect_answer(s, GET("/readyz"), "HTTP/1.1 503", "\"reasons\":[\"one \\\"reason\\\"\",\"two\"]");
    expect_answer(s, POST("/v1/events?source=g+w", "{}"), "HTTP/1.1 200", "\r\n\r\n{\"stored\":0}");
    expect_answer(s, POST("/v1/events?source=g%20w", "[]"), "HTTP/1.1 503", "Retry-After: 1");
    http_stop(s);
}

static void test_limit_of_one_address(void **state)
{
    struct http_server *s = server_start((struct http_options){ .per_ip = 2 });
    char byte, answer[1024];

    (void)state;
    int one = connect_to(s, "GET"), two = connect_to(s, "GET"), three = connect_to(s, "GET");
    assert_true(recv(three, &byte, 1, 0) <= 0); /* closed at once; the others are not */
    close(three);
    close(two);
    const char *rest = " /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_int_equal(send(one, rest, strlen(rest), MSG_NOSIGNAL), strlen(rest));
    read_all(one, answer, sizeof answer);
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    http_stop(s);
}

/* A connection that says nothing is closed in time; one that is served is not. */
static void test_timeout(void **state)
{
    struct http_server *s = server_start((struct http_options){ .timeout_s = 1 });
    char byte;

    (void)state;
    int quiet = connect_to(s, "GET /healthz HT");
    assert_true(recv(quiet, &byte, 1, 0) <= 0);
    close(quiet);
    http_stop(s);
}

static atomic_int waiting;

static uint64_t hook_wait(void *arg, uint64_t seen, int timeout_ms)
{
    (void)arg, (void)seen;
    atomic_fetch_add(&waiting, timeout_ms > 0);
    if (timeout_ms > 0)
        poll(NULL, 0, timeout_ms); /* nothing is committed meanwhile */
    return 7;
}

/* A long poll may take longer than the connection's own time limit. */
static void test_long_poll_outlives_the_timeout(void **state)
{
    struct http_server *s =
        server_start((struct http_options){ .timeout_s = 1, .hooks = { .commit_wait = hook_wait } });

    (void)state;
    expect_answer(s, GET("/v1/events?order=asc&after=end&wait=2500ms"), "HTTP/1.1 200", "\"events\":[]");
    http_stop(s);
}

struct poll_thread {
    const struct http_server *server;
    char answer[4096];
    size_t len;
};

static void *poll_run(void *arg)
{
    struct poll_thread *p = arg;

    p->len = read_all(connect_to(p->server, GET("/v1/events?order=asc&after=end&wait=60s")), p->answer,
                      sizeof p->answer);
    return NULL;
}

static bool looks_complete(const char *answer)
{
    size_t len = strlen(answer);

    return len >= 7 && strcmp(answer + len - 7, "\r\n0\r\n\r\n") == 0;
}

/* Stop ends what is under way: idle connections, long polls, and streams that nobody reads, which
 * must not look complete. */
static void test_stop(void **state)
{
    static char answer[8 << 20];
    static struct poll_thread waiter;
    struct http_server *s = server_start((struct http_options){ .hooks = { .commit_wait = hook_wait } });
    pthread_t thread;
    int idle[20];

    (void)state;
    atomic_store(&waiting, 0);
    waiter.server = s;
    assert_int_equal(pthread_create(&thread, NULL, poll_run, &waiter), 0);
    for (int i = 0; i < 20; i++)
        idle[i] = connect_to(s, i % 2 ? "" : "GET /v1/us");
    int stream = connect_to(s, "GET /v1/events?format=ndjson&order=asc HTTP/1.1\r\nHost: localhost\r\n\r\n");
    char first;
    assert_int_equal(recv(stream, &first, 1, 0), 1); /* it has begun */
    while (atomic_load(&waiting) == 0)
        poll(NULL, 0, 1); /* until the poll waits */
    http_stop(s);
    assert_int_equal(pthread_join(thread, NULL), 0);
    read_all(stream, answer, sizeof answer);
    assert_false(looks_complete(answer));
    for (int i = 0; i < 20; i++) {
        assert_true(recv(idle[i], &first, 1, 0) <= 0);
        close(idle[i]);
    }
}

/* The database fails in the middle of an export. */
static void test_broken_stream(void **state)
{
    static char answer[64 << 20];
    struct http_server *s = server_start((struct http_options){ 0 });
    const char *request = "GET /v1/events?format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char first;

    (void)state;
    int stream = connect_to(s, request);
    assert_int_equal(recv(stream, &first, 1, 0), 1);
    db_exec(&db, "ALTER TABLE dispatch RENAME TO gone");
    assert_true(read_all(stream, answer, sizeof answer) > 0);
    assert_false(looks_complete(answer));
    db_exec(&db, "ALTER TABLE gone RENAME TO dispatch");
    expect_answer(s, GET("/metrics"), "HTTP/1.1 200", "tollgate_http_answers_cut_total 1");
    read_all(connect_to(s, GET("/v1/events?format=csv")), answer, sizeof answer);
    assert_true(looks_complete(answer));
    http_stop(s);
}

static void test_guard(void **state)
{
    static const struct {
        const char *host;
        bool ok;
    } hosts[] = {
        { "localhost", true },   { "LocalHost:7448", true }, { "127.0.0.1", true },
        { "127.9.9.9:1", true }, { "[::1]", true },          { "[::1]:7448", true },
        { "10.0.0.7:80", true }, { "10.0.0.8", false },      { "", false },
        { "evil", false },       { "localhost.", false },    { "127.0.0.1.nip.io", false },
        { "localhost:", true },  { "localhost:8o", false },  { "[::1", false },
        { "[::1]x", false },     { "127.0.0.1:1:1", false },
    };
    static const struct {
        const char *given;
        bool ok;
    } tokens[] = { { "secret", true },  { "secre", false },        { "secrets", false }, { "", false },
                   { "Secret", false }, { "secretsecret", false }, { "s", false } };

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (guard_host(hosts[i].host, "10.0.0.7") != hosts[i].ok)
            fail_msg("%s", hosts[i].host);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (guard_token(tokens[i].given, "secret") != tokens[i].ok)
            fail_msg("%s", tokens[i].given);
    assert_true(guard_loopback("127.0.0.1") && guard_loopback("::1"));
    assert_false(guard_loopback("0.0.0.0") || guard_loopback("::") || guard_loopback("localhost"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_to_start),
        cmocka_unit_test(test_without_hooks),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_limit_of_one_address),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_long_poll_outlives_the_timeout),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_broken_stream),
        cmocka_unit_test(test_guard),
    };

    return cmocka_run_group_tests(tests, database_make, database_remove);
}
