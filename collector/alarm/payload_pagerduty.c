/* SPDX-License-Identifier: MIT
 *
 * payload_pagerduty.c: an event of the Events API v2: one for a message, however many alerts are in it. Its
 * summary has at most 1,024 characters, its deduplication key 255, all of it 512 KB. Where the message is
 * sent again, or an alert comes alone a second time, it is the same incident.
 */
#include <string.h>

#include "payload_work.h"

#define SUMMARY_MAX 1024
#define DEDUP_MAX   255
#define SOURCE_MAX  255

/* Whom it is about. */
static void write_source(const struct told *t, char out[SOURCE_MAX])
{
    static const char *const names[] = { "source", "agent", "budget", "policy", "session", "model" };
    struct prose w = prose_of(out, SOURCE_MAX, MARKUP_NONE);

    for (size_t i = 0; i < sizeof names / sizeof *names && w.len == 0; i++) {
        const char *name = json_string_value(json_object_get(t->subject, names[i]));
        if (name != NULL)
            prose_add(&w, name, SOURCE_MAX);
    }
    if (w.len == 0)
        prose_own(&w, "tollgate");
}

static void write_dedup_key(const struct payload_message *m, char out[DEDUP_MAX])
{
    if (m->alerts == 1)
        snprintf(out, DEDUP_MAX, "tollgate-%lld", (long long)m->alert->id);
    else
        snprintf(out, DEDUP_MAX, "tollgate-%.200s", m->key);
}

static json_t *details(const struct payload_message *m, size_t shown)
{
    json_t *list = json_array();
    char more[PAYLOAD_MORE_MAX];
    bool is_more = payload_more(m, shown, more);

    for (size_t i = 0; i < shown; i++)
        json_array_append_new(list, told_json(&m->alert[i], m->link));
    return json_pack("{s:I, s:o, s:s*}", "count", (json_int_t)m->alerts, "alerts", list, "more",
                     is_more ? more : NULL);
}

static json_t *event(const struct payload_message *m, size_t shown)
{
    char summary[SUMMARY_MAX], source[SOURCE_MAX], when[FACT_INSTANT];
    struct prose w = prose_of(summary, sizeof summary, MARKUP_NONE);

    payload_add_headline(&w, m);
    write_source(m->alert, source);
    fact_instant(m->alert->ts_ms, when);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "summary", summary, "source", source, "severity",
                     severity_name((int)head_severity(m)), "timestamp", when, "component", "tollgate",
                     "class", alert_kind_name((int)m->alert->kind), "custom_details", details(m, shown));
}

json_t *payload_pagerduty(const struct payload_message *m, const struct destination *d, size_t shown)
{
    char dedup[DEDUP_MAX], url[HEAD_LINK_MAX];
    bool linked = m->alerts > 1 ? head_list_link(m, url) : head_link(m->link, m->alert, url);
    json_t *links = linked ? json_pack("[{s:s, s:s}]", "href", url, "text", "Tollgate") : NULL;

    write_dedup_key(m, dedup);
    return json_pack("{s:s?, s:s, s:s, s:o, s:s, s:s*, s:o*}", "routing_key", d->routing_key, "event_action",
                     "trigger", "dedup_key", dedup, "payload", event(m, shown), "client", "Tollgate",
                     "client_url", linked ? url : NULL, "links", links);
}
