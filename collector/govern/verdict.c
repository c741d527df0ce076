/* SPDX-License-Identifier: MIT */
#include "verdict.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "line.h"

#define CENT      10000000LL /* in nano-dollars */
#define KEY_SHOWN 120        /* bytes of a key */

void verdict_time_text(int64_t opens_ms, const struct zone *zone, char out[VERDICT_TIME_TEXT])
{
    char date[ZONE_DATE_MAX];

    if (zone == NULL) {
        time_t s = (time_t)(opens_ms / 1000);
        struct tm tm;
        gmtime_r(&s, &tm);
        snprintf(out, VERDICT_TIME_TEXT, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min);
        return;
    }
    int64_t local_s = opens_ms / 1000 + zone_offset(zone, opens_ms);
    int64_t minute = (local_s % 86400 + 86400) % 86400 / 60;
    zone_date(zone, opens_ms, date);
    snprintf(out, VERDICT_TIME_TEXT, "%s %02d:%02d %s", date, (int)(minute / 60), (int)(minute % 60),
             zone_name(zone));
}

static const char *what_to_do(const struct verdict *v, char *out, size_t size)
{
    char wait[DURATION_TEXT_MAX];

    out[0] = '\0';
    if (v->action == ACTION_DOWNGRADE && v->use_model[0] != '\0')
        snprintf(out, size, "; use model %s%s%s", v->use_model, v->use_lane[0] != '\0' ? " in lane " : "",
                 v->use_lane);
    else if (v->action == ACTION_DOWNGRADE)
        snprintf(out, size, "; use lane %s", v->use_lane);
    else if (v->action == ACTION_DELAY)
        duration_text(v->delay_ms, wait), snprintf(out, size, "; wait %s before the call", wait);
    return out;
}

void verdict_amount_text(enum unit unit, int64_t amount, char out[AMOUNT_TEXT])
{
    int64_t step = amount >= CENT || amount <= -CENT ? CENT : CENT / 1000;

    if (unit == UNIT_USD && amount < INT64_MAX - CENT && amount > INT64_MIN + CENT)
        amount = (amount + (amount < 0 ? -step : step) / 2) / step * step;
    amount_text(unit, amount, out);
}

void verdict_budget_text(struct verdict *v, const struct budget *b, const char *key, int64_t reserved)
{
    char spent[AMOUNT_TEXT], limit[AMOUNT_TEXT], held[AMOUNT_TEXT], opens[8 + VERDICT_TIME_TEXT] = "",
                                                                              also[400], kept[80] = "";

    verdict_amount_text(b->unit, v->spent, spent);
    verdict_amount_text(b->unit, v->limit, limit);
    verdict_amount_text(b->unit, reserved, held);
    if (reserved > 0)
        snprintf(kept, sizeof kept, " and %s reserved", held);
    if (v->opens_ms != WINDOW_NEVER && v->action != ACTION_WARN) {
        memcpy(opens, ", opens ", sizeof ", opens ");
        verdict_time_text(v->opens_ms, b->zone, opens + 8);
    }
    struct line text = line_of(v->text, sizeof v->text);
    const char *before[] = { "budget ", b->name, key[0] != '\0' ? " (" : "" };
    const char *after[] = { key[0] != '\0' ? "): " : ": ",   spent, " of ", limit, " spent", kept, opens,
                            what_to_do(v, also, sizeof also) };
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        line_text(&text, before[i]);
    line_add(&text, key, utf8_cut(key, strlen(key), KEY_SHOWN));
    for (size_t i = 0; i < sizeof after / sizeof *after; i++)
        line_text(&text, after[i]);
}
