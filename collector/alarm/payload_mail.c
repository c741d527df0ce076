/* SPDX-License-Identifier: MIT
 *
 * payload_mail.c: a mail of RFC 5322. The body goes as base64, so that no line is too long and none begins
 * with a dot; the subject as encoded words (RFC 2047) unless it is plain ASCII. Everything in a header is an
 * address that was checked, a number, or free of control characters.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/utf8.h"
#include "payload_work.h"

#define SUBJECT_MAX 240
#define ALERT_MAX   4096 /* of one in the body */
#define WORD_BYTES  45   /* of text in an encoded word: 60 characters and 12 around them, of at most 75 */
#define LINE_BYTES  57   /* of a body's line: 76 characters */

/* ---------------------------------------------------------------------- header */

static void add_date(GString *s, int64_t now_ms)
{
    static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t now = (time_t)(now_ms / 1000);
    struct tm tm;

    gmtime_r(&now, &tm);
    g_string_append_printf(s, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
                           months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static bool is_plain(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7e)
            return false;
    return strstr(text, "=?") == NULL;
}

static void add_subject(GString *s, const struct payload_message *m)
{
    char text[SUBJECT_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_NONE);

    prose_own(&w, "[Tollgate] ");
    payload_add_headline(&w, m);
    g_string_append(s, "Subject:");
    if (is_plain(text)) {
        g_string_append_printf(s, " %s\r\n", text);
        return;
    }
    for (size_t at = 0, len = strlen(text); at < len;) {
        size_t part = utf8_cut(text + at, len - at, WORD_BYTES);
        gchar *word = g_base64_encode((const guchar *)text + at, part);
        g_string_append_printf(s, " =?UTF-8?B?%s?=\r\n", word);
        g_free(word);
        at += part;
    }
}

static void add_addresses(GString *s, const struct destination *d)
{
    g_string_append_printf(s, "From: Tollgate <%s>\r\nTo: ", d->from);
    for (unsigned i = 0; i < d->tos; i++)
        g_string_append_printf(s, "%s%s", i > 0 ? ",\r\n " : "", d->to[i]);
    g_string_append(s, "\r\n");
}

/* The same for each attempt: a mail that comes twice is known by it. */
static void add_message_id(GString *s, const struct payload_message *m, const struct destination *d)
{
    g_string_append(s, "Message-ID: <tollgate.");
    for (const char *at = m->key; *at != '\0'; at++)
        if (g_ascii_isalnum(*at))
            g_string_append_c(s, *at);
    g_string_append_printf(s, "@%s>\r\n", strchr(d->from, '@') + 1);
}

static void add_header(GString *s, const struct payload_message *m, const struct destination *d,
                       int64_t now_ms)
{
    add_date(s, now_ms);
    add_addresses(s, d);
    add_subject(s, m);
    add_message_id(s, m, d);
    if (head_severity(m) == SEVERITY_CRITICAL)
        g_string_append(s, "Importance: high\r\n");
    g_string_append(s,
                    "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
}

/* ------------------------------------------------------------------------ body */

static void add_alert(GString *body, const struct payload_message *m, const struct told *t)
{
    char text[ALERT_MAX], badge[PAYLOAD_BADGE_MAX], when[FACT_WHEN_MAX], url[HEAD_LINK_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_NONE);

    payload_badge(t, badge);
    fact_when(t, when);
    prose_own(&w, badge);
    prose_own(&w, ": ");
    payload_add_title(&w, t);
    prose_own(&w, "\r\n    ");
    prose_own(&w, when);
    payload_add_facts(&w, t, "\r\n    ");
    prose_own(&w, "\r\n");
    g_string_append(body, text);
    if (head_link(m->link, t, url))
        g_string_append_printf(body, "    %s\r\n", url);
    g_string_append(body, "\r\n");
}

static GString *make_body(const struct payload_message *m)
{
    size_t shown = m->alerts < PAYLOAD_SHOWN_MAX ? m->alerts : PAYLOAD_SHOWN_MAX;
    char head[HEAD_MAX], more[PAYLOAD_MORE_MAX], url[HEAD_LINK_MAX];
    GString *body = g_string_sized_new(ALERT_MAX);

    if (m->alerts > 1) {
        head_text(m, head);
        g_string_append_printf(body, "%s\r\n\r\n", head);
    }
    for (size_t i = 0; i < shown; i++)
        add_alert(body, m, &m->alert[i]);
    if (payload_more(m, shown, more)) {
        bool linked = head_list_link(m, url);
        g_string_append_printf(body, "%s%s%s\r\n\r\n", more, linked ? ": " : "", url);
    }
    g_string_append_printf(body, "-- \r\nTollgate, destination %s\r\n", m->destination);
    return body;
}

static void add_body(GString *s, const GString *body)
{
    for (size_t at = 0; at < body->len; at += LINE_BYTES) {
        size_t part = body->len - at < LINE_BYTES ? body->len - at : LINE_BYTES;
        gchar *line = g_base64_encode((const guchar *)body->str + at, part);
        g_string_append_printf(s, "%s\r\n", line);
        g_free(line);
    }
}

/* GLib ends the process where there is no memory for this little. */
char *payload_mail(const struct payload_message *m, const struct destination *d, int64_t now_ms, size_t *len)
{
    GString *s = g_string_sized_new(ALERT_MAX), *body = make_body(m);
    char *copy;

    add_header(s, m, d, now_ms);
    add_body(s, body);
    if ((copy = malloc(s->len + 1)) != NULL) {
        memcpy(copy, s->str, s->len + 1);
        *len = s->len;
    }
    g_string_free(s, TRUE);
    g_string_free(body, TRUE);
    return copy;
}
