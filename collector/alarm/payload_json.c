/* SPDX-License-Identifier: MIT
 *
 * payload_json.c: the generic body; schema/alert.md is its contract.
 */
#include "../base/event.h"
#include "payload_work.h"

static json_t *time_or_null(int64_t ms)
{
    return ms == UNKNOWN ? json_null() : json_integer(ms);
}

static json_t *map_or_empty(json_t *map)
{
    return map != NULL ? json_incref(map) : json_object();
}

json_t *told_json(const struct told *t, const char *link)
{
    char ts[FACT_INSTANT], url[HEAD_LINK_MAX];
    bool linked = head_link(link, t, url);

    fact_instant(t->ts_ms, ts);
    return json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:s?}", "id", (json_int_t)t->id,
                     "kind", alert_kind_name((int)t->kind), "severity", severity_name((int)t->severity), "ts",
                     ts, "ts_ms", (json_int_t)t->ts_ms, "last_ms", (json_int_t)t->last_ms, "count",
                     (json_int_t)t->count, "ended_ms", time_or_null(t->ended_ms), "title",
                     payload_string(t->title), "subject", map_or_empty(t->subject), "evidence",
                     map_or_empty(t->evidence), "link", linked ? url : NULL);
}

/* All of them: `shown` is the limit of who reads, not of machines. */
json_t *payload_json(const struct payload_message *m, const struct destination *d, size_t shown)
{
    json_t *list = json_array();

    (void)d;
    (void)shown;
    for (size_t i = 0; i < m->alerts && list != NULL; i++)
        if (json_array_append_new(list, told_json(&m->alert[i], m->link)) != 0) {
            json_decref(list);
            list = NULL;
        }
    return json_pack("{s:s, s:s, s:I, s:s, s:o}", "key", m->key, "destination", m->destination, "count",
                     (json_int_t)m->alerts, "severity", severity_name((int)head_severity(m)), "alerts", list);
}
