/* SPDX-License-Identifier: MIT
 *
 * page.h: the collector's list of verdicts, in a file that every process of a source maps, or in
 * memory. Says where a list stands and until when it is valid; what it means is verdict.h's. page.c
 * explains the layout.
 *
 * Threads: any number look; any process may write, one at a time by a lock that nobody waits for. Nobody
 * waits for anything. Times: milliseconds since boot, unless they are called wall.
 */
#ifndef EMITTER_PAGE_H
#define EMITTER_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PAGE_ROWS_MAX 4096
#define PAGE_LIST_MAX ((size_t)1 << 20)
#define PAGE_NAME_MAX 224

enum { ROW_VERDICT = 0, ROW_GUARD = 1 };
#define ROW_ANY_FIELD 0xff

/* What can be said of an entry at a glance. Rows stand by falling action, equal ones as they came. */
struct row {
    uint32_t at, len;    /* of the entry, in the list's bytes */
    uint32_t hash;       /* of the one value that `field` must have; or, if prefix > 0, its first bytes */
    uint8_t kind;        /* ROW_VERDICT, ROW_GUARD */
    uint8_t action;      /* enum tg_action */
    uint8_t field;       /* ROW_ANY_FIELD: look at the conditions */
    uint8_t prefix;      /* how many of them: 1 to 4 */
    int64_t opens_in_ms; /* from when the list came; TG_UNKNOWN: holds until the next list */
};

/* A list to be published; everything is borrowed. */
struct page_list {
    uint64_t version, valid_ms;
    bool overflow;
    const struct row *row;
    uint32_t rows;
    const uint8_t *bytes; /* MessagePack: what the rows point into */
    uint32_t len;
};

struct page {
    uint8_t *at; /* owned mapping */
    int fd;      /* owned; -1: in memory */
    char boot[40];
    _Atomic uint64_t bad_state; /* the list under this state is damaged; UINT64_MAX: none is known to be */
    _Atomic uint64_t damaged;   /* lists found damaged, here or by who took them */
};

/* Opens the source's page in the directory; create: makes one if there is none, and repairs what is
 * none. -ENOENT, -EBADMSG: there is none to be had; -EWOULDBLOCK: somebody makes it right now. */
int page_open(int dir_fd, const char *source, bool create, struct page **out);

/* One of this process alone. */
int page_in_memory(const char *source, struct page **out);

/* NULL is fine. The file stays. */
void page_close(struct page *p);

/* Changes with every list and every prolongation. Never blocks; a load. */
uint64_t page_state(const struct page *p);

/* A list as it stood for a moment: read from it, then ask page_unchanged whether it was one. */
struct look {
    uint64_t state, seq;
    const uint8_t *half;
    const _Atomic uint64_t *row_words;
    bool has_list; /* false: none came yet, or it is damaged */
    uint64_t version;
    uint64_t valid_until; /* this boot's; 0: it is not valid */
    uint64_t came;        /* when the list came, on the clock that `now` reads */
    uint64_t now;
    bool overflow;
    uint32_t rows;
    const uint8_t *bytes;
    uint32_t len;
};

/* False: it is being written; look again. */
bool page_look(const struct page *p, uint64_t now, struct look *out);
bool page_unchanged(const struct look *l);
struct row look_row(const struct look *l, uint32_t i);

/* The same without at, len and opens_in_ms: all that most rows are asked for. */
static inline struct row look_glance(const struct look *l, uint32_t i)
{
    struct row row = { .opens_in_ms = 0 };
    uint64_t word = atomic_load_explicit(&l->row_words[i * (sizeof row / 8) + 1], memory_order_relaxed);

    memcpy((uint8_t *)&row + 8, &word, sizeof word);
    return row;
}

/* Whoever reads it finds it damaged: no list until another comes. Counts it once. */
void page_condemn(struct page *p, uint64_t state);

/* Replaces the list. 0; -EWOULDBLOCK: another process writes; -EMSGSIZE. */
int page_publish(struct page *p, const struct page_list *list, uint64_t now);

/* The list of this version stays valid for valid_ms. -ESTALE: it is not the one that stands here. */
int page_prolong(struct page *p, uint64_t version, uint64_t valid_ms, uint64_t now);

/* The version that stands here and can be prolonged; 0: none. */
uint64_t page_version(struct page *p, uint64_t now);

#endif
