/* SPDX-License-Identifier: MIT
 *
 * payload_discord.c: a content (at most 2,000 characters) and up to 10 embeds (title 256, description 4,096,
 * 6,000 in all). allowed_mentions lets nobody be called, whatever a name says. Bytes are counted: never fewer
 * than characters.
 */
#include "payload_work.h"

#define CONTENT_MAX     2000
#define DESCRIPTION_MAX 4096
#define EMBEDS_ROOM     5900 /* of all titles and descriptions */

static int color(enum severity severity)
{
    static const int colors[] = { 0x3b82f6, 0xf59e0b, 0xdc2626 };

    return colors[(int)severity];
}

/* room: for the description, its NUL too. is_only: the content says the title. */
static json_t *embed(const struct payload_message *m, const struct told *t, size_t room, bool is_only)
{
    char text[DESCRIPTION_MAX], badge[PAYLOAD_BADGE_MAX], when[FACT_INSTANT], url[HEAD_LINK_MAX];
    struct prose w = prose_of(text, room < sizeof text ? room : sizeof text, MARKUP_DISCORD);

    if (!is_only)
        payload_add_title(&w, t);
    payload_add_facts(&w, t, "\n");
    payload_badge(t, badge);
    fact_instant(t->ts_ms, when);
    return json_pack("{s:s, s:s*, s:i, s:s, s:s*}", "title", badge, "description",
                     w.len > 0 ? text + (text[0] == '\n') : NULL, "color", color(t->severity), "timestamp",
                     when, "url", head_link(m->link, t, url) ? url : NULL);
}

static void write_content(const struct payload_message *m, size_t shown, char out[CONTENT_MAX])
{
    struct prose w = prose_of(out, CONTENT_MAX, MARKUP_DISCORD);
    char more[PAYLOAD_MORE_MAX], url[HEAD_LINK_MAX];

    payload_add_headline(&w, m);
    if (!payload_more(m, shown, more))
        return;
    prose_own(&w, "\n");
    prose_own(&w, more);
    if (head_list_link(m, url)) {
        prose_own(&w, ": <"); /* no preview */
        prose_whole(&w, url);
        prose_own(&w, ">");
    }
}

json_t *payload_discord(const struct payload_message *m, const struct destination *d, size_t shown)
{
    size_t room = shown > 0 ? EMBEDS_ROOM / shown - PAYLOAD_BADGE_MAX : 0;
    json_t *embeds = json_array();
    char content[CONTENT_MAX];

    (void)d;
    write_content(m, shown, content);
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(embeds, embed(m, &m->alert[i], room, m->alerts == 1));
    return json_pack("{s:s, s:o, s:{s:[]}}", "content", content, "embeds", embeds, "allowed_mentions",
                     "parse");
}
