/* SPDX-License-Identifier: MIT
 *
 * verdicts.h: a source's page as an emitter has it: perhaps not yet. It is made when a collector first
 * answers, so who has none that governs has no file either. Once there, it stays until
 * verdicts_fini, so a pointer to it needs no counting.
 */
#ifndef EMITTER_VERDICTS_H
#define EMITTER_VERDICTS_H

#include "page.h"

struct verdicts {
    _Atomic(struct page *) page; /* owned; NULL: none yet */
    int dir_fd;                  /* owned; -1: in memory */
    _Atomic uint64_t look_at;    /* when to look for a file again; UINT64_MAX: never */
    _Atomic uint64_t damaged;    /* lists that could not be read, but for those the page counts */
    char source[256];
};

/* Opens the page if there is one. dir_fd: the directory of spools, borrowed; -1: none. others: another
 * process may make the page later (TG_MODE_SPOOL). */
void verdicts_init(struct verdicts *v, int dir_fd, const char *source, bool others);
void verdicts_fini(struct verdicts *v);

/* The page, or NULL. Any thread. Never blocks; with `others`, opens a file once a second until it is there.
 */
struct page *verdicts_page(struct verdicts *v);

/* The page, made if there is none; in memory if it cannot be a file. NULL: not for the moment. The
 * sending thread. */
struct page *verdicts_make(struct verdicts *v);

/* Lists that could not be read so far. */
uint64_t verdicts_damaged(struct verdicts *v);

#endif
