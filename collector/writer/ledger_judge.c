/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "../govern/duration.h"
#include "../govern/line.h"
#include "ledger_cells.h"
#include "ledger_limits.h"
#include "ledger_work.h"

#define MINUTE_MS 60000

/* ------------------------------------------------------------------- limits */

int64_t ledger_allowed(const struct ledger *l, const struct account *c)
{
    const struct ledger_budget *b = c->budget;
    int64_t allowed = b->def->limit;
    char key[BUDGET_KEY_MAX + 1]; /* ", " takes no more than a length does */

    if (b->raises > 0)
        budget_key_text(b->def, c->key, c->key_len, key, sizeof key);
    for (unsigned i = 0; i < b->raises; i++)
        if (l->now_ms < b->raise[i].until_ms &&
            (b->raise[i].key == NULL || strcmp(b->raise[i].key, key) == 0) &&
            __builtin_add_overflow(allowed, b->raise[i].amount, &allowed))
            return INT64_MAX;
    return allowed;
}

/* ------------------------------------------------------------------ looking */

static int tell_thresholds(struct ledger *l, const struct account *c, unsigned now, int64_t allowed)
{
    int rc = 0;

    for (unsigned i = c->alerted; rc == 0 && i < now; i++)
        rc = ledger_tell(l, c, ALERT_threshold, c->budget->def->alert[i], allowed);
    return rc;
}

/* A state that holds until then is to be looked at then. */
static void note_change(struct ledger *l, const struct account *c)
{
    if (c->state != ACTION_ALLOW && c->until_ms < l->next_change_ms)
        l->next_change_ms = c->until_ms;
}

/* What it holds is of the window in which it was last used: that one may be over. */
int ledger_look(struct ledger *l, uint32_t account, bool alerts)
{
    int rc = accounts_roll(&l->accounts, account, l->now_ms);
    struct account *c = &l->accounts.all[account];
    const struct budget *def = c->budget->def;
    int64_t allowed = ledger_allowed(l, c), spent = account_spent(c), committed = account_committed(c);
    unsigned n = limit_reached(def, spent, allowed);
    enum action before = c->state, state = limit_state(def, n, committed, allowed);
    bool over = spent > allowed;

    if (rc == 0 && alerts && !c->fresh) {
        rc = tell_thresholds(l, c, n, allowed);
        if (rc == 0 && over && !c->overrun)
            rc = ledger_tell(l, c, ALERT_overrun, 100, allowed);
    }
    if (rc != 0)
        return rc;
    c->fresh = false;
    c->alerted = (uint8_t)n;
    c->overrun = over;
    c->mark = n < def->alerts                ? limit_threshold(allowed, def->alert[n])
              : over || allowed == INT64_MAX ? INT64_MAX
                                             : allowed + 1;
    c->full = committed >= allowed ? INT64_MAX : allowed;
    if (!accounts_set_state(&l->accounts, account, state))
        return -SQLITE_NOMEM;
    note_change(l, c);
    l->changed |= before != state && !def->shadow;
    return 0;
}

/* ----------------------------------------------------------------- verdicts */

int64_t ledger_opens_ms(const struct ledger *l, const struct account *c, int64_t needed)
{
    return limit_opens_ms(c, needed, ledger_allowed(l, c));
}

static void copy_text(char *out, size_t size, const char *from)
{
    snprintf(out, size, "%s", from != NULL ? from : "");
}

void ledger_verdict(const struct ledger *l, const struct account *c, struct verdict *out)
{
    const struct budget *def = c->budget->def;
    char key[200];

    *out = (struct verdict){ .action = c->state,
                             .kind = VERDICT_BUDGET,
                             .spent = account_spent(c),
                             .limit = ledger_allowed(l, c),
                             .unit = def->unit,
                             .opens_ms = ledger_opens_ms(l, c, 0) };
    copy_text(out->name, sizeof out->name, def->name);
    if (c->state == ACTION_DOWNGRADE) {
        copy_text(out->use_model, sizeof out->use_model, def->use_model);
        copy_text(out->use_lane, sizeof out->use_lane, def->use_lane);
    }
    out->delay_ms = c->state == ACTION_DELAY ? def->delay_ms : 0;
    budget_key_text(def, c->key, c->key_len, key, sizeof key);
    verdict_budget_text(out, def, key, c->total.held[HELD_RESERVED]);
}

static bool is_paused(const struct ledger *l, const struct pause *p, const struct subject *who)
{
    struct slice text = who->text[p->field];

    if (p->until_ms <= l->now_ms)
        return false;
    if (p->field == SUBJECT_root_session_id && text.at == NULL)
        text = who->text[SUBJECT_session_id];
    return text.at != NULL && text.len == strlen(p->value) && memcmp(text.at, p->value, text.len) == 0;
}

void ledger_pause_verdict(const struct pause *p, struct verdict *out)
{
    char wait[DURATION_TEXT_MAX] = "", until[VERDICT_TIME_TEXT] = "";
    bool ends = p->until_ms != WINDOW_NEVER, delays = p->delay_ms > 0;

    *out = (struct verdict){ .action = delays ? ACTION_DELAY : ACTION_BLOCK,
                             .kind = VERDICT_PAUSE,
                             .name = "pause",
                             .delay_ms = p->delay_ms,
                             .spent = UNKNOWN,
                             .limit = UNKNOWN,
                             .opens_ms = p->until_ms };
    if (delays)
        duration_text(p->delay_ms, wait);
    if (ends) /* never earlier than it is */
        verdict_time_text((p->until_ms + MINUTE_MS - 1) / MINUTE_MS * MINUTE_MS, NULL, until);
    struct line text = line_of(out->text, sizeof out->text);
    const char *words[] = { subject_field_name(p->field),
                            " ",
                            p->value,
                            delays ? " has to wait " : " is paused",
                            wait,
                            delays ? " before each call" : "",
                            ends ? " until " : "",
                            until,
                            p->reason[0] != '\0' ? ": " : "",
                            p->reason };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        line_text(&text, words[i]);
}

void ledger_rule_verdict(const struct rule *r, struct verdict *out)
{
    *out = (struct verdict){ .action = r->action,
                             .kind = VERDICT_POLICY,
                             .spent = UNKNOWN,
                             .limit = UNKNOWN,
                             .opens_ms = WINDOW_NEVER };
    copy_text(out->name, sizeof out->name, r->name);
    copy_text(out->text, sizeof out->text, r->text);
    copy_text(out->use_model, sizeof out->use_model, r->use_model);
    copy_text(out->use_lane, sizeof out->use_lane, r->use_lane);
}

void ledger_judge_rules(const struct ledger *l, const struct subject *who, bool shadow, struct verdict *out)
{
    *out = (struct verdict){ .spent = UNKNOWN, .limit = UNKNOWN, .opens_ms = WINDOW_NEVER };
    for (size_t i = 0; !shadow && i < l->pause_count && out->action == ACTION_ALLOW; i++)
        if (is_paused(l, &l->pauses[i], who))
            ledger_pause_verdict(&l->pauses[i], out); /* the hardest stands first */
    for (size_t i = 0; i < l->rule_count; i++) {
        const struct ledger_rule *r = &l->rules[i];
        if (r->shadow == shadow && r->rule.action > out->action && scope_holds(&r->rule.when, who))
            ledger_rule_verdict(&r->rule, out);
    }
}

void ledger_judge(const struct ledger *l, const struct subject *who, const struct reach *reach, int count,
                  struct verdict *out)
{
    ledger_judge_rules(l, who, false, out);
    for (int i = 0; i < count; i++) {
        const struct account *c = &l->accounts.all[reach[i].account];
        if (!c->budget->def->shadow && c->state > out->action)
            ledger_verdict(l, c, out);
    }
}
