/* SPDX-License-Identifier: MIT
 *
 * runaway_judge.c: which rules a subject breaks, and how that is told.
 */
#include <stdio.h>
#include <string.h>

#include "../govern/line.h"
#include "../govern/verdict.h"
#include "runaway_work.h"

#define NAME_SHOWN 240 /* bytes of a name in a title */
#define SPAN_TEXT  32

/* ---------------------------------------------------------------- the evidence */

static void measure(const struct looking *l, const struct seen *s, struct runaway_finding *f)
{
    f->first_ms = minute_first_ms(&s->minute, s->slot);
    f->calls = s->minute.calls;
    switch (f->rule->kind) {
    case RUNAWAY_identical_errors:
        f->first_ms = s->error_first_ms;
        f->calls = s->errors;
        break;
    case RUNAWAY_payment_retries:
        f->first_ms = ten_first_ms(&s->payment);
        f->calls = s->payment.sum;
        break;
    case RUNAWAY_compaction_loop:
        f->first_ms = ten_first_ms(&s->compaction);
        f->calls = s->compaction.sum;
        break;
    case RUNAWAY_outlier_call:
        f->first_ms = l->call->ts_ms;
        f->calls = s->mean_calls;
        break;
    case RUNAWAY_session_duration:
        f->first_ms = s->since_ms;
        f->calls = s->sitting_calls;
        break;
    default:
        break;
    }
    f->last_ms = s->newest_ms;
    f->first_ms = f->first_ms < f->last_ms ? f->first_ms : f->last_ms;
}

/* How long it was, rounded up. */
static void span_text(int64_t ms, char out[SPAN_TEXT])
{
    int64_t s = ms / 1000 + 1;

    snprintf(out, SPAN_TEXT, s <= 120 ? "%lld s" : "%lld min", (long long)(s <= 120 ? s : (s + 59) / 60));
}

static void say_error(const struct runaway_finding *f, char *out, size_t size)
{
    const char *space = f->error[0] != '\0' ? ", " : "";

    if (f->error_http_status != UNKNOWN)
        snprintf(out, size, "%s%sHTTP %d", f->error, space, (int)f->error_http_status);
    else
        snprintf(out, size, "%s", f->error[0] != '\0' ? f->error : "no name");
}

/* "8,045,716 tokens", "$0.51" */
static void size_text(const struct runaway_call *c, char out[AMOUNT_TEXT])
{
    if (c->tokens >= 0)
        amount_text(UNIT_TOKENS, c->tokens, out);
    else
        verdict_amount_text(UNIT_USD, c->cost_nanousd, out);
}

static void say(const struct looking *l, const struct runaway_finding *f, char *out, size_t size)
{
    char n[AMOUNT_TEXT], limit[AMOUNT_TEXT], one[AMOUNT_TEXT];
    char span[SPAN_TEXT], error[RUNAWAY_ERROR_MAX + 16];

    amount_text(UNIT_NONE, f->value, n);
    amount_text(UNIT_NONE, f->limit, limit);
    span_text(f->last_ms - f->first_ms, span);
    say_error(f, error, sizeof error);
    switch (f->rule->kind) {
    case RUNAWAY_tokens_per_minute:
        snprintf(out, size, "%s tokens within %s, where %s a minute are the limit", n, span, limit);
        return;
    case RUNAWAY_context_growth:
        snprintf(out, size, "its prompt grew by %s tokens within %s, where %s a minute are the limit", n,
                 span, limit);
        return;
    case RUNAWAY_tool_calls_per_minute:
        snprintf(out, size, "%s tool calls within %s, where %s a minute are the limit", n, span, limit);
        return;
    case RUNAWAY_identical_errors:
        snprintf(out, size, "%s calls in a row ended in the same error (%s), where %s are the limit", n,
                 error, limit);
        return;
    case RUNAWAY_payment_retries:
        snprintf(out, size,
                 "%s calls within %s were answered 402 or 429, none ended well between them, where %s in "
                 "10 min are the limit (last: %s)",
                 n, span, limit, error);
        return;
    case RUNAWAY_compaction_loop:
        snprintf(out, size,
                 "%s compactions or overflows of the context within %s, where %s in 10 min are the limit", n,
                 span, limit);
        return;
    case RUNAWAY_outlier_call:
        size_text(l->call, one);
        snprintf(out, size, "a call of %s, %s times the mean of the %d before it, where %s is the limit", one,
                 n, (int)f->calls - 1, limit);
        return;
    case RUNAWAY_session_duration:
        snprintf(out, size, "%s minutes without a pause of 15 minutes, where %s are the limit", n, limit);
        return;
    case RUNAWAY_subagent_depth:
        snprintf(out, size, "a sub-agent has %s sessions above it, where %s are the limit", n, limit);
        return;
    default:
        snprintf(out, size, "%s calls within %s, where %s a minute are the limit", n, span, limit);
    }
}

static void set_text(const struct looking *l, struct runaway_finding *f)
{
    static const char *const who[LOOKS] = { "session ", "root session ", "agent " };
    struct line line = line_of(f->text, sizeof f->text);
    char what[ALERT_TITLE_MAX + 1];

    say(l, f, what, sizeof what);
    line_text(&line, who[f->look]);
    line_add(&line, (const char *)f->name.at,
             f->name.len < NAME_SHOWN ? f->name.len
                                      : utf8_cut((const char *)f->name.at, f->name.len, NAME_SHOWN));
    line_text(&line, ": ");
    line_text(&line, what);
}

/* The last one, if it is still known what it is called. */
static void put_error(const struct runaway *r, const struct seen *s, struct runaway_finding *f)
{
    const struct seen_error *e = &r->seen.errors[s->error & (ERRORS_KEPT - 1)];

    if (s->error == 0 || e->error != s->error)
        return;
    f->error = e->type;
    f->error_http_status = e->http_status;
}

static struct slice name_of(const struct looking *l, enum runaway_look look)
{
    const struct slice *text = l->names.who.text;
    struct slice root = text[SUBJECT_root_session_id];

    return look == LOOK_AGENT                                         ? text[SUBJECT_agent_id]
           : look == LOOK_SESSION || root.at == NULL || root.len == 0 ? text[SUBJECT_session_id]
                                                                      : root;
}

/* ------------------------------------------------------------------- judging */

static int tell(struct looking *l, enum runaway_look look, int kind)
{
    struct runaway *r = l->r;
    uint32_t at = l->at[look];
    bool alone = look == LOOK_SESSION && l->at[LOOK_ROOT_SESSION] == SEEN_NONE;
    int rc = looking_ask(l);

    if (rc != 0)
        return rc;
    look = alone ? (enum runaway_look)l->set->alone[kind] : look;
    r->finding = (struct runaway_finding){ .rule = r->rule[l->set->rule[kind]],
                                           .look = look,
                                           .name = name_of(l, look),
                                           .names = &l->names,
                                           .value = l->value[kind],
                                           .limit = l->limit[kind],
                                           .row = l->call->row,
                                           .error = "",
                                           .error_http_status = UNKNOWN };
    put_error(r, &r->seen.all[at], &r->finding);
    measure(l, &r->seen.all[at], &r->finding);
    set_text(l, &r->finding);
    return l->found(l->arg, &r->finding);
}

/* Seconds, rounded up; the last one is never. */
static uint32_t told_until(int64_t ts_ms, int64_t cooldown_ms)
{
    int64_t s = (ts_ms + cooldown_ms + 999) / 1000;

    return cooldown_ms == 0 || s >= UINT32_MAX ? UINT32_MAX : s > 0 ? (uint32_t)s : 0;
}

static void cover(struct looking *l, int kind)
{
    l->told |= 1u << kind;
    l->covered[kind] = l->value[kind];
}

static int judge_broken(struct looking *l, enum runaway_look look, int kind)
{
    uint32_t *until_s = &l->r->seen.all[l->at[look]].told_until_s[kind];
    int64_t covered = (l->told & 1u << kind) != 0 ? l->covered[kind] : 0;

    if (l->ts_s < *until_s) {
        cover(l, kind);
        return 0;
    }
    if (l->value[kind] - covered <= l->limit[kind])
        return 0;
    *until_s = told_until(l->call->ts_ms, l->r->rule[l->set->rule[kind]]->cooldown_ms);
    cover(l, kind);
    return l->quiet ? 0 : tell(l, look, kind);
}

int runaway_judge(struct looking *l, enum runaway_look look)
{
    int rc = 0;

    for (unsigned left = l->broken; rc == 0 && left != 0; left &= left - 1)
        rc = judge_broken(l, look, __builtin_ctz(left));
    return rc;
}
