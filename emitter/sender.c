/* SPDX-License-Identifier: MIT
 *
 * sender.c: the thread that owns the socket.
 *
 * One DEALER for all spools: the own one and left-overs, which are looked for now and then. The loop
 * reads replies, does what time demands, sends what is due, and waits on the socket, on every
 * spool's wake descriptor and on the next deadline at once. It never waits inside a send.
 *
 * Invariants: only this thread touches the socket, the deliveries and the tails. Other threads say
 * stop by one atomic and a wake. libzmq aborts the process when it finds no descriptor for its own
 * threads, so there is a look beforehand; while there are too few, events stay in the spool.
 */
#include "sender.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "delivery.h"
#include "governor.h"
#include "link.h"
#include "linux.h"
#include "place.h"

#define SPOOLS_MAX         64    /* others wait until one of these is done */
#define SCAN_MS            10000 /* looks for left-overs of this source */
#define SHIP_SCAN_MS       1000  /* tollgate-ship has nothing else to do */
#define REOPEN_MS          5000
#define DESCRIPTORS_NEEDED 24  /* what libzmq takes for a context and a socket, with room */
#define BUSY_MS            500 /* pause when the collector names none */
#define BUSY_MS_MAX        30000
#define SENDQ_BATCHES      16
#define KEEPALIVE_S        5
#define SILENCE_MS         15000
#define RECONNECT_MS       100
#define RECONNECT_MS_MAX   5000
#define THREAD_STACK       ((size_t)512 << 10)

enum { STARTING, READY };

struct sender {
    struct sender_options o;
    pthread_t thread;
    _Atomic uint32_t ready;
    int start_error;
    _Atomic uint64_t stop_at;   /* monotonic ms; 0: go on */
    void *ctx, *socket, *watch; /* watch: of the socket; NULL: libzmq has none for us */
    uint64_t reopen_ms, scan_ms, pause_until_ms;
    uint64_t answered_ms, blocked_ms; /* the last reply; since when blocked */
    bool blocked;                     /* the socket takes no more */
    bool scanned;                     /* looked through the whole directory since the last `done` */
    int missed;                       /* why the last look left a spool for later; 0: it left none */
    int missed_told;
    bool stop_signalled;
    struct batch batch;
    struct governor governor;
    int root_fd; /* of the directory of spools; -1: not opened yet */
    uint32_t count;
    struct delivery *delivery[SPOOLS_MAX]; /* owned; the own spool's first */
};

static uint64_t mono_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void say(const struct sender *s, const char *event, const char *spool, int64_t number)
{
    if (s->o.log != NULL)
        s->o.log(s->o.log_arg, event, spool, number);
}

static void set_connected(struct sender *s, bool connected)
{
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t was = atomic_exchange(&s->delivery[i]->spool->head->connected, connected);
        if (was != connected)
            say(s, connected ? "answered" : "silent", s->delivery[i]->spool->name, 0);
    }
}

static void set_error(struct sender *s, int error)
{
    for (uint32_t i = 0; i < s->count; i++)
        atomic_store(&s->delivery[i]->spool->head->last_error, error);
}

/* -------------------------------------------------------------------- socket */

static bool descriptors_left(void)
{
    int fd[DESCRIPTORS_NEEDED];
    int n = 0;

    while (n < DESCRIPTORS_NEEDED && (fd[n] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
        n++;
    if (n == 0 && errno == EBADF) /* the host has closed its stderr */
        while (n < DESCRIPTORS_NEEDED && (fd[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
            n++;
    for (int i = 0; i < n; i++)
        close(fd[i]);
    return n == DESCRIPTORS_NEEDED;
}

static void socket_close(struct sender *s)
{
    if (s->socket != NULL)
        zmq_close(s->socket);
    if (s->watch != NULL)
        zmq_close(s->watch);
    if (s->ctx != NULL)
        while (zmq_ctx_term(s->ctx) != 0 && errno == EINTR)
            ;
    s->socket = s->watch = s->ctx = NULL;
}

static int socket_options(void *socket)
{
    static const struct {
        int option, value;
    } set[] = {
        { ZMQ_LINGER, 0 },
        { ZMQ_IMMEDIATE, 1 }, /* no queue to a peer that is not there */
        { ZMQ_SNDHWM, SENDQ_BATCHES },
        { ZMQ_TCP_KEEPALIVE, 1 }, /* no ZMTP heartbeats: with them libzmq 4.3 can abort the host */
        { ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S },
        { ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S },
        { ZMQ_HANDSHAKE_IVL, SILENCE_MS },
        { ZMQ_RECONNECT_IVL, RECONNECT_MS },
        { ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX },
    };
    const int64_t reply_bytes = GOVERNOR_FRAME_MAX;

    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        if (zmq_setsockopt(socket, set[i].option, &set[i].value, sizeof set[i].value) != 0)
            return -errno;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &reply_bytes, sizeof reply_bytes) != 0 ? -errno : 0;
}

static int socket_open(struct sender *s)
{
    if (!descriptors_left())
        return -EMFILE;
    s->ctx = zmq_ctx_new();
    s->socket = s->ctx != NULL ? zmq_socket(s->ctx, ZMQ_DEALER) : NULL;
    int rc = s->socket == NULL ? -errno : socket_options(s->socket);
    if (rc == 0) {
        s->watch = link_watch(s->ctx, s->socket);
        governor_link(&s->governor, LINK_SAME, s->watch != NULL, mono_ms());
    }
    if (rc == 0 && zmq_connect(s->socket, s->o.endpoint) != 0)
        rc = errno == EINVAL || errno == EPROTONOSUPPORT || errno == ENOCOMPATPROTO ? -EINVAL : -errno;
    if (rc != 0)
        socket_close(s);
    return rc;
}

/* No descriptors, no memory: the spool keeps what there is, and we try again. */
static void socket_reopen(struct sender *s, uint64_t now)
{
    if (s->socket != NULL || now < s->reopen_ms)
        return;
    int rc = socket_open(s);
    s->reopen_ms = now + REOPEN_MS;
    if (rc != 0) {
        set_error(s, -rc);
        say(s, "no_socket", "", -rc);
    }
}

static int transmit(void *arg, const uint8_t *frame, size_t len)
{
    struct sender *s = arg;

    if (zmq_send(s->socket, frame, len, ZMQ_DONTWAIT) >= 0)
        return 0;
    return errno == EINTR ? -EAGAIN : -errno;
}

static struct delivery *find_epoch(const struct sender *s, uint64_t epoch)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->delivery[i]->spool->head->epoch == epoch)
            return s->delivery[i];
    return NULL;
}

static void take_reply(struct sender *s, const uint8_t *frame, size_t len, uint64_t now)
{
    struct reply r;

    if (reply_read(frame, len, &r) != 0) {
        governor_take(&s->governor, frame, len, now);
        return;
    }
    struct delivery *d = find_epoch(s, r.epoch);
    if (d == NULL)
        return;
    uint64_t settled = delivery_reply(d, &r, now);
    if (d->spool->left_over && s->o.own != NULL)
        atomic_fetch_add(&s->o.own->head->adopted, settled);
    if (r.status == REPLY_BUSY) {
        uint64_t pause = r.retry_after_ms != 0 ? r.retry_after_ms : BUSY_MS;
        s->pause_until_ms = now + (pause < BUSY_MS_MAX ? pause : BUSY_MS_MAX);
    }
    s->answered_ms = now;
    set_connected(s, true);
}

static void receive_all(struct sender *s, uint64_t now)
{
    zmq_msg_t m;

    if (s->socket == NULL)
        return;
    zmq_msg_init(&m);
    while (zmq_msg_recv(&m, s->socket, ZMQ_DONTWAIT) >= 0)
        take_reply(s, zmq_msg_data(&m), zmq_msg_size(&m), now);
    zmq_msg_close(&m);
    if (s->watch != NULL)
        governor_link(&s->governor, link_read(s->watch), true, now);
}

/* A full queue is no silence: a busy collector has one too. One that nobody empties is. */
static uint64_t silent_from(const struct sender *s)
{
    return (s->answered_ms > s->blocked_ms ? s->answered_ms : s->blocked_ms) + STREAM_PATIENCE_MIN;
}

static void send_all(struct sender *s, uint64_t now)
{
    const bool was_blocked = s->blocked;

    if (s->socket == NULL)
        return;
    int rc = governor_send(&s->governor, now, transmit, s);
    if (now < s->pause_until_ms)
        return;
    s->blocked = rc != 0;
    for (uint32_t i = 0; i < s->count && !s->blocked; i++)
        s->blocked = delivery_send(s->delivery[i], &s->batch, now, transmit, s) != 0;
    if (s->blocked && !was_blocked)
        s->blocked_ms = now;
    if (s->blocked && now >= silent_from(s))
        set_connected(s, false);
}

/* ----------------------------------------------------------------- left-overs */

static bool known(const struct sender *s, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->delivery[i]->spool->name, name) == 0)
            return true;
    return false;
}

/* The name says which source, as far as a file name can; the header says it exactly. */
static bool wanted(const struct sender *s, const char *name)
{
    char source[SPOOL_NAME_MAX - 32];

    if (!spool_name_valid(name) || known(s, name))
        return false;
    if (s->o.source == NULL)
        return true;
    size_t len = spool_source_name(s->o.source, source, sizeof source);
    return strlen(name) == len + 17 && strncmp(name, source, len) == 0;
}

/* A spool waits for the next look; the log hears of it once. */
static void missed(struct sender *s, const char *name, int error)
{
    if (s->missed == 0 && s->missed_told != error)
        say(s, error == -ENOSPC ? "too_many_spools" : "not_taken", name, error == -ENOSPC ? 0 : error);
    if (s->missed == 0)
        s->missed = s->missed_told = error;
}

static bool may_pass(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -EINTR;
}

/* An emitter serves the dead only; tollgate-ship serves the living too, but when it is to end, not
 * so many that the dead find no place. */
static bool serves_living(const struct sender *s)
{
    return s->o.own == NULL && (!s->o.once || s->count < SPOOLS_MAX / 2);
}

static void say_left_over(const struct sender *s, const struct spool *spool)
{
    say(s, "left_over", spool->name, spool->head->pid);
    if (spool->missing > 0)
        say(s, "segment_missing", spool->name, 0);
}

/* 0: taken, or not for us. -errno: not for the moment; the spool is still the caller's. */
static int serve(struct sender *s, struct spool *spool, uint64_t now)
{
    struct delivery *d;
    int gone = spool_owner_gone(spool);
    int rc = gone < 0 ? gone : 0;

    if (rc == 0 && gone == 0 && !serves_living(s)) {
        spool_close(spool, false);
        return 0;
    }
    if (rc == 0)
        rc = delivery_new(spool, false, now, &d);
    if (rc != 0)
        return rc;
    atomic_store(&spool->head->connected, 0);
    s->delivery[s->count++] = d;
    if (gone)
        say_left_over(s, spool);
    else
        say(s, "taken", spool->name, spool->head->pid);
    return 0;
}

static void take_spool(struct sender *s, const char *name, uint64_t now)
{
    struct spool *spool;
    int rc = spool_take(s->root_fd, name, &spool);

    if (rc == -EBADMSG)
        say(s, "not_understood", name, 0);
    if (may_pass(rc))
        missed(s, name, rc);
    if (rc != 0)
        return;
    bool ours = s->o.source == NULL || strcmp(spool->head->source, s->o.source) == 0;
    rc = ours ? serve(s, spool, now) : 0;
    if (rc != 0)
        missed(s, name, rc);
    if (!ours || rc != 0)
        spool_close(spool, false);
}

/* True: all of it. */
static bool scan_directory(struct sender *s, uint64_t now)
{
    int fd = openat(s->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        spool_sweep(s->root_fd, e->d_name);
        if (!wanted(s, e->d_name))
            continue;
        if (s->count < SPOOLS_MAX)
            take_spool(s, e->d_name, now);
        else
            missed(s, e->d_name, -ENOSPC);
    }
    closedir(dir);
    return true;
}

/* Whose processes are to be told of verdicts: those of living emitters. */
static void serve_verdicts(struct sender *s, uint64_t now)
{
    if (s->o.own != NULL)
        return;
    governor_serve_begin(&s->governor);
    for (uint32_t i = 0; i < s->count; i++)
        if (!s->delivery[i]->spool->left_over)
            governor_serve(&s->governor, s->delivery[i]->spool, now);
    governor_serve_end(&s->governor);
}

/* Those that were served living may have died. */
static void look_after_living(struct sender *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct spool *spool = s->delivery[i]->spool;
        if (s->delivery[i]->own || spool->left_over)
            continue;
        int gone = spool_owner_gone(spool);
        if (gone > 0)
            say_left_over(s, spool);
        else if (gone < 0)
            missed(s, spool->name, gone);
    }
}

static void scan(struct sender *s, uint64_t now)
{
    if (s->o.dir == NULL || now < s->scan_ms)
        return;
    s->scan_ms = now + (s->o.own != NULL ? SCAN_MS : SHIP_SCAN_MS);
    s->missed = 0;
    look_after_living(s);
    if (s->root_fd < 0 && place_private_dir(s->o.dir, &s->root_fd) != 0)
        return;
    s->scanned = scan_directory(s, now);
    serve_verdicts(s, now);
    if (s->missed == 0)
        s->missed_told = 0;
}

/* Removes the left-overs that are settled. */
static void finish_left_overs(struct sender *s, uint64_t now)
{
    for (uint32_t i = 0; i < s->count;) {
        struct delivery *d = s->delivery[i];
        if (!d->spool->left_over || !delivery_finish(d, now)) {
            i++;
            continue;
        }
        say(s, "done", d->spool->name, 0);
        delivery_free(d, true);
        s->delivery[i] = s->delivery[--s->count];
        if (s->o.once) { /* there is a place and descriptors for others now */
            s->scanned = false;
            s->scan_ms = now;
        }
    }
}

/* ----------------------------------------------------------------------- loop */

static bool finished(struct sender *s, uint64_t now)
{
    uint64_t stop_at = atomic_load(&s->stop_at);

    if (s->stop_signalled)
        return true;
    if (s->o.once && s->scanned && s->missed == 0) {
        uint32_t left = 0;
        for (uint32_t i = 0; i < s->count; i++)
            left += s->delivery[i]->spool->left_over;
        return left == 0;
    }
    if (stop_at == 0)
        return false;
    return delivery_finish(s->delivery[0], now) || now >= stop_at;
}

static uint64_t rest(struct sender *s, uint64_t now)
{
    bool stalled = s->socket == NULL || s->blocked || now < s->pause_until_ms;
    uint64_t stop_at = atomic_load(&s->stop_at);
    uint64_t at = stop_at != 0 ? stop_at : UINT64_MAX;

    if (s->o.dir != NULL && s->scan_ms < at)
        at = s->scan_ms;
    if (s->socket == NULL && s->reopen_ms < at)
        at = s->reopen_ms;
    if (s->socket != NULL && governor_rest(&s->governor) < at)
        at = governor_rest(&s->governor);
    if (now < s->pause_until_ms && s->pause_until_ms < at)
        at = s->pause_until_ms;
    if (s->blocked && now < silent_from(s) && silent_from(s) < at)
        at = silent_from(s);
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t t = delivery_rest(s->delivery[i], now, stalled);
        at = t < at ? t : at;
    }
    return at;
}

static void drain(int fd)
{
    uint64_t words[64];

    while (read(fd, words, sizeof words) == (ssize_t)sizeof words)
        ;
}

static void wait_for_work(struct sender *s, uint64_t now)
{
    zmq_pollitem_t item[SPOOLS_MAX + 3];
    int n = 0, first;
    uint64_t at = rest(s, now);
    const uint64_t day = 86400000;
    long timeout = at <= now ? 0 : (long)(at - now < day ? at - now : day);

    if (s->socket != NULL)
        item[n++] = (zmq_pollitem_t){ s->socket, 0, (short)(ZMQ_POLLIN | (s->blocked ? ZMQ_POLLOUT : 0)), 0 };
    if (s->watch != NULL)
        item[n++] = (zmq_pollitem_t){ s->watch, 0, ZMQ_POLLIN, 0 };
    if (s->o.stop_fd >= 0)
        item[n++] = (zmq_pollitem_t){ NULL, s->o.stop_fd, ZMQ_POLLIN, 0 };
    first = n;
    for (uint32_t i = 0; i < s->count; i++)
        item[n++] = (zmq_pollitem_t){ NULL, s->delivery[i]->spool->wake_fd, ZMQ_POLLIN, 0 };
    int rc = zmq_poll(item, n, timeout);
    for (uint32_t i = 0; i < s->count; i++) {
        delivery_awake(s->delivery[i]);
        if (rc > 0 && item[first + (int)i].revents != 0)
            drain(item[first + (int)i].fd);
    }
    if (rc > 0 && s->o.stop_fd >= 0 && item[first - 1].revents != 0)
        s->stop_signalled = true;
}

static void loop(struct sender *s)
{
    for (;;) {
        uint64_t now = mono_ms();
        bool silent = false;
        socket_reopen(s, now);
        receive_all(s, now);
        scan(s, now);
        for (uint32_t i = 0; i < s->count; i++)
            silent |= delivery_tick(s->delivery[i], now);
        if (silent)
            set_connected(s, false);
        send_all(s, now);
        finish_left_overs(s, now);
        if (finished(s, now))
            return;
        wait_for_work(s, now);
    }
}

/* ------------------------------------------------------------------ life and end */

static void sender_free(struct sender *s)
{
    socket_close(s);
    for (uint32_t i = 0; i < s->count; i++)
        delivery_free(s->delivery[i], false);
    if (s->root_fd >= 0)
        close(s->root_fd);
    governor_fini(&s->governor);
    batch_fini(&s->batch);
    free(s);
}

static int sender_new(const struct sender_options *o, struct sender **out)
{
    struct sender *s = calloc(1, sizeof *s);
    int rc = s == NULL ? -ENOMEM : batch_init(&s->batch);

    if (s == NULL)
        return rc;
    s->o = *o;
    s->root_fd = -1;
    governor_init(&s->governor, o->verdicts, o->own != NULL ? o->own->head->epoch : 0, o->asks);
    if (rc == 0 && o->own != NULL)
        rc = delivery_new(o->own, true, mono_ms(), &s->delivery[0]);
    if (rc == 0 && o->own != NULL)
        s->count = 1;
    if (rc != 0) {
        sender_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

static void *thread_main(void *arg)
{
    struct sender *s = arg;
    int rc = socket_open(s);

    thread_name("tollgate");
    s->reopen_ms = mono_ms() + REOPEN_MS;
    if (rc != 0 && rc != -EINVAL)
        set_error(s, -rc);
    s->start_error = rc == -EINVAL ? rc : 0;
    atomic_store(&s->ready, READY);
    word_wake(&s->ready);
    if (s->start_error == 0)
        loop(s);
    socket_close(s);
    return NULL;
}

/* The thread and libzmq's own, which inherit from it, see no signal of the host's. */
static int start_thread(struct sender *s)
{
    pthread_attr_t attr;
    sigset_t all, before;

    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return -rc;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    rc = pthread_create(&s->thread, &attr, thread_main, s);
    if (rc == EINVAL || rc == EAGAIN) /* a host with much thread-local storage needs more stack */
        rc = pthread_create(&s->thread, NULL, thread_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -rc;
}

int sender_start(const struct sender_options *o, struct sender **out)
{
    struct sender *s;
    int rc = sender_new(o, &s);

    if (rc != 0)
        return rc;
    rc = start_thread(s);
    if (rc == 0) {
        while (atomic_load(&s->ready) == STARTING)
            word_wait(&s->ready, STARTING, 1000);
        rc = s->start_error;
        if (rc != 0)
            pthread_join(s->thread, NULL);
    }
    if (rc != 0) {
        sender_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void sender_stop(struct sender *s, uint32_t timeout_ms)
{
    atomic_fetch_add(&s->o.own->head->flushing, 1); /* nobody emits any more: do not linger */
    atomic_store(&s->stop_at, mono_ms() + timeout_ms);
    spool_wake(s->o.own);
    pthread_join(s->thread, NULL);
    atomic_fetch_sub(&s->o.own->head->flushing, 1);
    sender_free(s);
}

void sender_forget(struct sender *s)
{
    s->socket = s->watch = s->ctx = NULL; /* their threads are the parent's */
    sender_free(s);
}

int sender_run(const struct sender_options *o)
{
    struct sender *s;
    int rc = sender_new(o, &s);

    if (rc != 0)
        return rc;
    rc = socket_open(s);
    s->reopen_ms = mono_ms() + REOPEN_MS;
    if (rc != -EINVAL) {
        rc = 0;
        loop(s);
    }
    sender_free(s);
    return rc;
}
