/* SPDX-License-Identifier: MIT
 *
 * config.c: libyaml's document API keeps line numbers, so that every error can name its place.
 */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "../base/paths.h"
#include "../base/zone.h"
#include "../govern/duration.h"
#include "address.h"
#include "config_govern.h"
#include "yaml_json.h"

enum key_type {
    KEY_TEXT,
    KEY_NUMBER,
    KEY_DURATION,
    KEY_CHOICE,
    KEY_ENDPOINTS,
    KEY_ADDRESS,
    KEY_ZONE,
    KEY_LINK
};

#define SECOND 1000LL /* milliseconds, as every KEY_DURATION */
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

struct key {
    const char *section, *name;
    enum key_type type;
    bool reload; /* a HUP changes it */
    size_t offset;
    int64_t initial, min, max;
    const char *choices; /* of KEY_CHOICE: "a|b" */
    const char *help;
};

#define AT(field) offsetof(struct config, field)
static const struct key keys[] = {
    { "listen", "events", KEY_ENDPOINTS, false, AT(events), 0, 0, 0, NULL,
      "ZeroMQ endpoints: ipc://PATH, or tcp://127.0.0.1:7447" },
    { "listen", "http", KEY_ADDRESS, false, AT(http), 0, 0, 0, NULL, "address:port, or off" },
    { "listen", "token", KEY_TEXT, false, AT(token), 0, 0, 0, NULL,
      "HTTP callers must send it as a Bearer token; required off loopback" },
    { "listen", "token_env", KEY_TEXT, false, AT(token_env), 0, 0, 0, NULL,
      "name of the environment variable that holds the token" },
    { "database", "path", KEY_TEXT, false, AT(database), 0, 0, 0, NULL, "the SQLite file" },
    { "database", "synchronous", KEY_CHOICE, false, AT(synchronous), 0, 0, 0, "full|extra",
      "full survives a power cut; extra syncs the directory too" },
    { "limits", "queue_events", KEY_NUMBER, false, AT(queue_events), 8192, 64, 1000000, NULL,
      "events that may wait for the writer" },
    { "limits", "http_connections", KEY_NUMBER, false, AT(http_connections), 256, 1, 10000, NULL, "" },
    { "limits", "per_ip", KEY_NUMBER, false, AT(per_ip), 0, 0, 10000, NULL,
      "connections of one address; 0: no limit of its own" },
    { "limits", "http_timeout", KEY_DURATION, false, AT(http_timeout_ms), 30 * SECOND, SECOND, HOUR, NULL,
      "a connection on which nothing moves is closed" },
    { "limits", "streams", KEY_NUMBER, false, AT(streams), 128, 1, 10000, NULL,
      "live streams (server-sent events) at once" },
    { "limits", "query_ms", KEY_NUMBER, false, AT(query_ms), 10000, 10, 600000, NULL,
      "a query that takes longer is interrupted" },
    { "limits", "quarantine_rows", KEY_NUMBER, false, AT(quarantine_rows), 10000, 1, 10000000, NULL,
      "events kept that could not be understood; the oldest go first" },
    { "limits", "stream_days", KEY_NUMBER, false, AT(stream_days), 90, 1, 36500, NULL,
      "a publisher's stream that was silent this long is forgotten" },
    { "time", "past_days", KEY_NUMBER, false, AT(past_days), 30, 1, 36500, NULL,
      "an older event is stored at its time of arrival and flagged" },
    { "time", "future_minutes", KEY_NUMBER, false, AT(future_minutes), 10, 1, 525600, NULL,
      "so is one that is further ahead" },
    { "rollups", "zone", KEY_ZONE, false, AT(zone), 0, 0, 0, NULL,
      "IANA name of the zone in which days begin" },
    { "rollups", "combinations", KEY_NUMBER, false, AT(combinations), 10000, 100, 30000, NULL,
      "combinations of names that are summed one by one; more go under (other)" },
    { "retention", "dispatch", KEY_DURATION, true, AT(keep_dispatch), 90 * DAY, SECOND, CONFIG_FOREVER, NULL,
      "calls, one by one; forever or as 90d, 12h, 15m, 30s" },
    { "retention", "message", KEY_DURATION, true, AT(keep_message), 30 * DAY, SECOND, CONFIG_FOREVER, NULL,
      "" },
    { "retention", "report", KEY_DURATION, true, AT(keep_report), 30 * DAY, SECOND, CONFIG_FOREVER, NULL,
      "what emitters say of themselves" },
    { "retention", "quarantine", KEY_DURATION, true, AT(keep_quarantine), 30 * DAY, SECOND, CONFIG_FOREVER,
      NULL, "" },
    { "retention", "minute", KEY_DURATION, true, AT(keep_minute), 3 * DAY, HOUR, CONFIG_FOREVER, NULL,
      "sums by minute" },
    { "retention", "quarter", KEY_DURATION, true, AT(keep_quarter), 400 * DAY, 2 * DAY, CONFIG_FOREVER, NULL,
      "by 15 minutes; at least as long as minute" },
    { "retention", "day", KEY_DURATION, true, AT(keep_day), CONFIG_FOREVER, 2 * DAY, CONFIG_FOREVER, NULL,
      "by day; at least as long as quarter" },
    { "retention", "session", KEY_DURATION, true, AT(keep_session), 400 * DAY, SECOND, CONFIG_FOREVER, NULL,
      "totals of a session, from its last event on; at least as long as its events" },
    { "retention", "alert", KEY_DURATION, true, AT(keep_alert), 400 * DAY, HOUR, CONFIG_FOREVER, NULL,
      "alerts, but those whose reason is still there, and what became of telling them" },
    { "estimate", "prompt_tokens", KEY_NUMBER, false, AT(estimate_prompt_tokens), 8192, 0, 100000000, NULL,
      "what an admission reserves where nothing is known of the call" },
    { "estimate", "completion_tokens", KEY_NUMBER, false, AT(estimate_completion_tokens), 4096, 0, 100000000,
      NULL, "so for the answer, where neither the call nor its model has a limit" },
    { "reservations", "ttl", KEY_DURATION, false, AT(reservation_ttl_ms), 10 * MINUTE, SECOND, DAY, NULL,
      "how long one holds if its publisher does not say" },
    { "reservations", "open", KEY_NUMBER, false, AT(reservations_open), 100000, 1, 10000000, NULL,
      "at once; over it an admission is told to ask again" },
    { "alarm", "silent_after", KEY_DURATION, false, AT(silent_after_ms), 5 * MINUTE, SECOND, CONFIG_FOREVER,
      NULL, "a publisher that was there and is not heard for so long is missed; forever: never" },
    { "alarm", "link", KEY_LINK, false, AT(link), 0, 0, 0, NULL,
      "http(s)://HOST[:PORT][/PATH] where people reach this collector: links in alerts begin with it" },
    { "log", "level", KEY_CHOICE, true, AT(log_level), 0, 0, 0, "error|warn|info|debug", "" },
};
#define KEYS (sizeof keys / sizeof *keys)

static char *text_of(struct config *c, const struct key *k)
{
    return (char *)c + k->offset;
}

static int64_t *number_of(struct config *c, const struct key *k)
{
    return (int64_t *)(void *)((char *)c + k->offset);
}

/* ----------------------------------------------------------------- defaults */

void config_default(struct config *c)
{
    char socket[CONFIG_TEXT_MAX - 6];

    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].type == KEY_NUMBER || keys[i].type == KEY_DURATION)
            *number_of(c, &keys[i]) = keys[i].initial;
    paths_runtime(socket, sizeof socket, "events.sock");
    snprintf(c->events[0], sizeof c->events[0], "ipc://%s", socket);
    c->event_endpoints = 1;
    snprintf(c->http, sizeof c->http, "127.0.0.1:7448");
    paths_state(c->database, sizeof c->database, PATHS_DATABASE);
    snprintf(c->synchronous, sizeof c->synchronous, "full");
    snprintf(c->zone, sizeof c->zone, "UTC");
    snprintf(c->log_level, sizeof c->log_level, "info");
}

void config_fini(struct config *c)
{
    config_govern_free(c);
}

/* ------------------------------------------------------------------ reading */

struct parse {
    const char *name;
    yaml_document_t document;
    struct config *config;
    char *error;
    size_t line[KEYS]; /* where each key was given; 0: it was not */
};

static int fault(struct parse *p, const yaml_node_t *at, const struct key *k, const char *value,
                 const char *expected)
{
    snprintf(p->error, CONFIG_ERROR_MAX, "%.200s:%zu: %s.%s: \"%.80s\" where %.120s was expected", p->name,
             at->start_mark.line + 1, k->section, k->name, value, expected);
    return -1;
}

static int fault_at(struct parse *p, const yaml_node_t *at, const char *what)
{
    snprintf(p->error, CONFIG_ERROR_MAX, "%.200s:%zu: %.200s", p->name, at->start_mark.line + 1, what);
    return -1;
}

static int read_number(struct parse *p, const struct key *k, const yaml_node_t *n)
{
    const char *text = yaml_text(n);
    char expected[80], *end = NULL;
    long long v = 0;

    errno = 0;
    if (text != NULL)
        v = strtoll(text, &end, 10);
    if (text == NULL || end == text || *end != '\0' || errno != 0 || v < k->min || v > k->max) {
        snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)k->min,
                 (long long)k->max);
        return fault(p, n, k, text != NULL ? text : "(a list or a map)", expected);
    }
    *number_of(p->config, k) = v;
    return 0;
}

/* ------------------------------------------------------------------ durations */

static bool parse_duration(const char *text, int64_t *out)
{
    if (strcmp(text, "forever") != 0)
        return duration_parse(text, out);
    *out = CONFIG_FOREVER;
    return true;
}

static void print_duration(int64_t ms, char out[DURATION_TEXT_MAX])
{
    if (ms == CONFIG_FOREVER)
        snprintf(out, DURATION_TEXT_MAX, "forever");
    else
        duration_text(ms, out);
}

static int read_duration(struct parse *p, const struct key *k, const yaml_node_t *n)
{
    const char *text = yaml_text(n);
    char expected[120], min[DURATION_TEXT_MAX], max[DURATION_TEXT_MAX];
    int64_t ms;

    if (text != NULL && parse_duration(text, &ms) && ms >= k->min && ms <= k->max) {
        *number_of(p->config, k) = ms;
        return 0;
    }
    print_duration(k->min, min);
    print_duration(k->max, max);
    if (k->max == CONFIG_FOREVER)
        snprintf(expected, sizeof expected, "a duration (90d, 12h, 15m, 30s) from %s to 36500d, or forever",
                 min);
    else
        snprintf(expected, sizeof expected, "a duration (12h, 15m, 30s) from %s to %s", min, max);
    return fault(p, n, k, text != NULL ? text : "(a list or a map)", expected);
}

/* ---------------------------------------------------------------------- texts */

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);

    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, text, len) == 0 && (at[len] == '|' || at[len] == '\0') && len > 0)
            return true;
    }
    return false;
}

bool config_link(const struct config *c, char *out, size_t size)
{
    char host[CONFIG_TEXT_MAX];
    uint16_t port;

    if (c->link[0] != '\0') {
        snprintf(out, size, "%s", c->link);
        return true;
    }
    if (!address_split(c->http, host, sizeof host, &port) || port == 0 || strcmp(host, "0.0.0.0") == 0 ||
        strcmp(host, "::") == 0)
        return false;
    snprintf(out, size, strchr(host, ':') != NULL ? "http://[%s]:%u" : "http://%s:%u", host, (unsigned)port);
    return true;
}

static bool is_zone(const char *name)
{
    struct zone *z = zone_open(name);

    zone_close(z);
    return z != NULL;
}

/* What can stand before /v1/alerts/ID. */
static bool is_link(const char *text)
{
    size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : strncmp(text, "http://", 7) == 0 ? 7 : 0;

    if (scheme == 0 || text[scheme] == '\0' || text[scheme] == '/')
        return false;
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= ' ' || *at == 0x7f || strchr("\"<>\\^`{|}?#", *at) != NULL)
            return false;
    return true;
}

static int read_text(struct parse *p, const struct key *k, const yaml_node_t *n)
{
    const char *text = yaml_text(n);
    char host[CONFIG_TEXT_MAX];
    uint16_t port;

    if (text == NULL)
        return fault(p, n, k, "(a list or a map)", "a text");
    if (strlen(text) >= CONFIG_TEXT_MAX || strlen(text) != n->data.scalar.length)
        return fault(p, n, k, text, "a text of at most 1023 bytes");
    if (k->type == KEY_CHOICE && !is_choice(k->choices, text))
        return fault(p, n, k, text, k->choices);
    if (k->type == KEY_ADDRESS && strcmp(text, "off") != 0 &&
        (!address_split(text, host, sizeof host, &port) || !address_is_numeric(host)))
        return fault(p, n, k, text, "address:port, [address]:port (numeric) or off");
    if (k->type == KEY_ZONE && !is_zone(text))
        return fault(p, n, k, text, "a time zone of this machine, as Europe/Berlin or UTC");
    if (k->type == KEY_LINK && text[0] != '\0' && !is_link(text))
        return fault(p, n, k, text, "http://HOST or https://HOST, with a port and a path or without");
    if (strcmp(k->name, "path") == 0 && text[0] != '/')
        return fault(p, n, k, text, "an absolute path");
    snprintf(text_of(p->config, k), CONFIG_TEXT_MAX, "%s", text);
    return 0;
}

/* Off this machine events need encryption and identity, which this version does not offer. */
static bool is_local_endpoint(const char *text)
{
    return strncmp(text, "ipc:///", 7) == 0 || strncmp(text, "tcp://127.", 10) == 0 ||
           strncmp(text, "tcp://[::1]:", 12) == 0;
}

static int read_endpoint(struct parse *p, const struct key *k, const yaml_node_t *n)
{
    const char *text = yaml_text(n);

    if (text == NULL || strlen(text) >= CONFIG_TEXT_MAX || !is_local_endpoint(text))
        return fault(p, n, k, text != NULL ? text : "(a list or a map)",
                     "ipc:///PATH or tcp://127.0.0.1:PORT (this machine only)");
    if (p->config->event_endpoints == CONFIG_ENDPOINTS_MAX)
        return fault(p, n, k, text, "at most 8 endpoints");
    snprintf(p->config->events[p->config->event_endpoints++], CONFIG_TEXT_MAX, "%s", text);
    return 0;
}

static int read_endpoints(struct parse *p, const struct key *k, const yaml_node_t *n)
{
    p->config->event_endpoints = 0;
    if (n->type != YAML_SEQUENCE_NODE)
        return read_endpoint(p, k, n);
    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++)
        if (read_endpoint(p, k, yaml_document_get_node(&p->document, *i)) != 0)
            return -1;
    return p->config->event_endpoints > 0 ? 0 : fault(p, n, k, "[]", "at least one endpoint");
}

static int read_key(struct parse *p, const struct key *k, const yaml_node_t *value)
{
    p->line[k - keys] = value->start_mark.line + 1;
    switch (k->type) {
    case KEY_NUMBER:
        return read_number(p, k, value);
    case KEY_DURATION:
        return read_duration(p, k, value);
    case KEY_ENDPOINTS:
        return read_endpoints(p, k, value);
    default:
        return read_text(p, k, value);
    }
}

static const struct key *find_key(const char *section, const char *name)
{
    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(keys[i].section, section) == 0 && (name == NULL || strcmp(keys[i].name, name) == 0))
            return &keys[i];
    return NULL;
}

static void list_names(const char *section, char *out, size_t size)
{
    const char *last = "";
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < KEYS; i++) {
        const char *name = section != NULL ? keys[i].name : keys[i].section;
        if ((section != NULL && strcmp(keys[i].section, section) != 0) || strcmp(name, last) == 0)
            continue;
        int more = snprintf(out + n, size - n, "%s%s", n > 0 ? ", " : "", name);
        n += more > 0 && (size_t)more < size - n ? (size_t)more : 0;
        last = name;
    }
    if (section == NULL)
        snprintf(out + n, size - n, ", %s", CONFIG_GOVERN_SECTIONS);
}

static int unknown_key(struct parse *p, const yaml_node_t *at, const char *section, const char *name)
{
    char known[256], what[400];

    list_names(section, known, sizeof known);
    snprintf(what, sizeof what, "unknown key \"%.60s\"%s%s where one of %s was expected", name,
             section != NULL ? " in " : "", section != NULL ? section : "", known);
    return fault_at(p, at, what);
}

/* Each pair of a map: the name must be known (see find) and must not come twice. */
static int check_names(struct parse *p, const yaml_node_t *map)
{
    for (yaml_node_pair_t *i = map->data.mapping.pairs.start; i < map->data.mapping.pairs.top; i++) {
        const yaml_node_t *a = yaml_document_get_node(&p->document, i->key);
        if (yaml_text(a) == NULL)
            return fault_at(p, a, "a key was expected");
        for (yaml_node_pair_t *j = map->data.mapping.pairs.start; j < i; j++) {
            const char *earlier = yaml_text(yaml_document_get_node(&p->document, j->key));
            if (strcmp(earlier, yaml_text(a)) == 0)
                return fault_at(p, a, "a key that was given before");
        }
    }
    return 0;
}

static int read_section(struct parse *p, const char *section, const yaml_node_t *map)
{
    if (map->type != YAML_MAPPING_NODE)
        return fault_at(p, map, "a map of keys was expected");
    if (check_names(p, map) != 0)
        return -1;
    for (yaml_node_pair_t *i = map->data.mapping.pairs.start; i < map->data.mapping.pairs.top; i++) {
        const yaml_node_t *name = yaml_document_get_node(&p->document, i->key);
        const struct key *k = find_key(section, yaml_text(name));
        if (k == NULL)
            return unknown_key(p, name, section, yaml_text(name));
        if (read_key(p, k, yaml_document_get_node(&p->document, i->value)) != 0)
            return -1;
    }
    return 0;
}

static int read_root(struct parse *p)
{
    const yaml_node_t *root = yaml_document_get_root_node(&p->document);

    p->config->empty = root == NULL;
    if (root == NULL)
        return 0; /* the defaults */
    if (root->type != YAML_MAPPING_NODE)
        return fault_at(p, root, "a map of sections was expected");
    if (check_names(p, root) != 0)
        return -1;
    for (yaml_node_pair_t *i = root->data.mapping.pairs.start; i < root->data.mapping.pairs.top; i++) {
        const yaml_node_t *name = yaml_document_get_node(&p->document, i->key);
        const yaml_node_t *value = yaml_document_get_node(&p->document, i->value);
        bool is_list = config_govern_has(yaml_text(name));
        if (!is_list && find_key(yaml_text(name), NULL) == NULL)
            return unknown_key(p, name, NULL, yaml_text(name));
        if (is_list || (yaml_text(value) != NULL && value->data.scalar.length == 0))
            continue; /* "log:" with nothing under it; lists have their turn when the rest is known */
        if (read_section(p, yaml_text(name), value) != 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------- what one key alone cannot say */

/* The place of a key that was given, else of the other one: "name:line". */
static int fault_together(struct parse *p, const struct key *k, const struct key *other, const char *what)
{
    size_t line = p->line[k - keys];

    if (line == 0 && other != NULL)
        line = p->line[other - keys];
    snprintf(p->error, CONFIG_ERROR_MAX, "%.200s:%zu: %s.%s: %.250s", p->name, line, k->section, k->name,
             what);
    return -1;
}

static int check_token(struct parse *p)
{
    struct config *c = p->config;
    char what[256], host[CONFIG_TEXT_MAX];
    uint16_t port;

    if (c->token_env[0] != '\0') {
        const char *token = getenv(c->token_env);
        if (token == NULL || token[0] == '\0' || strlen(token) >= sizeof c->token) {
            snprintf(what, sizeof what, "environment variable \"%.80s\" is empty where a token was expected",
                     c->token_env);
            return fault_together(p, find_key("listen", "token_env"), NULL, what);
        }
        snprintf(c->token, sizeof c->token, "%s", token);
    }
    if (c->token[0] == '\0' && address_split(c->http, host, sizeof host, &port) &&
        !address_is_loopback(host)) {
        snprintf(what, sizeof what,
                 "\"%.80s\" is not loopback: listen.token or listen.token_env was expected", c->http);
        return fault_together(p, find_key("listen", "http"), NULL, what);
    }
    return 0;
}

/* What is coarser must be there when what is finer has gone. */
static int check_order(struct parse *p, const char *coarser, const char *finer)
{
    const struct key *k = find_key("retention", coarser), *other = find_key("retention", finer);
    char what[256], own[DURATION_TEXT_MAX], least[DURATION_TEXT_MAX];

    if (*number_of(p->config, k) >= *number_of(p->config, other))
        return 0;
    print_duration(*number_of(p->config, k), own);
    print_duration(*number_of(p->config, other), least);
    snprintf(what, sizeof what, "\"%s\" where at least %s, as retention.%s, was expected", own, least, finer);
    return fault_together(p, k, other, what);
}

static int read_lists(struct parse *p)
{
    struct config_source source = { p->name, &p->document, p->error };

    return config_govern_read(&source, p->config);
}

static int check_together(struct parse *p)
{
    return check_token(p) != 0 || check_order(p, "quarter", "minute") != 0 ||
                   check_order(p, "day", "quarter") != 0
               ? -1
               : 0;
}

/* What a file says is quoted in errors: control characters must not break the line. */
static void one_line(char *error)
{
    for (; *error != '\0'; error++)
        if ((unsigned char)*error < 0x20 || *error == 0x7f)
            *error = ' ';
}

int config_parse(const char *name, const char *text, size_t len, struct config *c,
                 char error[CONFIG_ERROR_MAX])
{
    struct config wanted;
    struct parse p = { .name = name, .config = &wanted, .error = error };
    yaml_parser_t parser;
    int rc;

    config_default(&wanted);
    if (yaml_parser_initialize(&parser) == 0) {
        snprintf(error, CONFIG_ERROR_MAX, "%.200s: no memory", name);
        return -1;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (yaml_parser_load(&parser, &p.document) == 0) {
        snprintf(error, CONFIG_ERROR_MAX, "%.200s:%zu: %.200s", name, parser.problem_mark.line + 1,
                 parser.problem != NULL ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        return -1;
    }
    rc = read_root(&p) != 0 || check_together(&p) != 0 ? -1 : read_lists(&p);
    yaml_document_delete(&p.document);
    yaml_parser_delete(&parser);
    if (rc == 0) {
        *c = wanted;
    } else {
        config_fini(&wanted);
        one_line(error);
    }
    return rc;
}

int config_read(const char *path, struct config *c, char error[CONFIG_ERROR_MAX])
{
    FILE *f = fopen(path, "re");
    char *text = malloc(CONFIG_FILE_MAX + 1);
    int rc = -1;

    if (f == NULL || text == NULL) {
        snprintf(error, CONFIG_ERROR_MAX, "%.300s: %s", path, strerror(errno));
        goto out;
    }
    size_t len = fread(text, 1, CONFIG_FILE_MAX + 1, f);
    if (ferror(f) != 0)
        snprintf(error, CONFIG_ERROR_MAX, "%.300s: %s", path, strerror(errno));
    else if (len > CONFIG_FILE_MAX)
        snprintf(error, CONFIG_ERROR_MAX, "%.300s: larger than the %d bytes that were expected", path,
                 CONFIG_FILE_MAX);
    else
        rc = config_parse(path, text, len, c, error);
out:
    if (f != NULL)
        fclose(f);
    free(text);
    return rc;
}

/* ----------------------------------------------------------------- printing */

static void print_value(struct config *c, const struct key *k, FILE *out)
{
    if (k->type == KEY_NUMBER) {
        fprintf(out, "%lld", (long long)*number_of(c, k));
    } else if (k->type == KEY_DURATION) {
        char text[DURATION_TEXT_MAX];
        print_duration(*number_of(c, k), text);
        fputs(text, out);
    } else if (k->type == KEY_ENDPOINTS) {
        for (int64_t i = 0; i < c->event_endpoints; i++) {
            fputs(i == 0 ? "[" : ", ", out);
            yaml_print_text(c->events[i], out);
        }
        fputc(']', out);
    } else if (k->type == KEY_CHOICE) {
        fputs(text_of(c, k), out);
    } else {
        yaml_print_text(text_of(c, k), out);
    }
}

void config_print(const struct config *config, FILE *out)
{
    struct config c = *config;
    const char *section = "";

    if (c.token_env[0] != '\0')
        c.token[0] = '\0';
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(section, keys[i].section) != 0)
            fprintf(out, "%s:\n", section = keys[i].section);
        fprintf(out, "  %s: ", keys[i].name);
        print_value(&c, &keys[i], out);
        fprintf(out, keys[i].help[0] != '\0' ? "  # %s\n" : "%s\n", keys[i].help);
    }
    config_govern_print(&c, out);
}

/* ---------------------------------------------------------------- reloading */

static bool is_equal(struct config *a, struct config *b, const struct key *k)
{
    if (k->type == KEY_NUMBER || k->type == KEY_DURATION)
        return *number_of(a, k) == *number_of(b, k);
    if (k->type != KEY_ENDPOINTS)
        return strcmp(text_of(a, k), text_of(b, k)) == 0;
    if (a->event_endpoints != b->event_endpoints)
        return false;
    for (int64_t i = 0; i < a->event_endpoints; i++)
        if (strcmp(a->events[i], b->events[i]) != 0)
            return false;
    return true;
}

void config_reload(struct config *running, struct config *wanted)
{
    struct config from = *wanted;

    for (size_t i = 0; i < KEYS; i++) {
        if (!keys[i].reload)
            continue;
        bool is_number = keys[i].type == KEY_NUMBER || keys[i].type == KEY_DURATION;
        memcpy(text_of(running, &keys[i]), text_of(&from, &keys[i]),
               is_number ? sizeof(int64_t) : CONFIG_TEXT_MAX);
    }
    config_govern_swap(running, wanted);
}

int config_frozen(const struct config *running, const struct config *wanted, char *names, size_t size)
{
    struct config a = *running, b = *wanted;
    size_t n = 0;
    int count = 0;

    names[0] = '\0';
    for (size_t i = 0; i < KEYS; i++) {
        if (keys[i].reload || is_equal(&a, &b, &keys[i]))
            continue;
        int more =
            snprintf(names + n, size - n, "%s%s.%s", count > 0 ? "," : "", keys[i].section, keys[i].name);
        n += more > 0 && (size_t)more < size - n ? (size_t)more : 0;
        count++;
    }
    return count;
}
