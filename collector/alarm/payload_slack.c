/* SPDX-License-Identifier: MIT
 *
 * payload_slack.c: Slack's blocks: a header (at most 150 characters), and for each alert a section (3,000)
 * and a context; 50 blocks at most. What strangers named stands in plain_text only, where no mention and no
 * formatting is understood; & < > are entities there too. Bytes are counted: never fewer than characters.
 */
#include "payload_work.h"

#define HEADER_MAX  150
#define SECTION_MAX 3000
#define CONTEXT_MAX 2000
#define TEXT_MAX    3000

static json_t *plain_text(const char *text)
{
    return json_pack("{s:s, s:s, s:b}", "type", "plain_text", "text", text, "emoji", 0);
}

/* Our own words and links only. */
static json_t *context(const char *text)
{
    return json_pack("{s:s, s:[{s:s, s:s, s:b}]}", "type", "context", "elements", "type", "mrkdwn", "text",
                     text, "verbatim", 1);
}

/* A link has no < > |: see head_link. */
static void add_link(struct prose *w, const char *url, const char *name)
{
    char whole[CONTEXT_MAX];
    struct prose link = prose_of(whole, sizeof whole, MARKUP_NONE);

    prose_own(&link, "<");
    for (; *url != '\0'; url++)
        prose_whole(&link, *url == '&' ? "&amp;" : (char[]){ *url, '\0' });
    prose_own(&link, "|");
    prose_own(&link, name);
    prose_own(&link, ">");
    if (!link.is_cut)
        prose_whole(w, whole);
}

static json_t *header(const struct payload_message *m)
{
    char text[HEADER_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_SLACK);
    char badge[PAYLOAD_BADGE_MAX];

    if (m->alerts > 1) {
        payload_add_headline(&w, m);
    } else {
        payload_badge(m->alert, badge);
        prose_own(&w, badge);
    }
    return json_pack("{s:s, s:o}", "type", "header", "text", plain_text(text));
}

static json_t *section(const struct told *t)
{
    char text[SECTION_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_SLACK);

    payload_add_title(&w, t);
    payload_add_facts(&w, t, "\n");
    return json_pack("{s:s, s:o}", "type", "section", "text", plain_text(text));
}

static json_t *below(const struct payload_message *m, const struct told *t)
{
    char text[CONTEXT_MAX], badge[PAYLOAD_BADGE_MAX], when[FACT_WHEN_MAX], url[HEAD_LINK_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_SLACK);

    payload_badge(t, badge);
    fact_when(t, when);
    prose_own(&w, badge);
    prose_own(&w, " | ");
    prose_add(&w, when, sizeof when);
    if (head_link(m->link, t, url)) {
        prose_own(&w, " | ");
        add_link(&w, url, "open");
    }
    return context(text);
}

static json_t *rest(const struct payload_message *m, const char *more)
{
    char text[CONTEXT_MAX], url[HEAD_LINK_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_SLACK);

    if (head_list_link(m, url))
        add_link(&w, url, more);
    else
        prose_own(&w, more);
    return context(text);
}

/* `text` is what notifications show. */
json_t *payload_slack(const struct payload_message *m, const struct destination *d, size_t shown)
{
    char text[TEXT_MAX], more[PAYLOAD_MORE_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_SLACK);
    json_t *blocks = json_array();

    (void)d;
    payload_add_headline(&w, m);
    json_array_append_new(blocks, header(m));
    for (size_t i = 0; i < shown; i++) {
        json_array_append_new(blocks, section(&m->alert[i]));
        json_array_append_new(blocks, below(m, &m->alert[i]));
    }
    if (payload_more(m, shown, more))
        json_array_append_new(blocks, rest(m, more));
    return json_pack("{s:s, s:o}", "text", text, "blocks", blocks);
}
