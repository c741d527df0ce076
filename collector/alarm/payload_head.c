/* SPDX-License-Identifier: MIT */
#include "payload_head.h"

#include <stdio.h>
#include <string.h>

#include "payload_facts.h"

/* ------------------------------------------------------------------------ head */

enum severity head_severity(const struct payload_message *m)
{
    int gravest = SEVERITY_INFO;

    for (size_t i = 0; i < m->alerts; i++)
        if ((int)m->alert[i].severity > gravest)
            gravest = (int)m->alert[i].severity;
    return (enum severity)gravest;
}

/* "3 critical, 9 warning" */
static size_t add_counts(const struct payload_message *m, char *out, size_t n)
{
    for (int s = SEVERITIES - 1, before = 0; s >= 0; s--) {
        int count = 0;
        for (size_t i = 0; i < m->alerts; i++)
            count += (int)m->alert[i].severity == s;
        if (count > 0)
            n += (size_t)snprintf(out + n, HEAD_MAX - n, "%s%d %s", before++ > 0 ? ", " : " ", count,
                                  severity_name(s));
    }
    return n;
}

/* " (threshold 8, runaway 4)": the most first. */
static void add_kinds(const struct payload_message *m, char *out, size_t n)
{
    int count[ALERT_KIND_COUNT] = { 0 };

    for (size_t i = 0; i < m->alerts; i++)
        count[(int)m->alert[i].kind]++;
    for (int before = 0;; before++) {
        int most = 0;
        for (int k = 1; k < ALERT_KIND_COUNT; k++)
            if (count[k] > count[most])
                most = k;
        if (count[most] == 0)
            break;
        n += (size_t)snprintf(out + n, HEAD_MAX - n, "%s%s %d", before > 0 ? ", " : " (",
                              alert_kind_name(most), count[most]);
        count[most] = 0;
    }
    snprintf(out + n, HEAD_MAX - n, ")");
}

void head_text(const struct payload_message *m, char out[HEAD_MAX])
{
    size_t n = (size_t)snprintf(out, HEAD_MAX, "%zu alert%s:", m->alerts, m->alerts > 1 ? "s" : "");

    n = add_counts(m, out, n);
    add_kinds(m, out, n);
}

/* ----------------------------------------------------------------------- links */

/* Without a slash at its end. 0: it could not stand in every message. */
static size_t link_length(const char *link)
{
    size_t len = link != NULL ? strlen(link) : 0;

    while (len > 0 && link[len - 1] == '/')
        len--;
    if (len == 0 || len > HEAD_LINK_MAX - 256)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (link[i] <= 0x20 || link[i] > 0x7e || strchr("<>|\"\\()[]{}^`", link[i]) != NULL)
            return 0;
    return len;
}

bool head_link(const char *link, const struct told *t, char out[HEAD_LINK_MAX])
{
    size_t len = link_length(link);

    out[0] = '\0';
    if (len == 0)
        return false;
    snprintf(out, HEAD_LINK_MAX, "%.*s/v1/alerts/%lld", (int)len, link, (long long)t->id);
    return true;
}

bool head_list_link(const struct payload_message *m, char out[HEAD_LINK_MAX])
{
    size_t len = link_length(m->link);
    int64_t first = m->alert[0].ts_ms, last = first;
    char from[FACT_INSTANT], to[FACT_INSTANT];

    out[0] = '\0';
    if (len == 0)
        return false;
    for (size_t i = 1; i < m->alerts; i++) {
        first = m->alert[i].ts_ms < first ? m->alert[i].ts_ms : first;
        last = m->alert[i].ts_ms > last ? m->alert[i].ts_ms : last;
    }
    fact_instant(first, from);
    fact_instant(last + 1, to);
    snprintf(out, HEAD_LINK_MAX, "%.*s/v1/alerts?from=%s&to=%s&limit=1000", (int)len, m->link, from, to);
    return true;
}
