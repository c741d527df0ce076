/* SPDX-License-Identifier: MIT */
#include "log_write.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "../base/identifier.h"
#include "../base/msgpack_reader.h"
#include "../base/stored.h"

bool log_derive_id(const struct event *e, uint8_t id[16])
{
    struct session_names s = { .text = { { NULL, 0 } } };
    bool responded = e->text[D_response_id].at != NULL;
    struct slice name = responded ? e->text[D_response_id] : e->text[D_span_id];

    if (e->kind != KIND_dispatch || name.at == NULL)
        return false;
    if (e->session.at != NULL)
        session_names_read(e->session, &s);
    struct slice session = s.text[S_session_id];
    tg_event_id_hash(responded ? 'r' : 's', (const char *)session.at, session.len, (const char *)name.at,
                     name.len, id);
    return true;
}

static void bind_head(sqlite3_stmt *stmt, const struct log_row *row)
{
    sqlite3_bind_int64(stmt, 1, row->id);
    sqlite3_bind_int64(stmt, 2, row->ts_ms);
    sqlite3_bind_int64(stmt, 3, row->received_ms - row->ts_ms);
}

static void bind_names(sqlite3_stmt *stmt, const struct log_row *row)
{
    sqlite3_bind_int64(stmt, 5, row->dims);
    if (row->session != 0)
        sqlite3_bind_int64(stmt, 6, row->session);
    else
        sqlite3_bind_null(stmt, 6);
}

/* An id that follows from the row's own names is not stored. */
static void bind_event_id(sqlite3_stmt *stmt, const struct event *e)
{
    uint8_t derived[16];

    if (log_derive_id(e, derived) && memcmp(derived, e->id, sizeof derived) == 0)
        sqlite3_bind_null(stmt, 7);
    else
        sqlite3_bind_blob(stmt, 7, e->id, sizeof derived, SQLITE_STATIC);
}

/* Texts of which each is an identifier, but for tool_used. */
static void bind_dispatch_texts(sqlite3_stmt *stmt, int at, const struct event *e,
                                uint8_t scratch[DISPATCH_TEXTS][IDENTIFIER_MAX])
{
    int64_t call = identifier_call(e->text[D_call_id], e->text[D_run_id]);

    for (int i = 0; i < DISPATCH_TEXTS; i++)
        if (i == D_tool_used)
            bind_text(stmt, at + i, e->text[i]);
        else if (i == D_call_id && call >= 0)
            sqlite3_bind_int64(stmt, at + i, call);
        else
            identifier_bind(stmt, at + i, e->text[i], scratch[i]);
}

static void bind_dispatch_nums(sqlite3_stmt *stmt, int at, const int64_t *num)
{
    for (int i = 0; i < DISPATCH_NUMS; i++)
        if (i == D_total_tokens)
            stored_bind_total_tokens(stmt, at + i, num[i], num[D_prompt_tokens], num[D_completion_tokens]);
        else
            bind_num(stmt, at + i, i == D_http_status ? stored_http_status(num[i]) : num[i]);
}

int log_write_dispatch(struct store *store, const struct log_row *row, const struct event *e, int state)
{
    uint8_t scratch[DISPATCH_TEXTS][IDENTIFIER_MAX];
    sqlite3_stmt *stmt = store->dispatch;
    int at = 8;

    bind_head(stmt, row);
    sqlite3_bind_int(stmt, 4, state);
    bind_names(stmt, row);
    bind_event_id(stmt, e);
    bind_dispatch_texts(stmt, at, e, scratch);
    at += DISPATCH_TEXTS;
    bind_dispatch_nums(stmt, at, e->num);
    return store_run(stmt);
}

int log_write_message(struct store *store, const struct log_row *row, const struct event *e)
{
    uint8_t scratch[MESSAGE_TEXTS][IDENTIFIER_MAX];
    sqlite3_stmt *stmt = store->message;
    int at = 8;

    bind_head(stmt, row);
    sqlite3_bind_int(stmt, 4, e->kind);
    bind_names(stmt, row);
    sqlite3_bind_blob(stmt, 7, e->id, 16, SQLITE_STATIC);
    for (int i = 0; i < MESSAGE_TEXTS; i++)
        identifier_bind(stmt, at++, e->text[i], scratch[i]);
    for (int i = 0; i < MESSAGE_NUMS; i++)
        bind_num(stmt, at++, e->num[i]);
    return store_run(stmt);
}

/* Off the hot path: an emitter reports once a minute. Decode has checked shape and size. */
static json_t *report_json(struct mp *mp)
{
    struct mp_value v;

    if (!mp_read(mp, &v))
        return NULL;
    switch (v.type) {
    case MP_STR:
        return json_stringn((const char *)v.s.at, v.s.len);
    case MP_UINT:
    case MP_NEGATIVE:
        return json_integer((json_int_t)v.u);
    case MP_FLOAT:
        return json_real(v.f);
    case MP_BOOL:
        return json_boolean(v.u != 0);
    case MP_MAP:
        break;
    default:
        return json_null();
    }
    json_t *object = json_object();
    for (uint32_t n = v.count; n > 0; n--) {
        struct mp_value name;
        char text[256] = "";
        if (!mp_read(mp, &name) || name.type != MP_STR || name.s.len >= sizeof text)
            break;
        memcpy(text, name.s.at, name.s.len);
        text[name.s.len] = '\0';
        json_object_set_new(object, text, report_json(mp));
    }
    return object;
}

int log_write_report(struct store *store, const struct log_row *row, const struct event *e, uint32_t source,
                     int64_t epoch, char **body)
{
    sqlite3_stmt *stmt = store->report;
    struct mp mp = mp_of(e->body);
    json_t *json = report_json(&mp);

    *body = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (*body == NULL)
        return -SQLITE_NOMEM;
    bind_head(stmt, row);
    sqlite3_bind_int64(stmt, 4, source);
    bind_num(stmt, 5, epoch);
    sqlite3_bind_blob(stmt, 6, e->id, 16, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 7, *body, -1, SQLITE_STATIC);
    return store_run(stmt);
}
