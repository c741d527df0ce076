/* SPDX-License-Identifier: MIT
 *
 * Invariants: entries and texts stand in blocks that never move and never change once they can be
 * seen; a slot of the index is set after what it points to. An index that became too small stays
 * until the end, for whoever reads in it still. Only who holds the turn adds; the turn is handed on
 * through a queue of one.
 */
#include "dictionary.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "../base/queue.h"

#define BLOCK_BITS  10
#define BLOCK       (1u << BLOCK_BITS)
#define BLOCKS      (DICTIONARY_MAX >> BLOCK_BITS)
#define TEXT_BLOCKS 1024 /* a million texts */
#define BYTES       (64u << 10)
#define FIRST_SLOTS 1024

/* Open addressing, at most half full. A slot is a row id and, above it, the entry's number; 0 is free. */
struct index {
    struct index *older; /* owned */
    size_t slots;
    _Atomic uint64_t slot[];
};

struct known_text {
    const char *at;
    uint32_t len, hash;
};

struct bytes {
    struct bytes *older; /* owned */
    char at[];
};

struct dictionary {
    _Atomic(struct index *) index;                    /* owned */
    _Atomic(struct dictionary_entry *) entry[BLOCKS]; /* owned */
    _Atomic(struct known_text *) text[TEXT_BLOCKS];   /* owned */
    struct queue *turn;                               /* owned */
    struct queue_item turn_item;
    /* of whoever has the turn */
    uint32_t entries, texts; /* the next numbers */
    uint32_t *text_slot;     /* owned; text + 1 */
    size_t text_slots;
    struct bytes *bytes; /* owned */
    size_t bytes_used, bytes_size;
};

/* ---------------------------------------------------------------- reading */

const struct dictionary_entry *dictionary_entry(const struct dictionary *d, uint32_t number)
{
    return atomic_load_explicit(&d->entry[number >> BLOCK_BITS], memory_order_acquire) +
           (number & (BLOCK - 1));
}

static const struct known_text *text_at(const struct dictionary *d, uint32_t number)
{
    return atomic_load_explicit(&d->text[number >> BLOCK_BITS], memory_order_acquire) +
           (number & (BLOCK - 1));
}

const char *dictionary_text(const struct dictionary *d, uint32_t text, size_t *len)
{
    if (text == DICTIONARY_UNKNOWN)
        return NULL;
    const struct known_text *t = text_at(d, text);
    *len = t->len;
    return t->at;
}

static uint32_t tag_value(const struct dictionary *d, const struct dictionary_entry *e, const char *name)
{
    size_t len, wanted = strlen(name);

    if (e->other_tags)
        return e->tag[0].value;
    for (int i = 0; i < e->tags; i++) {
        const char *at = dictionary_text(d, e->tag[i].name, &len);
        if (at && len == wanted && memcmp(at, name, len) == 0)
            return e->tag[i].value;
    }
    return DICTIONARY_UNKNOWN;
}

uint32_t dictionary_field(const struct dictionary *d, const struct dictionary_entry *e, enum field_id field,
                          const char *tag)
{
    return field == FIELD_tag ? tag_value(d, e, tag) : e->text[field];
}

static size_t slot_of(const struct index *x, uint32_t id)
{
    return (size_t)((id * 0x9e3779b97f4a7c15ULL) >> 32) & (x->slots - 1);
}

uint32_t dictionary_known(const struct dictionary *d, uint32_t id)
{
    const struct index *x = atomic_load_explicit(&d->index, memory_order_acquire);

    for (size_t i = slot_of(x, id);; i = (i + 1) & (x->slots - 1)) {
        uint64_t slot = atomic_load_explicit(&x->slot[i], memory_order_acquire);
        if (slot == 0 || (uint32_t)slot == id)
            return (uint32_t)(slot >> 32);
    }
}

/* ----------------------------------------------------------------- adding */

static void index_put(struct index *x, uint32_t id, uint32_t number)
{
    size_t i = slot_of(x, id);

    while (atomic_load_explicit(&x->slot[i], memory_order_relaxed) != 0)
        i = (i + 1) & (x->slots - 1);
    atomic_store_explicit(&x->slot[i], (uint64_t)number << 32 | id, memory_order_release);
}

static int index_grow(struct dictionary *d)
{
    struct index *old = atomic_load_explicit(&d->index, memory_order_relaxed);
    size_t slots = old ? 2 * old->slots : FIRST_SLOTS;
    struct index *x = calloc(1, sizeof *x + slots * sizeof x->slot[0]);

    if (!x)
        return -1;
    x->slots = slots;
    x->older = old;
    for (uint32_t n = 1; n < d->entries; n++)
        index_put(x, dictionary_entry(d, n)->id, n);
    atomic_store_explicit(&d->index, x, memory_order_release);
    return 0;
}

static const char *bytes_keep(struct dictionary *d, const char *at, size_t len)
{
    if (d->bytes_size - d->bytes_used < len) {
        size_t size = len > BYTES ? len : BYTES;
        struct bytes *fresh = malloc(sizeof *fresh + size);
        if (!fresh)
            return NULL;
        fresh->older = d->bytes;
        d->bytes = fresh;
        d->bytes_size = size;
        d->bytes_used = 0;
    }
    char *to = d->bytes->at + d->bytes_used;
    memcpy(to, at, len);
    d->bytes_used += len;
    return to;
}

static void text_slot_put(struct dictionary *d, uint32_t number)
{
    size_t i = text_at(d, number)->hash & (d->text_slots - 1);

    while (d->text_slot[i] != 0)
        i = (i + 1) & (d->text_slots - 1);
    d->text_slot[i] = number + 1;
}

static int text_slots_grow(struct dictionary *d)
{
    size_t slots = d->text_slots ? 2 * d->text_slots : FIRST_SLOTS;
    uint32_t *fresh = calloc(slots, sizeof *fresh);

    if (!fresh)
        return -1;
    free(d->text_slot);
    d->text_slot = fresh;
    d->text_slots = slots;
    for (uint32_t n = 1; n < d->texts; n++)
        text_slot_put(d, n);
    return 0;
}

static int text_add(struct dictionary *d, const char *at, size_t len, uint32_t hash, uint32_t *out)
{
    uint32_t number = d->texts, block = number >> BLOCK_BITS;

    if (block == TEXT_BLOCKS || (2 * (number + 1) > d->text_slots && text_slots_grow(d) != 0))
        return -1;
    struct known_text *all = atomic_load_explicit(&d->text[block], memory_order_relaxed);
    if (!all && !(all = calloc(BLOCK, sizeof *all)))
        return -1;
    atomic_store_explicit(&d->text[block], all, memory_order_release);
    const char *kept = bytes_keep(d, at, len);
    if (!kept)
        return -1;
    all[number & (BLOCK - 1)] = (struct known_text){ kept, (uint32_t)len, hash };
    text_slot_put(d, d->texts++);
    *out = number;
    return 0;
}

/* The number of a text, new or not. */
static int text_number(struct dictionary *d, const char *at, size_t len, uint32_t *out)
{
    uint32_t hash[4];

    tg_hash128((const unsigned char *)at, len, (unsigned char *)hash);
    for (size_t i = hash[0]; d->text_slots > 0; i++) {
        uint32_t n = d->text_slot[i & (d->text_slots - 1)];
        if (n == 0)
            break;
        const struct known_text *t = text_at(d, n - 1);
        if (t->hash == hash[0] && t->len == len && memcmp(t->at, at, len) == 0) {
            *out = n - 1;
            return 0;
        }
    }
    return text_add(d, at, len, hash[0], out);
}

/* ---------------------------------------------------------------- loading */

static int load_field(struct dictionary *d, sqlite3_stmt *stmt, int field, uint32_t *out)
{
    if (sqlite3_column_type(stmt, field) == SQLITE_NULL)
        return 0;
    if (fields[field].code_name) {
        const char *name = fields[field].code_name(sqlite3_column_int(stmt, field));
        return name ? text_number(d, name, strlen(name), out) : 0;
    }
    const char *text = (const char *)sqlite3_column_text(stmt, field);
    return text_number(d, text, (size_t)sqlite3_column_bytes(stmt, field), out);
}

/* What is no JSON is the text that stands for many combinations' tags. */
static int load_other_tags(struct dictionary *d, struct dictionary_entry *e, const char *text, size_t len)
{
    e->tag = calloc(1, sizeof *e->tag);
    e->other_tags = e->tag != NULL;
    return e->tag ? text_number(d, text, len, &e->tag[0].value) : -1;
}

static int load_tag(struct dictionary *d, struct dictionary_entry *e, const char *name, const json_t *value)
{
    struct dictionary_tag *t = &e->tag[e->tags];

    if (!json_is_string(value) || e->tags == UINT8_MAX)
        return 0;
    e->tags++;
    return text_number(d, name, strlen(name), &t->name) != 0
               ? -1
               : text_number(d, json_string_value(value), json_string_length(value), &t->value);
}

static int load_tags(struct dictionary *d, sqlite3_stmt *stmt, struct dictionary_entry *e)
{
    const char *text = (const char *)sqlite3_column_text(stmt, FIELD_DIMS_END), *name;
    size_t len = (size_t)sqlite3_column_bytes(stmt, FIELD_DIMS_END);
    json_t *object, *value;
    int result = 0;

    if (!text)
        return 0;
    object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object))
        result = load_other_tags(d, e, text, len);
    else if (json_object_size(object) > 0 && !(e->tag = calloc(json_object_size(object), sizeof *e->tag)))
        result = -1;
    else
        json_object_foreach(object, name, value) result = result == 0 ? load_tag(d, e, name, value) : result;
    json_decref(object);
    return result;
}

/* Room for the next entry. */
static struct dictionary_entry *entry_room(struct dictionary *d)
{
    uint32_t block = d->entries >> BLOCK_BITS;
    struct index *x = atomic_load_explicit(&d->index, memory_order_relaxed);

    if (block == BLOCKS || ((!x || 2 * (d->entries + 1) > x->slots) && index_grow(d) != 0))
        return NULL;
    struct dictionary_entry *all = atomic_load_explicit(&d->entry[block], memory_order_relaxed);
    if (!all && !(all = calloc(BLOCK, sizeof *all)))
        return NULL;
    atomic_store_explicit(&d->entry[block], all, memory_order_release);
    return all + (d->entries & (BLOCK - 1));
}

/* The row that stmt stands on. */
static int load_row(struct dictionary *d, sqlite3_stmt *stmt, uint32_t id)
{
    struct dictionary_entry *to = entry_room(d), e = { .id = id };
    int result = to ? load_tags(d, stmt, &e) : -1;

    for (int i = 0; i < FIELD_DIMS_END && result == 0; i++)
        result = load_field(d, stmt, i, &e.text[i]);
    if (result != 0) {
        free(e.tag);
        return -1;
    }
    e.status = (uint8_t)sqlite3_column_int(stmt, FIELD_status);
    *to = e;
    index_put(atomic_load_explicit(&d->index, memory_order_relaxed), id, d->entries++);
    return 0;
}

static int load(struct dictionary *d, struct pool_connection *c, uint32_t id, struct problem *p)
{
    sqlite3_stmt *stmt = c->stmt[STMT_DIMS];
    int result = 0;

    sqlite3_bind_int64(stmt, 1, id);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW && load_row(d, stmt, id) != 0)
        result = problem_set(p, 503, "out of memory");
    else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        result = pool_problem(c, rc, p);
    sqlite3_reset(stmt);
    return result;
}

int64_t dictionary_find(struct dictionary *d, struct pool_connection *c, uint32_t id, struct problem *p)
{
    uint32_t number = dictionary_known(d, id);
    struct queue_item *turn;
    int result = 0;

    if (number != DICTIONARY_UNKNOWN || id == 0)
        return number;
    if (queue_pop(d->turn, mono_left(c->deadline), &turn) != QUEUE_OK)
        return problem_set(p, 504, "the query took too long: ask for less time or fewer names");
    if (dictionary_known(d, id) == DICTIONARY_UNKNOWN)
        result = load(d, c, id, p);
    queue_push(d->turn, turn, 0);
    return result == 0 ? (int64_t)dictionary_known(d, id) : -1;
}

/* ------------------------------------------------------------------- life */

struct dictionary *dictionary_new(void)
{
    struct dictionary *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->turn = queue_new(1);
    d->turn_item.weight = 1;
    if (!d->turn || !entry_room(d)) {
        dictionary_free(d);
        return NULL;
    }
    d->entries = d->texts = 1; /* the number 0 is what is unknown */
    queue_push(d->turn, &d->turn_item, 0);
    return d;
}

void dictionary_free(struct dictionary *d)
{
    if (!d)
        return;
    for (uint32_t n = 1; n < d->entries; n++)
        free(dictionary_entry(d, n)->tag);
    for (int i = 0; i < BLOCKS; i++)
        free(atomic_load(&d->entry[i]));
    for (int i = 0; i < TEXT_BLOCKS; i++)
        free(atomic_load(&d->text[i]));
    for (struct index *x = atomic_load(&d->index), *older; x; x = older) {
        older = x->older;
        free(x);
    }
    for (struct bytes *b = d->bytes, *older; b; b = older) {
        older = b->older;
        free(b);
    }
    free(d->text_slot);
    queue_free(d->turn);
    free(d);
}
