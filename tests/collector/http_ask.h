/* SPDX-License-Identifier: MIT
 *
 * http_ask.h: one request to a server under test, and its answer. Included after cmocka.
 */
#ifndef TESTS_HTTP_ASK_H
#define TESTS_HTTP_ASK_H

#include <arpa/inet.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/socket.h>

#include "collector/http/server.h"

/* What a hook and a test both use: the hook holds it; a test hands its part over with each request. */
static pthread_mutex_t hook_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void hand_over(void)
{
    pthread_mutex_lock(&hook_lock);
    pthread_mutex_unlock(&hook_lock);
}

/* Sends and reads the whole answer. line: "GET /v1/budgets"; headers: each with its end, or "". */
static inline const char *ask_server(const struct http_server *s, const char *line, const char *headers,
                                     const char *body)
{
    static char answer[1 << 20];
    static char request[HTTP_BODY_MAX + 4096];
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(http_port(s)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t used = 0;
    ssize_t n;

    hand_over();
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    int len =
        snprintf(request, sizeof request,
                 "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
                 line, headers, strlen(body), body);
    assert_true(len > 0 && (size_t)len < sizeof request);
    for (int sent = 0; sent < len; sent += (int)n)
        assert_true((n = send(fd, request + sent, (size_t)(len - sent), MSG_NOSIGNAL)) > 0);
    while (used + 1 < sizeof answer && (n = recv(fd, answer + used, sizeof answer - 1 - used, 0)) > 0)
        used += (size_t)n;
    answer[used] = 0;
    close(fd);
    hand_over();
    return answer;
}

static inline int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : -1;
}

/* The JSON of an answer, owned by the caller. */
static inline json_t *json_of(const char *answer)
{
    const char *body = strstr(answer, "\r\n\r\n");
    json_t *value = body ? json_loads(body + 4, 0, NULL) : NULL;

    if (!value)
        fail_msg("no JSON: %s", answer);
    return value;
}

#endif
