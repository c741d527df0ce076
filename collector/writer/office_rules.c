/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ledger_pauses.h"
#include "office_work.h"

#define FOR_MIN_MS 1000
#define FOR_MAX_MS ((int64_t)366 * 24 * 3600 * 1000)
#define LIST_MAX   1000
#define TEXT_MAX   255

/* A text that must be there; NULL: it has been refused. */
static const char *needed(struct office_desk *d, const char *name, const char *expected)
{
    const char *text = office_text(d, name);

    if (text != NULL && text[0] != '\0' && strlen(text) <= TEXT_MAX)
        return text;
    office_wrong(d, name, text != NULL ? text : "", expected);
    return NULL;
}

/* --------------------------------------------------------------------- raises */

/* A number in the budget's unit, or a text as +5usd. */
static bool take_amount(const struct office_desk *d, const struct budget *def, int64_t *out)
{
    const char *text = office_text(d, "amount");
    enum unit unit = def->unit;

    if (text == NULL)
        *out = office_number(d, "amount", 0);
    else if (!amount_parse(text + (text[0] == '+'), &unit, out) || unit != def->unit)
        return false;
    return *out > 0;
}

static int add_allowance(struct office_desk *d, const struct ledger_budget *b, int64_t amount,
                         int64_t until_ms)
{
    const char *name = b->def->name, *key = office_text(d, "key"), *author = office_text(d, "author");
    const char *reason = office_text(d, "reason");
    int rc = office_run(d, NULL,
                        "INSERT INTO allowance (budget, key, amount, from_ms, until_ms, author, reason)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?)",
                        "ssiiiss", name, key, amount, d->l->now_ms, until_ms, author != NULL ? author : "",
                        reason);
    int64_t id = sqlite3_last_insert_rowid(d->l->store->db);

    d->answer = json_pack("{s:I, s:s, s:s?, s:I, s:s, s:I}", "id", (json_int_t)id, "budget", name, "key", key,
                          "amount", (json_int_t)amount, "unit", unit_name((int)b->def->unit), "until_ms",
                          (json_int_t)until_ms);
    if (rc != 0)
        return rc;
    d->reload = true;
    json_t *detail = json_deep_copy(d->answer);
    json_object_set_new(detail, "reason", office_string(reason));
    return office_note(d, "allowed", detail);
}

int office_allow(struct office_desk *d)
{
    const char *name = needed(d, "budget", "the name of a budget");
    int64_t for_ms = office_number(d, "for_ms", 0), amount;

    if (name == NULL || needed(d, "reason", "why, in up to 255 bytes") == NULL)
        return 0;
    const struct ledger_budget *b = ledger_budget_named(d->l, name);
    if (b == NULL)
        return office_refuse(d, 404, "there is no budget of this name");
    if (!take_amount(d, b->def, &amount))
        return office_wrong(d, "amount", office_text(d, "amount") != NULL ? office_text(d, "amount") : "",
                            "an amount above 0 in the budget's unit, as +5usd, +200k tokens");
    if (for_ms < FOR_MIN_MS || for_ms > FOR_MAX_MS)
        return office_wrong(d, "for_ms", "", "from a second to 366 days");
    return add_allowance(d, b, amount, d->l->now_ms + for_ms);
}

int office_allowances(struct office_desk *d)
{
    static const char sql[] =
        "SELECT a.id, a.budget, a.key, a.amount, (SELECT json_extract(definition, '$.unit') FROM budget b "
        "WHERE"
        " b.name = a.budget ORDER BY id DESC LIMIT 1) AS unit, a.from_ms, a.until_ms, a.ended_ms, a.author, "
        "a.reason"
        " FROM allowance a WHERE ?1 OR (a.ended_ms IS NULL AND a.until_ms > ?2) ORDER BY a.id DESC LIMIT ?3";
    json_t *list = json_array();
    int64_t all = json_is_true(json_object_get(d->request, "all"));
    int rc = office_rows(d, list, sql, "iii", all, d->l->now_ms, (int64_t)LIST_MAX);

    d->answer = json_pack("{s:o}", "allowances", list);
    return rc;
}

int office_end_allowance(struct office_desk *d)
{
    int64_t id = office_number(d, "id", 0);
    int changes = 0;
    int rc = office_run(d, &changes,
                        "UPDATE allowance SET ended_ms=?1 WHERE id=?2 AND ended_ms IS NULL AND until_ms > ?1",
                        "ii", d->l->now_ms, id);

    if (rc != 0 || changes == 0)
        return rc != 0 ? rc : office_refuse(d, 404, "there is no such allowance, or it has ended");
    d->reload = true;
    d->answer = json_object();
    return office_note(d, "allowance_ended", json_pack("{s:I}", "id", (json_int_t)id));
}

/* --------------------------------------------------------------------- pauses */

/* The field's code, or -1: it has been refused. */
static int field_of(struct office_desk *d)
{
    static const char expected[] =
        "agent, session, root_session, user, provider, model, lane, surface, channel or trigger";
    const char *given = needed(d, "field", expected);
    int code = given != NULL ? subject_field_code(given, strlen(given)) : -1;

    if (given != NULL && (code < 0 || code >= SUBJECT_FIELDS)) {
        office_wrong(d, "field", given, expected);
        return -1;
    }
    return code;
}

/* Milliseconds that may be given; false: it has been refused. */
static bool take_span(struct office_desk *d, const char *name, int64_t least, int64_t most,
                      const char *expected, int64_t *out)
{
    char text[32];
    int64_t given = office_number(d, name, UNKNOWN);

    if (given == UNKNOWN)
        return true;
    if (given >= least && given <= most) {
        *out = given;
        return true;
    }
    snprintf(text, sizeof text, "%lld", (long long)given);
    office_wrong(d, name, text, expected);
    return false;
}

static int show_pauses(struct office_desk *d, json_t *list, int64_t id, int64_t all, int64_t most)
{
    static const char sql[] =
        "SELECT id, field, value, iif(delay_ms IS NULL, 'block', 'delay') AS action, delay_ms, from_ms,"
        " until_ms, ended_ms, rule, alert, author, reason FROM pause"
        " WHERE id = ?1 OR (?1 = 0 AND (?2 OR ended_ms IS NULL)) ORDER BY id DESC LIMIT ?3";

    return office_rows(d, list, sql, "iii", id, all, most);
}

int office_pause(struct office_desk *d)
{
    int field = field_of(d);
    const char *value = field >= 0 ? needed(d, "value", "a name of up to 255 bytes") : NULL;
    const char *reason = office_text(d, "reason"), *author = office_text(d, "author");
    int64_t for_ms = UNKNOWN, delay_ms = 0, id;

    if (value == NULL ||
        !take_span(d, "for_ms", FOR_MIN_MS, FOR_MAX_MS, "from a second to 366 days", &for_ms) ||
        !take_span(d, "delay_ms", 1, BUDGET_DELAY_MAX, "from a millisecond to an hour", &delay_ms))
        return 0;
    struct pause_new p = { .field = (enum subject_field)field,
                           .value = value,
                           .delay_ms = delay_ms,
                           .until_ms = for_ms == UNKNOWN ? WINDOW_NEVER : d->l->now_ms + for_ms,
                           .alert = UNKNOWN,
                           .author = author != NULL ? author : "",
                           .reason = reason != NULL ? reason : "" };
    int rc = ledger_pause_put(d->l, &p, &id);
    if (rc == 0 && id == 0)
        return office_refuse(d, 409, "there are 4,000 pauses, and there may be no more: resume some");
    json_t *list = json_array();
    if (rc == 0)
        rc = show_pauses(d, list, id, 0, 1);
    d->answer = json_incref(json_array_get(list, 0));
    json_decref(list);
    return rc;
}
_Static_assert(PAUSES_MAX == 4000, "a sentence names it");

int office_pauses(struct office_desk *d)
{
    json_t *list = json_array();
    int rc = show_pauses(d, list, 0, json_is_true(json_object_get(d->request, "all")), PAUSES_MAX);

    d->answer = json_pack("{s:o}", "pauses", list);
    return rc;
}

int office_resume(struct office_desk *d)
{
    int64_t id = office_number(d, "id", 0);
    int field = id == 0 ? field_of(d) : 0, ended = 0;
    const char *value = id != 0 ? "" : field >= 0 ? needed(d, "value", "a name of up to 255 bytes") : NULL;
    const char *author = office_text(d, "author");

    if (value == NULL)
        return 0;
    int rc =
        ledger_pause_resume(d->l, id, (enum subject_field)field, value, author != NULL ? author : "", &ended);
    if (rc != 0 || ended == 0)
        return rc != 0 ? rc : office_refuse(d, 404, "there is no such pause");
    d->answer = json_pack("{s:i}", "ended", ended);
    return 0;
}

/* ---------------------------------------------------------------------- audit */

int office_audit(struct office_desk *d)
{
    int64_t most = office_number(d, "limit", 100), before = office_number(d, "before", INT64_MAX);
    json_t *list = json_array();
    int rc = office_rows(d, list,
                         "SELECT id, ts_ms, author, what, detail AS detail_json FROM audit WHERE id < ? "
                         "ORDER BY id DESC LIMIT ?",
                         "ii", before,
                         most < 1          ? (int64_t)1
                         : most > LIST_MAX ? (int64_t)LIST_MAX
                                           : most);

    d->answer = json_pack("{s:o}", "audit", list);
    return rc;
}
