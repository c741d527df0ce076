/* SPDX-License-Identifier: MIT
 *
 * memo.c: a table with one place for each hash; who comes later takes it.
 *
 * A place has a sequence number, odd while it is written. Whoever finds it odd, or changed after
 * reading, knows nothing, and a writer that finds another one at work leaves it alone. The whole key stands
 * in the place: a hash alone could be met on purpose, by whoever may choose a session's name.
 */
#include "memo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "linux.h"
#include "record.h"

#define PLACES     512
#define STALE      ((uint64_t)1 << 32)
#define HASH_PRIME 0x9E3779B97F4A7C15u

struct memo_place {
    _Alignas(64) _Atomic uint64_t seq;
    _Atomic uint64_t state, until, found, words;
    _Atomic uint64_t key[MEMO_KEY_WORDS];
};

struct memo {
    struct memo_place place[PLACES];
};

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void put(_Atomic uint64_t *word, uint64_t v)
{
    atomic_store_explicit(word, v, memory_order_relaxed);
}

int memo_new(struct memo **out)
{
    void *at;
    int rc = memory_map(sizeof(struct memo), false, &at); /* what is never used costs nothing */

    if (rc == 0)
        *out = at;
    return rc;
}

void memo_free(struct memo *m)
{
    if (m != NULL)
        munmap(m, sizeof *m);
}

/* ------------------------------------------------------------------------ keys */

struct writing {
    char *at, *end;
};

/* A byte of length, then the text as conditions see it. */
static inline bool add_text(struct writing *w, const char *text)
{
    uint64_t cut = 0;
    size_t len = text != NULL ? record_text_len(text, &cut) : 0;

    if ((size_t)(w->end - w->at) < len + 1)
        return false;
    *w->at++ = (char)len;
    if (len > 0)
        memcpy(w->at, text, len);
    w->at += len;
    return true;
}

static bool add_tags(struct writing *w, const struct tg_request *r)
{
    for (size_t i = 0; i < r->tag_count; i++)
        if (!add_text(w, r->tags[i].name) || !add_text(w, r->tags[i].value))
            return false;
    return true;
}

static uint64_t hash_words(const uint64_t *word, uint32_t words)
{
    uint64_t hash = words;

    for (uint32_t i = 0; i < words; i++) {
        hash = (hash ^ word[i]) * HASH_PRIME;
        hash ^= hash >> 32;
    }
    return hash;
}

bool memo_key_of(const struct tg_request *r, struct memo_key *out)
{
    struct writing w = { (char *)out->word, (char *)out->word + sizeof out->word - 8 };

    *w.at++ = (char)(r->trigger >= 0 && (int)r->trigger < 128 ? r->trigger : TG_TRIGGER_UNKNOWN);
    bool fits = add_text(&w, r->agent_id) && add_text(&w, r->session_id) &&
                add_text(&w, r->root_session_id) && add_text(&w, r->user_id) && add_text(&w, r->provider) &&
                add_text(&w, r->model) && add_text(&w, r->lane) && add_text(&w, r->surface) &&
                add_text(&w, r->channel);
    if (!fits || (r->tags != NULL && !add_tags(&w, r)))
        return false;
    memset(w.at, 0, 8);
    out->words = (uint32_t)((size_t)(w.at - (char *)out->word) + 7) / 8;
    out->hash = hash_words(out->word, out->words);
    return true;
}

/* ---------------------------------------------------------------------- places */

static struct memo_place *place_of(struct memo *m, const struct memo_key *k)
{
    return &m->place[(k->hash >> 8) % PLACES];
}

static bool same_key(const struct memo_place *p, const struct memo_key *k)
{
    if (get(&p->words) != k->words)
        return false;
    for (uint32_t i = 0; i < k->words; i++)
        if (get(&p->key[i]) != k->word[i])
            return false;
    return true;
}

bool memo_get(struct memo *m, const struct memo_key *k, uint64_t state, uint64_t now, struct finding *out)
{
    const struct memo_place *p = place_of(m, k);
    uint64_t seq = atomic_load_explicit(&p->seq, memory_order_acquire);
    uint64_t found = get(&p->found), until = get(&p->until);

    if ((seq & 1) != 0 || get(&p->state) != state || now >= until || !same_key(p, k))
        return false;
    atomic_thread_fence(memory_order_acquire);
    if (get(&p->seq) != seq)
        return false;
    *out = (struct finding){ state, until, (uint32_t)found, (found & STALE) != 0 };
    return true;
}

void memo_put(struct memo *m, const struct memo_key *k, const struct finding *f)
{
    struct memo_place *p = place_of(m, k);
    uint64_t seq = get(&p->seq);

    if ((seq & 1) != 0 || !atomic_compare_exchange_strong_explicit(
                              &p->seq, &seq, seq + 1, memory_order_acquire, memory_order_relaxed))
        return;
    atomic_thread_fence(memory_order_release);
    put(&p->state, f->state);
    put(&p->until, f->until);
    put(&p->found, f->row | (f->stale ? STALE : 0));
    put(&p->words, k->words);
    for (uint32_t i = 0; i < k->words; i++)
        put(&p->key[i], k->word[i]);
    atomic_store_explicit(&p->seq, seq + 2, memory_order_release);
}
