/* SPDX-License-Identifier: MIT
 *
 * made_event.h: events as decode hands them to the writer: names as wire bytes, made from plain text.
 */
#ifndef TESTS_MADE_EVENT_H
#define TESTS_MADE_EVENT_H

#include <string.h>

#include "collector/base/event.h"

/* NULL: unknown, as 0 for the enumerations. tag: the value of the only tag, "team". */
struct made_names {
    const char *session_id, *parent_session_id, *root_session_id;
    const char *agent_id, *user_id, *provider, *model, *requested_model, *surface, *channel, *lane;
    uint8_t trigger, granularity, status;
    const char *error_type, *tag;
};

/* The slices of event point into the struct itself: it must not move. */
struct made_event {
    uint8_t bytes[1024];
    size_t used;
    char run[32];
    struct event event;
};

static inline void made_byte(struct made_event *m, uint8_t byte)
{
    m->bytes[m->used++] = byte;
}

static inline void made_text(struct made_event *m, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;

    if (text == NULL) {
        made_byte(m, 0xc0);
        return;
    }
    made_byte(m, 0xd9);
    made_byte(m, (uint8_t)len);
    memcpy(m->bytes + m->used, text, len);
    m->used += len;
}

static inline struct slice made_since(const struct made_event *m, size_t start)
{
    return (struct slice){ m->bytes + start, (uint32_t)(m->used - start) };
}

static inline void made_event(struct made_event *m, enum event_kind kind, const struct made_names *n)
{
    *m = (struct made_event){ .event = { .kind = (uint8_t)kind, .ts_ms = UNKNOWN } };
    for (int i = 0; i < DISPATCH_NUMS; i++)
        m->event.num[i] = UNKNOWN;
    if (kind == KIND_report) {
        made_byte(m, 0x81);
        made_text(m, "pid");
        made_byte(m, 1);
        m->event.body = made_since(m, 0);
        return;
    }
    made_text(m, n->session_id);
    made_text(m, n->parent_session_id);
    made_text(m, n->root_session_id);
    if (n->session_id != NULL)
        m->event.session = made_since(m, 0);
    size_t start = m->used;
    const char *texts[] = { n->agent_id,        n->user_id, n->provider, n->model,
                            n->requested_model, n->surface, n->channel,  n->lane };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        made_text(m, texts[i]);
    made_byte(m, n->trigger);
    made_byte(m, n->granularity);
    made_byte(m, n->status);
    made_text(m, n->error_type);
    if (n->tag != NULL) {
        made_byte(m, 0x81);
        made_text(m, "team");
        made_text(m, n->tag);
    } else {
        made_byte(m, 0xc0);
    }
    m->event.dims = made_since(m, start);
}

static inline void made_run(struct made_event *m, const char *run)
{
    snprintf(m->run, sizeof m->run, "%s", run);
    m->event.text[D_run_id] = (struct slice){ (const uint8_t *)m->run, (uint32_t)strlen(m->run) };
}

#endif
