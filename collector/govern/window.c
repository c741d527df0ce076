/* SPDX-License-Identifier: MIT
 *
 * window.c: calendar windows are the zone's own units. A sliding window's pieces lie at multiples of their
 * width since 1970, the same for every account, so that a piece is found from an instant alone.
 */
#include "window.h"

#include <stdio.h>
#include <string.h>

#define SLIDING       "sliding "
#define INSTANT_BOUND (INT64_MAX / 2) /* what is further is taken for this: sums stay in range */

static const char *const names[] = { "hour", "day", "week", "month", "sliding", "session", "total" };

static enum zone_unit unit_of(const struct window *w)
{
    static const enum zone_unit units[] = { ZONE_HOUR, ZONE_DAY, ZONE_WEEK, ZONE_MONTH };

    return units[w->kind];
}

static int64_t bound(int64_t ms)
{
    return ms > INSTANT_BOUND ? INSTANT_BOUND : ms < -INSTANT_BOUND ? -INSTANT_BOUND : ms;
}

static int64_t floor_to(int64_t ms, int64_t width)
{
    int64_t rest = ms % width;

    return ms - (rest < 0 ? rest + width : rest);
}

static int64_t piece_ms(const struct window *w)
{
    return w->length_ms / WINDOW_BUCKETS;
}

int64_t window_start(const struct window *w, int64_t ms)
{
    if (w->kind == WINDOW_SESSION || w->kind == WINDOW_TOTAL)
        return 0;
    if (w->kind == WINDOW_SLIDING)
        return floor_to(bound(ms), piece_ms(w));
    return zone_floor(w->zone, unit_of(w), ms);
}

int64_t window_end(const struct window *w, int64_t start_ms)
{
    if (w->kind == WINDOW_SESSION || w->kind == WINDOW_TOTAL)
        return WINDOW_NEVER;
    if (w->kind == WINDOW_SLIDING)
        return bound(start_ms) + piece_ms(w);
    return zone_next(w->zone, unit_of(w), start_ms);
}

int64_t window_first(const struct window *w, int64_t now_ms)
{
    if (w->kind != WINDOW_SLIDING)
        return window_start(w, now_ms);
    return floor_to(bound(now_ms) - w->length_ms, piece_ms(w));
}

int64_t window_gone(const struct window *w, int64_t start_ms)
{
    int64_t end = window_end(w, start_ms);

    return w->kind == WINDOW_SLIDING ? end + w->length_ms : end;
}

void window_text(const struct window *w, char out[WINDOW_TEXT])
{
    char length[DURATION_TEXT_MAX] = "";

    if (w->kind == WINDOW_SLIDING)
        duration_text(w->length_ms, length);
    snprintf(out, WINDOW_TEXT, "%s%s%.20s", names[w->kind], length[0] != '\0' ? " " : "", length);
}

static bool parse_sliding(const char *text, struct window *out)
{
    int64_t ms;

    text += strspn(text, " ");
    if (!duration_parse(text, &ms) || ms < WINDOW_SLIDING_MIN || ms > WINDOW_SLIDING_MAX)
        return false;
    out->kind = WINDOW_SLIDING;
    out->length_ms = (ms + WINDOW_SLIDING_STEP - 1) / WINDOW_SLIDING_STEP * WINDOW_SLIDING_STEP;
    return true;
}

bool window_parse(const char *text, struct window *out)
{
    if (strncmp(text, SLIDING, sizeof SLIDING - 1) == 0)
        return parse_sliding(text + sizeof SLIDING - 1, out);
    for (int i = WINDOW_HOUR; i <= WINDOW_TOTAL; i++)
        if (i != WINDOW_SLIDING && strcmp(text, names[i]) == 0) {
            out->kind = (enum window_kind)i;
            out->length_ms = 0;
            return true;
        }
    return false;
}
