/* SPDX-License-Identifier: MIT */
#include <string.h>

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

/* The field's name, or NULL: it has been refused. */
static const char *field_of(struct office_desk *d)
{
    static const char expected[] =
        "agent, session, root_session, user, provider, model, lane, surface or channel";
    const char *given = needed(d, "field", expected);
    int code = given != NULL ? subject_field_code(given, strlen(given)) : -1;

    if (given != NULL && (code < 0 || code >= SUBJECT_FIELDS)) {
        office_wrong(d, "field", given, expected);
        return NULL;
    }
    return given != NULL ? subject_field_name(code) : NULL;
}

int office_pause(struct office_desk *d)
{
    const char *field = field_of(d);
    const char *value = field != NULL ? needed(d, "value", "a name of up to 255 bytes") : NULL;
    const char *reason = office_text(d, "reason"), *author = office_text(d, "author");
    int changes = 0;

    if (value == NULL)
        return 0;
    int rc = office_run(
        d, &changes,
        "INSERT OR IGNORE INTO pause (field, value, from_ms, author, reason) VALUES (?, ?, ?, ?, ?)", "ssiss",
        field, value, d->l->now_ms, author != NULL ? author : "", reason != NULL ? reason : "");
    if (rc == 0 && changes > 0)
        rc = office_note(d, "paused",
                         json_pack("{s:s, s:s, s:s?}", "field", field, "value", value, "reason", reason));
    json_t *list = json_array();
    if (rc == 0)
        rc = office_rows(
            d, list,
            "SELECT id, field, value, from_ms FROM pause WHERE field=? AND value=? AND ended_ms IS NULL",
            "ss", field, value);
    d->answer = json_incref(json_array_get(list, 0));
    json_decref(list);
    return rc != 0 ? rc : ledger_reload_pauses(d->l);
}

int office_pauses(struct office_desk *d)
{
    static const char sql[] = "SELECT id, field, value, from_ms, ended_ms, author, reason FROM pause"
                              " WHERE ?1 OR ended_ms IS NULL ORDER BY id DESC LIMIT ?2";
    json_t *list = json_array();
    int64_t all = json_is_true(json_object_get(d->request, "all"));
    int rc = office_rows(d, list, sql, "ii", all, (int64_t)LIST_MAX);

    d->answer = json_pack("{s:o}", "pauses", list);
    return rc;
}

int office_resume(struct office_desk *d)
{
    int64_t id = office_number(d, "id", 0);
    const char *field = id == 0 ? field_of(d) : "";
    const char *value = id != 0 ? "" : field != NULL ? needed(d, "value", "a name of up to 255 bytes") : NULL;
    int changes = 0;

    if (value == NULL)
        return 0;
    int rc = office_run(
        d, &changes,
        "UPDATE pause SET ended_ms=?1 WHERE ended_ms IS NULL AND (id=?2 OR (field=?3 AND value=?4))", "iiss",
        d->l->now_ms, id, field, value);
    if (rc != 0 || changes == 0)
        return rc != 0 ? rc : office_refuse(d, 404, "there is no such pause");
    d->answer = json_pack("{s:i}", "ended", changes);
    if ((rc = ledger_reload_pauses(d->l)) != 0)
        return rc;
    return office_note(d, "resumed",
                       json_pack("{s:I, s:s, s:s}", "id", (json_int_t)id, "field", field, "value", value));
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
