/* SPDX-License-Identifier: MIT
 *
 * ledger_match.c: which accounts a call counts against. For a combination of names the answer is remembered,
 * as far as budgets do not look at sessions; a place whose accounts have made room since is asked again.
 */
#include <stdlib.h>

#include "ledger_work.h"

#define MATCHES 8192 /* a power of two */

struct known {
    uint32_t account, generation;
};

struct ledger_match {
    uint32_t dims; /* 0: nothing is remembered here */
    uint8_t count, room;
    struct known *known; /* owned */
};

int ledger_match_init(struct ledger *l)
{
    l->matches = calloc(MATCHES, sizeof *l->matches);
    return l->matches == NULL ? -SQLITE_NOMEM : 0;
}

void ledger_match_fini(struct ledger *l)
{
    for (size_t i = 0; l->matches != NULL && i < MATCHES; i++)
        free(l->matches[i].known);
    free(l->matches);
    l->matches = NULL;
}

void ledger_match_forget(struct ledger *l)
{
    for (size_t i = 0; i < MATCHES; i++)
        l->matches[i].dims = 0;
}

/* The account in which who's call counts. */
static int account_of(struct ledger *l, const struct ledger_budget *b, const struct subject *who,
                      uint32_t *out)
{
    uint8_t key[BUDGET_KEY_MAX];
    size_t len = budget_key(b->def, who, key);
    int rc = accounts_get(&l->accounts, b, (struct slice){ key, (uint32_t)len }, l->now_ms, out);

    if (rc == 0)
        l->accounts.all[*out].asked = l->accounts.asking;
    if (rc == 0 && account_is_stale(&l->accounts.all[*out]))
        rc = ledger_look(l, *out, l->running);
    return rc;
}

/* Asks every budget; those that look at sessions, or those that do not. */
static int ask(struct ledger *l, bool sessions, const struct subject *who, struct reach *out, int count)
{
    struct ledger_budget *const *budgets = sessions ? l->by_session : l->budgets;
    size_t n = sessions ? l->session_budgets : l->budget_count;

    for (size_t i = 0; i < n && count < LEDGER_REACH_MAX; i++) {
        const struct ledger_budget *b = budgets[i];
        if (b->needs_session != sessions || !scope_holds(&b->def->scope, who))
            continue;
        int rc = account_of(l, b, who, &out[count].account);
        if (rc != 0)
            return rc;
        out[count].budget = b;
        count++;
    }
    return count;
}

static bool make_room(struct ledger_match *m, int count)
{
    if (count <= 0 || count <= m->room)
        return true;
    struct known *more = count <= LEDGER_RECALL_MAX ? realloc(m->known, (size_t)count * sizeof *more) : NULL;
    if (more == NULL)
        return false;
    m->known = more;
    m->room = (uint8_t)count;
    return true;
}

static void remember(struct ledger *l, struct ledger_match *m, uint32_t dims, const struct reach *reach,
                     int count)
{
    m->dims = 0;
    if (dims == 0 || !make_room(m, count))
        return;
    m->dims = dims;
    m->count = (uint8_t)count;
    for (int i = 0; i < count; i++)
        m->known[i] = (struct known){ reach[i].account, l->accounts.all[reach[i].account].generation };
}

/* False: an account has made room. */
static bool recall(const struct ledger *l, const struct ledger_match *m, struct reach *out)
{
    for (int i = 0; i < m->count; i++) {
        struct account *c = &l->accounts.all[m->known[i].account];
        if (c->generation != m->known[i].generation)
            return false;
        c->recent = true;
        c->asked = l->accounts.asking;
        out[i] = (struct reach){ .account = m->known[i].account, .budget = c->budget };
    }
    return true;
}

/* Their windows go on with the clock. */
static int roll(struct ledger *l, const struct reach *reach, int count)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < count; i++) {
        const struct account *c = &l->accounts.all[reach[i].account];
        if (l->now_ms >= c->start_ms && l->now_ms < c->until_ms)
            continue;
        rc = accounts_roll(&l->accounts, reach[i].account, l->now_ms);
        if (rc == 0)
            rc = ledger_look(l, reach[i].account, l->running);
    }
    return rc;
}

bool ledger_recall(struct ledger *l, uint32_t dims, struct reach out[LEDGER_RECALL_MAX], int *count)
{
    const struct ledger_match *m = &l->matches[dims & (MATCHES - 1)];

    if (dims == 0 || m->dims != dims || !recall(l, m, out))
        return false;
    int rc = roll(l, out, m->count);
    *count = rc != 0 ? rc : m->count;
    return true;
}

int ledger_reach(struct ledger *l, uint32_t dims, const struct subject *who,
                 struct reach out[LEDGER_REACH_MAX])
{
    int count;

    l->accounts.asking++; /* what is found for a call may not make room for what is found next */
    if (!ledger_recall(l, dims, out, &count)) {
        count = ask(l, false, who, out, 0);
        if (count >= 0)
            remember(l, &l->matches[dims & (MATCHES - 1)], dims, out, count);
    }
    return count < 0 || l->session_budgets == 0 ? count : ask(l, true, who, out, count);
}
