/* SPDX-License-Identifier: MIT
 *
 * verdict.h: what the collector's entries (schema/wire.md, "Governing") say of a request. No state, no
 * waiting, no allocation; any thread. What is read may be hostile, or change meanwhile.
 */
#ifndef EMITTER_VERDICT_H
#define EMITTER_VERDICT_H

#include "page.h"
#include "tollgate.h"
#include "unpack.h"

enum { FIELD_TRIGGER = 9, FIELD_TAG = 10 }; /* the others are in the order of wire.md */
enum { SUBJECT_FIELDS = 10 };

/* A request as conditions see it. Borrows its strings. */
struct subject {
    struct {
        const char *at;
        size_t len;     /* 0: unknown */
        uint32_t hash;  /* of the value */
        uint32_t first; /* its first four bytes, the first one lowest; zeros behind the end */
    } value[SUBJECT_FIELDS];
    const struct tg_tag *tags;
    size_t tag_count;
};

/* FNV-1a, byte by byte: of values here, of patterns without a star in list.c. */
#define VALUE_HASH_INIT 2166136261u
static inline uint32_t value_hash(uint32_t hash, uint8_t byte)
{
    return (hash ^ byte) * 16777619u;
}

void subject_of(const struct tg_request *r, struct subject *out);

/* A pattern with `*` and `\` against a value. */
bool pattern_fits(struct bytes pattern, const char *value, size_t len);

/* What was found, and for how long that holds if no other list comes. */
struct finding {
    uint64_t state;
    uint64_t until; /* boot_ms; UINT64_MAX: for ever */
    uint32_t row;   /* FOUND_NONE: nothing holds */
    bool stale;
};
#define FOUND_NONE UINT32_MAX

/* The entry that counts for a request, and what it says in *out (action and stale only if there is
 * none). doubt: the collector was asked and did not answer, so guards hold beside what is valid. */
struct finding verdict_find(struct page *p, const struct subject *who, uint64_t now, bool doubt,
                            struct tg_verdict *out);

/* What the entry found earlier says now. False: that was another list, find again. */
bool verdict_repeat(struct page *p, const struct finding *f, uint64_t now, struct tg_verdict *out);

/* ------------------------------------------------------------------- entries */

/* What an entry and the answer to an admission have in common. Borrowed. Numbers: TG_UNKNOWN. */
struct saying {
    uint64_t action, unit;
    struct bytes budget, text, use_model, use_lane;
    int64_t opens_in_ms, delay_ms, spent, limit;
};
#define SAYING_INIT                                                                                 \
    {                                                                                               \
        .opens_in_ms = TG_UNKNOWN, .delay_ms = TG_UNKNOWN, .spent = TG_UNKNOWN, .limit = TG_UNKNOWN \
    }

void saying_copy(const struct saying *s, struct tg_verdict *out);

/* Copies what fits, whole characters only, and ends it. */
void text_copy(struct bytes text, char *out, size_t room);

struct condition {
    uint64_t field, negated, patterns;
    struct reader pattern; /* stands before the first */
    struct bytes name;     /* of a tag */
};

struct entry {
    struct saying saying;
    uint64_t kind, conditions;
    struct reader condition; /* stands before the first */
};

/* One each; the reader then stands behind it. False: it is none. */
bool condition_read(struct reader *r, struct condition *out);
bool entry_read(struct reader *r, struct entry *out);

/* ------------------------------------------------------------------- lists */

/* A list on its way into a page. rows: scratch, of the list's owner. */
struct list {
    struct row came[PAGE_ROWS_MAX], sorted[PAGE_ROWS_MAX];
    struct page_list page;
    bool whole; /* false: nothing but how long what is there stays valid */
};

/* Reads what follows version and type of a verdicts' message. *out borrows from the frame.
 * -EBADMSG, -EMSGSIZE: not to be understood as a whole; then nothing of it holds. */
int list_read(struct reader *r, uint64_t parts, struct list *out);

#endif
