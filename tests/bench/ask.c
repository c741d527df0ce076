/* SPDX-License-Identifier: MIT
 *
 * ask.c: the HTTP client of the benchmarks, on plain sockets, so that it costs next to nothing itself.
 *
 *     ask PORT probe ROUNDS PAUSE_MS < LIST   LIST: lines of NAME PATH. Each round asks each name once, over
 *                                             one kept connection; the paths of a name take turns. Prints
 *                                             NAME COUNT P50_US P99_US MAX_US BYTES for each
 *     ask PORT read PATH                      one answer to its end: prints BYTES LINES SECONDS
 *     ask PORT watch PATH READERS BYTES_S     that many readers of an endless answer, each that slow, until
 *                                             standard input ends: prints READERS_LEFT BYTES
 *
 * A time runs from before the request is written to when the last byte of the answer has been read. Anything
 * but 200 ends the program with 1. Single-threaded.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER      (256 * 1024)
#define NAMES_MAX   256
#define READERS_MAX 1000
#define TEXT_MAX    4096
#define TICK_MS     50
#define WINDOW      4096 /* receive buffer of a slow reader */

static int port;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "ask: %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void refuse(const char *path, const char *what, const char *detail)
{
    fprintf(stderr, "ask: %s: %s: %.300s\n", path, what, detail);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *room(size_t bytes)
{
    void *p = calloc(1, bytes);

    if (p == NULL)
        die("memory");
    return p;
}

static int dial(int window)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && window > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    return fd;
}

static void ask(int fd, const char *path)
{
    char text[TEXT_MAX + 128];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", path, port);

    for (int done = 0; done < n;) {
        ssize_t w = send(fd, text + done, (size_t)(n - done), MSG_NOSIGNAL);
        if (w <= 0)
            die(path);
        done += (int)w;
    }
}

/* ------------------------------------------------------------------ an answer */

/* Reads one answer after the other from a connection. */
struct reader {
    int fd;
    const char *path;
    char bytes[BUFFER];
    size_t at, end;
    uint64_t body, lines; /* of the answer being read */
};

static void more(struct reader *r)
{
    if (r->at == r->end || r->end == sizeof r->bytes) {
        memmove(r->bytes, r->bytes + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
    }
    if (r->end == sizeof r->bytes)
        refuse(r->path, "a header is too long", "");
    ssize_t n = recv(r->fd, r->bytes + r->end, sizeof r->bytes - r->end, 0);
    if (n <= 0)
        refuse(r->path, "the connection ended", n < 0 ? strerror(errno) : "");
    r->end += (size_t)n;
}

/* The next line without its end, zero-terminated; valid until the next read. */
static char *line(struct reader *r)
{
    char *end;

    while ((end = memchr(r->bytes + r->at, '\n', r->end - r->at)) == NULL)
        more(r);
    char *text = r->bytes + r->at;
    r->at = (size_t)(end - r->bytes) + 1;
    *end = 0;
    if (end > text && end[-1] == '\r')
        end[-1] = 0;
    return text;
}

/* Takes n bytes of the body. */
static void take(struct reader *r, uint64_t n)
{
    r->body += n;
    while (n > 0) {
        if (r->at == r->end)
            more(r);
        size_t piece = r->end - r->at < n ? r->end - r->at : (size_t)n;
        for (const char *p = r->bytes + r->at, *end = p + piece;
             (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
            r->lines++;
        r->at += piece;
        n -= piece;
    }
}

/* Status line and header. What is told of the length: bytes, or -1: in chunks. */
static int64_t header(struct reader *r, int *status)
{
    int64_t length = 0;
    char *text = line(r);

    *status = strlen(text) > 9 ? atoi(text + 9) : 0;
    while (*(text = line(r)) != 0) {
        if (strncasecmp(text, "content-length:", 15) == 0)
            length = strtoll(text + 15, NULL, 10);
        else if (strncasecmp(text, "transfer-encoding:", 18) == 0)
            length = -1;
    }
    return length;
}

static void answer(struct reader *r)
{
    int status;
    int64_t length = header(r, &status);

    r->body = r->lines = 0;
    if (status != 200) {
        while (length > 0 && r->end - r->at < (size_t)length)
            more(r);
        refuse(r->path, "not 200", r->bytes + (length > 0 ? r->at : 0));
    }
    if (length >= 0) {
        take(r, (uint64_t)length);
        return;
    }
    for (;;) {
        uint64_t size = strtoull(line(r), NULL, 16);
        take(r, size);
        line(r);
        if (size == 0)
            return;
    }
}

/* ---------------------------------------------------------------------- probe */

struct name {
    char *text;
    char **paths; /* owned, as all here, until the end of the program */
    size_t count, next;
    int64_t *ns;
    uint64_t bytes;
};
static struct name names[NAMES_MAX];
static size_t name_count;

static struct name *name_of(const char *text)
{
    for (size_t i = 0; i < name_count; i++)
        if (strcmp(names[i].text, text) == 0)
            return &names[i];
    if (name_count == NAMES_MAX)
        refuse(text, "too many names", "");
    names[name_count].text = strdup(text);
    return &names[name_count++];
}

static void read_list(void)
{
    char text[TEXT_MAX], name[TEXT_MAX], path[TEXT_MAX];

    while (fgets(text, sizeof text, stdin) != NULL) {
        if (sscanf(text, "%4095s %4095s", name, path) != 2)
            refuse(text, "a line is NAME PATH", "");
        struct name *n = name_of(name);
        n->paths = realloc(n->paths, (n->count + 1) * sizeof *n->paths);
        if (n->paths == NULL || (n->paths[n->count++] = strdup(path)) == NULL)
            die("memory");
    }
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void print_name(const struct name *n, size_t rounds)
{
    qsort(n->ns, rounds, sizeof *n->ns, ascending);
    printf("%s %zu %.1f %.1f %.1f %" PRIu64 "\n", n->text, rounds, (double)n->ns[rounds / 2] / 1e3,
           (double)n->ns[rounds * 99 / 100] / 1e3, (double)n->ns[rounds - 1] / 1e3, n->bytes / rounds);
}

static void probe(size_t rounds, int pause_ms)
{
    struct reader *r = room(sizeof *r);

    read_list();
    for (size_t i = 0; i < name_count; i++)
        names[i].ns = room(rounds * sizeof *names[i].ns);
    r->fd = dial(0);
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < name_count; i++) {
            struct name *n = &names[i];
            r->path = n->paths[n->next++ % n->count];
            const int64_t begun = now_ns();
            ask(r->fd, r->path);
            answer(r);
            n->ns[round] = now_ns() - begun;
            n->bytes += r->body;
            poll(NULL, 0, pause_ms);
        }
    for (size_t i = 0; i < name_count; i++)
        print_name(&names[i], rounds);
}

/* ----------------------------------------------------------------- read, watch */

static void read_one(const char *path)
{
    struct reader *r = room(sizeof *r);
    const int64_t begun = now_ns();

    r->fd = dial(0);
    r->path = path;
    ask(r->fd, path);
    answer(r);
    printf("%" PRIu64 " %" PRIu64 " %.6f\n", r->body, r->lines, (double)(now_ns() - begun) / 1e9);
}

/* Takes up to n bytes if there are some. -1: the connection has ended. */
static ssize_t sip(int fd, size_t n)
{
    static char bytes[BUFFER];
    ssize_t got = recv(fd, bytes, n < sizeof bytes ? n : sizeof bytes, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    return got > 0 ? got : -1;
}

static void watch(const char *path, int readers, size_t bytes_s)
{
    struct pollfd stop = { STDIN_FILENO, POLLIN, 0 };
    int fd[READERS_MAX], left = readers;
    uint64_t bytes = 0;

    for (int i = 0; i < readers; i++) {
        fd[i] = dial(WINDOW);
        ask(fd[i], path);
    }
    while (poll(&stop, 1, TICK_MS) == 0)
        for (int i = 0; i < readers; i++) {
            ssize_t n = fd[i] >= 0 ? sip(fd[i], bytes_s * TICK_MS / 1000) : 0;
            if (n >= 0) {
                bytes += (uint64_t)n;
                continue;
            }
            close(fd[i]);
            fd[i] = -1;
            left--;
        }
    printf("%d %" PRIu64 "\n", left, bytes);
}

int main(int argc, char **argv)
{
    port = argc > 1 ? atoi(argv[1]) : 0;
    if (argc == 5 && strcmp(argv[2], "probe") == 0 && atoi(argv[3]) > 0)
        probe((size_t)atoi(argv[3]), atoi(argv[4]));
    else if (argc == 4 && strcmp(argv[2], "read") == 0)
        read_one(argv[3]);
    else if (argc == 6 && strcmp(argv[2], "watch") == 0 && atoi(argv[4]) > 0 && atoi(argv[4]) <= READERS_MAX)
        watch(argv[3], atoi(argv[4]), (size_t)atoi(argv[5]));
    else {
        fputs("usage: ask PORT probe ROUNDS PAUSE_MS | read PATH | watch PATH READERS BYTES_S\n", stderr);
        return 2;
    }
    return 0;
}
