/* SPDX-License-Identifier: MIT */
#include "ledger_limits.h"

int64_t limit_threshold(int64_t allowed, unsigned percent)
{
    __int128 of = (__int128)allowed * percent;

    return (int64_t)((of + 99) / 100);
}

unsigned limit_reached(const struct budget *def, int64_t spent, int64_t allowed)
{
    unsigned n = 0;

    while (n < def->alerts && spent >= limit_threshold(allowed, def->alert[n]))
        n++;
    return n;
}

enum action limit_state(const struct budget *def, unsigned reached, int64_t committed, int64_t allowed)
{
    if (committed >= allowed)
        return def->action;
    return reached > 0 ? ACTION_WARN : ACTION_ALLOW;
}

/* Of a sliding window: when so much has gone out that needed more fits in again. */
static int64_t slides_open_ms(const struct account *c, int64_t excess)
{
    const struct window *w = &c->budget->def->window;
    int64_t bucket_ms = w->length_ms / WINDOW_BUCKETS, gone = 0;

    for (int64_t start = c->first_ms; start <= c->start_ms; start += bucket_ms)
        for (int i = 0; i <= WINDOW_BUCKETS; i++) {
            const struct ledger_cell *cell = &c->piece[i].cell;
            if (c->piece[i].start_ms != start)
                continue;
            gone = amount_add(gone, cell->amount);
            for (int kind = 0; kind < HELD_KINDS; kind++)
                gone = amount_add(gone, cell->held[kind]);
            if (gone > excess)
                return window_gone(w, start);
        }
    return WINDOW_NEVER;
}

int64_t limit_opens_ms(const struct account *c, int64_t needed, int64_t allowed)
{
    if (needed > allowed)
        return WINDOW_NEVER;
    if (c->budget->def->window.kind != WINDOW_SLIDING)
        return c->until_ms;
    return slides_open_ms(c, amount_add(account_committed(c), needed - allowed) - (needed > 0 ? 1 : 0));
}
