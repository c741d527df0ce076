/* SPDX-License-Identifier: MIT
 *
 * frame.h: the questions and answers of wire.md, "Governing", as bytes. Pure.
 */
#ifndef EMITTER_FRAME_H
#define EMITTER_FRAME_H

#include "asks.h"

enum {
    TYPE_HELLO = 3,
    TYPE_VERDICTS = 4,
    FRAME_TEXT = 3 + TG_STRING_MAX,
    FRAME_MAX = 64 + ASK_ID_MAX + 16 * 9 + (9 + 2 * TG_TAGS_MAX) * FRAME_TEXT
};

/* Write at out, which has room for FRAME_MAX; return the length. */
size_t frame_ask(const struct ask *ask, uint8_t *out);
size_t frame_hello(const char *source, uint64_t epoch, uint64_t version, uint8_t *out);

/* Version and type of a message; the reader then stands behind them. False: not of our version. */
bool frame_type(struct reader *r, uint64_t *parts, uint64_t *type);

/* What follows them in the answer to a question of this type. *id is borrowed. False: it is none. */
bool frame_answer(enum ask_type asked, struct reader *r, uint64_t parts, struct bytes *id,
                  struct answer *out);

#endif
