/* SPDX-License-Identifier: MIT */
#include "selftest.h"

#include <msgpack.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#include "../base/clock.h"
#include "../base/msgpack_reader.h"

#define AGAIN_MS  1000
#define REPLY_MAX 512

struct selftest {
    void *context, *dealer;
    const char *endpoint, *database; /* borrowed */
    uint64_t epoch;
    struct monotime send_due;
};

struct selftest *selftest_open(const char *endpoint, const char *database)
{
    struct selftest *t = calloc(1, sizeof *t);
    int none = 0;

    if (t == NULL)
        return NULL;
    t->endpoint = endpoint;
    t->database = database;
    t->context = zmq_ctx_new();
    t->dealer = t->context != NULL ? zmq_socket(t->context, ZMQ_DEALER) : NULL;
    if (t->dealer == NULL || getrandom(&t->epoch, sizeof t->epoch, 0) != sizeof t->epoch ||
        zmq_setsockopt(t->dealer, ZMQ_LINGER, &none, sizeof none) != 0 ||
        zmq_connect(t->dealer, endpoint) != 0) {
        selftest_close(t);
        return NULL;
    }
    t->epoch >>= 1;
    t->send_due = mono_now();
    return t;
}

void selftest_close(struct selftest *t)
{
    if (t == NULL)
        return;
    if (t->dealer != NULL)
        zmq_close(t->dealer);
    if (t->context != NULL)
        zmq_ctx_term(t->context);
    free(t);
}

static void pack_text(msgpack_packer *pk, const char *text)
{
    msgpack_pack_str(pk, strlen(text));
    msgpack_pack_str_body(pk, text, strlen(text));
}

static void publish(struct selftest *t)
{
    msgpack_sbuffer buf;
    msgpack_packer pk;

    msgpack_sbuffer_init(&buf);
    msgpack_packer_init(&pk, &buf, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 8);
    msgpack_pack_int(&pk, 1);
    msgpack_pack_int(&pk, 1);
    pack_text(&pk, SELFTEST_SOURCE);
    msgpack_pack_uint64(&pk, t->epoch);
    msgpack_pack_int(&pk, 0); /* stream */
    msgpack_pack_int(&pk, 0); /* base */
    msgpack_pack_int(&pk, 1); /* first_seq */
    msgpack_pack_array(&pk, 1);
    msgpack_pack_array(&pk, 4);
    msgpack_pack_int(&pk, KIND_report);
    msgpack_pack_nil(&pk);
    msgpack_pack_nil(&pk);
    msgpack_pack_map(&pk, 2);
    pack_text(&pk, "gateway");
    pack_text(&pk, "tollgated");
    pack_text(&pk, "closed"); /* nobody is to miss it */
    msgpack_pack_int(&pk, 1);
    zmq_send(t->dealer, buf.data, buf.size, ZMQ_DONTWAIT);
    msgpack_sbuffer_destroy(&buf);
}

/* [1, 2, epoch, stream, settled, status, ...] */
static bool is_settled(const uint8_t *reply, size_t len)
{
    struct mp mp = { reply, reply + len };
    struct mp_value v[7];

    for (int i = 0; i < 7; i++)
        if (!mp_read(&mp, &v[i]))
            return false;
    return v[0].type == MP_ARRAY && v[5].type == MP_UINT && v[5].u == 1 && v[6].type == MP_UINT &&
           v[6].u == 0;
}

static bool is_visible(const struct selftest *t)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool found = false;

    if (sqlite3_open_v2(t->database, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT 1 FROM report WHERE epoch=? ORDER BY id DESC LIMIT 1", -1, &stmt,
                           NULL) == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, (int64_t)t->epoch);
        found = sqlite3_step(stmt) == SQLITE_ROW;
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return found;
}

bool selftest_step(struct selftest *t, int wait_ms)
{
    zmq_pollitem_t item = { t->dealer, 0, ZMQ_POLLIN, 0 };
    uint8_t reply[REPLY_MAX];

    if (mono_left(t->send_due) == 0) {
        publish(t);
        t->send_due = mono_after(mono_now(), AGAIN_MS);
    }
    if (zmq_poll(&item, 1, wait_ms) <= 0)
        return false;
    int n = zmq_recv(t->dealer, reply, sizeof reply, ZMQ_DONTWAIT);
    return n > 0 && n <= (int)sizeof reply && is_settled(reply, (size_t)n) && is_visible(t);
}
