/* SPDX-License-Identifier: MIT
 *
 * config_govern.c: each element of a list becomes JSON and is judged by what it is for, with the place in the
 * file put before what is wrong.
 */
#include "config_govern.h"

#include <stdlib.h>
#include <string.h>

#include "yaml_json.h"

#define CONTRADICTIONS_MAX 100 /* that are written */

int (*config_judge_prices)(const json_t *prices, struct fault *fault);

/* ------------------------------------------------------------------ elements */

/* Each takes room for at least `count` elements before the first is added. 0: no memory. */
static bool budgets_reserve(struct config *c, size_t count)
{
    return (c->budgets = calloc(count, sizeof(struct budget *))) != NULL;
}

static int budgets_add(struct config *c, const json_t *given, struct fault *fault)
{
    int rc = budget_parse(given, c->zone, &c->budgets[c->budget_count], fault);

    c->budget_count += rc == 0;
    return rc;
}

static bool policies_reserve(struct config *c, size_t count)
{
    return (c->policies = calloc(count, sizeof(struct policy *))) != NULL;
}

static int policies_add(struct config *c, const json_t *given, struct fault *fault)
{
    int rc = policy_parse(given, &c->policies[c->policy_count], fault);

    c->policy_count += rc == 0;
    return rc;
}

static bool prices_reserve(struct config *c, size_t count)
{
    (void)count;
    return (c->prices = json_array()) != NULL;
}

static int prices_add(struct config *c, const json_t *given, struct fault *fault)
{
    if (!json_is_object(given)) {
        fault_set(fault, "price", json_is_string(given) ? json_string_value(given) : "(no map)", "a map");
        return -1;
    }
    return json_array_append(c->prices, (json_t *)given);
}

static bool destinations_reserve(struct config *c, size_t count)
{
    return (c->destinations = calloc(count, sizeof(struct destination *))) != NULL;
}

/* One that has no name is called as its type, so that only here two of a name can be seen. */
static int destinations_add(struct config *c, const json_t *given, struct fault *fault)
{
    struct destination *d;

    if (destination_parse(given, c->zone, &d, fault) != 0)
        return -1;
    for (size_t i = 0; i < c->destination_count; i++)
        if (strcmp(c->destinations[i]->name, d->name) == 0) {
            fault_set(fault, "name", d->name, "another name than alerts[%zu] has", i);
            destination_free(d);
            return -1;
        }
    c->destinations[c->destination_count++] = d;
    return 0;
}

static bool runaway_reserve(struct config *c, size_t count)
{
    return (c->runaway = calloc(count, sizeof(struct runaway_rule *))) != NULL;
}

static int runaway_add(struct config *c, const json_t *given, struct fault *fault)
{
    int rc = runaway_rule_parse(given, &c->runaway[c->runaway_count], fault);

    c->runaway_count += rc == 0;
    return rc;
}

struct reading;
static int judge_prices(const struct reading *r, const yaml_node_t *list);

static const struct section {
    const char *name;
    size_t max;
    bool named; /* each element says a name of its own */
    bool (*reserve)(struct config *c, size_t count);
    int (*add)(struct config *c, const json_t *given, struct fault *fault);
    int (*judge)(const struct reading *r,
                 const yaml_node_t *list); /* the whole of it; NULL: nothing to say */
} sections[] = {
    { "budgets", BUDGETS_MAX, true, budgets_reserve, budgets_add, NULL },
    { "policies", POLICIES_MAX, true, policies_reserve, policies_add, NULL },
    { "prices", CONFIG_PRICES_MAX, false, prices_reserve, prices_add, judge_prices },
    { "alerts", DESTINATIONS_MAX, false, destinations_reserve, destinations_add, NULL },
    { "runaway", RUNAWAY_RULES_MAX, false, runaway_reserve, runaway_add, NULL },
};
#define SECTIONS (sizeof sections / sizeof *sections)

static const struct section *find_section(const char *name)
{
    for (size_t i = 0; i < SECTIONS; i++)
        if (strcmp(sections[i].name, name) == 0)
            return &sections[i];
    return NULL;
}

bool config_govern_has(const char *name)
{
    return find_section(name) != NULL;
}

/* ------------------------------------------------------------------- reading */

/* A list that is being read. */
struct reading {
    const struct config_source *source;
    const struct section *section;
    struct config *config;
    json_t *seen; /* owned; from a name to the line where it was given */
};

static int refuse(const struct reading *r, size_t line, const char *what)
{
    snprintf(r->source->error, CONFIG_ERROR_MAX, "%.200s:%zu: %s: %.200s", r->source->name, line,
             r->section->name, what);
    return -1;
}

/* "budgets[2] daily: " before what is wrong. */
static int refuse_element(const struct reading *r, size_t line, size_t index, const json_t *given,
                          const struct fault *fault)
{
    const char *name = json_string_value(json_object_get(given, "name"));

    name = name != NULL ? name : json_string_value(json_object_get(given, "rule"));
    snprintf(r->source->error, CONFIG_ERROR_MAX,
             "%.200s:%zu: %s[%zu]%s%.64s: %s: \"%s\" where %s was expected", r->source->name, line,
             r->section->name, index, name != NULL ? " " : "", name != NULL ? name : "", fault->field,
             fault->value, fault->expected);
    return -1;
}

/* A name may come once; the element has been judged, so that it has one. */
static int check_name(const struct reading *r, size_t line, size_t index, const json_t *given)
{
    const char *name = json_string_value(json_object_get(given, "name"));
    const json_t *first = json_object_get(r->seen, name);
    struct fault fault;

    if (first == NULL)
        return json_object_set_new(r->seen, name, json_integer((json_int_t)line));
    fault_set(&fault, "name", name, "another name than in line %d", (int)json_integer_value(first));
    return refuse_element(r, line, index, given, &fault);
}

static int read_element(const struct reading *r, size_t index, const yaml_node_t *n)
{
    yaml_document_t *document = r->source->document;
    struct fault fault = { "", "", "more memory" };
    struct yaml_fault place = { 0, NULL };
    json_t *given;
    int rc;

    if (yaml_json(document, n, &given, &place) != 0)
        return refuse(r, place.line, place.what);
    if (r->section->add(r->config, given, &fault) != 0)
        rc = refuse_element(r, yaml_line(document, n, fault.field), index, given, &fault);
    else
        rc = r->section->named ? check_name(r, yaml_line(document, n, "name"), index, given) : 0;
    json_decref(given);
    return rc;
}

/* "prices[3].model: ", at the line of that key. */
static int judge_prices(const struct reading *r, const yaml_node_t *list)
{
    yaml_document_t *document = r->source->document;
    struct fault fault = { "", "", "" };
    size_t line = list->start_mark.line + 1, index;
    int end = 0;

    if (config_judge_prices == NULL || config_judge_prices(r->config->prices, &fault) == 0)
        return 0;
    if (sscanf(fault.field, "prices[%5zu]%n", &index, &end) == 1 &&
        index < json_array_size(r->config->prices)) {
        const yaml_node_t *n = yaml_document_get_node(document, list->data.sequence.items.start[index]);
        line = yaml_line(document, n, fault.field + end + (fault.field[end] == '.'));
    }
    snprintf(r->source->error, CONFIG_ERROR_MAX, "%.200s:%zu: %s: \"%s\" where %s was expected",
             r->source->name, line, fault.field, fault.value, fault.expected);
    return -1;
}

static int read_list(const struct reading *r, const yaml_node_t *list)
{
    size_t line = list->start_mark.line + 1, index = 0;
    const char *text = yaml_text(list);
    char what[64];

    if (text != NULL && text[0] == '\0')
        return 0; /* "budgets:" with nothing under it */
    if (list->type != YAML_SEQUENCE_NODE)
        return refuse(r, line, "a list was expected");
    size_t count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (count > r->section->max) {
        snprintf(what, sizeof what, "more than the %zu that were expected", r->section->max);
        return refuse(r, line, what);
    }
    if (count > 0 && !r->section->reserve(r->config, count))
        return refuse(r, line, "no memory");
    for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top; i++)
        if (read_element(r, index++, yaml_document_get_node(r->source->document, *i)) != 0)
            return -1;
    return count > 0 && r->section->judge != NULL ? r->section->judge(r, list) : 0;
}

int config_govern_read(const struct config_source *source, struct config *c)
{
    const yaml_node_t *root = yaml_document_get_root_node(source->document);

    if (root == NULL)
        return 0;
    for (yaml_node_pair_t *i = root->data.mapping.pairs.start; i < root->data.mapping.pairs.top; i++) {
        const char *name = yaml_text(yaml_document_get_node(source->document, i->key));
        struct reading r = { source, find_section(name), c, NULL };
        if (r.section == NULL)
            continue;
        r.seen = json_object();
        int rc = read_list(&r, yaml_document_get_node(source->document, i->value));
        json_decref(r.seen);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------ printing */

/* One element: a key to a line. */
static void print_element(const json_t *element, FILE *out)
{
    const char *key, *lead = "  - ";
    json_t *value;

    json_object_foreach((json_t *)element, key, value)
    {
        fputs(lead, out);
        yaml_print_word(key, out);
        fputs(": ", out);
        yaml_print(value, out);
        fputc('\n', out);
        lead = "    ";
    }
    if (json_object_size(element) == 0)
        fputs("  - {}\n", out);
}

static void print_budgets(const struct config *c, FILE *out)
{
    fputs(c->budget_count > 0 ? "budgets:\n" : "budgets: []  # see tollgate.yaml(5)\n", out);
    for (size_t i = 0; i < c->budget_count; i++) {
        json_t *json = budget_json(c->budgets[i]);
        print_element(json, out);
        json_decref(json);
    }
}

static void print_policies(const struct config *c, FILE *out)
{
    fputs(c->policy_count > 0 ? "policies:\n" : "policies: []\n", out);
    for (size_t i = 0; i < c->policy_count; i++) {
        json_t *json = policy_json(c->policies[i]);
        print_element(json, out);
        json_decref(json);
    }
}

static void print_prices(const struct config *c, FILE *out)
{
    fputs(json_array_size(c->prices) > 0 ? "prices:\n" : "prices: []\n", out);
    for (size_t i = 0; i < json_array_size(c->prices); i++)
        print_element(json_array_get(c->prices, i), out);
}

static void print_destinations(const struct config *c, FILE *out)
{
    fputs(c->destination_count > 0 ? "alerts:\n" : "alerts: []\n", out);
    for (size_t i = 0; i < c->destination_count; i++) {
        json_t *json = destination_json(c->destinations[i]);
        print_element(json, out);
        json_decref(json);
    }
}

static void print_runaway(const struct config *c, FILE *out)
{
    fputs(c->runaway_count > 0 ? "runaway:\n" : "runaway: []  # the default rules hold\n", out);
    for (size_t i = 0; i < c->runaway_count; i++) {
        json_t *json = runaway_rule_json(c->runaway[i]);
        print_element(json, out);
        json_decref(json);
    }
}

void config_govern_print(const struct config *c, FILE *out)
{
    print_budgets(c, out);
    print_policies(c, out);
    print_prices(c, out);
    print_destinations(c, out);
    print_runaway(c, out);
}

int config_contradictions(const struct config *c, const char *prefix, FILE *out)
{
    char why[512];
    int count = 0;

    for (size_t i = 0; i < c->budget_count; i++)
        for (size_t k = i + 1; k < c->budget_count; k++)
            if (budgets_contradict(c->budgets[i], c->budgets[k], why, sizeof why) &&
                ++count <= CONTRADICTIONS_MAX)
                fprintf(out, "%s%s\n", prefix, why);
    return count;
}

/* ----------------------------------------------------------------- ownership */

void config_govern_swap(struct config *a, struct config *b)
{
    struct config was = *a;

    a->budgets = b->budgets;
    a->budget_count = b->budget_count;
    a->policies = b->policies;
    a->policy_count = b->policy_count;
    b->budgets = was.budgets;
    b->budget_count = was.budget_count;
    b->policies = was.policies;
    b->policy_count = was.policy_count;
    a->prices = b->prices;
    b->prices = was.prices;
    a->destinations = b->destinations;
    a->destination_count = b->destination_count;
    b->destinations = was.destinations;
    b->destination_count = was.destination_count;
    a->runaway = b->runaway;
    a->runaway_count = b->runaway_count;
    b->runaway = was.runaway;
    b->runaway_count = was.runaway_count;
}

void config_govern_free(struct config *c)
{
    for (size_t i = 0; i < c->budget_count; i++)
        budget_free(c->budgets[i]);
    for (size_t i = 0; i < c->policy_count; i++)
        policy_free(c->policies[i]);
    for (size_t i = 0; i < c->destination_count; i++)
        destination_free(c->destinations[i]);
    for (size_t i = 0; i < c->runaway_count; i++)
        runaway_rule_free(c->runaway[i]);
    free(c->budgets);
    free(c->policies);
    free(c->destinations);
    free(c->runaway);
    json_decref(c->prices);
    c->budgets = NULL;
    c->policies = NULL;
    c->destinations = NULL;
    c->runaway = NULL;
    c->budget_count = c->policy_count = c->destination_count = c->runaway_count = 0;
    c->prices = NULL;
}
