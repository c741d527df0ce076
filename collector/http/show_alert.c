/* SPDX-License-Identifier: MIT */
#include "show_alert.h"

#include <stdio.h>
#include <string.h>

#include "../base/event.h"
#include "../query/when.h"
#include "columns.h"

#define WORD_MAX 32 /* of a kind, a state: every one is shorter */

/* ------------------------------------------------------------------- showing */

static void put_text(struct columns *c, const char *name, const char *s)
{
    column_text(c, name, s, s ? strlen(s) : 0);
}

static void put_ms(struct columns *c, const char *name, int64_t ms)
{
    column_int(c, name, ms != UNKNOWN, ms);
}

/* Text that is JSON already. */
static void put_json(struct columns *c, const char *name, const char *json)
{
    if (c->csv) {
        put_text(c, name, json);
        return;
    }
    text_key(c->t, name);
    text_str(c->t, json);
    c->begun = true;
}

static void put_all(struct columns *c, const struct alerts_row *row)
{
    char when[WHEN_TEXT];

    when_format(row->ts_ms, when);
    column_int(c, "id", true, row->id);
    put_text(c, "kind", row->kind);
    put_text(c, "severity", row->severity);
    put_text(c, "ts", when);
    put_ms(c, "ts_ms", row->ts_ms);
    put_ms(c, "last_ms", row->last_ms);
    column_int(c, "count", true, row->count);
    put_ms(c, "ended_ms", row->ended_ms);
    put_text(c, "title", row->title);
    put_json(c, "subject", row->subject);
    put_json(c, "evidence", row->evidence);
    put_ms(c, "acked_ms", row->acked_ms);
    put_text(c, "acked_by", row->acked_by);
    put_text(c, "acked_note", row->acked_note);
}

static void delivery_json(struct text *t, const struct alerts_delivery *d)
{
    struct columns c = { .t = t };

    text_str(t, "{");
    put_text(&c, "destination", d->destination);
    put_text(&c, "state", d->state);
    column_int(&c, "attempts", true, d->attempts);
    put_ms(&c, "due_ms", d->due_ms);
    put_ms(&c, "ended_ms", d->ended_ms);
    put_text(&c, "error", d->error);
    text_str(t, "}");
}

void alert_json(struct text *t, const struct alerts_row *row)
{
    struct alerts_delivery d;

    text_str(t, "{");
    put_all(&(struct columns){ .t = t }, row);
    text_key(t, "deliveries");
    text_str(t, "[");
    for (bool first = true; alerts_delivery(row, &d); first = false) {
        text_str(t, first ? "" : ",");
        delivery_json(t, &d);
    }
    text_str(t, "]}");
}

void alert_csv(struct text *t, const struct alerts_row *row)
{
    put_all(&(struct columns){ .t = t, .csv = true }, row);
    text_str(t, "\r\n");
}

void alert_head_csv(struct text *t)
{
    text_str(t, "id,kind,severity,ts,ts_ms,last_ms,count,ended_ms,title,subject,evidence,acked_ms,acked_by,"
                "acked_note\r\n");
}

/* ------------------------------------------------------------------- reading */

/* Cuts the next word out of a list that is separated by commas. False: after the last; one that is too long
 * is cut, and so none that anybody knows. */
static bool word_next(const char **at, char out[WORD_MAX])
{
    if (!*at)
        return false;
    size_t len = strcspn(*at, ",");
    snprintf(out, WORD_MAX, "%.*s", (int)len, *at);
    *at = (*at)[len] ? *at + len + 1 : NULL;
    return true;
}

static int refuse_kind(const char *kinds, struct problem *p)
{
    char expected[sizeof p->expected] = "";
    size_t used = 0;

    for (int i = 0; i < ALERT_KIND_COUNT; i++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "",
                                 alert_kind_name(i));
    snprintf(expected + used, sizeof expected - used, "; several separated by commas");
    return problem_parameter(p, "kind", kinds, expected);
}

static int read_kinds(const struct request *r, struct problem *p, struct alerts_filter *f)
{
    const char *kinds = request_param(r, "kind"), *at = kinds;
    char word[WORD_MAX];

    while (word_next(&at, word)) {
        int kind = alert_kind_code(word);
        if (kind < 0)
            return refuse_kind(kinds, p);
        f->kinds |= 1u << kind;
    }
    return 0;
}
_Static_assert(ALERT_KIND_COUNT <= 32, "a bit for every kind");

static int read_severity(const struct request *r, struct problem *p, struct alerts_filter *f)
{
    const char *text = request_param(r, "severity");
    int severity = text ? severity_code(text) : SEVERITY_INFO;

    if (severity < 0)
        return problem_parameter(p, "severity", text, "info, warning or critical: at least that");
    f->least = (enum severity)severity;
    return 0;
}

static int read_states(const struct request *r, struct problem *p, struct alerts_filter *f)
{
    static const char *const names[] = { "open", "ended", "acked", "unacked" };
    const char *states = request_param(r, "state"), *at = states;
    char word[WORD_MAX];

    while (word_next(&at, word)) {
        int i = 0;
        while (i < 4 && strcmp(names[i], word) != 0)
            i++;
        if (i == 4)
            return problem_parameter(
                p, "state", states,
                "open, ended, acked or unacked; of several, separated by commas, all must hold");
        f->states |= 1u << i;
    }
    return 0;
}

static int read_budget(const struct request *r, struct problem *p, struct alerts_filter *f)
{
    const char *budget = request_param(r, "budget");

    if (!budget || filter_add_tag(&f->budget, "budget", budget, p) == 0)
        return 0;
    return p->status == 400 ? problem_parameter(p, "budget", budget, "at most 64 values") : -1;
}

int alert_filter_read(const struct request *r, struct problem *p, struct alerts_filter *f)
{
    if (read_kinds(r, p, f) != 0 || read_severity(r, p, f) != 0 || read_states(r, p, f) != 0 ||
        read_budget(r, p, f) != 0)
        return -1;
    return request_filters(r, FIELD_SESSION_END, p, &f->names);
}
