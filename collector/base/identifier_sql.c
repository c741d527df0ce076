/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "identifier.h"

#define CALL_TEXT_MAX (IDENTIFIER_TEXT_MAX + 32)

/* The text of a stored identifier, in the value itself or in room. at NULL: it is NULL or damaged. */
static struct slice spelled(sqlite3_value *v, char room[IDENTIFIER_TEXT_MAX])
{
    struct slice s = { NULL, 0 };
    int type = sqlite3_value_type(v);

    if (type == SQLITE_BLOB) {
        size_t len = identifier_unpack(sqlite3_value_blob(v), (size_t)sqlite3_value_bytes(v), room);
        if (len > 0)
            s = (struct slice){ (const uint8_t *)room, (uint32_t)len };
    } else if (type != SQLITE_NULL) {
        s.at = sqlite3_value_text(v);
        s.len = (uint32_t)sqlite3_value_bytes(v);
    }
    return s;
}

static void result(sqlite3_context *context, struct slice s)
{
    if (s.at == NULL)
        sqlite3_result_null(context);
    else
        sqlite3_result_text(context, (const char *)s.at, (int)s.len, SQLITE_TRANSIENT);
}

static void identifier(sqlite3_context *context, int count, sqlite3_value **v)
{
    char room[IDENTIFIER_TEXT_MAX];

    (void)count;
    result(context, spelled(v[0], room));
}

static void call_identifier(sqlite3_context *context, int count, sqlite3_value **v)
{
    char room[IDENTIFIER_TEXT_MAX], call[CALL_TEXT_MAX];
    struct slice s;

    (void)count;
    if (sqlite3_value_type(v[0]) != SQLITE_INTEGER) {
        result(context, spelled(v[0], room));
        return;
    }
    s = spelled(v[1], room);
    int len = snprintf(call, sizeof call, "%.*s" IDENTIFIER_CALL "%lld", (int)s.len, (const char *)s.at,
                       (long long)sqlite3_value_int64(v[0]));
    sqlite3_result_text(context, call, len < (int)sizeof call ? len : (int)sizeof call - 1, SQLITE_TRANSIENT);
}

/* The bytes that are stored, else the hash that they follow from. */
static void event_identifier(sqlite3_context *context, int count, sqlite3_value **v)
{
    char room[IDENTIFIER_TEXT_MAX];
    uint8_t id[16];

    (void)count;
    if (sqlite3_value_type(v[0]) != SQLITE_NULL) {
        sqlite3_result_value(context, v[0]);
        return;
    }
    const char *session = (const char *)sqlite3_value_text(v[1]);
    size_t session_len = (size_t)sqlite3_value_bytes(v[1]);
    struct slice s = spelled(v[2], room);
    char rule = 'r';
    if (s.at == NULL) {
        s = spelled(v[3], room);
        rule = 's';
    }
    if (s.at == NULL || s.len > TG_EVENT_ID_TEXT_MAX || session_len > TG_EVENT_ID_TEXT_MAX) {
        sqlite3_result_null(context); /* no writer makes such a row */
        return;
    }
    tg_event_id_hash(rule, session, session_len, (const char *)s.at, s.len, id);
    sqlite3_result_blob(context, id, sizeof id, SQLITE_TRANSIENT);
}

int identifier_functions(sqlite3 *db)
{
    static const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    int rc = sqlite3_create_function_v2(db, "identifier", 1, flags, NULL, identifier, NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_create_function_v2(db, "call_identifier", 2, flags, NULL, call_identifier, NULL, NULL,
                                        NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function_v2(db, "event_identifier", 4, flags, NULL, event_identifier, NULL, NULL,
                                        NULL);
    return rc;
}
