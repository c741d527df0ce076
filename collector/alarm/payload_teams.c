/* SPDX-License-Identifier: MIT
 *
 * payload_teams.c: an Adaptive Card in the message that Teams' webhooks and workflows take. Text stands in
 * TextRuns, which know no Markdown; a mention would have to be declared.
 */
#include "payload_work.h"

#define TEXT_MAX   2000
#define FACTS_TEXT 900

static const char *color(enum severity severity)
{
    static const char *const colors[] = { "accent", "warning", "attention" };

    return colors[(int)severity];
}

/* key, value: how the text looks; value is taken over. url NULL: it is no link. */
static json_t *line(const char *text, const char *key, json_t *value, const char *url)
{
    json_t *run = json_pack("{s:s, s:s, s:o}", "type", "TextRun", "text", text, key, value);

    if (url != NULL && run != NULL)
        json_object_set_new(run, "selectAction",
                            json_pack("{s:s, s:s}", "type", "Action.OpenUrl", "url", url));
    return json_pack("{s:s, s:[o]}", "type", "RichTextBlock", "inlines", run);
}

static json_t *alert_item(const struct payload_message *m, const struct told *t)
{
    char text[TEXT_MAX], facts[FACTS_TEXT], badge[PAYLOAD_BADGE_MAX], when[FACT_WHEN_MAX], url[HEAD_LINK_MAX];
    struct prose title = prose_of(text, sizeof text, MARKUP_NONE);
    struct prose w = prose_of(facts, sizeof facts, MARKUP_NONE);
    bool linked = head_link(m->link, t, url);

    payload_add_title(&title, t);
    fact_when(t, when);
    prose_own(&w, when);
    payload_add_facts(&w, t, " | ");
    payload_badge(t, badge);
    return json_pack("{s:s, s:b, s:[o, o, o]}", "type", "Container", "separator", 1, "items",
                     line(badge, "color", json_string(color(t->severity)), linked ? url : NULL),
                     line(text, "weight", json_string("bolder"), NULL),
                     line(facts, "isSubtle", json_true(), NULL));
}

static json_t *actions(const struct payload_message *m)
{
    char url[HEAD_LINK_MAX];
    bool linked = m->alerts > 1 ? head_list_link(m, url) : head_link(m->link, m->alert, url);

    if (!linked)
        return json_array();
    return json_pack("[{s:s, s:s, s:s}]", "type", "Action.OpenUrl", "title",
                     m->alerts > 1 ? "All alerts" : "Open", "url", url);
}

static json_t *card(const struct payload_message *m, size_t shown)
{
    char text[TEXT_MAX], more[PAYLOAD_MORE_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_NONE);
    json_t *body = json_array();

    payload_add_headline(&w, m);
    if (m->alerts > 1)
        json_array_append_new(body, line(text, "size", json_string("large"), NULL));
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(body, alert_item(m, &m->alert[i]));
    if (payload_more(m, shown, more))
        json_array_append_new(body, line(more, "isSubtle", json_true(), NULL));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "$schema",
                     "http://adaptivecards.io/schemas/adaptive-card.json", "type", "AdaptiveCard", "version",
                     "1.4", "fallbackText", text, "body", body, "actions", actions(m));
}

json_t *payload_teams(const struct payload_message *m, const struct destination *d, size_t shown)
{
    char text[TEXT_MAX];
    struct prose w = prose_of(text, sizeof text, MARKUP_NONE);

    (void)d;
    payload_add_headline(&w, m);
    return json_pack("{s:s, s:s, s:[{s:s, s:n, s:o}]}", "type", "message", "summary", text, "attachments",
                     "contentType", "application/vnd.microsoft.card.adaptive", "contentUrl", "content",
                     card(m, shown));
}
