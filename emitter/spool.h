/* SPDX-License-Identifier: MIT
 *
 * spool.h: one emitter's events and counters until they are settled: a directory of mapped files,
 * or memory where there is no directory. spool.c explains the layout.
 *
 * Owners: the emitter adds segments (under its mutex); whoever holds the sender lock moves tails.
 * Counters and words in the header are atomic.
 */
#ifndef EMITTER_SPOOL_H
#define EMITTER_SPOOL_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

#define SPOOL_SEGMENTS_MAX 256 /* s0 holds the reports */
#define SPOOL_COUNTS_MAX   128 /* pairs of tg_count; one more counts the rest */
#define SPOOL_REPORT_BYTES RING_BYTES_MIN
#define SPOOL_NAME_MAX     160

/* What the sender announces: is it there to see a new record by itself? */
enum spool_sleep {
    SPOOL_AWAKE = 0,
    SPOOL_ASLEEP = 1, /* wake it for any record */
    SPOOL_STALLED = 2 /* it cannot send now: wake it when a segment is full */
};

struct spool_count {
    uint32_t hash;
    char name[64];
    char label[32];
    _Atomic int64_t value;
};

struct spool_header {
    uint64_t magic;
    uint32_t format;
    uint32_t bytes;
    uint64_t epoch;
    uint64_t segment_bytes;
    int32_t pid;
    uint32_t evict; /* enum tg_full */
    uint32_t report_ms;
    uint32_t linger_ms;
    char source[256];
    char gateway[256];
    char gateway_version[256];

    _Alignas(64) _Atomic uint32_t sleeping; /* enum spool_sleep */
    _Atomic uint32_t fence;                 /* 1: the kernel has no barrier for us, producers need fences */
    _Atomic uint32_t closed;                /* 1: its emitter closes in order */
    _Alignas(64) _Atomic uint32_t progress; /* futex word: something was settled */
    _Atomic uint32_t flushing;              /* threads that wait for progress */
    _Atomic uint32_t segments;              /* segments made so far */
    _Atomic uint32_t counts;                /* entries of count in use */
    _Atomic uint32_t connected;
    _Atomic int32_t last_error; /* errno */
    _Atomic uint32_t in_memory;
    _Atomic uint32_t full_at; /* progress + 1 when last no segment had room; 0: since then one had */
    _Atomic uint64_t dropped_full, dropped_evicted, dropped_too_big, dropped_damaged, dropped_refused;
    _Atomic uint64_t duplicates, truncated, batches_sent, batches_resent, adopted;
    struct spool_count count[SPOOL_COUNTS_MAX + 1];
};

/* The last search found no room in any segment, and nothing was settled since. */
static inline bool spool_exhausted(const struct spool_header *h)
{
    return atomic_load(&h->full_at) == atomic_load(&h->progress) + 1;
}

struct spool {
    struct spool_header *head;               /* owned mapping */
    struct ring *ring[SPOOL_SEGMENTS_MAX];   /* owned mappings; NULL: not there or not opened yet */
    int root_fd, dir_fd, header_fd, wake_fd; /* owned; -1 for a spool in memory but wake_fd */
    bool left_over;                          /* its emitter is gone and we hold both locks */
    uint32_t missing;                        /* segments of a left-over that are gone or broken */
    char name[SPOOL_NAME_MAX];               /* in the root directory; "" in memory */
};

struct spool_options {
    const char *dir; /* resolved by place.c; NULL: in memory */
    const char *source, *gateway, *gateway_version;
    size_t segment_bytes;
    uint32_t evict, report_ms, linger_ms;
    bool send; /* take the sender's lock as well */
};

/* Makes a spool; in memory if the directory will not do (head->in_memory, last_error). */
int spool_new(const struct spool_options *o, struct spool **out);

/* Adds segment number head->segments: a file, or memory if that fails. 0, -ENOSPC (the limit) or
 * -ENOMEM. One caller at a time. */
int spool_add_segment(struct spool *s, size_t bytes, uint32_t *out);

/* Takes the sender's lock of a spool that stands in a directory, and opens it. -EWOULDBLOCK: it has
 * a sender. -ENOENT: gone. -EBADMSG: not to be understood. */
int spool_take(int root_fd, const char *name, struct spool **out);

/* Segment i of a spool, mapped when first asked for. Unless spool_segment_lost(rc), a failure may
 * pass (-EMFILE, -ENOMEM): ask again, the events are still there. */
int spool_segment(struct spool *s, uint32_t i, struct ring **out);

/* The segment's file is not there, or is none: nothing will ever come out of it. */
static inline bool spool_segment_lost(int rc)
{
    return rc == -ENOENT || rc == -EBADMSG;
}

/* The same for those who do not care why; NULL if there is none to be had. */
struct ring *spool_ring(struct spool *s, uint32_t i);

/* 1: the emitter of a taken spool is gone; then it is a left-over from now on: its segments have
 * been walked and what is damaged has been counted. 0: it lives. -errno: gone, but its segments
 * cannot all be opened for the moment; it is no left-over yet. */
int spool_owner_gone(struct spool *s);

/* Gives the locks back and frees s. remove: the files too (everything is settled). */
void spool_close(struct spool *s, bool remove);

/* Removes what a kill left half made or half removed in a directory of spools. */
void spool_sweep(int root_fd, const char *name);

/* Wakes the sender. */
void spool_wake(const struct spool *s);

/* Tells waiting threads that something was settled. */
void spool_progress(struct spool *s);

struct spool_totals {
    uint64_t emitted, settled, pending, bytes, used_bytes;
};
void spool_totals(struct spool *s, struct spool_totals *out);

/* Events lost so far, for whatever reason. */
uint64_t spool_losses(const struct spool_header *h);

/* The part of a source's name that stands in the names of its spools. */
size_t spool_source_name(const char *source, char *out, size_t room);

/* True if name is that of a whole spool. */
bool spool_name_valid(const char *name);

#endif
