/* SPDX-License-Identifier: MIT */
#include "watch_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../govern/line.h"

static void begin(struct words *w, enum alert_kind kind, enum severity severity,
                  void (*finish)(struct words *w))
{
    w->alert = (struct alert){ .kind = kind, .severity = severity, .mark = w->mark, .title = w->title };
    w->subject = w->evidence = NULL;
    w->finish = finish;
    w->call = NULL;
    w->who = NULL;
    w->verdict = NULL;
    w->source = w->text = NULL;
    w->mark[0] = w->title[0] = '\0';
}

int words_finish(struct words *w)
{
    w->finish(w);
    w->alert.subject = w->subject;
    w->alert.evidence = w->evidence;
    return w->subject != NULL && w->evidence != NULL ? 0 : -SQLITE_NOMEM;
}

void words_fini(struct words *w)
{
    json_decref(w->subject);
    json_decref(w->evidence);
    w->subject = w->evidence = NULL;
}

/* --------------------------------------------------------------------- pieces */

static struct slice slice_of(const char *text)
{
    return (struct slice){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

/* "6:openai": no two lists of names are the same text. An unknown one is "-". */
static void mark_name(struct words *w, struct slice name)
{
    size_t used = strlen(w->mark);
    struct line line = line_of(w->mark + used, sizeof w->mark - used);
    char len[16];

    if (name.at == NULL) {
        line_text(&line, "-");
        return;
    }
    snprintf(len, sizeof len, "%" PRIu32 ":", name.len);
    line_text(&line, len);
    line_add(&line, (const char *)name.at, name.len);
}

static void title_name(struct line *line, struct slice name, const char *unknown)
{
    if (name.at != NULL)
        line_add(line, (const char *)name.at, name.len);
    else
        line_text(line, unknown);
}

static void title_number(struct line *line, int64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, n);
    line_text(line, text);
}

static void put_name(json_t *to, const char *key, struct slice name)
{
    if (name.at != NULL)
        json_object_set_new(to, key, json_stringn((const char *)name.at, name.len));
}

/* ---------------------------------------------------------------------- calls */

static void put_example(struct words *w)
{
    const struct subject *who = &w->call->who;

    w->evidence = json_pack("{s:I, s:I}", "example_event", (json_int_t)w->call->row->id, "example_ts_ms",
                            (json_int_t)w->call->row->ts_ms);
    put_name(w->evidence, "example_agent", who->text[SUBJECT_agent_id]);
    put_name(w->evidence, "example_session", who->text[SUBJECT_session_id]);
    json_object_set_new(w->evidence, "example_source", json_string(w->call->source));
}

static void put_model(struct words *w)
{
    w->subject = json_object();
    put_name(w->subject, "provider", w->call->who.text[SUBJECT_provider]);
    put_name(w->subject, "model", w->call->who.text[SUBJECT_model]);
}

static void title_model(struct words *w, struct line *line)
{
    title_name(line, w->call->who.text[SUBJECT_model], "a model that nobody named");
    line_text(line, " of ");
    title_name(line, w->call->who.text[SUBJECT_provider], "a provider that nobody named");
}

static void finish_unpriced(struct words *w)
{
    struct line line = line_of(w->title, sizeof w->title);
    const int64_t *num = w->call->row->num;

    title_model(w, &line);
    line_text(&line, " has no price: what its calls cost is not known");
    put_model(w);
    put_example(w);
    if (num[D_prompt_tokens] != UNKNOWN)
        json_object_set_new(w->evidence, "example_prompt_tokens", json_integer(num[D_prompt_tokens]));
    if (num[D_completion_tokens] != UNKNOWN)
        json_object_set_new(w->evidence, "example_completion_tokens", json_integer(num[D_completion_tokens]));
    if (num[D_cost_reported_nanousd] != UNKNOWN)
        json_object_set_new(w->evidence, "example_cost_reported_nanousd",
                            json_integer(num[D_cost_reported_nanousd]));
}

void words_of_unpriced(struct words *w, const struct call_words *call)
{
    begin(w, ALERT_unpriced, SEVERITY_WARNING, finish_unpriced);
    w->call = call;
    mark_name(w, call->who.text[SUBJECT_provider]);
    mark_name(w, call->who.text[SUBJECT_model]);
}

static void finish_unknown_usage(struct words *w)
{
    struct line line = line_of(w->title, sizeof w->title);

    line_text(&line, "calls of ");
    title_model(w, &line);
    line_text(&line, " from ");
    line_text(&line, w->call->source);
    line_text(&line, " end well and nobody tells their tokens");
    put_model(w);
    json_object_set_new(w->subject, "source", json_string(w->call->source));
    put_example(w);
}

void words_of_unknown_usage(struct words *w, const struct call_words *call)
{
    begin(w, ALERT_unknown_usage, SEVERITY_WARNING, finish_unknown_usage);
    w->call = call;
    mark_name(w, call->who.text[SUBJECT_provider]);
    mark_name(w, call->who.text[SUBJECT_model]);
    mark_name(w, slice_of(call->source));
}

static void finish_policy(struct words *w)
{
    struct slice agent = subject_value(w->who, SUBJECT_agent_id, NULL);
    struct line line = line_of(w->title, sizeof w->title);

    line_text(&line, w->verdict->kind == VERDICT_PAUSE ? "a pause" : "policy ");
    if (w->verdict->kind != VERDICT_PAUSE)
        line_text(&line, w->verdict->name);
    line_text(&line, " stopped a call of ");
    title_name(&line, agent, "an agent that nobody named");
    line_text(&line, ": ");
    line_text(&line, w->verdict->text);
    w->subject = json_object();
    for (int i = 0; i < SUBJECT_FIELDS; i++)
        if (i == SUBJECT_agent_id || w->verdict->kind == VERDICT_PAUSE)
            put_name(w->subject, subject_field_name(i), subject_value(w->who, i, NULL));
    json_object_set_new(w->subject, "policy", json_string(w->verdict->name));
    w->evidence = json_pack("{s:s}", "verdict", w->verdict->text);
    put_name(w->evidence, "example_session", subject_value(w->who, SUBJECT_session_id, NULL));
    put_name(w->evidence, "example_provider", subject_value(w->who, SUBJECT_provider, NULL));
    put_name(w->evidence, "example_model", subject_value(w->who, SUBJECT_model, NULL));
}

void words_of_policy(struct words *w, const struct subject *who, const struct verdict *verdict)
{
    begin(w, ALERT_policy, SEVERITY_INFO, finish_policy);
    w->who = who;
    w->verdict = verdict;
    mark_name(w, slice_of(verdict->name));
    mark_name(w, subject_value(who, SUBJECT_agent_id, NULL));
}

/* -------------------------------------------------------------------- sources */

static void finish_losses(struct words *w)
{
    struct line line = line_of(w->title, sizeof w->title);

    line_text(&line, "publisher ");
    line_text(&line, w->source);
    line_text(&line, " lost ");
    title_number(&line, w->amount);
    line_text(&line, w->amount == 1 ? " event: " : " events: ");
    line_text(&line, w->text);
    w->subject = json_pack("{s:s}", "source", w->source);
    w->evidence = json_pack("{s:s, s:I}", "reason", w->text, "lost_events", (json_int_t)w->amount);
}

void words_of_losses(struct words *w, const char *source, const char *reason, int64_t events)
{
    begin(w, ALERT_losses, SEVERITY_WARNING, finish_losses);
    w->source = source;
    w->text = reason;
    w->amount = events;
    mark_name(w, slice_of(source));
    mark_name(w, slice_of(reason));
}

static void finish_quarantine(struct words *w)
{
    struct line line = line_of(w->title, sizeof w->title);

    title_number(&line, w->amount);
    line_text(&line, w->amount == 1 ? " event from " : " events from ");
    line_text(&line, w->source);
    line_text(&line, " could not be understood: ");
    line_text(&line, w->text);
    w->subject = json_pack("{s:s}", "source", w->source);
    w->evidence = json_pack("{s:I, s:s}", "quarantined_events", (json_int_t)w->amount, "last_fault", w->text);
}

void words_of_quarantine(struct words *w, const char *source, int64_t events, const char *fault)
{
    begin(w, ALERT_quarantine, SEVERITY_WARNING, finish_quarantine);
    w->source = source;
    w->text = fault;
    w->amount = events;
    mark_name(w, slice_of(source));
}

/* ------------------------------------------------------------------- the store */

static void finish_outage(struct words *w)
{
    int64_t ms = w->until_ms > w->from_ms ? w->until_ms - w->from_ms : 0;
    struct line line = line_of(w->title, sizeof w->title);
    char time[48];

    snprintf(time, sizeof time, "%" PRId64 ".%" PRId64 " s: ", ms / 1000, ms % 1000 / 100);
    line_text(&line, "the store could not write for ");
    line_text(&line, time);
    line_text(&line, w->text);
    w->subject = json_object();
    w->evidence = json_pack("{s:I, s:I, s:I, s:s}", "from_ms", (json_int_t)w->from_ms, "until_ms",
                            (json_int_t)w->until_ms, "duration_ms", (json_int_t)ms, "error", w->text);
}

void words_of_outage(struct words *w, int64_t from_ms, int64_t until_ms, const char *error)
{
    begin(w, ALERT_store, SEVERITY_CRITICAL, finish_outage);
    w->from_ms = from_ms;
    w->until_ms = until_ms;
    w->text = error;
    snprintf(w->mark, sizeof w->mark, "%" PRId64, from_ms);
}
