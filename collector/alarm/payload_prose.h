/* SPDX-License-Identifier: MIT
 *
 * payload_prose.h: texts for people, made of what strangers named: valid UTF-8 whatever comes in, without
 * control characters, and without what the receiver would obey. Pure.
 */
#ifndef COLLECTOR_PAYLOAD_PROSE_H
#define COLLECTOR_PAYLOAD_PROSE_H

#include <stdbool.h>
#include <stddef.h>

enum markup {
    MARKUP_NONE,
    MARKUP_SLACK,   /* & < > as entities; an @ is nobody */
    MARKUP_DISCORD, /* a backslash before what Markdown knows; an @ is nobody */
};

/* A text that grows up to a limit. What does not fit is cut at a character, and "..." as one character says
 * so; nothing follows it. */
struct prose {
    char *text; /* borrowed; NUL-terminated at any time */
    size_t len, room;
    enum markup markup;
    bool is_cut;
};

#define PROSE_CUT     "\xe2\x80\xa6" /* the ellipsis */
#define PROSE_CUT_LEN (sizeof PROSE_CUT - 1)

/* size: of out, more than PROSE_CUT_LEN. */
struct prose prose_of(char *out, size_t size, enum markup markup);

/* A text of our own, as it is. */
void prose_own(struct prose *w, const char *text);

/* The same, but where it does not fit, nothing of it: a link that is cut leads nowhere. */
void prose_whole(struct prose *w, const char *text);

/* At most max bytes of a stranger's. */
void prose_add(struct prose *w, const char *text, size_t max);

#endif
