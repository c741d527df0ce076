/* SPDX-License-Identifier: MIT
 *
 * memo.h: what was found for a request lately, so that the same request costs a look into a table. One
 * per emitter; any thread, nobody waits. memo.c explains.
 */
#ifndef EMITTER_MEMO_H
#define EMITTER_MEMO_H

#include "verdict.h"

#define MEMO_KEY_WORDS 48 /* longer requests are not remembered */

/* Everything in a request that a condition can ask for. */
struct memo_key {
    uint64_t word[MEMO_KEY_WORDS];
    uint32_t words;
    uint64_t hash;
};

struct memo;

int memo_new(struct memo **out);
void memo_free(struct memo *m);

/* False: too long. */
bool memo_key_of(const struct tg_request *r, struct memo_key *out);

/* What was found under this state of the page and still holds. False: nothing is known. */
bool memo_get(struct memo *m, const struct memo_key *k, uint64_t state, uint64_t now, struct finding *out);
void memo_put(struct memo *m, const struct memo_key *k, const struct finding *f);

#endif
