/* SPDX-License-Identifier: MIT */
#include "payload.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "payload_work.h"

void told_fini(struct told *t)
{
    free(t->title);
    json_decref(t->subject);
    json_decref(t->evidence);
    *t = (struct told){ .id = 0 };
}

/* ---------------------------------------------------------------------- shared */

void payload_badge(const struct told *t, char out[PAYLOAD_BADGE_MAX])
{
    static const char *const loud[] = { "INFO", "WARNING", "CRITICAL" };

    snprintf(out, PAYLOAD_BADGE_MAX, "%s %s", loud[(int)t->severity], alert_kind_name((int)t->kind));
    for (char *at = out; *at != '\0'; at++)
        if (*at == '_')
            *at = ' ';
}

void payload_add_title(struct prose *w, const struct told *t)
{
    size_t before = w->len;

    prose_add(w, t->title, PAYLOAD_TITLE_MAX);
    if (w->len == before)
        prose_own(w, "(no title)");
}

void payload_add_headline(struct prose *w, const struct payload_message *m)
{
    char head[HEAD_MAX];

    if (m->alerts > 1) {
        head_text(m, head);
        prose_own(w, head);
        return;
    }
    payload_badge(m->alert, head);
    prose_own(w, head);
    prose_own(w, ": ");
    payload_add_title(w, m->alert);
}

void payload_add_facts(struct prose *w, const struct told *t, const char *before)
{
    struct fact fact[FACTS_MAX];
    unsigned count = facts_of(t, fact);

    for (unsigned i = 0; i < count; i++) {
        prose_own(w, before);
        prose_add(w, fact[i].label, FACT_LABEL_MAX);
        prose_own(w, ": ");
        prose_add(w, fact[i].value, FACT_VALUE_MAX);
    }
}

bool payload_more(const struct payload_message *m, size_t shown, char out[PAYLOAD_MORE_MAX])
{
    snprintf(out, PAYLOAD_MORE_MAX, "and %zu more", m->alerts - shown);
    return m->alerts > shown;
}

json_t *payload_string(const char *text)
{
    json_t *json = json_string(text);
    char *valid;

    if (json != NULL)
        return json;
    valid = g_utf8_make_valid(text, -1);
    json = json_string(valid);
    g_free(valid);
    return json;
}

/* ------------------------------------------------------------------------ body */

/* What a receiver takes, and of how many alerts it is told all. Teams says 28 KB; less has been refused. */
static const struct {
    payload_template *make;
    size_t bytes, shown;
} templates[] = {
    [TEMPLATE_JSON] = { payload_json, SIZE_MAX, PAYLOAD_ALERTS_MAX },
    [TEMPLATE_SLACK] = { payload_slack, (size_t)100 * 1024, PAYLOAD_SHOWN_MAX },
    [TEMPLATE_DISCORD] = { payload_discord, (size_t)100 * 1024, PAYLOAD_SHOWN_MAX },
    [TEMPLATE_TEAMS] = { payload_teams, (size_t)20 * 1000, PAYLOAD_SHOWN_MAX },
    [TEMPLATE_PAGERDUTY] = { payload_pagerduty, (size_t)400 * 1024, PAYLOAD_ALERTS_MAX },
};

static char *dump(json_t *json, size_t *len)
{
    size_t size = json != NULL ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
    char *text = size > 0 ? malloc(size + 1) : NULL;

    if (text != NULL) {
        *len = json_dumpb(json, text, size, JSON_COMPACT);
        text[*len] = '\0';
    }
    json_decref(json);
    return text;
}

/* Shows fewer until it is short enough. */
char *payload_webhook(const struct payload_message *m, const struct destination *d, size_t *len)
{
    size_t most = templates[d->template].bytes, shown = templates[d->template].shown, size = 0;
    char *text;

    if (shown > m->alerts)
        shown = m->alerts;
    while ((text = dump(templates[d->template].make(m, d, shown), &size)) != NULL && size > most &&
           shown > 0) {
        free(text);
        shown -= 1 + shown / 8;
    }
    if (text != NULL)
        *len = size;
    return text;
}

/* ------------------------------------------------------------------- signature */

void payload_sign(const char *secret, int64_t timestamp_s, const char *body, size_t len,
                  char out[PAYLOAD_SIGNATURE])
{
    GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA256, (const guchar *)secret, strlen(secret));
    char stamp[32];
    int n = snprintf(stamp, sizeof stamp, "%lld.", (long long)timestamp_s);

    if (timestamp_s >= 0)
        g_hmac_update(hmac, (const guchar *)stamp, n);
    for (size_t at = 0; at < len;) { /* GLib counts in signed numbers */
        size_t part = len - at < 1u << 30 ? len - at : 1u << 30;
        g_hmac_update(hmac, (const guchar *)body + at, (gssize)part);
        at += part;
    }
    snprintf(out, PAYLOAD_SIGNATURE, "sha256=%s", g_hmac_get_string(hmac));
    g_hmac_unref(hmac);
}
