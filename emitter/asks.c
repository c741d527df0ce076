/* SPDX-License-Identifier: MIT
 *
 * asks.c: slots between the threads that ask and the one that sends.
 *
 * A slot's word says whose it is: FREE (whoever takes it), FILLING (the asker's), ASKED (the sender may
 * read and send the frame; the asker waits), LEFT (the asker has given up: the sender's, to be
 * freed), ANSWERED (the asker's again). ASKED ends by whoever changes the word first, so an answer
 * that comes late finds LEFT, or no slot at all: it is matched by type and id, and ids are random.
 * Only the sender frees what it may be reading.
 *
 * Nothing is allocated per question; slots that were never used cost no memory.
 */
#include "asks.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "frame.h"
#include "linux.h"

enum { FREE, FILLING, ASKED, LEFT, ANSWERED };

struct slot {
    _Atomic uint32_t word;
    enum ask_type type;
    uint64_t due_ms; /* the sender's: when to send, 0: at once */
    char id[ASK_ID_MAX + 1];
    struct answer answer;
    size_t len;
    uint8_t frame[FRAME_MAX];
};

struct asks {
    _Atomic uint32_t open;   /* slots that are not FREE; an upper bound of how far to look */
    _Atomic uint32_t high;   /* slots used at least once */
    _Atomic uint32_t inside; /* threads between enter and leave */
    _Atomic uint32_t closed;
    _Atomic uint64_t asked, unanswered;
    uint64_t rest_ms; /* the sender's */
    struct slot slot[ASKS_MAX];
};

int asks_new(struct asks **out)
{
    void *at;
    int rc = memory_map(sizeof(struct asks), false, &at);

    if (rc == 0)
        *out = at;
    return rc;
}

void asks_free(struct asks *a)
{
    if (a != NULL)
        munmap(a, sizeof *a);
}

void asks_totals(const struct asks *a, uint64_t *asked, uint64_t *unanswered)
{
    *asked = atomic_load(&a->asked);
    *unanswered = atomic_load(&a->unanswered);
}

static uint64_t mono_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ the asker's side */

/* The first free one, so that few are ever touched. NULL: too many wait. */
static struct slot *take_slot(struct asks *a)
{
    for (uint32_t i = 0; i < ASKS_MAX; i++) {
        uint32_t word = FREE;
        if (!atomic_compare_exchange_strong(&a->slot[i].word, &word, FILLING))
            continue;
        atomic_fetch_add(&a->open, 1);
        for (uint32_t high = atomic_load(&a->high);
             high <= i && !atomic_compare_exchange_weak(&a->high, &high, i + 1);)
            ;
        return &a->slot[i];
    }
    return NULL;
}

static void free_slot(struct asks *a, struct slot *s)
{
    atomic_store(&s->word, FREE);
    atomic_fetch_sub(&a->open, 1);
}

/* True: there is an answer, and the slot is ours. */
static bool wait_answer(struct asks *a, struct slot *s, uint32_t timeout_ms)
{
    uint64_t now = mono_ms(), end = now + timeout_ms;
    uint32_t word = ASKED;

    for (; now < end && atomic_load(&s->word) == ASKED && atomic_load(&a->closed) == 0; now = mono_ms())
        word_wait(&s->word, ASKED, end - now);
    return !atomic_compare_exchange_strong(&s->word, &word, LEFT);
}

static int ask_slot(struct asks *a, struct slot *s, const struct ask *ask, uint32_t timeout_ms,
                    void (*wake)(const void *arg), const void *arg, struct answer *out)
{
    s->type = ask->type;
    s->due_ms = 0;
    s->len = frame_ask(ask, s->frame);
    memcpy(s->id, ask->id, strlen(ask->id) + 1);
    atomic_fetch_add(&a->asked, 1);
    atomic_store(&s->word, ASKED);
    wake(arg);
    if (!wait_answer(a, s, timeout_ms)) {
        atomic_fetch_add(&a->unanswered, 1);
        return atomic_load(&a->closed) != 0 ? TG_ERR_CLOSED : TG_ERR_UNREACHABLE;
    }
    *out = s->answer;
    free_slot(a, s);
    return TG_OK;
}

bool asks_enter(struct asks *a)
{
    atomic_fetch_add(&a->inside, 1);
    if (atomic_load(&a->closed) == 0)
        return true;
    asks_leave(a);
    return false;
}

/* The last word of this thread: asks may be gone when the number has changed. */
void asks_leave(struct asks *a)
{
    atomic_fetch_sub(&a->inside, 1);
}

int asks_wait(struct asks *a, const struct ask *ask, uint32_t timeout_ms, void (*wake)(const void *arg),
              const void *arg, struct answer *out)
{
    struct slot *s = take_slot(a);

    return s != NULL ? ask_slot(a, s, ask, timeout_ms, wake, arg, out) : TG_ERR_UNREACHABLE;
}

/* Nobody may touch `inside` after having changed it, so nobody can wake us: look every millisecond. */
void asks_close(struct asks *a)
{
    atomic_store(&a->closed, 1);
    for (uint32_t n; (n = atomic_load(&a->inside)) > 0;) {
        for (uint32_t i = 0; i < ASKS_MAX; i++)
            if (atomic_load(&a->slot[i].word) == ASKED)
                word_wake(&a->slot[i].word);
        word_wait(&a->inside, n, 1);
    }
}

/* ----------------------------------------------------------------- the sender's side */

int asks_send(struct asks *a, uint64_t now, bool again, asks_transmit *transmit, void *arg)
{
    uint32_t high = atomic_load(&a->high);
    int rc = 0;

    a->rest_ms = UINT64_MAX;
    for (uint32_t i = 0; i < high && atomic_load(&a->open) > 0; i++) {
        struct slot *s = &a->slot[i];
        uint32_t word = atomic_load(&s->word);
        if (word == LEFT)
            free_slot(a, s);
        if (word != ASKED)
            continue;
        if (again)
            s->due_ms = 0; /* each once: what finds no room now is sent later, not with all the others */
        if (rc == 0 && now >= s->due_ms) {
            rc = transmit(arg, s->frame, s->len);
            if (rc == 0)
                s->due_ms = now + ASK_REPEAT_MS;
        }
        uint64_t due = s->due_ms > now ? s->due_ms : now + ASK_REPEAT_MS;
        a->rest_ms = due < a->rest_ms ? due : a->rest_ms;
    }
    return rc;
}

uint64_t asks_rest(const struct asks *a)
{
    return a->rest_ms;
}

static bool same_id(const struct slot *s, struct bytes id)
{
    return strlen(s->id) == id.len && memcmp(s->id, id.at, id.len) == 0;
}

/* A word of LEFT is never read as ANSWERED: whoever left does not look any more. */
static bool hand_over(struct slot *s, const struct answer *answer)
{
    uint32_t word = ASKED;

    s->answer = *answer;
    if (!atomic_compare_exchange_strong(&s->word, &word, ANSWERED))
        return false;
    word_wake(&s->word);
    return true;
}

void asks_answer(struct asks *a, enum ask_type type, struct reader *r, uint64_t parts)
{
    uint32_t high = atomic_load(&a->high);
    struct answer answer;
    struct bytes id;

    if (!frame_answer(type, r, parts, &id, &answer))
        return;
    for (uint32_t i = 0; i < high; i++) {
        struct slot *s = &a->slot[i];
        if (atomic_load(&s->word) == ASKED && s->type == type && same_id(s, id) && hand_over(s, &answer))
            return;
    }
}
