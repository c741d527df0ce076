/* SPDX-License-Identifier: MIT */
#include "ledger_accounts.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define ROOM_FIRST 256
#define HOT_SHARE  4 /* of the places: more that do not allow make room too */
#define PIECES     (WINDOW_BUCKETS + 1)

/* Makes room for one more element of size bytes. False: no memory. */
static bool grow(void **array, uint32_t used, uint32_t *room, size_t size)
{
    if (used < *room)
        return true;
    uint32_t wanted = *room == 0 ? ROOM_FIRST : *room * 2;
    void *more = realloc(*array, wanted * size);
    if (more == NULL)
        return false;
    *array = more;
    *room = wanted;
    return true;
}
#define GROW(array, used, room) grow((void **)&(array), (used), &(room), sizeof *(array))

int accounts_init(struct accounts *a, accounts_load *load, void *load_arg)
{
    *a = (struct accounts){
        .load = load, .load_arg = load_arg, .free_list = ACCOUNT_NONE, .most = ACCOUNTS_MAX, .asking = 1
    };
    a->index_mask = 2 * ACCOUNTS_MAX - 1;
    a->index = calloc(a->index_mask + 1, sizeof *a->index);
    return a->index == NULL ? -SQLITE_NOMEM : 0;
}

static void account_forget(struct account *c)
{
    free(c->key);
    free(c->piece);
    free(c->curve);
    c->key = NULL;
    c->piece = NULL;
    c->curve = NULL;
    c->budget = NULL;
    c->generation++;
}

void accounts_clear(struct accounts *a)
{
    a->free_list = ACCOUNT_NONE;
    for (uint32_t i = a->used; i-- > 0;) {
        if (a->all[i].budget != NULL)
            account_forget(&a->all[i]);
        a->all[i].next = a->free_list;
        a->free_list = i;
    }
    memset(a->index, 0, (a->index_mask + 1) * sizeof *a->index);
    a->deltas_used = a->dirty_used = a->hot_used = 0;
}

void accounts_fini(struct accounts *a)
{
    for (uint32_t i = 0; i < a->used; i++)
        account_forget(&a->all[i]);
    free(a->all);
    free(a->index);
    free(a->deltas);
    free(a->dirty);
    free(a->hot);
    free(a->kept);
    *a = (struct accounts){ .free_list = ACCOUNT_NONE };
}

/* -------------------------------------------------------------------- paces */

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct kept_burn *)a)->hash, y = ((const struct kept_burn *)b)->hash;

    return x < y ? -1 : x > y;
}

/* It is not kept: who is made later may be its account, and then it is not known what came before. */
static void lose_burn(struct accounts *a, const struct burn *b)
{
    int64_t until_ms = b->second == INT64_MIN ? INT64_MIN : (b->second + 1) * 1000;

    if (until_ms > a->seen_ms)
        a->seen_ms = until_ms;
}

/* One that is to be kept, if there is room. */
static void keep_burn(struct accounts *a, struct kept_burn *kept, uint32_t *n, uint64_t hash,
                      const struct burn *b)
{
    if (kept != NULL && *n < ACCOUNTS_MAX)
        kept[(*n)++] = (struct kept_burn){ .hash = hash, .burn = *b };
    else
        lose_burn(a, b);
}

/* Those of before that nobody has taken stay. */
void accounts_keep_burns(struct accounts *a)
{
    uint32_t n = 0, most = a->used + a->kept_count < ACCOUNTS_MAX ? a->used + a->kept_count : ACCOUNTS_MAX;
    struct kept_burn *kept = malloc((most + 1) * sizeof *kept);

    for (uint32_t i = 0; i < a->used; i++)
        if (a->all[i].budget != NULL)
            keep_burn(a, kept, &n, a->all[i].hash, &a->all[i].burn);
    for (uint32_t i = 0; i < a->kept_count; i++)
        if (!a->kept[i].taken)
            keep_burn(a, kept, &n, a->kept[i].hash, &a->kept[i].burn);
    if (kept != NULL)
        qsort(kept, n, sizeof *kept, by_hash);
    free(a->kept);
    a->kept = kept;
    a->kept_count = n;
}

/* Nothing yet; a session's begins with it. */
static void begin_burn(const struct accounts *a, struct account *c)
{
    const struct ledger_budget *b = c->budget;
    int64_t since_ms = a->seen_ms;

    since_ms = b->counts_from_ms > since_ms ? b->counts_from_ms : since_ms;
    since_ms = b->since_ms > since_ms ? b->since_ms : since_ms;
    burn_begin(&c->burn, b->def->window.kind == WINDOW_SESSION ? BURN_FIRST : since_ms);
}

void accounts_forget_burns(struct accounts *a, int64_t seen_ms)
{
    free(a->kept);
    a->kept = NULL;
    a->kept_count = 0;
    a->seen_ms = seen_ms;
    for (uint32_t i = 0; i < a->used; i++)
        if (a->all[i].budget != NULL)
            begin_burn(a, &a->all[i]);
}

/* That of an account which is made: what is kept of it, or nothing yet. */
static void give_burn(struct accounts *a, struct account *c)
{
    struct kept_burn key = { .hash = c->hash };
    struct kept_burn *k =
        a->kept_count > 0 ? bsearch(&key, a->kept, a->kept_count, sizeof *a->kept, by_hash) : NULL;

    if (k == NULL || k->taken) { /* taken: it has made room since */
        begin_burn(a, c);
        return;
    }
    c->burn = k->burn;
    k->taken = true;
}

/* ------------------------------------------------------------------ finding */

static uint64_t hash_of(const struct ledger_budget *b, struct slice key)
{
    uint64_t half[2];

    tg_hash128(key.len > 0 ? key.at : (const uint8_t *)"", key.len, (unsigned char *)half);
    return half[0] ^ (uint64_t)b->id * 0x9e3779b97f4a7c15u;
}

static uint32_t *bucket_of(const struct accounts *a, uint64_t hash)
{
    return &a->index[hash & a->index_mask];
}

static uint32_t find(const struct accounts *a, const struct ledger_budget *b, struct slice key, uint64_t hash)
{
    for (uint32_t i = *bucket_of(a, hash); i != 0; i = a->all[i - 1].next) {
        const struct account *c = &a->all[i - 1];
        if (c->hash == hash && c->budget == b && c->key_len == key.len &&
            (key.len == 0 || memcmp(c->key, key.at, key.len) == 0))
            return i - 1;
    }
    return ACCOUNT_NONE;
}

uint32_t accounts_find(const struct accounts *a, const struct ledger_budget *b, struct slice key)
{
    return find(a, b, key, hash_of(b, key));
}

static void unlink_account(struct accounts *a, uint32_t account)
{
    uint32_t *at = bucket_of(a, a->all[account].hash);

    while (*at != account + 1)
        at = &a->all[*at - 1].next;
    *at = a->all[account].next;
}

/* Takes it off the list of those that do not allow. */
static void cool(struct accounts *a, struct account *c)
{
    if (c->hot == 0)
        return;
    uint32_t last = a->hot[--a->hot_used];
    a->hot[c->hot - 1] = last;
    a->all[last].hot = c->hot;
    c->hot = 0;
}

static bool is_evictable(const struct accounts *a, struct account *c)
{
    if (c->budget == NULL || c->dirty || c->asked == a->asking ||
        (c->hot != 0 && a->hot_used <= a->most / HOT_SHARE))
        return false;
    bool rests = !c->recent;
    c->recent = false;
    return rests;
}

/* A place that may be used: a free one, a new one, or that of an account that rests. */
static uint32_t take_place(struct accounts *a)
{
    uint32_t place = a->free_list;

    if (place != ACCOUNT_NONE) {
        a->free_list = a->all[place].next;
        return place;
    }
    for (uint32_t tries = 0; a->used >= a->most && tries < 2 * a->used; tries++) {
        place = a->hand;
        a->hand = a->hand + 1 < a->used ? a->hand + 1 : 0;
        if (is_evictable(a, &a->all[place])) {
            unlink_account(a, place);
            lose_burn(a, &a->all[place].burn);
            cool(a, &a->all[place]);
            account_forget(&a->all[place]);
            return place;
        }
    }
    if (!GROW(a->all, a->used, a->room))
        return ACCOUNT_NONE;
    a->all[a->used] = (struct account){ .generation = 1 };
    return a->used++;
}

static uint8_t *copy_key(struct slice key)
{
    uint8_t *copy = malloc((size_t)key.len + 1);

    if (copy != NULL && key.len > 0)
        memcpy(copy, key.at, key.len);
    return copy;
}

static int make(struct accounts *a, const struct ledger_budget *b, struct slice key, uint64_t hash,
                uint32_t *out)
{
    bool slides = b->def->window.kind == WINDOW_SLIDING;
    struct piece *piece = slides ? malloc(PIECES * sizeof *piece) : NULL;
    uint8_t *copy = copy_key(key);
    uint32_t place = copy != NULL && (piece != NULL || !slides) ? take_place(a) : ACCOUNT_NONE;

    if (place == ACCOUNT_NONE) {
        free(piece);
        free(copy);
        return -SQLITE_NOMEM;
    }
    struct account *c = &a->all[place];
    *c = (struct account){ .budget = b,
                           .key = copy,
                           .key_len = key.len,
                           .piece = piece,
                           .hash = hash,
                           .generation = c->generation,
                           .first_ms = INT64_MAX,
                           .ahead_ms = INT64_MIN,
                           .mark = INT64_MIN,
                           .foretold_ms = INT64_MIN };
    give_burn(a, c);
    c->next = *bucket_of(a, hash);
    *bucket_of(a, hash) = place + 1;
    *out = place;
    return 0;
}

int accounts_get(struct accounts *a, const struct ledger_budget *b, struct slice key, int64_t now_ms,
                 uint32_t *out)
{
    uint64_t hash = hash_of(b, key);
    uint32_t place = find(a, b, key, hash);
    int rc = place == ACCOUNT_NONE ? make(a, b, key, hash, &place) : 0;

    if (rc == 0)
        rc = accounts_roll(a, place, now_ms);
    if (rc == 0) {
        a->all[place].recent = true;
        *out = place;
    }
    return rc;
}

/* --------------------------------------------------------------------- time */

static void cell_add(struct ledger_cell *to, const struct ledger_cell *c, int sign)
{
    to->amount = amount_add(to->amount, sign * c->amount);
    to->calls += sign * c->calls;
    to->unknown += sign * c->unknown;
    for (int i = 0; i < HELD_KINDS; i++)
        to->held[i] = amount_add(to->held[i], sign * c->held[i]);
}

/* Where a sliding window's piece stands. */
static struct piece *piece_of(const struct account *c, int64_t start_ms)
{
    int64_t bucket_ms = c->budget->def->window.length_ms / WINDOW_BUCKETS;
    int64_t n = start_ms / bucket_ms % PIECES;

    return &c->piece[n < 0 ? n + PIECES : n];
}

static bool is_running(const struct account *c, int64_t start_ms)
{
    return start_ms >= c->first_ms && start_ms <= c->start_ms;
}

/* Adds to a cell of the running window; of one that is ahead it is noted that there is something. */
static void add_to_cell(struct account *c, int64_t start_ms, const struct ledger_cell *cell)
{
    if (start_ms > c->ahead_ms)
        c->ahead_ms = start_ms;
    if (!is_running(c, start_ms))
        return;
    cell_add(&c->total, cell, 1);
    if (c->piece == NULL)
        return;
    struct piece *p = piece_of(c, start_ms);
    if (p->start_ms != start_ms)
        *p = (struct piece){ .start_ms = start_ms };
    cell_add(&p->cell, cell, 1);
}

void accounts_loaded(struct accounts *a, uint32_t account, int64_t start_ms, const struct ledger_cell *cell)
{
    add_to_cell(&a->all[account], start_ms, cell);
}

static void add_delta(struct account *c, const struct delta *d)
{
    struct ledger_cell cell = { .amount = d->amount, .calls = d->calls, .unknown = d->unknown };

    add_to_cell(c, d->start_ms, &cell);
}

/* What has come and is not in the file yet. */
static void add_deltas(struct accounts *a, uint32_t account)
{
    struct account *c = &a->all[account];

    if (c->dirty)
        add_delta(c, &c->delta);
    for (uint32_t i = 0; c->owed > 0 && i < a->deltas_used; i++)
        if (a->deltas[i].account == account)
            add_delta(c, &a->deltas[i]);
}

static int reload(struct accounts *a, uint32_t account)
{
    struct account *c = &a->all[account];

    c->total = (struct ledger_cell){ 0 };
    for (int i = 0; c->piece != NULL && i < PIECES; i++)
        c->piece[i] = (struct piece){ .start_ms = INT64_MIN };
    int64_t last_ms = c->piece != NULL ? INT64_MAX : c->start_ms; /* what is ahead: see may_slide */
    int rc = a->load != NULL ? a->load(a->load_arg, a, account, c->first_ms, last_ms) : 0;
    if (rc == 0)
        add_deltas(a, account);
    return rc;
}

/* A sliding window goes on: the pieces that are wholly out are taken off. */
static void slide(struct account *c, int64_t first_ms)
{
    for (int i = 0; i < PIECES; i++)
        if (c->piece[i].start_ms != INT64_MIN && c->piece[i].start_ms < first_ms) {
            cell_add(&c->total, &c->piece[i].cell, -1);
            c->piece[i] = (struct piece){ .start_ms = INT64_MIN };
        }
}

/* What was counted ahead of its piece, by events whose time is after ours, is only in the file. */
static bool may_slide(const struct account *c, int64_t first_ms)
{
    return c->piece != NULL && c->first_ms != INT64_MAX && first_ms >= c->first_ms &&
           c->ahead_ms <= c->start_ms;
}

int accounts_roll(struct accounts *a, uint32_t account, int64_t now_ms)
{
    struct account *c = &a->all[account];
    const struct window *w = &c->budget->def->window;

    if (c->first_ms != INT64_MAX && now_ms >= c->start_ms && now_ms < c->until_ms)
        return 0;
    int64_t start_ms = window_start(w, now_ms), first_ms = window_first(w, now_ms);
    bool slides = may_slide(c, first_ms);
    bool same = c->first_ms == first_ms && c->start_ms == start_ms, made = c->first_ms == INT64_MAX;

    c->start_ms = start_ms;
    c->until_ms = window_end(w, start_ms);
    c->first_ms = first_ms;
    if (same)
        return 0;
    c->mark = INT64_MIN;
    c->fresh |= made;
    if (c->piece == NULL)
        c->alerted = 0;
    c->overrun &= c->piece != NULL;
    if (slides) {
        slide(c, first_ms);
        return 0;
    }
    return reload(a, account);
}

/* ------------------------------------------------------------------ posting */

/* The account's delta is of another cell: it moves to the list. */
static bool put_aside(struct accounts *a, struct account *c)
{
    if (!GROW(a->deltas, a->deltas_used, a->deltas_room))
        return false;
    a->deltas[a->deltas_used++] = c->delta;
    c->owed++;
    return true;
}

static bool note_delta(struct accounts *a, uint32_t account, int64_t start_ms, const struct ledger_cell *cell)
{
    struct account *c = &a->all[account];

    if (!c->dirty) {
        if (!GROW(a->dirty, a->dirty_used, a->dirty_room))
            return false;
        a->dirty[a->dirty_used++] = account;
        c->dirty = true;
        c->delta = (struct delta){ .account = account, .start_ms = start_ms };
    } else if (c->delta.start_ms != start_ms) {
        if (!put_aside(a, c))
            return false;
        c->delta = (struct delta){ .account = account, .start_ms = start_ms };
    }
    c->delta.amount = amount_add(c->delta.amount, cell->amount);
    c->delta.calls += cell->calls;
    c->delta.unknown += cell->unknown;
    return true;
}

bool accounts_post(struct accounts *a, uint32_t account, int64_t post_ms, int64_t amount, int64_t calls,
                   int64_t unknown)
{
    struct account *c = &a->all[account];
    struct ledger_cell cell = { .amount = amount, .calls = calls, .unknown = unknown };
    int64_t start_ms = post_ms >= c->start_ms && post_ms < c->until_ms
                           ? c->start_ms
                           : window_start(&c->budget->def->window, post_ms);

    if (!note_delta(a, account, start_ms, &cell))
        return false;
    add_to_cell(c, start_ms, &cell);
    return true;
}

void accounts_hold(struct accounts *a, uint32_t account, int64_t start_ms, enum held_kind kind,
                   int64_t amount)
{
    struct ledger_cell cell = { .amount = 0 };

    cell.held[kind] = amount;
    add_to_cell(&a->all[account], start_ms, &cell);
    a->all[account].mark = INT64_MIN;
}

void accounts_flushed(struct accounts *a)
{
    for (uint32_t i = 0; i < a->dirty_used; i++) {
        a->all[a->dirty[i]].dirty = false;
        a->all[a->dirty[i]].owed = 0;
    }
    a->dirty_used = a->deltas_used = 0;
}

bool accounts_set_state(struct accounts *a, uint32_t account, enum action state)
{
    struct account *c = &a->all[account];

    if (state != ACTION_ALLOW && c->hot == 0) {
        if (!GROW(a->hot, a->hot_used, a->hot_room))
            return false;
        a->hot[a->hot_used++] = account;
        c->hot = a->hot_used;
    } else if (state == ACTION_ALLOW) {
        cool(a, c);
    }
    c->state = state;
    return true;
}
