/* SPDX-License-Identifier: MIT
 *
 * watch_words.h: what the watch sees, as alerts: mark, title, subject, evidence. Inside watch*.c only. Pure.
 *
 * words_of_x writes the mark alone, without allocating: it finds out whether this has been said. What is new
 * is put in words by words_finish, while what words_of_x was given is still there; words_fini is due after
 * it. Names are UTF-8 without NUL, as ingest has made sure.
 */
#ifndef COLLECTOR_WATCH_WORDS_H
#define COLLECTOR_WATCH_WORDS_H

#include "../alarm/alert.h"
#include "../govern/subject.h"
#include "../govern/verdict.h"
#include "log_row.h"

#define WORDS_NAME 256 /* bytes of a name with its end: names have 255 at most */

/* A call, and who made it. */
struct call_words {
    const struct log_row *row;
    struct subject who;
    char source[WORDS_NAME];
};

struct words {
    struct alert alert; /* its texts stand below; subject and evidence are owned */
    json_t *subject, *evidence;
    void (*finish)(struct words *w);
    /* what it is about; borrowed */
    const struct call_words *call;
    const struct subject *who;
    const struct verdict *verdict;
    const char *source, *text;
    int64_t amount, from_ms, until_ms;
    char mark[ALERT_MARK_MAX];
    char title[ALERT_TITLE_MAX + 1];
};

void words_of_unpriced(struct words *w, const struct call_words *call);
void words_of_unknown_usage(struct words *w, const struct call_words *call);
void words_of_losses(struct words *w, const char *source, const char *reason, int64_t events);
void words_of_quarantine(struct words *w, const char *source, int64_t events, const char *fault);
void words_of_policy(struct words *w, const struct subject *who, const struct verdict *verdict);
void words_of_outage(struct words *w, int64_t from_ms, int64_t until_ms, const char *error);

/* 0 or -SQLITE_NOMEM. */
int words_finish(struct words *w);
void words_fini(struct words *w);

#endif
