/* SPDX-License-Identifier: MIT */
#include "pricer.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 4096 /* a power of two */

/* What prices a combination from since_ms to before until_ms. */
struct pricer_slot {
    uint32_t dims; /* 0: free */
    bool blocked;
    int64_t row, since_ms, until_ms;
    const struct price *price; /* NULL: nothing */
};

int pricer_init(struct pricer *p, struct store *store, const struct price_list *list)
{
    int rc;

    *p = (struct pricer){ .store = store, .list = list, .slots = calloc(SLOTS, sizeof *p->slots) };
    if (p->slots == NULL)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(
             store,
             "SELECT id FROM price WHERE provider=? AND model=? AND valid_from_ms=? AND source=?"
             " AND rates=?",
             &p->find)) != 0)
        return rc;
    if ((rc = store_prepare(store, "INSERT INTO price VALUES(NULL,?,?,?,?,?)", &p->add)) != 0)
        return rc;
    return store_prepare(store, "SELECT provider, model, ifnull(status, 0) FROM dims WHERE id=?", &p->names);
}

void pricer_fini(struct pricer *p)
{
    free(p->slots);
    p->slots = NULL;
}

void pricer_recover(struct pricer *p)
{
    memset(p->slots, 0, SLOTS * sizeof *p->slots);
}

void pricer_use(struct pricer *p, const struct price_list *list)
{
    p->list = list;
    pricer_recover(p);
}

/* --------------------------------------------------------------------- rows */

static void bind_price(sqlite3_stmt *stmt, const struct price *price, const char *rates)
{
    sqlite3_bind_text(stmt, 1, price->provider, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, price->model, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, price->valid_from_ms);
    sqlite3_bind_text(stmt, 4, price->source, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 5, rates, -1, SQLITE_STATIC);
}

static int find_or_add(struct pricer *p, const struct price *price, const char *rates, int64_t *row)
{
    bind_price(p->find, price, rates);
    int rc = sqlite3_step(p->find);
    if (rc == SQLITE_ROW)
        *row = sqlite3_column_int64(p->find, 0);
    sqlite3_reset(p->find);
    if (rc != SQLITE_DONE)
        return rc == SQLITE_ROW ? 0 : -rc;
    bind_price(p->add, price, rates);
    if ((rc = store_run(p->add)) == 0)
        *row = sqlite3_last_insert_rowid(p->store->db);
    return rc;
}

static int row_of(struct pricer *p, const struct price *price, int64_t *row)
{
    json_t *json = price_json(price);
    char *rates = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    int rc = rates != NULL ? find_or_add(p, price, rates, row) : -SQLITE_NOMEM;

    free(rates);
    json_decref(json);
    return rc;
}

/* ------------------------------------------------------------------ pricing */

struct names {
    struct slice provider, model;
    uint8_t status;
};

static int meet(struct pricer *p, struct pricer_slot *slot, uint32_t dims, const struct names *names,
                int64_t ts_ms)
{
    struct price_found found;
    int64_t row = UNKNOWN;
    int rc = 0;

    price_list_search(p->list, names->provider, names->model, ts_ms, &found);
    if (found.price != NULL && (rc = row_of(p, found.price, &row)) != 0)
        return rc;
    *slot = (struct pricer_slot){
        dims, names->status == STATUS_blocked, row, found.since_ms, found.until_ms, found.price
    };
    return 0;
}

static bool tells_tokens(const int64_t *num)
{
    return num[D_prompt_tokens] != UNKNOWN || num[D_completion_tokens] != UNKNOWN ||
           num[D_total_tokens] != UNKNOWN;
}

static void set(const struct pricer_slot *slot, int64_t *num)
{
    const struct price_usage usage = {
        num[D_prompt_tokens],      num[D_completion_tokens],     num[D_cached_tokens],
        num[D_cache_write_tokens], num[D_cache_write_1h_tokens], num[D_reasoning_tokens],
    };
    struct nanousd cost;

    num[D_price] = num[D_cost_nanousd] = UNKNOWN;
    if (slot->blocked && !tells_tokens(num)) {
        num[D_cost_nanousd] = 0;
    } else if (slot->price != NULL && price_cost(slot->price, &usage, &cost)) {
        num[D_price] = slot->row;
        num[D_cost_nanousd] = cost.n;
    }
}

static struct pricer_slot *slot_of(const struct pricer *p, uint32_t dims)
{
    return &p->slots[dims % SLOTS];
}

static bool knows(const struct pricer_slot *slot, uint32_t dims, int64_t ts_ms)
{
    return slot->dims == dims && ts_ms >= slot->since_ms && ts_ms < slot->until_ms;
}

int pricer_price(struct pricer *p, uint32_t dims, struct slice wire, int64_t ts_ms, int64_t *num)
{
    struct pricer_slot *slot = slot_of(p, dims);

    if (p->list == NULL)
        return 0;
    if (!knows(slot, dims, ts_ms)) {
        struct dims_names read;
        dims_names_read(wire, &read);
        struct names names = { read.text[DIM_provider], read.text[DIM_model], read.code[DIM_status] };
        int rc = meet(p, slot, dims, &names, ts_ms);
        if (rc != 0)
            return rc;
    }
    set(slot, num);
    return 0;
}

static struct slice column_slice(sqlite3_stmt *stmt, int at)
{
    const uint8_t *text = sqlite3_column_text(stmt, at);

    return (struct slice){ text, (uint32_t)sqlite3_column_bytes(stmt, at) };
}

static int meet_again(struct pricer *p, struct pricer_slot *slot, uint32_t dims, int64_t ts_ms)
{
    struct names names = { 0 };

    sqlite3_bind_int64(p->names, 1, dims);
    int rc = sqlite3_step(p->names);
    if (rc == SQLITE_ROW)
        names = (struct names){ column_slice(p->names, 0), column_slice(p->names, 1),
                                (uint8_t)sqlite3_column_int(p->names, 2) };
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        rc = meet(p, slot, dims, &names, ts_ms);
    else
        rc = -rc;
    sqlite3_reset(p->names);
    return rc;
}

int pricer_price_again(struct pricer *p, uint32_t dims, int64_t ts_ms, int64_t *num)
{
    struct pricer_slot *slot = slot_of(p, dims);
    int rc = 0;

    if (p->list == NULL)
        return 0;
    if (!knows(slot, dims, ts_ms))
        rc = meet_again(p, slot, dims, ts_ms);
    if (rc == 0)
        set(slot, num);
    return rc;
}

bool pricer_has_price(const struct pricer *p, uint32_t dims)
{
    const struct pricer_slot *slot = slot_of(p, dims);

    return p->list == NULL || slot->dims != dims || slot->price != NULL;
}
