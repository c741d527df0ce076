/* SPDX-License-Identifier: MIT */
#include "field.h"

#include <string.h>

#include "../base/event.h"

#define TEXT(name, sql)        [FIELD_##name] = { #name, sql, NULL, NULL, NULL }
#define CODE(name, sql, names) [FIELD_##name] = { #name, sql, name##_name, name##_code, names }

/* Unknown granularity means a call, by the wire's rule. The root is what the writer has found it to be. */
const struct field fields[FIELDS] = {
    TEXT(source, "src.name"),
    TEXT(agent_id, "d.agent_id"),
    TEXT(user_id, "d.user_id"),
    TEXT(provider, "d.provider"),
    TEXT(model, "d.model"),
    TEXT(requested_model, "d.requested_model"),
    TEXT(surface, "d.surface"),
    TEXT(channel, "d.channel"),
    TEXT(lane, "d.lane"),
    CODE(trigger, "nullif(d.\"trigger\", 0)", "user, heartbeat, cron, subagent, compaction, retry, plugin"),
    CODE(granularity, "coalesce(nullif(d.granularity, 0), 1)", "call, run, turn"),
    CODE(status, "nullif(d.status, 0)", "ok, error, timeout, aborted, blocked"),
    TEXT(error_type, "d.error_type"),
    TEXT(session_id, "s.session_id"),
    TEXT(parent_session_id, "s.parent_session_id"),
    TEXT(root_session_id, "coalesce((SELECT r.session_id FROM session r WHERE r.id = s.root),"
                          " s.root_session_id, s.session_id)"),
    TEXT(run_id, "identifier(e.run_id)"),
    TEXT(call_id, "call_identifier(e.call_id, e.run_id)"),
    TEXT(response_id, "identifier(e.response_id)"),
    TEXT(trace_id, "identifier(e.trace_id)"),
    TEXT(span_id, "identifier(e.span_id)"),
    TEXT(message_id, "identifier(e.message_id)"),
    TEXT(event_id, "e.event_id"),
};

static bool same(const char *name, size_t len, const char *full)
{
    size_t n = strlen(full);

    if (len == n && memcmp(name, full, n) == 0)
        return true;
    return len + 3 == n && memcmp(name, full, len) == 0 && strcmp(full + len, "_id") == 0;
}

const char *field_tag(const char *name, size_t len, size_t *tag_len)
{
    size_t head = strlen(FIELD_TAG_NAME);

    if (len <= head || len - head >= FIELD_TAG_MAX || memcmp(name, FIELD_TAG_NAME, head) != 0)
        return NULL;
    *tag_len = len - head;
    return name + head;
}

int field_find(const char *name, size_t len, int end)
{
    for (int i = 0; i < end; i++) {
        if (same(name, len, fields[i].name))
            return i;
    }
    return -1;
}

/* Edit distance of two names shorter than FIELD_ALL_NAMES. */
static size_t distance(const char *a, const char *b)
{
    size_t row[FIELD_ALL_NAMES + 1], lb = strlen(b);

    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != 0; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[lb];
}

const char *nearest_name(const char *name, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t least = 4, len = strlen(name); /* three slips are near */

    if (len >= FIELD_ALL_NAMES)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = strlen(names[i]) < FIELD_ALL_NAMES ? distance(name, names[i]) : least;
        if (d < least && d < len) {
            least = d;
            best = names[i];
        }
    }
    return best;
}
