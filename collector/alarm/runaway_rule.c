/* SPDX-License-Identifier: MIT */
#include "runaway_rule.h"

#include <stdlib.h>
#include <string.h>

#include "../govern/definition.h"
#include "../govern/duration.h"

#define COOLDOWN_DEFAULT_MS ((int64_t)10 * 60 * 1000)
#define DELAY_DEFAULT_MS    ((int64_t)30 * 1000)
#define MINUTE_MS           ((int64_t)60 * 1000)
#define UNTIL_RESUMED       "until resumed"

static const struct kind {
    const char *name, *unit;
    int64_t limit, most;
    int64_t times[LOOKS];
    uint8_t may, looks;
} kinds[] = {
#define X(name, limit, most, root, agent, may, looks, unit) \
    { #name, unit, limit, most, { 1, root, agent }, may, looks },
    RUNAWAY_KINDS(X)
#undef X
};
static const char *const look_names[] = { "session", "root_session", "agent" };

const char *runaway_kind_name(int kind)
{
    return kind >= 0 && kind < RUNAWAY_KIND_COUNT ? kinds[kind].name : NULL;
}

int runaway_kind_code(const char *name)
{
    for (int i = 0; i < RUNAWAY_KIND_COUNT; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return i;
    return -1;
}

const char *runaway_kind_unit(int kind)
{
    return kind >= 0 && kind < RUNAWAY_KIND_COUNT ? kinds[kind].unit : NULL;
}

const char *runaway_look_name(int look)
{
    return look >= 0 && look < LOOKS ? look_names[look] : NULL;
}

/* ------------------------------------------------------------------ defaults */

static int narrowest(uint8_t looks)
{
    int look = LOOK_SESSION;

    while ((looks & LOOK_BIT(look)) == 0)
        look++;
    return look;
}

/* From the limit of one look those of all. */
static void spread(struct runaway_rule *r, int from, int64_t limit)
{
    const struct kind *k = &kinds[r->kind];

    for (int look = 0; look < LOOKS; look++) {
        int64_t wide = limit * k->times[look] / k->times[from];
        r->limit[look] = (r->looks & LOOK_BIT(look)) == 0 ? 0 : wide < k->most ? wide : k->most;
    }
}

static void set_default(struct runaway_rule *r, enum runaway_kind kind)
{
    *r = (struct runaway_rule){ .kind = kind,
                                .on = true,
                                .looks = kinds[kind].looks,
                                .action = ACTION_WARN,
                                .cooldown_ms = COOLDOWN_DEFAULT_MS,
                                .severity = SEVERITY_WARNING };
    spread(r, LOOK_SESSION, kinds[kind].limit);
}

const struct runaway_rule *runaway_rule_default(enum runaway_kind kind)
{
    static const struct runaway_rule defaults[] = {
#define LIMIT(looks, look, limit, times) (((looks)&LOOK_BIT(look)) != 0 ? (int64_t)(limit) * (times) : 0)
#define X(name, n, most, root, agent, may, see, unit)                                    \
    { .kind = RUNAWAY_##name,                                                            \
      .on = true,                                                                        \
      .looks = (see),                                                                    \
      .limit = { LIMIT(see, LOOK_SESSION, n, 1), LIMIT(see, LOOK_ROOT_SESSION, n, root), \
                 LIMIT(see, LOOK_AGENT, n, agent) },                                     \
      .action = ACTION_WARN,                                                             \
      .cooldown_ms = COOLDOWN_DEFAULT_MS,                                                \
      .severity = SEVERITY_WARNING },
        RUNAWAY_KINDS(X)
#undef X
#undef LIMIT
    };

    return &defaults[kind];
}

/* ------------------------------------------------------------------- reading */

struct reading {
    const json_t *given;    /* borrowed */
    struct runaway_rule *r; /* owned until it is complete */
    struct fault *fault;
};

static bool is_text(const json_t *given)
{
    return json_is_string(given) && strlen(json_string_value(given)) == json_string_length(given);
}

static int read_kind(struct reading *d)
{
    json_t *given = definition_get(d->given, "rule");
    int kind = is_text(given) ? runaway_kind_code(json_string_value(given)) : -1;
    char list[sizeof d->fault->expected - 8] = "";
    size_t n = 0;

    if (kind >= 0) {
        set_default(d->r, (enum runaway_kind)kind);
        return 0;
    }
    for (int i = 0; i < RUNAWAY_KIND_COUNT && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? ", " : "", kinds[i].name);
    return definition_fault(d->fault, "rule", given, "%s", list);
}

/* "session, root_session or agent", as far as the kind may. */
static int refuse_look(struct reading *d, const char *field, const json_t *given)
{
    uint8_t may = kinds[d->r->kind].may;

    return definition_fault(d->fault, field, given, "%s",
                            may == LOOKS_ALL    ? "session, root_session, agent, each once"
                            : may == LOOKS_TREE ? "session, root_session, each once"
                                                : "session: this rule looks at nothing else");
}

static int add_look(struct reading *d, const json_t *given, uint8_t *looks)
{
    int look = 0;

    while (look < LOOKS && (!is_text(given) || strcmp(look_names[look], json_string_value(given)) != 0))
        look++;
    if (look == LOOKS || (kinds[d->r->kind].may & ~*looks & LOOK_BIT(look)) == 0)
        return refuse_look(d, "look", given);
    *looks |= (uint8_t)LOOK_BIT(look);
    return 0;
}

static int read_looks(struct reading *d)
{
    json_t *given = definition_get(d->given, "look");
    uint8_t looks = 0;

    if (given == NULL)
        return 0;
    if (json_is_string(given) && add_look(d, given, &looks) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(given); i++)
        if (add_look(d, json_array_get(given, i), &looks) != 0)
            return -1;
    if (looks == 0)
        return refuse_look(d, "look", given);
    d->r->looks = looks;
    spread(d->r, LOOK_SESSION, kinds[d->r->kind].limit);
    return 0;
}

/* One number of the limit; of minutes a duration too. */
static int read_number(struct reading *d, const char *field, const json_t *given, int64_t *out)
{
    const struct kind *k = &kinds[d->r->kind];
    bool minutes = d->r->kind == RUNAWAY_session_duration;
    int64_t n = json_is_integer(given) ? (int64_t)json_integer_value(given) : 0;

    if (minutes && is_text(given) && duration_parse(json_string_value(given), &n))
        n = n % MINUTE_MS == 0 ? n / MINUTE_MS : 0;
    if (n < 1 || n > k->most)
        return definition_fault(d->fault, field, given, "a whole number from 1 to %lld%s", (long long)k->most,
                                minutes ? " of minutes, or a duration, as 6h" : "");
    *out = n;
    return 0;
}

/* A map names what is looked at: `look` beside it may only say the same. */
static int read_limits(struct reading *d, const json_t *given)
{
    static const char *const known[] = { "session", "root_session", "agent", NULL };
    int64_t limit[LOOKS] = { 0 };
    uint8_t looks = 0;

    if (definition_keys(given, known, d->fault) != 0)
        return -1;
    for (int look = 0; look < LOOKS; look++) {
        json_t *one = definition_get(given, look_names[look]);
        char field[32];
        if (one == NULL)
            continue;
        snprintf(field, sizeof field, "limit.%s", look_names[look]);
        if ((kinds[d->r->kind].may & LOOK_BIT(look)) == 0)
            return refuse_look(d, field, one);
        if (read_number(d, field, one, &limit[look]) != 0)
            return -1;
        looks |= (uint8_t)LOOK_BIT(look);
    }
    if (looks == 0 || (definition_get(d->given, "look") != NULL && looks != d->r->looks))
        return definition_fault(d->fault, "limit", given,
                                looks == 0 ? "a number, or one for each of session, root_session, agent"
                                           : "a number for each that look names, and for no other");
    d->r->looks = looks;
    memcpy(d->r->limit, limit, sizeof limit);
    return 0;
}

static int read_limit(struct reading *d)
{
    json_t *given = definition_get(d->given, "limit");
    int64_t limit = 0;

    if (given == NULL)
        return 0;
    if (json_is_object(given))
        return read_limits(d, given);
    if (read_number(d, "limit", given, &limit) != 0)
        return -1;
    spread(d->r, narrowest(d->r->looks), limit);
    return 0;
}

static int read_duration(struct reading *d, const char *key, int64_t least_ms, int64_t most_ms,
                         const char *expected, int64_t *out)
{
    json_t *given = definition_get(d->given, key);
    int64_t ms;

    if (given == NULL)
        return 0;
    if (!is_text(given) || !duration_parse(json_string_value(given), &ms) || ms < least_ms || ms > most_ms)
        return definition_fault(d->fault, key, given, "%s", expected);
    *out = ms;
    return 0;
}

static int read_action(struct reading *d)
{
    static const char *const names[] = { "alert", "delay", "block", NULL };
    static const enum action actions[] = { ACTION_WARN, ACTION_DELAY, ACTION_BLOCK };
    json_t *delay = definition_get(d->given, "delay");
    int place = 0;

    if (definition_choice(d->given, "action", names, &place, d->fault) != 0)
        return -1;
    d->r->action = actions[place];
    if (d->r->action != ACTION_DELAY)
        return delay == NULL ? 0
                             : definition_fault(d->fault, "delay", delay, "none: the action is not delay");
    d->r->delay_ms = DELAY_DEFAULT_MS;
    return read_duration(d, "delay", 1, RUNAWAY_DELAY_MAX, "a duration of up to 1h, as 30s", &d->r->delay_ms);
}

static int read_cooldown(struct reading *d)
{
    json_t *given = definition_get(d->given, "cooldown");

    if (d->r->action != ACTION_WARN && is_text(given) &&
        strcmp(json_string_value(given), UNTIL_RESUMED) == 0) {
        d->r->cooldown_ms = 0;
        return 0;
    }
    return read_duration(d, "cooldown", 1000, RUNAWAY_COOLDOWN_MAX,
                         d->r->action == ACTION_WARN ? "a duration from 1s to 30d, as 10m"
                                                     : "a duration from 1s to 30d, as 10m, or " UNTIL_RESUMED,
                         &d->r->cooldown_ms);
}

static int read_severity(struct reading *d)
{
    static const char *const names[] = { "info", "warning", "critical", NULL };
    int place = (int)d->r->severity;

    if (definition_choice(d->given, "severity", names, &place, d->fault) != 0)
        return -1;
    d->r->severity = (enum severity)place;
    return 0;
}

static int read_all(struct reading *d)
{
    static const char *const known[] = { "rule",   "on",    "limit",    "look",     "scope",
                                         "action", "delay", "cooldown", "severity", NULL };

    return definition_keys(d->given, known, d->fault) != 0 || read_kind(d) != 0 ||
                   definition_bool(d->given, "on", &d->r->on, d->fault) != 0 || read_looks(d) != 0 ||
                   read_limit(d) != 0 ||
                   scope_parse(json_object_get(d->given, "scope"), &d->r->scope, d->fault) != 0 ||
                   read_action(d) != 0 || read_cooldown(d) != 0 || read_severity(d) != 0
               ? -1
               : 0;
}

int runaway_rule_parse(const json_t *definition, struct runaway_rule **out, struct fault *fault)
{
    struct reading d = { .given = definition, .fault = fault };

    if (!json_is_object(definition))
        return definition_fault(fault, "runaway", definition, "a map with rule");
    if ((d.r = calloc(1, sizeof *d.r)) == NULL)
        return definition_no_memory(fault, "runaway");
    if (read_all(&d) != 0) {
        runaway_rule_free(d.r);
        return -1;
    }
    *out = d.r;
    return 0;
}

void runaway_rule_free(struct runaway_rule *r)
{
    if (r == NULL)
        return;
    scope_fini(&r->scope);
    free(r);
}

/* ------------------------------------------------------------------ printing */

static bool put_limit(json_t *out, const struct runaway_rule *r)
{
    json_t *limits = json_object(), *looks = json_array();
    bool ok = limits != NULL && looks != NULL;

    for (int look = 0; ok && look < LOOKS; look++)
        if ((r->looks & LOOK_BIT(look)) != 0)
            ok = definition_put(limits, look_names[look], json_integer(r->limit[look])) &&
                 json_array_append_new(looks, json_string(look_names[look])) == 0;
    if (!ok) {
        json_decref(limits);
        json_decref(looks);
        return false;
    }
    ok = definition_put(out, "limit", limits);
    return definition_put(out, "look", looks) && ok;
}

static json_t *duration_json(int64_t ms)
{
    char text[DURATION_TEXT_MAX] = UNTIL_RESUMED;

    if (ms > 0)
        duration_text(ms, text);
    return json_string(text);
}

json_t *runaway_rule_json(const struct runaway_rule *r)
{
    json_t *out = json_object();
    const char *action = r->action == ACTION_WARN ? "alert" : r->action == ACTION_DELAY ? "delay" : "block";

    if (out != NULL && definition_put(out, "rule", json_string(kinds[r->kind].name)) &&
        definition_put(out, "on", json_boolean(r->on)) && put_limit(out, r) &&
        definition_put(out, "scope", scope_json(&r->scope)) &&
        definition_put(out, "action", json_string(action)) &&
        (r->action != ACTION_DELAY || definition_put(out, "delay", duration_json(r->delay_ms))) &&
        definition_put(out, "cooldown", duration_json(r->cooldown_ms)) &&
        definition_put(out, "severity", json_string(severity_name((int)r->severity))))
        return out;
    json_decref(out);
    return NULL;
}
