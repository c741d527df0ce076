/* SPDX-License-Identifier: MIT
 *
 * budget.h: what an operator allows: whose calls, how much of what, over which time, and what happens at
 * the limit. From JSON (the configuration's YAML becomes JSON first) and back. Immutable once made.
 */
#ifndef COLLECTOR_BUDGET_H
#define COLLECTOR_BUDGET_H

#include "../base/money.h"
#include "scope.h"
#include "window.h"

#define BUDGET_NAME_MAX   64 /* bytes: letters, digits, . _ - */
#define BUDGET_PER_MAX    4
#define BUDGET_ALERTS_MAX 16
#define BUDGET_TEXT_MAX   255 /* bytes of a model or lane to use */
#define BUDGET_DELAY_MAX  ((int64_t)3600 * 1000)
#define BUDGETS_MAX       10000

enum unit { UNIT_NONE, UNIT_USD, UNIT_TOKENS, UNIT_CALLS }; /* usd: nano-dollars. As on the wire */
enum action { ACTION_ALLOW, ACTION_WARN, ACTION_DOWNGRADE, ACTION_DELAY, ACTION_BLOCK }; /* as on the wire */
enum counts_from {
    COUNTS_WINDOW,
    COUNTS_NOW,
    COUNTS_AT
}; /* the start of the running window; the definition; a time */

struct budget {
    char name[BUDGET_NAME_MAX + 1];
    struct scope scope;
    struct {
        uint8_t field;     /* enum subject_field; SUBJECT_TAG */
        char *tag;         /* owned; else NULL */
    } per[BUDGET_PER_MAX]; /* each value, or combination of values, has the limit for itself */
    unsigned pers;         /* 0: all calls in the scope together */
    enum unit unit;
    int64_t limit; /* in unit, above 0 */
    struct window window;
    const struct zone *zone;          /* shared, for ever; NULL where the window has none */
    uint8_t alert[BUDGET_ALERTS_MAX]; /* percent of the limit, 1 to 100, upwards */
    unsigned alerts;
    enum action action;         /* at the limit; ACTION_WARN is called "alert" in definitions */
    char *use_model, *use_lane; /* owned; of a downgrade at least one; else NULL */
    int64_t delay_ms;           /* of a delay, else 0 */
    bool strict;                /* an expired reservation is presumed spent; what has no price is denied */
    bool on_error_closed;       /* when the collector cannot be asked: block; else allow */
    enum counts_from counts_from;
    int64_t counts_from_ms; /* of COUNTS_AT */
    bool shadow;            /* decides and records, stops nobody */
    bool forecast;          /* an alert is raised when its pace will pass the limit (forecast.h) */
};

/* {"name": "daily", "scope": {...}, "per": "agent" or ["agent","model"], "unit": "usd|tokens|calls", "limit":
 * "5 usd" or 5 (then unit is needed) or "200k tokens", "window": "day", "timezone": "Europe/Berlin",
 * "alerts": [50, 80], "action": "alert|downgrade|delay|block", "use": {"model": ..., "lane": ...}, "delay":
 * "30s", "strict": false, "on_error": "open|closed", "counts_from": "window|now|2026-11-01T00:00:00Z",
 * "shadow": false, "forecast": true} name, limit and window are needed; the rest has the defaults:
 * everything; all together; the limit's unit; zone (borrowed for the call); [50, 80, 100]; block; open;
 * window; false; forecast true. null is not given. WINDOW_SESSION implies per session (or root_session, where
 * per says so): it is then the first of per. A downgrade needs use, a delay needs delay, the others have
 * none; timezone is for calendar windows only. On success *out is owned by the caller; on failure -1, *fault
 * says why, *out is untouched. Any thread. */
int budget_parse(const json_t *definition, const char *zone, struct budget **out, struct fault *fault);
void budget_free(struct budget *b); /* NULL is fine */

/* Every field, as budget_parse takes it; a new reference. The same budget gives the same text when dumped
 * with JSON_SORT_KEYS. */
json_t *budget_json(const struct budget *b);

/* Whether both count the same: scope, per, unit, window, zone, counts_from. Then a change of the rest goes on
 * with what was counted. */
bool budget_counts_alike(const struct budget *a, const struct budget *b);

/* True: as they stand, one of the two can never act, or nobody can say what they mean together. why: one
 * sentence that names both. Certain cases only; neither is a shadow, both count in the same unit, windows and
 * zone, from the same time (not COUNTS_NOW, which may be two):
 *   - each call of one (B) counts in the other (A) too (each condition and each `per` of A is one of B's),
 *     A's limit is not above B's, and A's action is the harder one: B's downgrade or delay is never seen
 *   - both count exactly the same, downgrade at the same limit, and say to use different things */
bool budgets_contradict(const struct budget *a, const struct budget *b, char *why, size_t size);

/* The key of the cell in which a call counts: the values of `per`, each one's bytes after its length (LEB128
 * of length + 1; 0: unknown). Returns the length, 0 without per. A value has at most 255 bytes, as on the
 * wire; what is longer is cut. */
#define BUDGET_KEY_MAX (BUDGET_PER_MAX * (255 + 2))
size_t budget_key(const struct budget *b, const struct subject *who, uint8_t key[BUDGET_KEY_MAX]);

/* The next value of a key; at NULL: unknown. False: there is none, or it is no key. */
bool budget_key_next(const uint8_t **at, const uint8_t *end, struct slice *value);

/* The key for people: "researcher", "researcher, gpt-5", "(unknown)", or "" without per. */
void budget_key_text(const struct budget *b, const uint8_t *key, size_t len, char *out, size_t size);

/* An amount of unit: "$5.00", "200,000 tokens", "100 calls"; and the other way round: "5 usd", "$5",
 * "$1,000.50", "200k tokens", "1.5m tokens", "100 calls" or a bare number with the unit in *unit (UNIT_NONE:
 * a unit is needed). Exact: at most 9 decimals of usd, whole tokens and calls; k, m, b (thousand, million,
 * milliard) for these only. From 0 to AMOUNT_MAX. False: it is none, or of another unit than *unit; both are
 * then untouched. */
#define AMOUNT_MAX  NANOUSD_MAX
#define AMOUNT_TEXT 48
void amount_text(enum unit unit, int64_t amount, char out[AMOUNT_TEXT]);
bool amount_parse(const char *text, enum unit *unit, int64_t *out);

const char *unit_name(int unit);     /* "usd", "tokens", "calls"; NULL */
const char *action_name(int action); /* "allow", "warn", "downgrade", "delay", "block"; NULL */

#endif
