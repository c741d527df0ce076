/* SPDX-License-Identifier: MIT
 *
 * field.h: the names by which events can be grouped and filtered, and where each stands in the
 * database. The enumeration's order is the order of the lookups' columns.
 */
#ifndef COLLECTOR_QUERY_FIELD_H
#define COLLECTOR_QUERY_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#define FIELD_ALL_NAMES 32 /* every name, alias included, is shorter */
#define FIELD_TAG_NAME  "tag:"
#define FIELD_TAG_MAX   256 /* every tag's name is shorter */

enum field_id {
    /* of the combination (dims d, source src) */
    FIELD_source,
    FIELD_agent_id,
    FIELD_user_id,
    FIELD_provider,
    FIELD_model,
    FIELD_requested_model,
    FIELD_surface,
    FIELD_channel,
    FIELD_lane,
    FIELD_trigger,
    FIELD_granularity,
    FIELD_status,
    FIELD_error_type,
    /* of the session (session s) */
    FIELD_session_id,
    FIELD_parent_session_id,
    FIELD_root_session_id,
    /* of the event alone (e) */
    FIELD_run_id,
    FIELD_call_id,
    FIELD_response_id,
    FIELD_trace_id,
    FIELD_span_id,
    FIELD_message_id,
    FIELD_event_id,
    FIELDS,
    FIELD_tag = FIELDS,                /* any tag of the combination; which one is said beside it */
    FIELD_DIMS_END = FIELD_session_id, /* first field that is not of the combination */
    FIELD_SESSION_END = FIELD_run_id,  /* first field that is of the event alone */
};

struct field {
    const char *name;
    const char *sql;               /* expression over d, src, s, e */
    const char *(*code_name)(int); /* an enumeration's; NULL: text */
    int (*code_of)(const char *, size_t);
    const char *expected; /* the enumeration's names */
};

/* The event_id of a dispatch, which is not stored where it follows from the others; other kinds always store
 * it. */
#define FIELD_EVENT_ID_SQL "event_identifier(e.event_id, s.session_id, e.response_id, e.span_id)"

extern const struct field fields[FIELDS];

/* The name of a tag in `tag:NAME`, to the end of len, or NULL if it is none. */
const char *field_tag(const char *name, size_t len, size_t *tag_len);

/* The field of a name or alias (`agent` for agent_id) among the first `end`, or -1. */
int field_find(const char *name, size_t len, int end);

/* The one of n names that is nearest to a misspelt one, or NULL if none is near. */
const char *nearest_name(const char *name, const char *const *names, size_t n);

#endif
