/* SPDX-License-Identifier: MIT
 *
 * test_governor.c: an emitter and a collector that governs, on a real socket: hello, verdicts as they
 * change, admissions with lost, late and missing answers, many threads, and what happens at the end.
 */
#include "peer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "../../emitter/frame.h"
#include "../../emitter/linux.h"
#include "governing.h"

enum { ASKS_SEEN_MAX = 4096 };

/* What a collector says, and what it was asked. Under the peer's mutex. */
struct court {
    uint64_t version, valid_ms;
    int overflow;
    struct test_entry entry[4];
    size_t entries;
    bool push;   /* send the list once, unasked */
    bool silent; /* to hello */
    uint64_t hellos, hello_versions[8], nils, lists;
    char sources[4][64];
    size_t sources_seen;

    int lose;     /* so many questions more are lost */
    int delay;    /* so many answers more are kept back, until released */
    bool release; /* what is kept back, when the next question is lost */
    int status, action;
    uint64_t asked;
    char id[ASKS_SEEN_MAX][65];
    int type[ASKS_SEEN_MAX];
    msgpack_sbuffer last; /* the last question, whole */
    zmq_msg_t peer;       /* who said hello last */
    bool has_peer;
    msgpack_sbuffer kept; /* one answer kept back */
    zmq_msg_t kept_for;
};

static struct home home;
static struct peer *peer;
static struct court *court;

static void send_to(void *socket, zmq_msg_t *who, const msgpack_sbuffer *b)
{
    zmq_msg_t copy;

    zmq_msg_init(&copy);
    zmq_msg_copy(&copy, who);
    zmq_msg_send(&copy, socket, ZMQ_SNDMORE);
    zmq_send(socket, b->data, b->size, 0);
    zmq_msg_close(&copy);
}

static void send_list(void *socket, zmq_msg_t *who, bool whole)
{
    msgpack_sbuffer b;

    msgpack_sbuffer_init(&b);
    put_list(&b, court->version, court->valid_ms, court->overflow, whole ? court->entry : NULL,
             court->entries);
    send_to(socket, who, &b);
    *(whole ? &court->lists : &court->nils) += 1;
    msgpack_sbuffer_destroy(&b);
}

static void note_source(const msgpack_object *source)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)source->via.str.size, source->via.str.ptr);
    for (size_t i = 0; i < court->sources_seen; i++)
        if (strcmp(court->sources[i], name) == 0)
            return;
    if (court->sources_seen < 4)
        snprintf(court->sources[court->sources_seen++], 64, "%s", name);
}

static void take_hello(void *socket, zmq_msg_t *who, const msgpack_object *part)
{
    uint64_t version = part[4].via.u64;

    court->hello_versions[court->hellos++ % 8] = version;
    note_source(&part[2]);
    zmq_msg_copy(&court->peer, who);
    court->has_peer = true;
    if (!court->silent)
        send_list(socket, who, version != court->version);
}

static void put_answer(msgpack_sbuffer *b, int type, const char *id)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, b, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, type == ASK_ADMIT ? 16 : 5);
    msgpack_pack_int(&pk, 1);
    msgpack_pack_int(&pk, type + 1);
    put_text(&pk, id);
    msgpack_pack_int(&pk, court->status);
    if (type != ASK_ADMIT) {
        msgpack_pack_int(&pk, 60000);
        return;
    }
    msgpack_pack_int(&pk, court->action);
    put_text(&pk, "day");
    put_text(&pk, "what the collector says");
    put_int(&pk, 777);
    put_text(&pk, "small");
    msgpack_pack_nil(&pk);
    put_int(&pk, 0);
    put_int(&pk, 42);
    put_int(&pk, 100);
    put_int(&pk, 1);
    put_int(&pk, 600000);
    put_int(&pk, 1234567);
}

static void take_question(void *socket, zmq_msg_t *who, const msgpack_object *message)
{
    const msgpack_object *part = message->via.array.ptr;
    char *id = court->id[court->asked % ASKS_SEEN_MAX];
    int type = (int)part[1].via.u64;
    msgpack_sbuffer b;
    msgpack_packer pk;

    msgpack_sbuffer_clear(&court->last);
    msgpack_packer_init(&pk, &court->last, msgpack_sbuffer_write);
    msgpack_pack_object(&pk, *message);
    snprintf(id, 65, "%.*s", (int)part[2].via.str.size, part[2].via.str.ptr);
    court->type[court->asked++ % ASKS_SEEN_MAX] = type;
    if (court->lose > 0) {
        court->lose--;
        if (court->release)
            send_to(socket, &court->kept_for, &court->kept);
        court->release = false;
        return;
    }
    msgpack_sbuffer_init(&b);
    put_answer(&b, type, id);
    if (court->delay > 0) {
        court->delay--;
        zmq_msg_copy(&court->kept_for, who);
        msgpack_sbuffer_clear(&court->kept);
        msgpack_sbuffer_write(&court->kept, b.data, b.size);
    } else
        send_to(socket, who, &b);
    msgpack_sbuffer_destroy(&b);
}

static void govern(struct peer *p, void *socket, zmq_msg_t *who, const msgpack_object *message)
{
    pthread_mutex_lock(&p->mutex);
    if (message == NULL) {
        if (court->push && court->has_peer)
            send_list(socket, &court->peer, true);
        court->push = court->push && !court->has_peer;
    } else if (message->via.array.ptr[1].via.u64 == TYPE_HELLO)
        take_hello(socket, who, message->via.array.ptr);
    else
        take_question(socket, who, message);
    pthread_mutex_unlock(&p->mutex);
}

#define COURT(field)                                \
    __extension__({                                 \
        pthread_mutex_lock(&peer->mutex);           \
        __typeof__(court->field) v_ = court->field; \
        pthread_mutex_unlock(&peer->mutex);         \
        v_;                                         \
    })
#define COURT_SET(field, value)             \
    do {                                    \
        pthread_mutex_lock(&peer->mutex);   \
        court->field = (value);             \
        pthread_mutex_unlock(&peer->mutex); \
    } while (0)

static int setup(void **state)
{
    (void)state;
    home_make(&home);
    peer = peer_new(home.endpoint);
    court = calloc(1, sizeof *court);
    court->version = 1;
    court->valid_ms = 30000;
    msgpack_sbuffer_init(&court->last);
    msgpack_sbuffer_init(&court->kept);
    zmq_msg_init(&court->peer);
    zmq_msg_init(&court->kept_for);
    peer->other = govern;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    msgpack_sbuffer_destroy(&court->last);
    msgpack_sbuffer_destroy(&court->kept);
    zmq_msg_close(&court->peer);
    zmq_msg_close(&court->kept_for);
    free(court);
    peer_free(peer);
    home_remove(&home);
    return 0;
}

static tg_emitter *open_as(const char *source)
{
    struct tg_options o = options(&home, source);

    return open_emitter(&o);
}

static struct tg_verdict check(tg_emitter *tg, const char *agent)
{
    struct tg_verdict v = { .action = (enum tg_action)99 };

    assert_int_equal(tg_check(tg, &(struct tg_request){ .agent_id = agent }, &v), TG_OK);
    return v;
}

static void set_list(uint64_t version, size_t n, const struct test_entry *e, bool push)
{
    pthread_mutex_lock(&peer->mutex);
    court->version = version;
    court->entries = n;
    memcpy(court->entry, e, n * sizeof *e);
    court->push = push;
    pthread_mutex_unlock(&peer->mutex);
}

/* -------------------------------------------------------------------- verdicts */

static const struct test_entry block_a[] = {
    { .action = TG_BLOCK, .budget = "day", .text = "Enough for today.", .condition = { { 0, 0, { "a" } } } },
    { .kind = 1, .action = TG_DELAY, .delay_ms = 5, .condition = { { 0, 0, { "g" } } } },
};

static void test_verdicts_arrive(void **state)
{
    (void)state;
    set_list(7, 2, block_a, false);
    tg_emitter *tg = open_as("gate");
    struct tg_verdict v = check(tg, "a");
    assert_int_equal(v.action, TG_ALLOW); /* nobody has said anything yet */
    assert_int_equal(v.stale, 1);
    assert_int_equal(entries(home.spool), 1); /* and there is no page */
    peer_start(peer);
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    v = check(tg, "a");
    assert_string_equal(v.message, "Enough for today.");
    assert_int_equal(v.stale, 0);
    assert_int_equal(check(tg, "b").action, TG_ALLOW);
    assert_int_equal(check(tg, "b").stale, 0);
    assert_int_equal(check(tg, "g").action, TG_ALLOW);
    assert_int_equal(COURT(hello_versions[0]), 0);
    assert_string_equal(court->sources[0], "gate");
    assert_int_equal(stats(tg).verdict_version, 7);
    assert_int_equal(stats(tg).verdicts_stale, 0);
    set_list(8, 1, block_a + 1, true); /* pushed, not asked for */
    EVENTUALLY(check(tg, "a").action == TG_ALLOW);
    assert_int_equal(stats(tg).verdict_version, 8);
    assert_int_equal(stats(tg).verdicts_damaged, 0);
    assert_int_equal(emit(tg, 1), TG_OK);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 1);
}

static void test_stays_valid_by_hello(void **state)
{
    (void)state;
    set_list(3, 2, block_a, false);
    court->valid_ms = 600;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    EVENTUALLY(COURT(nils) >= 5); /* 200 ms each: longer than it stays valid */
    assert_int_equal(COURT(hello_versions[1]), 3);
    assert_int_equal(COURT(lists), 1);
    COURT_SET(silent, true);
    EVENTUALLY(check(tg, "g").action == TG_DELAY); /* stale: guards */
    assert_int_equal(check(tg, "g").stale, 1);
    assert_int_equal(check(tg, "a").action, TG_ALLOW);
    assert_int_equal(stats(tg).verdicts_stale, 1);
    COURT_SET(silent, false);
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    assert_int_equal(check(tg, "g").action, TG_ALLOW);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
}

/* Hello goes out when the connection is there again, not when its time has come. */
static void test_collector_restarts(void **state)
{
    (void)state;
    set_list(3, 2, block_a, false);
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    peer_stop(peer);
    zmq_msg_close(&court->peer);
    zmq_msg_init(&court->peer);
    court->has_peer = false;
    uint64_t hellos = court->hellos, begun = test_ms();
    set_list(4, 1, block_a + 1, false);
    peer_start(peer);
    EVENTUALLY(check(tg, "a").action == TG_ALLOW);
    assert_true(test_ms() - begun < 9000);
    assert_true(COURT(hellos) > hellos);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
}

/* What opens by itself leaves the memo too. */
static void test_opens_in_the_memo(void **state)
{
    const struct test_entry e = { .action = TG_BLOCK, .opens_in_ms = 400 };

    (void)state;
    set_list(3, 1, &e, false);
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    struct tg_verdict v = check(tg, "a");
    if (v.action == TG_BLOCK)
        assert_in_range(v.opens_in_ms, 0, 400);
    EVENTUALLY(check(tg, "a").action == TG_ALLOW);
    assert_int_equal(check(tg, "a").stale, 0);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
}

/* Guards outlive the emitter that heard of them. */
static void test_guards_survive(void **state)
{
    (void)state;
    set_list(3, 2, block_a, false);
    court->valid_ms = 300;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    tg = open_as("gate");
    EVENTUALLY(check(tg, "g").action == TG_DELAY);
    assert_int_equal(check(tg, "g").stale, 1);
    tg_close(tg, 0);
    tg = open_as("another"); /* and are its source's only */
    assert_int_equal(check(tg, "g").action, TG_ALLOW);
    tg_close(tg, 0);
}

/* Two emitters write the same page; each hears what the other was told. */
static void test_two_emitters(void **state)
{
    (void)state;
    set_list(3, 2, block_a, false);
    peer_start(peer);
    tg_emitter *one = open_as("gate"), *two = open_as("gate");
    EVENTUALLY(check(one, "a").action == TG_BLOCK && check(two, "a").action == TG_BLOCK);
    set_list(4, 1, block_a + 1, true); /* to one of them */
    EVENTUALLY(check(one, "a").action == TG_ALLOW && check(two, "a").action == TG_ALLOW);
    tg_close(one, PATIENCE_MS);
    tg_close(two, PATIENCE_MS);
    peer_stop(peer);
}

static void test_in_memory(void **state)
{
    struct tg_options o = options(&home, "gate");

    (void)state;
    o.spool_dir = "/proc/nowhere";
    set_list(3, 2, block_a, false);
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    assert_int_equal(stats(tg).spool_in_memory, 1);
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

/* The list cannot be understood: what stood there still stands, and it is counted. */
static void test_damaged_list(void **state)
{
    const struct test_entry bad = { .action = TG_WARN,
                                    .condition = { { 10, 0, { "x" } } } }; /* a tag without name */

    (void)state;
    set_list(3, 2, block_a, false);
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    set_list(4, 1, &bad, true);
    EVENTUALLY(stats(tg).verdicts_damaged == 1);
    assert_int_equal(check(tg, "a").action, TG_BLOCK);
    assert_int_equal(stats(tg).verdict_version, 3);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

static void test_collector_that_does_not_govern(void **state)
{
    struct tg_reservation r = { .id = "" };
    struct tg_verdict v;

    (void)state;
    peer->other = NULL;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    emit_many(tg, 1, 100);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(check(tg, "a").action, TG_ALLOW);
    assert_int_equal(check(tg, "a").stale, 1);
    assert_int_equal(tg_admit(tg, &(struct tg_request){ .agent_id = "a" }, 0, 50, &r, &v),
                     TG_ERR_UNREACHABLE);
    assert_int_equal(v.action, TG_ALLOW);
    assert_int_equal(stats(tg).batches_resent, 0);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 100);
    assert_int_equal(entries(home.spool), 0);
}

/* ------------------------------------------------------------------ admissions */

/* Among the questions; one may have come twice. */
static bool seen(int type, const char *id)
{
    bool found = false;

    pthread_mutex_lock(&peer->mutex);
    for (uint64_t i = 0; i < court->asked; i++)
        found |= court->type[i] == type && strcmp(court->id[i], id) == 0;
    pthread_mutex_unlock(&peer->mutex);
    return found;
}

static void test_admitted(void **state)
{
    const struct tg_tag tag = { "team", "blue" };
    const struct tg_request q = { .agent_id = "a",
                                  .session_id = "s",
                                  .model = "m",
                                  .trigger = TG_TRIGGER_CRON,
                                  .tags = &tag,
                                  .tag_count = 1,
                                  .max_tokens = 500 };
    struct tg_reservation r = { .id = "" }, second = { .id = "" };
    struct tg_verdict v;
    msgpack_unpacked u;
    size_t at = 0;

    (void)state;
    court->action = TG_WARN;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    assert_int_equal(tg_admit(tg, &q, 5000, PATIENCE_MS, &r, &v), TG_OK);
    assert_int_equal(v.action, TG_WARN);
    assert_string_equal(v.budget, "day");
    assert_string_equal(v.message, "what the collector says");
    assert_string_equal(v.use_model, "small");
    assert_int_equal(v.opens_in_ms, 777);
    assert_int_equal(v.spent, 42);
    assert_int_equal(v.limit, 100);
    assert_int_equal(v.unit, TG_UNIT_NANOUSD);
    assert_int_equal(r.reserved_nanousd, 1234567);
    assert_int_equal(r.expires_in_ms, 600000);
    assert_int_equal(r.status, 0);
    assert_int_equal(strlen(r.id), 32);
    assert_int_equal(strspn(r.id, "0123456789abcdef"), 32);
    msgpack_unpacked_init(&u);
    EVENTUALLY(COURT(asked) > 0);
    pthread_mutex_lock(&peer->mutex); /* it may come again */
    assert_int_equal(msgpack_unpack_next(&u, court->last.data, court->last.size, &at),
                     MSGPACK_UNPACK_SUCCESS);
    const msgpack_object *part = u.data.via.array.ptr;
    assert_int_equal(u.data.via.array.size, 17);
    assert_int_equal(part[3].via.u64, 5000);
    assert_int_equal(part[4].type, MSGPACK_OBJECT_NIL); /* unknown, not 0 */
    assert_int_equal(part[5].via.u64, 500);
    assert_memory_equal(part[6].via.str.ptr, "s", 1);
    assert_int_equal(part[7].type, MSGPACK_OBJECT_NIL);
    assert_memory_equal(part[8].via.str.ptr, "a", 1);
    assert_memory_equal(part[11].via.str.ptr, "m", 1);
    assert_int_equal(part[15].via.u64, TG_TRIGGER_CRON);
    assert_int_equal(part[16].via.map.size, 1);
    msgpack_unpacked_destroy(&u);
    pthread_mutex_unlock(&peer->mutex);
    assert_int_equal(tg_admit(tg, &q, 0, PATIENCE_MS, &second, &v), TG_OK);
    assert_string_not_equal(r.id, second.id);
    assert_int_equal(tg_settle(tg, r.id, NULL, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_settle(tg, "mine", &(struct tg_usage){ .prompt_tokens = 1 }, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_renew(tg, second.id, 9000, PATIENCE_MS), TG_OK);
    assert_true(seen(ASK_ADMIT, r.id) && seen(ASK_ADMIT, second.id) && seen(ASK_SETTLE, r.id));
    assert_true(seen(ASK_SETTLE, "mine") && seen(ASK_RENEW, second.id));
    assert_false(seen(ASK_RENEW, r.id) || seen(ASK_SETTLE, second.id));
    assert_int_equal(stats(tg).asked, 5);
    assert_int_equal(stats(tg).unanswered, 0);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

static void test_not_admitted(void **state)
{
    static const struct {
        int status, rc;
    } table[] = { { 1, TG_OK },       { 2, TG_ERR_REFUSED }, { 3, TG_ERR_REFUSED },
                  { 4, TG_ERR_BUSY }, { 5, TG_ERR_REFUSED }, { 99, TG_ERR_REFUSED } };
    const struct tg_request q = { .agent_id = "g" };
    struct tg_verdict v;

    (void)state;
    set_list(3, 2, block_a, false);
    court->action = TG_BLOCK;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tg_reservation r = { .id = "" };
        COURT_SET(status, table[i].status);
        assert_int_equal(tg_admit(tg, &q, 0, PATIENCE_MS, &r, &v), table[i].rc);
        assert_int_equal(v.action, table[i].rc == TG_OK ? TG_BLOCK : TG_DELAY); /* its on_error */
        assert_int_equal(r.status, table[i].status);
        assert_int_equal(r.reserved_nanousd, TG_UNKNOWN);
        assert_int_equal(r.expires_in_ms, TG_UNKNOWN);
        if (table[i].rc == TG_ERR_REFUSED)
            assert_string_equal(v.message, "what the collector says");
    }
    COURT_SET(status, 1);
    assert_int_equal(tg_renew(tg, "x", 0, PATIENCE_MS), TG_ERR_REFUSED);
    COURT_SET(status, 2);
    assert_int_equal(tg_settle(tg, "x", NULL, PATIENCE_MS), TG_OK);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

static void test_arguments(void **state)
{
    struct tg_reservation r = { .id = "" };
    const struct tg_request q = { .agent_id = "a" };
    struct tg_verdict v;
    char id[80];

    (void)state;
    tg_emitter *tg = open_as("gate");
    memset(id, 'i', sizeof id);
    id[65] = '\0';
    assert_int_equal(tg_check(NULL, &q, &v), TG_ERR_INVALID);
    assert_int_equal(tg_check(tg, NULL, &v), TG_ERR_INVALID);
    assert_int_equal(tg_check(tg, &q, NULL), TG_ERR_INVALID);
    assert_int_equal(tg_admit(tg, &q, 0, 1, NULL, &v), TG_ERR_INVALID);
    assert_int_equal(tg_admit(tg, &q, 999, 1, &r, &v), TG_ERR_INVALID);
    assert_int_equal(tg_admit(tg, &q, 86400001, 1, &r, &v), TG_ERR_INVALID);
    assert_string_equal(r.id, "");
    assert_int_equal(tg_settle(tg, id, NULL, 1), TG_ERR_INVALID);
    assert_int_equal(tg_settle(tg, "", NULL, 1), TG_ERR_INVALID);
    assert_int_equal(tg_settle(tg, NULL, NULL, 1), TG_ERR_INVALID);
    assert_int_equal(tg_renew(tg, "x", 1, 1), TG_ERR_INVALID);
    memset(r.id, 'x', sizeof r.id);
    assert_int_equal(tg_admit(tg, &q, 0, 1, &r, &v), TG_ERR_INVALID);
    tg_close(tg, 0);
}

/* No collector: an answer within the time, not much later. */
static void test_nobody_there(void **state)
{
    struct tg_reservation r = { .id = "" };
    struct tg_verdict v;
    char id[33];

    (void)state;
    tg_emitter *tg = open_as("gate");
    uint64_t begun = test_ms();
    assert_int_equal(tg_admit(tg, &(struct tg_request){ .agent_id = "a" }, 0, 300, &r, &v),
                     TG_ERR_UNREACHABLE);
    uint64_t took = test_ms() - begun;
    assert_true(took >= 299 && took < PATIENCE_MS);
    assert_int_equal(v.action, TG_ALLOW);
    assert_int_equal(v.stale, 1);
    assert_int_equal(r.status, TG_UNKNOWN);
    memcpy(id, r.id, sizeof id);
    assert_int_equal(strlen(id), 32);
    assert_int_equal(tg_admit(tg, &(struct tg_request){ .agent_id = "a" }, 0, 0, &r, &v), TG_ERR_UNREACHABLE);
    assert_string_equal(r.id, id); /* asked again under the same name */
    assert_int_equal(tg_settle(tg, id, NULL, 10), TG_ERR_UNREACHABLE);
    assert_int_equal(stats(tg).unanswered, 3);
    tg_close(tg, 0);
}

static void test_lost_answer(void **state)
{
    struct tg_reservation r = { .id = "" };
    struct tg_verdict v;

    (void)state;
    court->lose = 3;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    assert_int_equal(tg_admit(tg, &(struct tg_request){ .agent_id = "a" }, 0, PATIENCE_MS, &r, &v), TG_OK);
    assert_true(COURT(asked) >= 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(court->id[i], r.id);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

/* An answer to somebody who has left is nobody's, though the slot is another's by then. */
static void test_late_answer(void **state)
{
    struct tg_reservation early = { .id = "" }, late = { .id = "" };
    struct tg_verdict v;

    (void)state;
    court->delay = 1;
    court->status = 1; /* denied */
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    EVENTUALLY(COURT(hellos) > 0);
    assert_int_equal(tg_admit(tg, &(struct tg_request){ .agent_id = "a" }, 0, 150, &early, &v),
                     TG_ERR_UNREACHABLE);
    assert_true(COURT(asked) >= 1);
    COURT_SET(status, 0);
    assert_int_equal(tg_renew(tg, "x", 0, PATIENCE_MS),
                     TG_OK); /* the sender has been round: the slot is free */
    pthread_mutex_lock(&peer->mutex);
    court->lose = 1; /* the question of the next asker, who waits while the late answer comes */
    court->release = true;
    pthread_mutex_unlock(&peer->mutex);
    assert_int_equal(tg_admit(tg, &(struct tg_request){ .agent_id = "b" }, 0, PATIENCE_MS, &late, &v), TG_OK);
    assert_int_equal(late.status, 0);
    assert_false(COURT(release));
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

struct caller {
    tg_emitter *tg;
    int rc;
    struct tg_reservation r;
    struct tg_verdict v;
    uint32_t timeout_ms;
    _Atomic int *started;
};

static void *caller_main(void *arg)
{
    struct caller *c = arg;

    atomic_fetch_add(c->started, 1);
    c->rc = tg_admit(c->tg, &(struct tg_request){ .agent_id = "a" }, 0, c->timeout_ms, &c->r, &c->v);
    return NULL;
}

static void test_many_threads(void **state)
{
    enum { CALLERS = 200 };
    static struct caller caller[CALLERS];
    static pthread_t thread[CALLERS];
    _Atomic int started = 0;

    (void)state;
    memset(caller, 0, sizeof caller);
    court->lose = 50;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    for (int i = 0; i < CALLERS; i++) {
        caller[i] = (struct caller){ .tg = tg, .timeout_ms = PATIENCE_MS, .started = &started };
        assert_int_equal(pthread_create(&thread[i], NULL, caller_main, &caller[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(caller[i].rc, TG_OK);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(caller[i].r.id, caller[j].r.id);
    }
    assert_true(COURT(asked) >= CALLERS + 50);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

/* Many wait when the collector comes: each asks once and then every ASK_REPEAT_MS, not with every turn of the
 * sender until all questions have found room at once. */
static void test_many_wait_for_a_collector(void **state)
{
    enum { CALLERS = 200 };
    static struct caller caller[CALLERS];
    static pthread_t thread[CALLERS];
    _Atomic int started = 0;

    (void)state;
    memset(caller, 0, sizeof caller);
    tg_emitter *tg = open_as("gate");
    for (int i = 0; i < CALLERS; i++) {
        caller[i] = (struct caller){ .tg = tg, .timeout_ms = PATIENCE_MS, .started = &started };
        assert_int_equal(pthread_create(&thread[i], NULL, caller_main, &caller[i]), 0);
    }
    EVENTUALLY(started == CALLERS);
    court->lose = CALLERS / 2;
    peer_start(peer);
    uint64_t begun = test_ms();
    for (int i = 0; i < CALLERS; i++)
        pthread_join(thread[i], NULL);
    uint64_t turns = 2 + (test_ms() - begun) / ASK_REPEAT_MS;
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(caller[i].rc, TG_OK);
    assert_true(COURT(asked) >= CALLERS + CALLERS / 2);
    assert_true(COURT(asked) <= CALLERS * turns);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

/* More than there are slots: those who find none have their answer at once, and slots come back. */
static void test_no_slot_left(void **state)
{
    enum { CALLERS = ASKS_MAX + 20 };
    static struct caller caller[CALLERS];
    static pthread_t thread[CALLERS];
    _Atomic int started = 0;
    struct tg_reservation r = { .id = "" };
    struct tg_verdict v;

    (void)state;
    court->lose = ASKS_SEEN_MAX * 100;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    for (int i = 0; i < CALLERS; i++) {
        caller[i] = (struct caller){ .tg = tg, .timeout_ms = 1000, .started = &started };
        assert_int_equal(pthread_create(&thread[i], NULL, caller_main, &caller[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(caller[i].rc, TG_ERR_UNREACHABLE);
    }
    COURT_SET(lose, 0);
    EVENTUALLY(tg_admit(tg, &(struct tg_request){ .agent_id = "a" }, 0, 100, &r, &v) == TG_OK);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

static void test_closed_while_waiting(void **state)
{
    enum { CALLERS = 20 };
    static struct caller caller[CALLERS];
    pthread_t thread[CALLERS];
    _Atomic int started = 0;

    (void)state;
    court->lose = ASKS_SEEN_MAX;
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    for (int i = 0; i < CALLERS; i++) {
        caller[i] = (struct caller){ .tg = tg, .timeout_ms = 10 * PATIENCE_MS, .started = &started };
        assert_int_equal(pthread_create(&thread[i], NULL, caller_main, &caller[i]), 0);
    }
    EVENTUALLY(COURT(asked) >= CALLERS); /* all wait */
    uint64_t begun = test_ms();
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(caller[i].rc, TG_ERR_CLOSED);
        assert_string_equal(caller[i].r.id, "");
    }
    assert_true(test_ms() - begun < PATIENCE_MS);
    peer_stop(peer);
}

struct checker {
    tg_emitter *tg;
    _Atomic bool *stop;
    _Atomic uint64_t *seen, *wrong;
};

/* Through the memo, which must not keep what a list no longer says. */
static void *checker_main(void *arg)
{
    struct checker *c = arg;
    struct tg_verdict v;

    while (!atomic_load(c->stop)) {
        assert_int_equal(tg_check(c->tg, &(struct tg_request){ .agent_id = "a", .model = "m" }, &v), TG_OK);
        if (v.action == TG_DELAY && strcmp(v.budget, "one") == 0 && v.spent == 1)
            atomic_fetch_add(&c->seen[0], 1);
        else if (v.action == TG_BLOCK && strcmp(v.budget, "two") == 0 && v.spent == 2)
            atomic_fetch_add(&c->seen[1], 1);
        else
            atomic_fetch_add(c->wrong, 1);
    }
    return NULL;
}

static void test_checks_while_lists_change(void **state)
{
    enum { CHECKERS = 4 };
    const struct test_entry list[2][2] = {
        { { .action = TG_DELAY, .budget = "one", .spent = 1 },
          { .kind = 1, .action = TG_BLOCK, .budget = "guard" } },
        { { .action = TG_WARN, .budget = "none" }, { .action = TG_BLOCK, .budget = "two", .spent = 2 } },
    };
    struct checker checker[CHECKERS];
    pthread_t thread[CHECKERS];
    _Atomic uint64_t seen[2] = { 0, 0 }, wrong = 0;
    uint64_t end = test_ms() + PATIENCE_MS;
    _Atomic bool stop = false;
    msgpack_sbuffer b;
    struct list *l = malloc(sizeof *l);
    struct page *page;

    (void)state;
    assert_int_equal(mkdir(home.spool, 0700), 0);
    int dir = open(home.spool, O_RDONLY | O_DIRECTORY);
    assert_int_equal(page_open(dir, "gate", true, &page), 0);
    tg_emitter *tg = open_as("gate");
    msgpack_sbuffer_init(&b);
    for (int i = 0; i < 10000 || ((seen[0] == 0 || seen[1] == 0) && test_ms() < end); i++) {
        put_list(&b, 1, 60000, 0, list[i % 2], 2);
        struct reader r = { (const uint8_t *)b.data + 3, (const uint8_t *)b.data + b.size };
        assert_int_equal(list_read(&r, 6, l), 0);
        assert_int_equal(page_publish(page, &l->page, boot_ms()), 0);
        struct tg_verdict v = check(tg, "b");
        assert_int_equal(v.action, i % 2 == 0 ? TG_DELAY : TG_BLOCK); /* never the one before */
        for (int t = 0; i == 0 && t < CHECKERS; t++) {
            checker[t] = (struct checker){ tg, &stop, seen, &wrong };
            assert_int_equal(pthread_create(&thread[t], NULL, checker_main, &checker[t]), 0);
        }
    }
    atomic_store(&stop, true);
    for (int t = 0; t < CHECKERS; t++)
        pthread_join(thread[t], NULL);
    assert_int_equal(wrong, 0);
    assert_true(seen[0] > 0 && seen[1] > 0);
    assert_int_equal(stats(tg).verdicts_damaged, 0);
    tg_close(tg, 0);
    page_close(page);
    close(dir);
    msgpack_sbuffer_destroy(&b);
    free(l);
}

/* ---------------------------------------------------------------- other processes */

static void test_forked(void **state)
{
    struct tg_reservation r = { .id = "" };
    struct tg_verdict v;
    int status;

    (void)state;
    set_list(3, 2, block_a, false);
    peer_start(peer);
    tg_emitter *tg = open_as("gate");
    EVENTUALLY(check(tg, "a").action == TG_BLOCK);
    pid_t pid = fork();
    if (pid == 0) {
        const struct tg_request q = { .agent_id = "a" };
        int rc = tg_check(tg, &q, &v) == TG_ERR_FORKED &&
                 tg_admit(tg, &q, 0, 1000, &r, &v) == TG_ERR_FORKED &&
                 tg_settle(tg, "x", NULL, 1000) == TG_ERR_FORKED &&
                 tg_renew(tg, "x", 0, 1000) == TG_ERR_FORKED && tg_close(tg, 1000) == TG_ERR_FORKED;
        _exit(rc ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(check(tg, "a").action, TG_BLOCK);
    assert_int_equal(tg_admit(tg, &(struct tg_request){ .agent_id = "a" }, 0, PATIENCE_MS, &r, &v), TG_OK);
    tg_close(tg, PATIENCE_MS);
    peer_stop(peer);
}

/* A process without a sender reads what tollgate-ship writes, for as many sources as there are. */
static void test_spool_mode(void **state)
{
    struct tg_options o = options(&home, "one"), two = options(&home, "two");
    const char *build = getenv("BUILD");
    struct tg_reservation r = { .id = "" };
    struct tg_verdict v;
    char program[512];

    (void)state;
    snprintf(program, sizeof program, "%s/tollgate-ship", build != NULL ? build : "build");
    set_list(3, 2, block_a, false);
    o.mode = two.mode = TG_MODE_SPOOL;
    tg_emitter *a = open_emitter(&o), *b = open_emitter(&two);
    assert_int_equal(check(a, "a").action, TG_ALLOW);
    assert_int_equal(tg_admit(a, &(struct tg_request){ .agent_id = "a" }, 0, 1000, &r, &v),
                     TG_ERR_UNSUPPORTED);
    assert_int_equal(tg_settle(a, "x", NULL, 1000), TG_ERR_UNSUPPORTED);
    peer_start(peer);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        execl(program, program, "--endpoint", home.endpoint, "--spool-dir", home.spool, (char *)NULL);
        _exit(127);
    }
    EVENTUALLY(check(a, "a").action == TG_BLOCK && check(b, "a").action == TG_BLOCK);
    EVENTUALLY(COURT(sources_seen) == 2);
    set_list(4, 1, block_a + 1, true);
    EVENTUALLY(check(a, "a").action == TG_ALLOW && check(b, "a").action == TG_ALLOW);
    assert_int_equal(check(b, "a").stale, 0);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    tg_close(a, 0);
    tg_close(b, 0);
    peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_verdicts_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stays_valid_by_hello, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collector_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_opens_in_the_memo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guards_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_emitters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collector_that_does_not_govern, setup, teardown),
        cmocka_unit_test_setup_teardown(test_admitted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_admitted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_wait_for_a_collector, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_slot_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_while_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_checks_while_lists_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spool_mode, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
