/* SPDX-License-Identifier: MIT */
#include "payload_prose.h"

#include <glib.h>
#include <string.h>

#define ZERO_WIDTH  "\xe2\x80\x8b" /* a space that takes no room: what follows an @ is no name then */
#define REPLACEMENT "\xef\xbf\xbd"

struct prose prose_of(char *out, size_t size, enum markup markup)
{
    out[0] = '\0';
    return (struct prose){ out, 0, size - 1 - PROSE_CUT_LEN, markup, false };
}

static void put(struct prose *w, const char *text, size_t len)
{
    memcpy(w->text + w->len, text, len);
    w->len += len;
    w->text[w->len] = '\0';
}

/* Its room was kept. */
static void cut(struct prose *w)
{
    if (!w->is_cut)
        put(w, PROSE_CUT, PROSE_CUT_LEN);
    w->is_cut = true;
}

/* What must not be taken apart. */
static bool put_whole(struct prose *w, const char *text, size_t len)
{
    if (!w->is_cut && len <= w->room - w->len) {
        put(w, text, len);
        return true;
    }
    cut(w);
    return false;
}

void prose_whole(struct prose *w, const char *text)
{
    put_whole(w, text, strlen(text));
}

void prose_own(struct prose *w, const char *text)
{
    for (const char *next; *text != '\0'; text = next) {
        next = g_utf8_next_char(text);
        if (!put_whole(w, text, (size_t)(next - text)))
            return;
    }
}

/* Controls end lines and change directions; what is left of them is at most a space. */
static const char *cleaned(gunichar c)
{
    if (c == '\n' || c == '\t' || c == '\r' || c == 0x2028 || c == 0x2029)
        return " ";
    if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0xfeff || c == 0x061c ||
        (c >= 0x200b && c <= 0x200f && c != 0x200d) || (c >= 0x202a && c <= 0x202e) ||
        (c >= 0x2060 && c <= 0x206f) || (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff))
        return "";
    return NULL;
}

static const char *slack(gunichar c)
{
    return c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '@' ? "@" ZERO_WIDTH : NULL;
}

static const char *discord(gunichar c, char out[3])
{
    if (c == '@')
        return "@" ZERO_WIDTH;
    if (c >= 0x80 || strchr("\\*_~`|<>[]()#:", (int)c) == NULL)
        return NULL;
    out[0] = '\\';
    out[1] = (char)c;
    out[2] = '\0';
    return out;
}

/* One character of len bytes. */
static bool add_character(struct prose *w, const char *at, size_t len, gunichar c)
{
    char escaped[3];
    const char *instead = cleaned(c);

    if (instead == NULL && w->markup == MARKUP_SLACK)
        instead = slack(c);
    if (instead == NULL && w->markup == MARKUP_DISCORD)
        instead = discord(c, escaped);
    return instead != NULL ? put_whole(w, instead, strlen(instead)) : put_whole(w, at, len);
}

void prose_add(struct prose *w, const char *text, size_t max)
{
    const char *end = text + strlen(text), *stop = (size_t)(end - text) > max ? text + max : end;

    while (text < end && !w->is_cut) {
        gunichar c = g_utf8_get_char_validated(text, end - text);
        bool is_valid = c != (gunichar)-1 && c != (gunichar)-2;
        size_t len = is_valid ? (size_t)(g_utf8_next_char(text) - text) : 1;
        if (text + len > stop) {
            prose_whole(w, PROSE_CUT);
            return;
        }
        if (!(is_valid ? add_character(w, text, len, c) : put_whole(w, REPLACEMENT, sizeof REPLACEMENT - 1)))
            return;
        text += len;
    }
}
