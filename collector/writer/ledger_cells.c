/* SPDX-License-Identifier: MIT */
#include "ledger_cells.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "store.h"

#define INDEX_FIRST 1024
#define ROOM_FIRST  256

void ledger_cells_fini(struct ledger_cells *c)
{
    for (uint32_t i = 0; i < c->used; i++)
        free(c->all[i].key);
    free(c->all);
    free(c->index);
    *c = (struct ledger_cells){ .all = NULL };
}

void ledger_cells_clear(struct ledger_cells *c)
{
    for (uint32_t i = 0; i < c->used; i++)
        free(c->all[i].key);
    if (c->used > 0)
        memset(c->index, 0, c->index_room * sizeof *c->index);
    c->used = 0;
}

static uint64_t hash_of(int64_t budget, const uint8_t *key, uint32_t len, int64_t start_ms)
{
    uint64_t half[2];

    tg_hash128(len > 0 ? key : (const uint8_t *)"", len, (unsigned char *)half);
    return (half[0] ^ (uint64_t)budget * 0x9e3779b97f4a7c15u) + (uint64_t)start_ms * 0xff51afd7ed558ccdu;
}

/* The place in the index of a cell, or where it would stand. */
static uint32_t place_of(const struct ledger_cells *c, int64_t budget, const uint8_t *key, uint32_t len,
                         int64_t start_ms)
{
    uint32_t at = (uint32_t)hash_of(budget, key, len, start_ms) & (c->index_room - 1);

    for (; c->index[at] != 0; at = (at + 1) & (c->index_room - 1)) {
        const struct recount_cell *cell = &c->all[c->index[at] - 1];
        if (cell->budget == budget && cell->start_ms == start_ms && cell->key_len == len &&
            (len == 0 || memcmp(cell->key, key, len) == 0))
            break;
    }
    return at;
}

/* The index is kept at most half full. */
static bool make_room(struct ledger_cells *c)
{
    uint32_t room = c->index_room == 0 ? INDEX_FIRST : 2 * c->index_room;

    if (2 * (c->used + 1) <= c->index_room)
        return true;
    uint32_t *index = calloc(room, sizeof *index);
    if (index == NULL)
        return false;
    free(c->index);
    c->index = index;
    c->index_room = room;
    for (uint32_t i = 0; i < c->used; i++) {
        const struct recount_cell *cell = &c->all[i];
        index[place_of(c, cell->budget, cell->key, cell->key_len, cell->start_ms)] = i + 1;
    }
    return true;
}

static struct recount_cell *add(struct ledger_cells *c, int64_t budget, const uint8_t *key, uint32_t len,
                                int64_t start_ms)
{
    if (c->used == c->room) {
        uint32_t room = c->room == 0 ? ROOM_FIRST : 2 * c->room;
        struct recount_cell *more = realloc(c->all, room * sizeof *more);
        if (more == NULL)
            return NULL;
        c->all = more;
        c->room = room;
    }
    struct recount_cell *cell = &c->all[c->used];
    *cell = (struct recount_cell){
        .budget = budget, .key = malloc(len + 1), .key_len = len, .start_ms = start_ms
    };
    if (cell->key == NULL)
        return NULL;
    if (len > 0)
        memcpy(cell->key, key, len);
    c->used++;
    return cell;
}

struct recount_cell *ledger_cells_find(const struct ledger_cells *c, int64_t budget, const uint8_t *key,
                                       uint32_t len, int64_t start_ms)
{
    if (c->used == 0)
        return NULL;
    uint32_t place = c->index[place_of(c, budget, key, len, start_ms)];
    return place != 0 ? &c->all[place - 1] : NULL;
}

struct recount_cell *ledger_cells_get(struct ledger_cells *c, int64_t budget, const uint8_t *key,
                                      uint32_t len, int64_t start_ms)
{
    if (!make_room(c))
        return NULL;
    uint32_t at = place_of(c, budget, key, len, start_ms);
    if (c->index[at] != 0)
        return &c->all[c->index[at] - 1];
    struct recount_cell *cell = add(c, budget, key, len, start_ms);
    if (cell != NULL)
        c->index[at] = c->used;
    return cell;
}

int ledger_cell_save(sqlite3_stmt *stmt, const struct recount_cell *c)
{
    sqlite3_bind_int64(stmt, 1, c->budget);
    bind_key(stmt, 2, c->key, c->key_len);
    sqlite3_bind_int64(stmt, 3, c->start_ms);
    sqlite3_bind_int64(stmt, 4, c->amount);
    sqlite3_bind_int64(stmt, 5, c->calls);
    sqlite3_bind_int64(stmt, 6, c->unknown);
    return store_run(stmt);
}
