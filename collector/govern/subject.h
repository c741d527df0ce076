/* SPDX-License-Identifier: MIT
 *
 * subject.h: who makes a call, as far as rules look at it. The numbers are those of schema/wire.md.
 */
#ifndef COLLECTOR_SUBJECT_H
#define COLLECTOR_SUBJECT_H

#include "../base/event.h"

enum subject_field {
    SUBJECT_agent_id,
    SUBJECT_session_id,
    SUBJECT_root_session_id, /* unknown: session_id stands in for it */
    SUBJECT_user_id,
    SUBJECT_provider,
    SUBJECT_model,
    SUBJECT_lane,
    SUBJECT_surface,
    SUBJECT_channel,
    SUBJECT_trigger, /* its name */
    SUBJECT_FIELDS,
    SUBJECT_TAG = SUBJECT_FIELDS, /* not in text: each tag is one */
};

/* All borrowed. at NULL, or an empty text: unknown. */
struct subject {
    struct slice text[SUBJECT_FIELDS];
    struct slice tags; /* a MessagePack map of strings; at NULL: none */
};

/* "agent", "session", "root_session", "user", "provider", "model", "lane", "surface", "channel",
 * "trigger", "tag". Static; NULL: none of them. */
const char *subject_field_name(int field);

/* A name is taken with or without _id. -1: none of them. */
int subject_field_code(const char *name, size_t len);

/* The value of a tag; at NULL: it is not there. Where a name comes twice the last counts, as in the log. */
struct slice subject_tag(const struct subject *s, struct slice name);

/* What rules see: the field's text, of a root session that is unknown the session, or the value of a tag
 * (tag: its name). A known but empty text is unknown: at NULL. */
struct slice subject_value(const struct subject *s, int field, const char *tag);

#endif
