/* SPDX-License-Identifier: MIT
 *
 * socket.c: owner thread of the ROUTER. A batch is on one of three ways: here, in the writer's
 * queue, or on its way back through `done`; the writer wakes us with an eventfd. When the writer's
 * queue is full the next batch waits here and the socket is not read: libzmq's own buffers fill, then
 * the publishers' spools. So nothing is dropped on this side; only a reply may be, and its
 * publisher asks again. What publishers ask beside (reservations) goes the same way at the queue's head,
 * QUESTIONS_MAX at a time; verdicts go to all who said hello, whenever there is a new board (questions.h).
 */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <msgpack.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "../base/batch.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "decode.h"
#include "questions.h"

#define ROUTING_MAX      255
#define RECEIVE_HWM      1 /* frames per publisher that libzmq holds */
#define SEND_HWM         1000
#define FRAMES_PER_TURN  64
#define STALLED_LOOK_MS  5   /* others fill the queue too, and nobody tells us when they are done */
#define FREE_MAX         4   /* batches kept for reuse */
#define WEIGHT_MIN       4   /* what a batch costs beside its events */
#define BYTES_PER_WEIGHT 256 /* a large frame counts in the queue as more than its events */
#define BUSY_RETRY_MS    500
#define HANDSHAKE_MS     5000
#define KEEPALIVE_S      10

/* A batch with the frame its events borrow from and the peer that waits for the reply. */
struct inbound {
    struct batch batch; /* first: a queue item */
    zmq_msg_t frame;
    uint8_t routing[ROUTING_MAX];
    size_t routing_len;
    struct inbound *next_free;
    struct ingest_socket *socket;
};

struct ingest_socket {
    pthread_t thread;
    void *context, *router;
    struct queue *queue;       /* borrowed */
    struct counters *counters; /* borrowed */
    struct queue *done;        /* owned: from the writer back to us */
    int wake_fd;               /* tells of done and of stopping */
    _Atomic bool stopping;
    struct inbound *free_list; /* owned */
    int free_count;
    struct inbound *stalled; /* the queue had no room for it */
    size_t with_writer;
    struct questions questions;
    int endpoint_count;
    int lock_fd[SOCKET_ENDPOINTS_MAX]; /* owned; -1: none */
    char endpoints[SOCKET_ENDPOINTS_MAX][256];
};

/* ------------------------------------------------------------------- replies */

static void wake(void *socket)
{
    const struct ingest_socket *s = socket;
    uint64_t one = 1;

    if (write(s->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is awake anyway */
}

/* On the writer's thread. */
static void batch_done(struct batch *b)
{
    struct ingest_socket *s = b->owner;

    b->item.weight = 1;
    queue_push(s->done, &b->item, 0);
    wake(s);
}

static void pack_reply(const struct batch *b, const char *text, msgpack_sbuffer *out)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 9);
    msgpack_pack_uint8(&pk, 1); /* version */
    msgpack_pack_uint8(&pk, 2); /* reply */
    msgpack_pack_uint64(&pk, b->epoch);
    msgpack_pack_uint32(&pk, b->stream);
    msgpack_pack_uint64(&pk, b->settled);
    msgpack_pack_uint8(&pk, (uint8_t)b->status);
    msgpack_pack_uint32(&pk, b->duplicates);
    msgpack_pack_uint32(&pk, b->status == BATCH_BUSY ? BUSY_RETRY_MS : 0);
    if (text == NULL) {
        msgpack_pack_nil(&pk);
    } else {
        msgpack_pack_str(&pk, strlen(text));
        msgpack_pack_str_body(&pk, text, strlen(text));
    }
}

static void reply(struct ingest_socket *s, const struct inbound *in, const char *text)
{
    msgpack_sbuffer out;

    count_add(&s->counters->batches_gap, in->batch.status == BATCH_GAP);
    count_add(&s->counters->batches_busy, in->batch.status == BATCH_BUSY);
    count_add(&s->counters->batches_refused, in->batch.status == BATCH_REFUSED);
    msgpack_sbuffer_init(&out);
    pack_reply(&in->batch, text, &out);
    if (zmq_send(s->router, in->routing, in->routing_len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(s->router, out.data, out.size, ZMQ_DONTWAIT) < 0) {
        count_add(&s->counters->replies_dropped, 1);
        log_debug("reply_dropped", "reason=\"%s\"", zmq_strerror(zmq_errno()));
    }
    msgpack_sbuffer_destroy(&out);
}

/* ------------------------------------------------------------------- inbound */

static struct inbound *inbound_take(struct ingest_socket *s)
{
    struct inbound *in = s->free_list;

    if (in != NULL) {
        s->free_list = in->next_free;
        s->free_count--;
        return in;
    }
    in = calloc(1, sizeof *in);
    if (in != NULL) {
        in->batch.done = batch_done;
        in->batch.owner = s;
    }
    return in;
}

static void inbound_free(struct inbound *in)
{
    batch_fini(&in->batch);
    free(in);
}

/* Back to the free list; the frame is closed already. */
static void inbound_keep(struct ingest_socket *s, struct inbound *in)
{
    if (s->free_count == FREE_MAX) {
        inbound_free(in);
        return;
    }
    in->next_free = s->free_list;
    s->free_list = in;
    s->free_count++;
}

static void inbound_give(struct ingest_socket *s, struct inbound *in)
{
    zmq_msg_close(&in->frame);
    inbound_keep(s, in);
}

static void drop_unreadable(struct ingest_socket *s, const char *why)
{
    char text[DECODE_FAULT_MAX + 8];

    count_add(&s->counters->frames_unreadable, 1);
    log_warn("frame_unreadable", "text=%s", log_quote(why, strlen(why), text, sizeof text));
}

/* Reads and drops the rest of a multipart message. */
static void drain_parts(struct ingest_socket *s)
{
    zmq_msg_t part;
    int more = 1;

    while (more) {
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, s->router, ZMQ_DONTWAIT) < 0)
            more = 0;
        else
            more = zmq_msg_more(&part);
        zmq_msg_close(&part);
    }
}

/* One message into in: routing id and one frame. 1: got it, 0: nothing there, -1: not ours. */
static int receive(struct ingest_socket *s, struct inbound *in)
{
    int n = zmq_recv(s->router, in->routing, sizeof in->routing, ZMQ_DONTWAIT);

    if (n < 0)
        return 0;
    in->routing_len = (size_t)n < sizeof in->routing ? (size_t)n : sizeof in->routing;
    zmq_msg_init(&in->frame);
    if (zmq_msg_recv(&in->frame, s->router, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&in->frame);
        return -1;
    }
    count_add(&s->counters->frames_received, 1);
    count_add(&s->counters->frames_received_bytes, (int64_t)zmq_msg_size(&in->frame));
    if (!zmq_msg_more(&in->frame))
        return 1;
    drain_parts(s);
    zmq_msg_close(&in->frame);
    return -1;
}

static void offer(struct ingest_socket *s, struct inbound *in)
{
    size_t weight = zmq_msg_size(&in->frame) / BYTES_PER_WEIGHT;

    if (weight < WEIGHT_MIN)
        weight = WEIGHT_MIN;
    in->batch.item.weight = in->batch.count > weight ? in->batch.count : weight;
    enum queue_result r = queue_push(s->queue, &in->batch.item, 0);

    s->stalled = r == QUEUE_FULL ? in : NULL;
    if (r == QUEUE_OK)
        s->with_writer++;
    else if (r == QUEUE_CLOSED)
        inbound_give(s, in);
}

static void handle(struct ingest_socket *s, struct inbound *in)
{
    if (questions_take(&s->questions, in->routing, in->routing_len, &in->frame)) {
        inbound_keep(s, in);
        return;
    }
    struct decode_fault fault = { "" };
    enum decode_result r =
        decode_batch(zmq_msg_data(&in->frame), zmq_msg_size(&in->frame), &in->batch, &fault);

    count_add(&s->counters->strings_repaired, in->batch.repaired);
    if (r == DECODE_OK) {
        offer(s, in);
        return;
    }
    if (r == DECODE_UNREADABLE) {
        drop_unreadable(s, fault.text);
    } else {
        char source[128], text[DECODE_FAULT_MAX + 8];
        in->batch.status = r == DECODE_NOMEM ? BATCH_BUSY : BATCH_REFUSED;
        in->batch.settled = 0;
        in->batch.duplicates = 0;
        if (r == DECODE_NOMEM)
            snprintf(fault.text, sizeof fault.text, "no memory");
        log_warn("batch_refused", "source=%s text=%s",
                 log_quote(in->batch.source, strlen(in->batch.source), source, sizeof source),
                 log_quote(fault.text, strlen(fault.text), text, sizeof text));
        reply(s, in, fault.text);
    }
    inbound_give(s, in);
}

static void take_frames(struct ingest_socket *s)
{
    for (int i = 0; i < FRAMES_PER_TURN && s->stalled == NULL; i++) {
        struct inbound *in = inbound_take(s);
        if (in == NULL)
            return; /* no memory: what is in the socket waits */
        int r = receive(s, in);
        if (r == 1) {
            handle(s, in);
            continue;
        }
        inbound_keep(s, in);
        if (r == 0)
            return;
        drop_unreadable(s, "a message of one frame was expected");
    }
}

static void answer_done(struct ingest_socket *s)
{
    struct queue_item *item;

    while (queue_pop(s->done, 0, &item) == QUEUE_OK) {
        if (item->kind == ITEM_ORDER) {
            questions_answer(&s->questions, item);
            continue;
        }
        struct inbound *in = (struct inbound *)item;
        s->with_writer--;
        reply(s, in, NULL);
        inbound_give(s, in);
    }
}

/* -------------------------------------------------------------------- thread */

static void *socket_main(void *arg)
{
    struct ingest_socket *s = arg;
    zmq_pollitem_t items[2] = { { NULL, s->wake_fd, ZMQ_POLLIN, 0 }, { s->router, 0, ZMQ_POLLIN, 0 } };

    while (!s->stopping || s->with_writer > 0 || s->questions.with_writer > 0) {
        bool taking = s->stalled == NULL && !s->stopping;
        uint64_t ticks;
        if (zmq_poll(items, taking ? 2 : 1, s->stalled != NULL ? STALLED_LOOK_MS : -1) < 0 &&
            zmq_errno() == ETERM)
            break;
        if (items[0].revents != 0 && read(s->wake_fd, &ticks, sizeof ticks) > 0) {
            questions_tell(&s->questions);
            answer_done(s);
        }
        if (s->stalled != NULL && !s->stopping)
            offer(s, s->stalled);
        if (taking && items[1].revents != 0)
            take_frames(s);
    }
    return NULL;
}

static void set_int(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

/* No ZMTP heartbeats: in libzmq 4.3 one that falls due after a peer has died while its input was stopped
 * ends the process (zeromq/libzmq issues 4364, 4767). TCP has its own; a local socket needs none. */
static void set_options(void *router)
{
    int64_t max = BATCH_BYTES_MAX;

    zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &max, sizeof max);
    set_int(router, ZMQ_LINGER, 500); /* the last replies */
    set_int(router, ZMQ_RCVHWM, RECEIVE_HWM);
    set_int(router, ZMQ_SNDHWM, SEND_HWM);
    set_int(router, ZMQ_ROUTER_MANDATORY, 1);
    set_int(router, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(router, ZMQ_TCP_KEEPALIVE, 1);
    set_int(router, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S);
    set_int(router, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S);
}

/* libzmq takes an ipc path from whoever has it: a lock beside it says that somebody does. */
static int lock_endpoint(struct ingest_socket *s, const char *endpoint, char error[SOCKET_ERROR_MAX])
{
    char path[512];

    s->lock_fd[s->endpoint_count] = -1;
    if (strncmp(endpoint, "ipc://", 6) != 0)
        return 0;
    snprintf(path, sizeof path, "%.500s.lock", endpoint + 6);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(error, SOCKET_ERROR_MAX, "%.200s: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        snprintf(error, SOCKET_ERROR_MAX, "%.200s is in use by another tollgated", endpoint);
        return -1;
    }
    s->lock_fd[s->endpoint_count] = fd;
    return 0;
}

static int bind_all(struct ingest_socket *s, const struct socket_options *options,
                    char error[SOCKET_ERROR_MAX])
{
    for (int i = 0; i < options->endpoint_count; i++) {
        size_t size = sizeof s->endpoints[i];
        if (lock_endpoint(s, options->endpoints[i], error) != 0)
            return -1;
        mode_t old = umask(0077);
        int rc = zmq_bind(s->router, options->endpoints[i]);
        umask(old);
        if (rc != 0) {
            snprintf(error, SOCKET_ERROR_MAX, "cannot bind %s: %s", options->endpoints[i],
                     zmq_strerror(zmq_errno()));
            return -1;
        }
        zmq_getsockopt(s->router, ZMQ_LAST_ENDPOINT, s->endpoints[i], &size);
        s->endpoint_count++;
    }
    return 0;
}

void socket_free(struct ingest_socket *s)
{
    if (s == NULL)
        return;
    while (s->free_list != NULL) {
        struct inbound *in = s->free_list;
        s->free_list = in->next_free;
        inbound_free(in);
    }
    if (s->router != NULL)
        zmq_close(s->router);
    if (s->context != NULL)
        zmq_ctx_term(s->context);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    for (int i = 0; i < SOCKET_ENDPOINTS_MAX; i++)
        if (s->lock_fd[i] >= 0)
            close(s->lock_fd[i]);
    queue_free(s->done);
    questions_fini(&s->questions);
    free(s);
}

int socket_start(const struct socket_options *options, struct queue *queue, struct counters *counters,
                 char error[SOCKET_ERROR_MAX], struct ingest_socket **out)
{
    struct ingest_socket *s = calloc(1, sizeof *s);

    if (s == NULL)
        return -1;
    snprintf(error, SOCKET_ERROR_MAX, "cannot start the ingest socket: %s", strerror(errno));
    *s = (struct ingest_socket){ .queue = queue, .counters = counters };
    for (int i = 0; i < SOCKET_ENDPOINTS_MAX; i++)
        s->lock_fd[i] = -1;
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->done = queue_new(SIZE_MAX / 2);
    s->context = zmq_ctx_new();
    s->router = s->context != NULL ? zmq_socket(s->context, ZMQ_ROUTER) : NULL;
    if (s->wake_fd < 0 || s->done == NULL || s->router == NULL)
        goto fail;
    set_options(s->router);
    s->questions = (struct questions){ .router = s->router,
                                       .writer = queue,
                                       .done = s->done,
                                       .counters = counters,
                                       .stand = options->stand,
                                       .wake = wake,
                                       .wake_arg = s };
    if (bind_all(s, options, error) != 0 || pthread_create(&s->thread, NULL, socket_main, s) != 0)
        goto fail;
    questions_start(&s->questions);
    *out = s;
    return 0;
fail:
    socket_free(s);
    return -1;
}

void socket_stop(struct ingest_socket *s)
{
    if (s == NULL)
        return;
    s->stopping = true;
    wake(s);
    questions_stop(&s->questions);
    pthread_join(s->thread, NULL);
    if (s->stalled != NULL)
        inbound_give(s, s->stalled);
    s->stalled = NULL;
}

const char *socket_endpoint(const struct ingest_socket *s, int i)
{
    return i < s->endpoint_count ? s->endpoints[i] : NULL;
}
