/* SPDX-License-Identifier: MIT */
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "office_work.h"

#define LIST_DEFAULT 100
#define LIST_MAX     10000
#define TOKENS_MAX   1000000000000

/* --------------------------------------------------------------------- subjects */

static struct slice text_of(const json_t *text)
{
    const char *s = json_string_value(text);

    return (struct slice){ (const uint8_t *)s, s != NULL ? (uint32_t)json_string_length(text) : 0 };
}

static void pack_string(msgpack_packer *pk, const char *s)
{
    msgpack_pack_str(pk, strlen(s));
    msgpack_pack_str_body(pk, s, strlen(s));
}

/* tags: where the packed ones stand; to be destroyed by the caller. */
static void subject_of(struct office_desk *d, struct subject *out, msgpack_sbuffer *tags)
{
    static const char *const names[SUBJECT_FIELDS] = { "agent_id", "session_id", "root_session_id",
                                                       "user_id",  "provider",   "model",
                                                       "lane",     "surface",    "channel",
                                                       "trigger" };
    const json_t *map = json_object_get(d->request, "tags");
    json_t *value;
    const char *name;
    msgpack_packer pk;

    *out = (struct subject){ .tags = { NULL, 0 } };
    msgpack_sbuffer_init(tags);
    for (int i = 0; i < SUBJECT_FIELDS; i++) {
        struct slice text = text_of(json_object_get(d->request, names[i]));
        if (text.len > 0)
            out->text[i] = text;
    }
    if (!json_is_object(map) || json_object_size(map) == 0)
        return;
    msgpack_packer_init(&pk, tags, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, json_object_size(map));
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        pack_string(&pk, name);
        pack_string(&pk, json_is_string(value) ? json_string_value(value) : "");
    }
    out->tags = (struct slice){ (const uint8_t *)tags->data, (uint32_t)tags->size };
}

/* --------------------------------------------------------------------- verdicts */

static json_t *verdict_json(const struct verdict *v)
{
    static const char *const kinds[] = { NULL, "budget", "policy", "pause" };
    json_t *o = json_object();

    json_object_set_new(o, "action", json_string(action_name((int)v->action)));
    json_object_set_new(o, "kind", office_string(kinds[v->kind]));
    json_object_set_new(o, "budget", office_string(v->name));
    json_object_set_new(o, "text", office_string(v->text));
    json_object_set_new(o, "spent", office_num(v->spent));
    json_object_set_new(o, "limit", office_num(v->limit));
    json_object_set_new(o, "unit", office_string(unit_name((int)v->unit)));
    json_object_set_new(o, "opens_ms", office_time(v->opens_ms));
    json_object_set_new(o, "use_model", office_string(v->use_model));
    json_object_set_new(o, "use_lane", office_string(v->use_lane));
    json_object_set_new(o, "delay_ms", v->delay_ms > 0 ? json_integer(v->delay_ms) : json_null());
    return o;
}

/* What would be said if nothing were only recorded. */
static json_t *shadows(const struct ledger *l, const struct subject *who, const struct reach *reach,
                       int count)
{
    json_t *list = json_array();
    struct verdict v;

    ledger_judge_rules(l, who, true, &v);
    if (v.action != ACTION_ALLOW)
        json_array_append_new(list, verdict_json(&v));
    for (int i = 0; i < count; i++) {
        const struct account *c = &l->accounts.all[reach[i].account];
        if (!c->budget->def->shadow || c->state == ACTION_ALLOW)
            continue;
        ledger_verdict(l, c, &v);
        json_array_append_new(list, verdict_json(&v));
    }
    return list;
}

int office_check(struct office_desk *d)
{
    struct reach reach[LEDGER_REACH_MAX];
    struct subject who;
    struct verdict v;
    msgpack_sbuffer tags;

    subject_of(d, &who, &tags);
    int count = ledger_reach(d->l, 0, &who, reach);
    if (count >= 0) {
        ledger_judge(d->l, &who, reach, count, &v);
        d->answer = verdict_json(&v);
        json_object_set_new(d->answer, "shadow", shadows(d->l, &who, reach, count));
    }
    msgpack_sbuffer_destroy(&tags);
    return count < 0 ? count : 0;
}

/* ----------------------------------------------------------------- reservations */

static bool take_id(struct office_desk *d, struct order *o, bool make)
{
    const char *id = office_text(d, "id");
    uint8_t random[16];

    if (id == NULL && make && getrandom(random, sizeof random, 0) == (ssize_t)sizeof random) {
        for (size_t i = 0; i < sizeof random; i++)
            snprintf(o->id + 2 * i, 3, "%02x", random[i]);
        return true;
    }
    if (id == NULL || id[0] == '\0' || strlen(id) > RESERVATION_ID_MAX) {
        office_wrong(d, "id", id != NULL ? id : "", "1 to 64 bytes");
        return false;
    }
    snprintf(o->id, sizeof o->id, "%s", id);
    return true;
}

/* -1: it is there and no number from least to most. */
static int take_number(struct office_desk *d, const char *name, int64_t least, int64_t most, int64_t *out)
{
    const json_t *n = json_object_get(d->request, name);
    char value[64] = "", expected[96];

    if (n == NULL || json_is_null(n))
        return 0;
    if (json_is_integer(n) && json_integer_value(n) >= least && json_integer_value(n) <= most) {
        *out = json_integer_value(n);
        return 0;
    }
    if (json_is_integer(n))
        snprintf(value, sizeof value, "%lld", (long long)json_integer_value(n));
    snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)least,
             (long long)most);
    office_wrong(d, name, value, expected);
    return -1;
}

static const char *admit_status(enum order_status s)
{
    static const char *const names[] = { "granted", "denied", "settled", "expired", "busy", "refused" };
    return names[s];
}

static int add_shadows(struct office_desk *d, const struct subject *who)
{
    struct reach reach[LEDGER_REACH_MAX];
    int count = ledger_reach(d->l, 0, who, reach);

    if (count >= 0)
        json_object_set_new(d->answer, "shadow", shadows(d->l, who, reach, count));
    return count < 0 ? count : 0;
}

int office_admit(struct office_desk *d)
{
    struct order o = { .kind = ORDER_ADMIT, .prompt_tokens = UNKNOWN, .max_tokens = UNKNOWN };
    msgpack_sbuffer tags;

    if (!take_id(d, &o, true) ||
        take_number(d, "ttl_ms", LEDGER_TTL_MIN_MS, LEDGER_TTL_MAX_MS, &o.ttl_ms) != 0 ||
        take_number(d, "prompt_tokens", 0, TOKENS_MAX, &o.prompt_tokens) != 0 ||
        take_number(d, "max_tokens", 0, TOKENS_MAX, &o.max_tokens) != 0)
        return 0;
    subject_of(d, &o.who, &tags);
    int rc = ledger_admit(d->l, &o);
    if (rc == 0) {
        d->answer = verdict_json(&o.verdict);
        json_object_set_new(d->answer, "id", office_string(o.id));
        json_object_set_new(d->answer, "status", json_string(admit_status(o.status)));
        json_object_set_new(d->answer, "expires_ms", office_time(o.expires_ms));
        json_object_set_new(d->answer, "reserved_nanousd", office_num(o.reserved_nanousd));
        rc = add_shadows(d, &o.who);
    }
    msgpack_sbuffer_destroy(&tags);
    return rc;
}

static const struct {
    const char *name;
    uint8_t num;
} usage[] = {
    { "prompt_tokens", D_prompt_tokens },
    { "completion_tokens", D_completion_tokens },
    { "total_tokens", D_total_tokens },
    { "cached_tokens", D_cached_tokens },
    { "cache_write_tokens", D_cache_write_tokens },
    { "cache_write_1h_tokens", D_cache_write_1h_tokens },
    { "reasoning_tokens", D_reasoning_tokens },
    { "cost_reported_nanousd", D_cost_reported_nanousd },
};

int office_settle(struct office_desk *d)
{
    const char *outcome = office_text(d, "outcome");
    struct order o = { .kind = ORDER_SETTLE, .called = outcome == NULL || strcmp(outcome, "called") == 0 };

    for (int i = 0; i < DISPATCH_NUMS; i++)
        o.num[i] = UNKNOWN;
    if (outcome != NULL && !o.called && strcmp(outcome, "not_called") != 0)
        return office_wrong(d, "outcome", outcome, "called or not_called");
    if (!take_id(d, &o, false))
        return 0;
    for (size_t i = 0; i < sizeof usage / sizeof *usage; i++)
        if (take_number(d, usage[i].name, 0, 10 * TOKENS_MAX, &o.num[usage[i].num]) != 0)
            return 0;
    int rc = ledger_settle(d->l, &o);
    if (rc != 0)
        return rc;
    if (o.status == ORDER_DENIED)
        return office_refuse(d, 404, "there is no reservation of this id");
    d->answer = json_pack("{s:s, s:s, s:o}", "id", o.id, "status",
                          o.status == ORDER_SETTLED ? "settled_before" : "settled", "settled_nanousd",
                          office_num(o.settled_nanousd));
    return 0;
}

int office_renew(struct office_desk *d)
{
    struct order o = { .kind = ORDER_RENEW };

    if (!take_id(d, &o, false) ||
        take_number(d, "ttl_ms", LEDGER_TTL_MIN_MS, LEDGER_TTL_MAX_MS, &o.ttl_ms) != 0)
        return 0;
    int rc = ledger_renew(d->l, &o);
    if (rc != 0)
        return rc;
    if (o.status == ORDER_DENIED)
        return office_refuse(d, 404, "there is no reservation of this id");
    d->answer = json_pack("{s:s, s:s, s:o}", "id", o.id, "status",
                          o.status == ORDER_DONE ? "renewed" : admit_status(o.status), "expires_ms",
                          office_time(o.expires_ms));
    return 0;
}

/* ------------------------------------------------------------------------ list */

static json_t *posting_json(const struct ledger_budget *b, sqlite3_stmt *stmt)
{
    static const char *const kinds[] = { "reserved", "presumed", "told" };
    char key[512];

    budget_key_text(b->def, sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1), key,
                    sizeof key);
    return json_pack("{s:s, s:s, s:I, s:s, s:I}", "budget", b->def->name, "key", key, "start_ms",
                     (json_int_t)sqlite3_column_int64(stmt, 2), "kind", kinds[sqlite3_column_int(stmt, 3)],
                     "amount", (json_int_t)sqlite3_column_int64(stmt, 4));
}

/* What a reservation holds, in place of its number. */
static int add_postings(struct office_desk *d, json_t *reservation)
{
    sqlite3_stmt *stmt = d->l->sql->postings;
    json_t *list = json_array();
    int rc;

    sqlite3_bind_int64(stmt, 1, json_integer_value(json_object_get(reservation, "nr")));
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const struct ledger_budget *b =
            ledger_budget_of(d->l->budgets, d->l->budget_count, sqlite3_column_int64(stmt, 0));
        if (b != NULL)
            json_array_append_new(list, posting_json(b, stmt));
    }
    sqlite3_reset(stmt);
    json_object_del(reservation, "nr");
    json_object_set_new(reservation, "postings", list);
    return rc == SQLITE_DONE ? 0 : -rc;
}

int office_reservations(struct office_desk *d)
{
    static const char sql[] =
        "SELECT nr, id, 'open' AS state, admitted_ms, expires_ms, nanousd, tokens,"
        " subject AS subject_json FROM reservation WHERE state = 0 ORDER BY expires_ms LIMIT ?";
    int64_t most = office_number(d, "limit", LIST_DEFAULT);
    json_t *list = json_array();
    int rc = office_rows(d, list, sql, "i",
                         most < 1          ? (int64_t)1
                         : most > LIST_MAX ? (int64_t)LIST_MAX
                                           : most);

    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
        rc = add_postings(d, json_array_get(list, i));
    d->answer = json_pack("{s:I, s:o}", "open", (json_int_t)d->l->reservations_open, "reservations", list);
    return rc;
}
