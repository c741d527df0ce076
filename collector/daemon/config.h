/* SPDX-License-Identifier: MIT
 *
 * config.h: what tollgated can be told in its YAML file. One table in config.c names every key, its
 * default, its limits and whether a HUP changes it; the checker, the print-back (-n) and the manual
 * are made from the same list.
 */
#ifndef COLLECTOR_CONFIG_H
#define COLLECTOR_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../alarm/destination.h"
#include "../alarm/runaway_rule.h"
#include "../govern/budget.h"
#include "../govern/policy.h"

#define CONFIG_TEXT_MAX      1024
#define CONFIG_ENDPOINTS_MAX 8
#define CONFIG_FILE_MAX      (1024 * 1024)
#define CONFIG_ERROR_MAX     768
#define CONFIG_PRICES_MAX    1000
#define CONFIG_FOREVER       INT64_MAX

struct config {
    char events[CONFIG_ENDPOINTS_MAX][CONFIG_TEXT_MAX]; /* ZeroMQ endpoints */
    int64_t event_endpoints;
    char http[CONFIG_TEXT_MAX]; /* address:port, [address]:port or "off" */
    char token[CONFIG_TEXT_MAX];
    char token_env[CONFIG_TEXT_MAX];
    char database[CONFIG_TEXT_MAX];
    char synchronous[CONFIG_TEXT_MAX];
    int64_t queue_events;
    int64_t http_connections;
    int64_t per_ip; /* 0: no limit of its own */
    int64_t http_timeout_ms;
    int64_t streams;
    int64_t query_ms;
    int64_t quarantine_rows;
    int64_t stream_days;
    int64_t past_days;
    int64_t future_minutes;
    char zone[CONFIG_TEXT_MAX];
    int64_t combinations;
    /* How long each kind is kept, in milliseconds, or CONFIG_FOREVER. */
    int64_t keep_dispatch, keep_message, keep_report, keep_quarantine;
    int64_t keep_minute, keep_quarter, keep_day, keep_session, keep_alert;
    int64_t silent_after_ms;    /* a publisher that is silent so long is told of; CONFIG_FOREVER: never */
    char link[CONFIG_TEXT_MAX]; /* what links in alerts begin with; "": see config_link */
    /* What an admission reserves where nothing is known of the call. */
    int64_t estimate_prompt_tokens, estimate_completion_tokens;
    int64_t reservation_ttl_ms; /* how long one holds if its publisher does not say */
    int64_t reservations_open;  /* at once */
    char log_level[CONFIG_TEXT_MAX];
    bool empty; /* the file said nothing: an editor may be about to write it */

    /* All owned; NULL where there are none. Names are unique in their list; the order is the file's. */
    struct budget **budgets;
    struct policy **policies;
    struct destination **destinations;
    struct runaway_rule **runaway; /* before the default ones */
    size_t budget_count, policy_count, destination_count, runaway_count;
    json_t *prices; /* a list of maps: what the operator says of prices, for the price list to judge */
};

/* Judges the list of prices whenever a file is read: 0, or -1 and fault with a field that begins with
 * "prices[N]". Set by main before the first file is read; NULL: only their form is looked at. */
extern int (*config_judge_prices)(const json_t *prices, struct fault *fault);

/* Every key at its default: loopback, an ipc socket in the runtime directory, a database in the
 * user's state directory, no budgets. What c had is not freed: it may never have had anything. */
void config_default(struct config *c);

/* Frees what c owns; the lists are then empty. */
void config_fini(struct config *c);

/* Reads a file over the defaults. On success *c owns what is in it (config_fini); what it had before is
 * not freed. On failure -1 and error is one line: file, line, key, value and what was expected. */
int config_read(const char *path, struct config *c, char error[CONFIG_ERROR_MAX]);

/* The same for YAML text in memory; name stands for the file in errors. */
int config_parse(const char *name, const char *text, size_t len, struct config *c,
                 char error[CONFIG_ERROR_MAX]);

/* Writes every key as YAML that config_read takes. The token is left out when it came from the
 * environment. */
void config_print(const struct config *c, FILE *out);

/* Writes a line for each two budgets that contradict (see budgets_contradict), 100 at most, each after
 * prefix. Returns how many there are. */
int config_contradictions(const struct config *c, const char *prefix, FILE *out);

/* Takes over from wanted the keys that a HUP changes. The lists change places: running has wanted's, and
 * wanted has those that ran, for the caller to free (config_fini) when nobody looks at them any more. */
void config_reload(struct config *running, struct config *wanted);

/* Names the keys in which the two differ although only a restart changes them; returns how many. */
int config_frozen(const struct config *running, const struct config *wanted, char *names, size_t size);

/* What links in alerts begin with: what the file says, else the address that HTTP listens on. False: nobody
 * can tell (HTTP is off, or listens on any address or any port). */
bool config_link(const struct config *c, char *out, size_t size);

#endif
