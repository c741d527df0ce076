/* SPDX-License-Identifier: MIT
 *
 * runaway.c: whom a call is about, and which rules hold for it. Both are remembered by the ids of its names.
 */
#include "runaway.h"

#include <stdlib.h>
#include <string.h>

#include "runaway_work.h"

#define NAMES_KNOWN    8192 /* powers of two */
#define SESSIONS_KNOWN 8192

int runaway_new(struct runaway **out)
{
    struct runaway *r = calloc(1, sizeof *r);

    if (r == NULL)
        return -1;
    r->names = calloc(NAMES_KNOWN, sizeof *r->names);
    r->sessions = calloc(SESSIONS_KNOWN, sizeof *r->sessions);
    if (seen_table_init(&r->seen) != 0 || r->names == NULL || r->sessions == NULL) {
        runaway_free(r);
        return -1;
    }
    runaway_use(r, NULL, 0);
    *out = r;
    return 0;
}

void runaway_free(struct runaway *r)
{
    if (r == NULL)
        return;
    seen_table_fini(&r->seen);
    free(r->names);
    free(r->sessions);
    free(r);
}

void runaway_forget_ids(struct runaway *r)
{
    memset(r->names, 0, NAMES_KNOWN * sizeof *r->names);
    memset(r->sessions, 0, SESSIONS_KNOWN * sizeof *r->sessions);
}

void runaway_clear(struct runaway *r)
{
    runaway_forget_ids(r);
    seen_table_clear(&r->seen);
}

void runaway_forget(struct runaway *r, enum runaway_look look, struct slice name)
{
    uint32_t at = seen_find(&r->seen, seen_hash(look, name));

    if (at == SEEN_NONE && look == LOOK_ROOT_SESSION) /* it stands alone */
        at = seen_find(&r->seen, seen_hash(LOOK_SESSION, name));
    if (at != SEEN_NONE)
        seen_forget(&r->seen, at);
}

/* --------------------------------------------------------------------- rules */

void runaway_use(struct runaway *r, struct runaway_rule *const *rules, size_t count)
{
    r->rules = count < RUNAWAY_RULES_MAX ? count : RUNAWAY_RULES_MAX;
    r->rules_need_session = false;
    for (size_t i = 0; i < r->rules; i++) {
        r->rule[i] = rules[i];
        r->rules_need_session |= scope_needs_session(&rules[i]->scope);
    }
    for (int kind = 0; kind < RUNAWAY_KIND_COUNT; kind++)
        r->rule[r->rules + (size_t)kind] = runaway_rule_default((enum runaway_kind)kind);
    r->sets = 0;
    runaway_forget_ids(r);
}

/* The first that fits, of each kind; where none does, the default. */
static void choose_rules(const struct runaway *r, const struct subject *who, uint8_t rule[RUNAWAY_KIND_COUNT])
{
    unsigned open = (1u << RUNAWAY_KIND_COUNT) - 1;

    for (size_t kind = 0; kind < RUNAWAY_KIND_COUNT; kind++)
        rule[kind] = (uint8_t)(r->rules + kind);
    for (size_t i = 0; i < r->rules && open != 0; i++) {
        unsigned bit = 1u << r->rule[i]->kind;
        if ((open & bit) != 0 && scope_holds(&r->rule[i]->scope, who)) {
            rule[r->rule[i]->kind] = (uint8_t)i;
            open &= ~bit;
        }
    }
}

static void make_set(const struct runaway *r, struct rule_set *set)
{
    for (int kind = 0; kind < RUNAWAY_KIND_COUNT; kind++) {
        const struct runaway_rule *rule = r->rule[set->rule[kind]];
        for (int look = 0; look < LOOKS; look++)
            set->limit[look][kind] =
                rule->on && (rule->looks & LOOK_BIT(look)) != 0 ? rule->limit[look] : INT64_MAX;
        bool as_root = set->limit[LOOK_ROOT_SESSION][kind] < set->limit[LOOK_SESSION][kind];
        set->alone[kind] = as_root ? LOOK_ROOT_SESSION : LOOK_SESSION;
        set->limit[LOOK_ALONE][kind] = set->limit[set->alone[kind]][kind];
    }
}

/* The set of rules that hold for who; mostly there are very few. */
static uint32_t set_of(struct runaway *r, const struct subject *who)
{
    uint8_t rule[RUNAWAY_KIND_COUNT];

    choose_rules(r, who, rule);
    for (uint32_t i = 0; i < r->sets; i++)
        if (memcmp(r->set[i].rule, rule, sizeof rule) == 0)
            return i;
    if (r->sets == RULE_SETS) {
        r->sets = 0;
        memset(r->names, 0, NAMES_KNOWN * sizeof *r->names);
    }
    memcpy(r->set[r->sets].rule, rule, sizeof rule);
    make_set(r, &r->set[r->sets]);
    return r->sets++;
}

/* -------------------------------------------------------------------- whom */

int looking_ask(struct looking *l)
{
    int rc = 0;

    if (!l->asked) {
        l->names = (struct runaway_names){ .status = 0 };
        rc = l->call->names(l->call->arg, &l->names);
        l->asked = rc == 0;
    }
    return rc;
}

/* Its place, whether or not it was there; a name that is unknown has none. */
static struct seen_place place_of(struct runaway *r, enum runaway_look look, struct slice name, bool *fresh)
{
    struct seen_place p = { SEEN_NONE, 0 };

    *fresh = false;
    if (name.at == NULL || name.len == 0)
        return p;
    p.at = seen_get(&r->seen, seen_hash(look, name), fresh);
    p.generation = r->seen.generation[p.at];
    return p;
}

static uint8_t end_by_status(uint8_t status, struct slice error_type)
{
    return status == STATUS_ok                                  ? END_WELL
           : status == STATUS_error || status == STATUS_timeout ? END_FAILED
           : status == 0 && error_type.len > 0                  ? END_FAILED
                                                                : END_UNKNOWN;
}

static void read_names(struct looking *l, struct known_names *k)
{
    const struct runaway_names *n = &l->names;
    uint32_t set = set_of(l->r, &n->who);
    bool fresh;

    *k = (struct known_names){ .dims = l->call->dims,
                               .status = n->status,
                               .trigger = n->trigger,
                               .end = end_by_status(n->status, n->error_type),
                               .set = set,
                               .sum = n->sum,
                               .agent = place_of(l->r, LOOK_AGENT, n->who.text[SUBJECT_agent_id], &fresh) };
    if (n->error_type.len > 0) {
        k->error = seen_hash(LOOKS, n->error_type);
        names_of_error(n->error_type, &k->overflow, &k->payment);
    }
}

/* scratch: where it is made if it cannot be remembered. */
static int know_names(struct looking *l, struct known_names *scratch)
{
    struct runaway *r = l->r;
    uint32_t dims = l->call->dims;
    struct known_names *k =
        dims != 0 && !r->rules_need_session ? &r->names[dims & (NAMES_KNOWN - 1)] : scratch;

    l->known = k;
    if (k != scratch && k->dims == dims && (k->agent.at == SEEN_NONE || seen_holds(&r->seen, k->agent))) {
        if (k->agent.at != SEEN_NONE)
            seen_touch(&r->seen, k->agent.at);
        l->at[LOOK_AGENT] = k->agent.at;
        return 0;
    }
    int rc = looking_ask(l);
    if (rc != 0)
        return rc;
    read_names(l, k);
    l->at[LOOK_AGENT] = k->agent.at;
    return 0;
}

static bool same(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* How many sessions stand above one that is new: one more than above its parent. Of a parent that nobody has
 * seen that is what the names say. */
static uint8_t depth_of(const struct looking *l, struct slice self, struct slice root)
{
    struct slice parent = l->names.parent_session;

    if (parent.at == NULL || parent.len == 0 || same(parent, self))
        return root.len > 0 && !same(root, self);
    uint32_t at = seen_find(&l->r->seen, seen_hash(LOOK_SESSION, parent));
    if (at == SEEN_NONE)
        return root.len > 0 && !same(root, parent) && !same(root, self) ? 2 : 1;
    uint8_t depth = l->r->seen.all[at].depth;
    return depth < UINT8_MAX ? (uint8_t)(depth + 1) : depth;
}

/* The root's place. It is made when another session names it, and begins with what the root itself did. */
static struct seen_place root_of(struct looking *l, struct slice self, struct slice root,
                                 struct seen_place at)
{
    struct seen_table *t = &l->r->seen;
    uint64_t hash = seen_hash(LOOK_ROOT_SESSION, root.len > 0 ? root : self);
    bool fresh = false, below = root.len > 0 && !same(root, self);
    struct seen_place p = { below ? seen_get(t, hash, &fresh) : seen_find(t, hash), 0 };

    if (fresh) {
        uint32_t own = seen_find(t, seen_hash(LOOK_SESSION, root));
        if (own != SEEN_NONE) {
            seen_copy(t, p.at, own);
            t->all[own].has_tree = true;
        }
    }
    if (!below && at.at != SEEN_NONE)
        t->all[at.at].has_tree = p.at != SEEN_NONE;
    if (p.at != SEEN_NONE)
        p.generation = t->generation[p.at];
    return p;
}

static void read_session(struct looking *l, struct known_session *k)
{
    struct slice self = l->names.who.text[SUBJECT_session_id],
                 root = l->names.who.text[SUBJECT_root_session_id];
    bool fresh;

    if (root.at == NULL)
        root.len = 0;
    if (self.at == NULL || self.len == 0)
        self = root;
    *k = (struct known_session){ l->call->session, { SEEN_NONE, 0 }, { SEEN_NONE, 0 } };
    k->self = place_of(l->r, LOOK_SESSION, self, &fresh);
    if (k->self.at == SEEN_NONE)
        return;
    if (fresh)
        l->r->seen.all[k->self.at].depth = depth_of(l, self, root);
    k->root = root_of(l, self, root, k->self);
}

static bool still_holds(const struct runaway *r, const struct known_session *k, uint32_t session)
{
    const struct seen_table *t = &r->seen;

    if (k->session != session || (k->self.at != SEEN_NONE && !seen_holds(t, k->self)))
        return false;
    return k->root.at != SEEN_NONE ? seen_holds(t, k->root)
                                   : k->self.at == SEEN_NONE || !t->all[k->self.at].has_tree;
}

static int know_session(struct looking *l)
{
    struct runaway *r = l->r;
    uint32_t session = l->call->session;
    struct known_session scratch = { .session = 0 },
                         *k = session != 0 ? &r->sessions[session & (SESSIONS_KNOWN - 1)] : &scratch;

    if (session == 0 && l->call->dims != 0)
        return 0;
    if (session != 0 && still_holds(r, k, session)) {
        if (k->self.at != SEEN_NONE)
            seen_touch(&r->seen, k->self.at);
        if (k->root.at != SEEN_NONE)
            seen_touch(&r->seen, k->root.at);
    } else {
        int rc = looking_ask(l);
        if (rc != 0)
            return rc;
        read_session(l, k);
    }
    l->at[LOOK_SESSION] = k->self.at;
    l->at[LOOK_ROOT_SESSION] = k->root.at;
    return 0;
}

/* ------------------------------------------------------------------- looking */

static uint8_t end_of(const struct looking *l)
{
    int64_t http = l->call->http_status;

    if (l->known->status != 0 || l->known->end != END_UNKNOWN || http == UNKNOWN)
        return l->known->end;
    return http >= 400 ? END_FAILED : http >= 200 ? END_WELL : END_UNKNOWN;
}

/* What is asked later is not set now: this is the path of every call. */
static void begin(struct looking *l, struct runaway *r, const struct runaway_call *c, bool quiet)
{
    l->r = r;
    l->call = c;
    l->quiet = quiet;
    l->asked = l->compacts = false;
    l->told = 0;
    l->bucket = window_bucket(c->ts_ms, WINDOW_MINUTE_MS);
    l->ts_s = (uint32_t)window_bucket(c->ts_ms, 1000);
    for (int look = 0; look < LOOKS; look++)
        l->at[look] = SEEN_NONE;
}

int runaway_look_at(struct runaway *r, const struct runaway_call *c, bool quiet, runaway_found *found,
                    void *arg)
{
    struct known_names scratch;
    struct looking l;
    int rc;

    begin(&l, r, c, quiet);
    l.found = found;
    l.arg = arg;
    if ((rc = know_names(&l, &scratch)) != 0 || l.known->status == STATUS_blocked ||
        (rc = know_session(&l)) != 0)
        return rc;
    l.end = end_of(&l);
    l.set = &r->set[l.known->set];
    for (int look = 0; look < LOOKS; look++) {
        if (l.at[look] == SEEN_NONE)
            continue;
        runaway_count(&l, (enum runaway_look)look);
        if (l.broken != 0 && (rc = runaway_judge(&l, (enum runaway_look)look)) != 0)
            return rc;
    }
    return 0;
}
