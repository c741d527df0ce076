/* SPDX-License-Identifier: MIT */
#include "ledger_subject.h"

#include <jansson.h>
#include <string.h>

static struct slice text_slice(const char *s)
{
    return (struct slice){ (const uint8_t *)s, s != NULL ? (uint32_t)strlen(s) : 0 };
}

void subject_of_event(const struct event *e, struct subject *out)
{
    struct session_names session = { .text = { { NULL, 0 } } };
    struct dims_names dims;

    if (e->session.at != NULL)
        session_names_read(e->session, &session);
    dims_names_read(e->dims, &dims);
    *out = (struct subject){
        .text = { [SUBJECT_agent_id] = dims.text[DIM_agent_id],
                  [SUBJECT_session_id] = session.text[S_session_id],
                  [SUBJECT_root_session_id] = session.text[S_root_session_id],
                  [SUBJECT_user_id] = dims.text[DIM_user_id],
                  [SUBJECT_provider] = dims.text[DIM_provider],
                  [SUBJECT_model] = dims.text[DIM_model],
                  [SUBJECT_lane] = dims.text[DIM_lane],
                  [SUBJECT_surface] = dims.text[DIM_surface],
                  [SUBJECT_channel] = dims.text[DIM_channel],
                  [SUBJECT_trigger] = text_slice(trigger_name(dims.code[DIM_trigger])) },
        .tags = dims.tags,
    };
}

/* --------------------------------------------------------------- from the file */

static const char read_dims[] =
    "SELECT agent_id, user_id, provider, model, lane, surface, channel, \"trigger\", tags"
    " FROM dims WHERE id=?";
static const char read_session[] = "SELECT session_id, root_session_id FROM session WHERE id=?";
static const uint8_t fields_of_dims[] = { SUBJECT_agent_id, SUBJECT_user_id, SUBJECT_provider, SUBJECT_model,
                                          SUBJECT_lane,     SUBJECT_surface, SUBJECT_channel };
enum { COLUMN_TRIGGER = sizeof fields_of_dims, COLUMN_TAGS };

int subject_reader_open(struct subject_reader *r, sqlite3 *db)
{
    *r = (struct subject_reader){ .dims = NULL };
    msgpack_sbuffer_init(&r->tags);
    int rc = -sqlite3_prepare_v3(db, read_dims, -1, SQLITE_PREPARE_PERSISTENT, &r->dims, NULL);
    return rc != 0 ? rc
                   : -sqlite3_prepare_v3(db, read_session, -1, SQLITE_PREPARE_PERSISTENT, &r->session, NULL);
}

void subject_reader_close(struct subject_reader *r)
{
    sqlite3_finalize(r->dims);
    sqlite3_finalize(r->session);
    msgpack_sbuffer_destroy(&r->tags);
    r->dims = r->session = NULL;
}

/* A column that outlives the statement's reset. */
static void keep_text(struct subject_reader *r, sqlite3_stmt *stmt, int column, int field,
                      struct subject *out)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    size_t len = (size_t)sqlite3_column_bytes(stmt, column);

    if (text == NULL || len >= sizeof r->text[field].at)
        return;
    memcpy(r->text[field].at, text, len);
    r->text[field].len = (uint32_t)len;
    out->text[field] = (struct slice){ (const uint8_t *)r->text[field].at, (uint32_t)len };
}

static void pack_text(msgpack_packer *pk, const char *s, size_t len)
{
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, s, len);
}

static void keep_tags(struct subject_reader *r, const char *json, struct subject *out)
{
    json_t *tags = json != NULL ? json_loads(json, JSON_ALLOW_NUL, NULL) : NULL, *value;
    const char *name;
    msgpack_packer pk;

    if (json_is_object(tags)) {
        msgpack_sbuffer_clear(&r->tags);
        msgpack_packer_init(&pk, &r->tags, msgpack_sbuffer_write);
        msgpack_pack_map(&pk, json_object_size(tags));
        json_object_foreach(tags, name, value)
        {
            pack_text(&pk, name, strlen(name));
            pack_text(&pk, json_is_string(value) ? json_string_value(value) : "", json_string_length(value));
        }
        out->tags = (struct slice){ (const uint8_t *)r->tags.data, (uint32_t)r->tags.size };
    }
    json_decref(tags);
}

static int read_names(struct subject_reader *r, uint32_t dims, struct subject *out)
{
    sqlite3_bind_int64(r->dims, 1, dims);
    int rc = sqlite3_step(r->dims);

    if (rc == SQLITE_ROW) {
        for (int i = 0; i < COLUMN_TRIGGER; i++)
            keep_text(r, r->dims, i, fields_of_dims[i], out);
        out->text[SUBJECT_trigger] = text_slice(trigger_name(sqlite3_column_int(r->dims, COLUMN_TRIGGER)));
        keep_tags(r, (const char *)sqlite3_column_text(r->dims, COLUMN_TAGS), out);
    }
    sqlite3_reset(r->dims);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

int subject_reader_get(struct subject_reader *r, uint32_t dims, uint32_t session, struct subject *out)
{
    *out = (struct subject){ .tags = { NULL, 0 } };
    int rc = read_names(r, dims, out);

    if (rc != 0 || session == 0)
        return rc;
    sqlite3_bind_int64(r->session, 1, session);
    rc = sqlite3_step(r->session);
    if (rc == SQLITE_ROW) {
        keep_text(r, r->session, 0, SUBJECT_session_id, out);
        keep_text(r, r->session, 1, SUBJECT_root_session_id, out);
    }
    sqlite3_reset(r->session);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}
