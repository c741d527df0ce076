/* SPDX-License-Identifier: MIT
 *
 * ledger_alert.c: what an alert says of an account. Its mark is that of its cell: in the next window it is
 * another one.
 */
#include <stdio.h>
#include <string.h>

#include "../govern/instant.h"
#include "ledger_work.h"
#include "office_work.h"

static enum severity severity_of(const struct budget *def, enum alert_kind kind, int percent)
{
    if (kind == ALERT_overrun)
        return SEVERITY_CRITICAL;
    return percent < 100                 ? SEVERITY_WARNING
           : def->action == ACTION_BLOCK ? SEVERITY_CRITICAL
                                         : SEVERITY_WARNING;
}

/* "12/6A6F62/1763683200000/80" */
static void write_mark(const struct account *c, int64_t start_ms, int percent, char mark[ALERT_MARK_MAX])
{
    size_t n = (size_t)snprintf(mark, ALERT_MARK_MAX, "%lld/", (long long)c->budget->id);

    for (uint32_t i = 0; i < c->key_len; i++)
        n += (size_t)snprintf(mark + n, ALERT_MARK_MAX - n, "%02X", c->key[i]);
    snprintf(mark + n, ALERT_MARK_MAX - n, "/%lld/%d", (long long)start_ms, percent);
}
_Static_assert(2 * BUDGET_KEY_MAX + 80 < ALERT_MARK_MAX, "a mark has room for every key");

static void write_title(const struct budget *def, const char *key, enum alert_kind kind, int percent,
                        int64_t spent, int64_t allowed, char title[ALERT_TITLE_MAX + 1])
{
    char amount[AMOUNT_TEXT], limit[AMOUNT_TEXT], what[48] = "over its limit";

    verdict_amount_text(def->unit, spent, amount);
    verdict_amount_text(def->unit, allowed, limit);
    if (kind == ALERT_threshold)
        snprintf(what, sizeof what, "%d %% reached", percent);
    snprintf(title, ALERT_TITLE_MAX + 1, "budget %s%s%.200s%s: %s: %s of %s spent", def->name,
             key[0] != '\0' ? " (" : "", key, key[0] != '\0' ? ")" : "", what, amount, limit);
}

json_t *ledger_subject_json(const struct budget *def, const uint8_t *key, size_t len)
{
    json_t *subject = json_pack("{s:s}", "budget", def->name);
    const uint8_t *at = key;
    char name[SCOPE_FIELD_TEXT];
    struct slice value;

    for (unsigned i = 0; i < def->pers && budget_key_next(&at, key + len, &value); i++) {
        if (value.at == NULL)
            continue;
        scope_field_text(def->per[i].field, def->per[i].tag, name);
        json_object_set_new(subject, name, json_stringn((const char *)value.at, value.len));
    }
    return subject;
}

/* When its window is over; of a sliding one: when what it holds now is out of it; 0: never. */
static int64_t until_of(const struct account *c)
{
    const struct window *w = &c->budget->def->window;

    if (w->kind == WINDOW_SLIDING)
        return window_gone(w, c->start_ms);
    return c->until_ms == WINDOW_NEVER ? 0 : c->until_ms;
}

static json_t *evidence_of(const struct account *c, enum alert_kind kind, int percent, const char *key,
                           int64_t allowed)
{
    const struct budget *def = c->budget->def;

    return json_pack(
        "{s:s, s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:s, s:b}", "budget", def->name, "key",
        office_string(key), "unit", unit_name((int)def->unit), "percent",
        kind == ALERT_threshold ? json_integer(percent) : json_null(), "spent", (json_int_t)account_spent(c),
        "reserved", (json_int_t)c->total.held[HELD_RESERVED], "limit", (json_int_t)allowed, "calls",
        (json_int_t)c->total.calls, "unknown_calls", (json_int_t)c->total.unknown, "window_start_ms",
        office_time(c->start_ms), "window_end_ms", office_time(c->until_ms), "action",
        def->action == ACTION_WARN ? "alert" : action_name((int)def->action), "shadow", (int)def->shadow);
}

/* Owner of subject and evidence (NULL: no memory) is the caller. */
static int write_alert(struct ledger *l, const struct alert *alert, bool *fresh)
{
    int rc = alert->subject == NULL || alert->evidence == NULL
                 ? -SQLITE_NOMEM
                 : alerts_raise(&l->alerts, alert, l->now_ms, NULL, fresh);

    l->tally.alerts += *fresh;
    return rc;
}

int ledger_tell(struct ledger *l, const struct account *c, enum alert_kind kind, int percent, int64_t allowed)
{
    const struct budget *def = c->budget->def;
    char mark[ALERT_MARK_MAX], title[ALERT_TITLE_MAX + 1], key[200];
    bool fresh = false;

    budget_key_text(def, c->key, c->key_len, key, sizeof key);
    write_mark(c, c->start_ms, percent, mark);
    write_title(def, key, kind, percent, account_spent(c), allowed, title);
    json_t *subject = ledger_subject_json(def, c->key, c->key_len);
    json_t *evidence = evidence_of(c, kind, percent, key, allowed);
    struct alert alert = {
        kind, severity_of(def, kind, percent), mark, title, subject, evidence, until_of(c)
    };
    int rc = write_alert(l, &alert, &fresh);
    json_decref(subject);
    json_decref(evidence);
    l->tally.overruns += fresh && kind == ALERT_overrun;
    return rc;
}

/* -------------------------------------------------------------------- forecasts */

/* "at its pace $12.40 of $10.00 by 2026-11-21T00:00:00Z"; of a sliding window "full at 2026-11-21T09:40:12Z
 * at its pace: $9.10 of $10.00 in any 5h". */
static void write_foresight(const struct account *c, int64_t allowed, const struct forecast *f, char out[200])
{
    const struct budget *def = c->budget->def;
    bool slides = def->window.kind == WINDOW_SLIDING;
    char amount[AMOUNT_TEXT], limit[AMOUNT_TEXT], at[INSTANT_TEXT], length[DURATION_TEXT_MAX];

    verdict_amount_text(def->unit, slides ? account_spent(c) : f->projected, amount);
    verdict_amount_text(def->unit, allowed, limit);
    instant_text(slides ? f->exhausted_ms / 1000 * 1000 : c->until_ms, at);
    duration_text(def->window.length_ms, length);
    if (slides)
        snprintf(out, 200, "full at %s at its pace: %s of %s in any %s", at, amount, limit, length);
    else
        snprintf(out, 200, "at its pace %s of %s by %s", amount, limit, at);
}

/* "budget daily (coder): at its pace ..." */
static void write_foretitle(const struct account *c, const char *key, int64_t allowed,
                            const struct forecast *f, char title[ALERT_TITLE_MAX + 1])
{
    char what[200];

    write_foresight(c, allowed, f, what);
    snprintf(title, ALERT_TITLE_MAX + 1, "budget %s%s%.200s%s: %s", c->budget->def->name,
             key[0] != '\0' ? " (" : "", key, key[0] != '\0' ? ")" : "", what);
}

static json_t *foreseen_of(const struct account *c, const char *key, int64_t allowed,
                           const struct forecast *f)
{
    json_t *evidence = evidence_of(c, ALERT_forecast, 0, key, allowed);

    if (evidence == NULL)
        return NULL;
    json_object_set_new(evidence, "projected", json_integer(f->projected));
    json_object_set_new(evidence, "per_minute", office_num(f->per_minute));
    json_object_set_new(evidence, "per_hour", office_num(f->per_hour));
    json_object_set_new(evidence, "exhausted_ms", office_time(f->exhausted_ms));
    json_object_set_new(evidence, "basis", json_string(forecast_basis_name((int)f->basis)));
    return evidence;
}

int ledger_foretell(struct ledger *l, const struct account *c, int64_t start_ms, int64_t allowed,
                    const struct forecast *f)
{
    char mark[ALERT_MARK_MAX], title[ALERT_TITLE_MAX + 1], key[200];
    bool fresh = false;

    budget_key_text(c->budget->def, c->key, c->key_len, key, sizeof key);
    write_mark(c, start_ms, 0, mark);
    write_foretitle(c, key, allowed, f, title);
    json_t *subject = ledger_subject_json(c->budget->def, c->key, c->key_len);
    json_t *evidence = foreseen_of(c, key, allowed, f);
    struct alert alert = { ALERT_forecast, SEVERITY_WARNING, mark, title, subject, evidence, until_of(c) };
    int rc = write_alert(l, &alert, &fresh);
    json_decref(subject);
    json_decref(evidence);
    return rc;
}
