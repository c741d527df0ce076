/* SPDX-License-Identifier: MIT
 *
 * spans.c. Invariants: entries[0, flushed) are the rows of the pieces, piece by piece; the rest came
 * after the last flush. The pieces' tiers never rise towards the end. Ids that retention took out of
 * the log may stay in a slice: who reads it finds no row there.
 */
#include "spans.h"

#include <stdlib.h>
#include <string.h>

#include "../base/leb128.h"

#define DISTANCE_MAX (1U << 31) /* of an entry from base, before everything becomes final */
#define DIGIT_BITS   11
#define DIGITS       (1U << DIGIT_BITS)
#define ROOM_FIRST   4096

struct spans_entry {
    uint32_t session, distance;
};

int spans_init(struct spans *s, struct store *store)
{
    int rc;

    *s = (struct spans){ .store = store };
    if ((rc = store_prepare(store, "INSERT INTO projection_session_span VALUES(?,?,?)", &s->add_span)) != 0 ||
        (rc = store_prepare(store, "INSERT INTO projection_session_slice VALUES(?,?,?)", &s->add_slice)) !=
            0 ||
        (rc = store_prepare(store, "DELETE FROM projection_session_span WHERE span=?", &s->drop_span)) != 0 ||
        (rc = store_prepare(
             store,
             "SELECT p.span, c.ids FROM projection_session_span p JOIN projection_session_slice c"
             " ON c.span = p.span AND c.session = ?1 WHERE p.span BETWEEN (SELECT"
             " ifnull(max(span), 0) FROM projection_session_span WHERE span <= ?2) AND ?3"
             " AND p.tier >= ?4 ORDER BY 1",
             &s->find)) != 0)
        return rc;
    return store_prepare(store, "DELETE FROM projection_session_slice WHERE span=?", &s->drop_slices);
}

void spans_fini(struct spans *s)
{
    free(s->entries);
    free(s->scratch);
    free(s->packed);
    *s = (struct spans){ 0 };
}

/* ------------------------------------------------------------------- memory */

/* Makes room for n entries; what is in the array stays. */
static bool reserve(struct spans_entry **array, uint32_t *room, uint32_t n)
{
    uint32_t more = *room == 0 ? ROOM_FIRST : *room;

    if (n <= *room)
        return true;
    while (more < n)
        more *= 2;
    struct spans_entry *grown = realloc(*array, more * sizeof *grown);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

void spans_add(struct spans *s, int64_t id, uint32_t session)
{
    if (!reserve(&s->entries, &s->room, s->used + 1)) {
        s->no_memory = true;
        return;
    }
    if (s->used == 0)
        s->base = id;
    s->entries[s->used++] = (struct spans_entry){ session, (uint32_t)(id - s->base) };
}

static uint32_t reach(const struct spans *s)
{
    return s->used > 0 ? s->entries[s->used - 1].distance : 0;
}

bool spans_is_full(const struct spans *s)
{
    return s->used >= SPANS_ROOM || reach(s) >= DISTANCE_MAX;
}

static int read_rows(struct spans *s, int64_t watermark)
{
    static const char sql[] = "SELECT id, session FROM dispatch WHERE id BETWEEN ?1 AND ?2 AND session > 0"
                              " UNION ALL SELECT id, session FROM message WHERE id BETWEEN ?1 AND ?2 AND"
                              " session > 0 ORDER BY 1";
    sqlite3_stmt *stmt;
    int piece = 0, rc = store_prepare(s->store, sql, &stmt);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, s->piece[0].span);
    sqlite3_bind_int64(stmt, 2, watermark);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(stmt, 0);
        for (; piece < s->pieces && s->piece[piece].span <= id; piece++)
            s->piece[piece].start = s->used;
        spans_add(s, id, (uint32_t)sqlite3_column_int64(stmt, 1));
    }
    for (; piece < s->pieces; piece++)
        s->piece[piece].start = s->used;
    sqlite3_finalize(stmt);
    return rc != SQLITE_DONE ? -rc : s->no_memory ? -SQLITE_NOMEM : 0;
}

int spans_start(struct spans *s, int64_t watermark)
{
    sqlite3_stmt *stmt;
    int rc;

    s->used = s->flushed = 0;
    s->pieces = 0;
    s->no_memory = false;
    if ((rc = store_prepare(s->store,
                            "SELECT span, tier FROM projection_session_span WHERE span > (SELECT"
                            " ifnull(max(span), 0) FROM projection_session_span WHERE tier >= ?) ORDER BY 1",
                            &stmt)) != 0)
        return rc;
    sqlite3_bind_int(stmt, 1, SPANS_FINAL_TIER);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && s->pieces < SPANS_TAIL_MAX)
        s->piece[s->pieces++] =
            (struct spans_piece){ sqlite3_column_int64(stmt, 0), 0, sqlite3_column_int(stmt, 1) };
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE)
        return rc == SQLITE_ROW ? -SQLITE_CORRUPT : -rc;
    rc = s->pieces > 0 ? read_rows(s, watermark) : 0;
    s->flushed = s->used;
    return rc;
}

/* ------------------------------------------------------------------ writing */

static void pass(const struct spans_entry *from, struct spans_entry *to, uint32_t n, int shift,
                 uint32_t start[DIGITS])
{
    uint32_t sum = 0;

    for (uint32_t d = 0; d < DIGITS; d++) {
        uint32_t count = start[d];
        start[d] = sum;
        sum += count;
    }
    for (uint32_t i = 0; i < n; i++)
        to[start[from[i].session >> shift & (DIGITS - 1)]++] = from[i];
}

/* By session, then by id: they come in the order of ids, and each pass keeps what the ones before
 * did. The result is e, a or b; e is left as it is unless b is e. */
static const struct spans_entry *sort(const struct spans_entry *e, struct spans_entry *a,
                                      struct spans_entry *b, uint32_t n)
{
    for (int shift = 0; shift < 32; shift += DIGIT_BITS) {
        uint32_t start[DIGITS] = { 0 };
        for (uint32_t i = 0; i < n; i++)
            start[e[i].session >> shift & (DIGITS - 1)]++;
        if (start[e[0].session >> shift & (DIGITS - 1)] == n)
            continue;
        pass(e, a, n, shift, start);
        e = a;
        a = b;
        b = (struct spans_entry *)e;
    }
    return e;
}

/* The slice of the session that e[0] is of. Returns how many entries it has; 0: no memory. */
static uint32_t pack_slice(struct spans *s, const struct spans_entry *e, uint32_t n, uint32_t from,
                           size_t *len)
{
    uint32_t count = 1;

    while (count < n && e[count].session == e->session)
        count++;
    if (s->packed_room < (size_t)count * LEB128_MAX) {
        uint8_t *packed = realloc(s->packed, (size_t)count * LEB128_MAX);
        if (packed == NULL)
            return 0;
        s->packed = packed;
        s->packed_room = (size_t)count * LEB128_MAX;
    }
    uint8_t *at = s->packed;
    for (uint32_t i = 0; i < count; i++) {
        at = leb128_put(at, e[i].distance - from);
        from = e[i].distance;
    }
    *len = (size_t)(at - s->packed);
    return count;
}

static int write_slices(struct spans *s, int64_t span, const struct spans_entry *e, uint32_t n)
{
    uint32_t from = (uint32_t)(span - s->base), count;
    size_t len = 0;
    int rc = 0;

    for (; rc == 0 && n > 0; e += count, n -= count) {
        if ((count = pack_slice(s, e, n, from, &len)) == 0)
            return -SQLITE_NOMEM;
        sqlite3_bind_int64(s->add_slice, 1, span);
        sqlite3_bind_int64(s->add_slice, 2, e->session);
        sqlite3_bind_blob(s->add_slice, 3, s->packed, (int)len, SQLITE_STATIC);
        rc = store_run(s->add_slice);
    }
    return rc;
}

/* Writes the entries from start on as one span. A final one may be sorted in its own place. */
static int write_span(struct spans *s, uint32_t start, int tier)
{
    bool final = tier == SPANS_FINAL_TIER;
    uint32_t n = s->used - start;
    int64_t span = s->base + s->entries[start].distance, last = s->base + s->entries[s->used - 1].distance;

    if (!reserve(&s->scratch, &s->scratch_room, final ? n : 2 * n))
        return -SQLITE_NOMEM;
    const struct spans_entry *sorted =
        sort(s->entries + start, s->scratch, final ? s->entries : s->scratch + n, n);
    int rc = write_slices(s, span, sorted, n);
    if (rc != 0)
        return rc;
    sqlite3_bind_int64(s->add_span, 1, span);
    sqlite3_bind_int64(s->add_span, 2, last);
    sqlite3_bind_int(s->add_span, 3, tier);
    if ((rc = store_run(s->add_span)) != 0)
        return rc;
    s->piece[s->pieces++] = (struct spans_piece){ span, start, tier };
    s->flushed = s->used;
    return 0;
}

/* The tier of the next span, and from which piece on it takes in what stands at the end. */
static int plan(const struct spans *s, int *first)
{
    int tier = 0, same;

    *first = 0;
    if (s->used >= SPANS_FINAL_ROWS || reach(s) >= DISTANCE_MAX)
        return SPANS_FINAL_TIER;
    for (*first = s->pieces;; *first -= same, tier++) {
        for (same = 0; same < *first && s->piece[*first - 1 - same].tier == tier;)
            same++;
        if (same < SPANS_FAN - 1)
            return tier;
    }
}

static int drop_pieces(struct spans *s, int first)
{
    int rc = 0;

    for (int i = first; rc == 0 && i < s->pieces; i++) {
        sqlite3_bind_int64(s->drop_span, 1, s->piece[i].span);
        sqlite3_bind_int64(s->drop_slices, 1, s->piece[i].span);
        if ((rc = store_run(s->drop_span)) == 0)
            rc = store_run(s->drop_slices);
    }
    return rc;
}

int spans_flush(struct spans *s)
{
    int first, tier, rc;

    if (s->no_memory)
        return -SQLITE_NOMEM;
    if (s->used == s->flushed)
        return 0;
    tier = plan(s, &first);
    uint32_t start = first < s->pieces ? s->piece[first].start : s->flushed;
    if ((rc = drop_pieces(s, first)) != 0)
        return rc;
    s->pieces = first;
    if ((rc = write_span(s, start, tier)) != 0 || tier != SPANS_FINAL_TIER)
        return rc;
    s->used = s->flushed = 0;
    s->pieces = 0;
    return 0;
}

/* ------------------------------------------------------------------ finding */

struct search {
    int64_t from, to;
    spans_wants wants;
    void *arg;
    int64_t *out;
    int found, max;
};

/* 0, or a negative SQLite code. */
static int look_at(struct search *q, int64_t id)
{
    int rc = id >= q->from && id <= q->to && q->found < q->max ? q->wants(q->arg, id) : 0;

    if (rc > 0)
        q->out[q->found++] = id;
    return rc < 0 ? rc : 0;
}

static int look_at_slice(struct search *q, int64_t span, const uint8_t *at, const uint8_t *end)
{
    uint64_t distance = 0;
    int64_t id = span;
    int rc = 0;

    while (rc == 0 && at < end && id <= q->to && q->found < q->max) {
        if ((at = leb128_get(at, end, &distance)) == NULL)
            return -SQLITE_CORRUPT;
        id += (int64_t)distance;
        rc = look_at(q, id);
    }
    return rc;
}

static int look_at_final_spans(struct spans *s, uint32_t session, struct search *q)
{
    int rc, failed = 0;

    sqlite3_bind_int64(s->find, 1, session);
    sqlite3_bind_int64(s->find, 2, q->from);
    sqlite3_bind_int64(s->find, 3, q->to);
    sqlite3_bind_int(s->find, 4, SPANS_FINAL_TIER);
    while ((rc = sqlite3_step(s->find)) == SQLITE_ROW && failed == 0 && q->found < q->max) {
        const uint8_t *ids = sqlite3_column_blob(s->find, 1);
        failed =
            look_at_slice(q, sqlite3_column_int64(s->find, 0), ids, ids + sqlite3_column_bytes(s->find, 1));
    }
    sqlite3_reset(s->find);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? failed : -rc;
}

int spans_find(struct spans *s, uint32_t session, int64_t from, int64_t to, spans_wants wants, void *arg,
               int64_t *out, int max)
{
    struct search q = { from, to, wants, arg, out, 0, max };
    int rc = 0;

    if (s->used == 0 || from < s->base)
        rc = look_at_final_spans(s, session, &q);
    for (uint32_t i = 0; rc == 0 && i < s->used && q.found < max; i++)
        if (s->entries[i].session == session)
            rc = look_at(&q, s->base + s->entries[i].distance);
    return rc != 0 ? rc : q.found;
}
