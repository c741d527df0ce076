/* SPDX-License-Identifier: MIT
 *
 * page.c: a file of two halves.
 *
 *     SPOOL_DIR/SOURCE-HASH.verdicts    struct page_head, then two halves: struct half_head, rows, bytes
 * head->state says which half counts (its lowest bit) and grows with every change. A writer fills the
 * other half and then changes the state, so one that is killed leaves the list as it was. A half
 * carries a sequence number, odd while it is written: a reader that was so slow that its half came to be
 * written again sees that and starts over.
 *
 * Invariants: a file never shrinks and is never removed, so whoever has mapped it sees what others
 * write; every byte of it was allocated when it was made, so no store can fail; words are loaded and stored
 * as relaxed atomics, and whatever they say, no reader leaves the mapping; the lock (flock) is held for
 * writing and for making the file, by whoever got it without waiting.
 *
 * A list of another boot is not valid. What opens by itself is then measured on the wall clock, the
 * only one that goes on.
 */
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../schema/event_id.h"
#include "linux.h"
#include "spool.h"

#define PAGE_MAGIC   0x3163696472657667u /* "gverdic1" */
#define PAGE_FORMAT  1u
#define HEAD_BYTES   ((size_t)4096)
#define HALF_HEAD    ((size_t)128)
#define ROWS_BYTES   (PAGE_ROWS_MAX * sizeof(struct row))
#define HALF_BYTES   (HALF_HEAD + ROWS_BYTES + PAGE_LIST_MAX)
#define PAGE_BYTES   (HEAD_BYTES + 2 * ((HALF_BYTES + 4095) & ~(size_t)4095))
#define ROW_WORDS    (sizeof(struct row) / 8)
#define OVERFLOW     ((uint64_t)1 << 63)
#define HAS_LIST     ((uint64_t)1 << 62)
#define VALID_MS_MAX ((uint64_t)24 * 3600 * 1000)

struct page_head {
    uint64_t magic;
    uint32_t format;
    uint32_t bytes;
    char source[256];
    _Alignas(64) _Atomic uint64_t state; /* changes << 1 | half */
};

struct half_head {
    _Atomic uint64_t seq;
    _Atomic uint64_t version, valid_until, came, came_wall, sum;
    _Atomic uint64_t counts; /* HAS_LIST | OVERFLOW | rows << 32 | len */
    _Atomic uint64_t boot[5];
};
_Static_assert(sizeof(struct half_head) <= HALF_HEAD && sizeof(struct row) == 24 &&
                   offsetof(struct row, hash) == 8,
               "the file's layout");

static struct page_head *head_of(const struct page *p)
{
    return (struct page_head *)(void *)p->at;
}

static struct half_head *half_at(const struct page *p, uint64_t state)
{
    return (struct half_head *)(void *)(p->at + HEAD_BYTES + (state & 1) * ((PAGE_BYTES - HEAD_BYTES) / 2));
}

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void put(_Atomic uint64_t *word, uint64_t v)
{
    atomic_store_explicit(word, v, memory_order_relaxed);
}

static uint32_t rows_of(uint64_t counts)
{
    return (uint32_t)(counts >> 32) & 0x3fffffffu;
}

static uint64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------- looking */

uint64_t page_state(const struct page *p)
{
    return atomic_load_explicit(&head_of(p)->state, memory_order_acquire);
}

static bool this_boot(const struct page *p, const struct half_head *h)
{
    uint64_t words[5];

    memcpy(words, p->boot, sizeof words);
    for (int i = 0; i < 5; i++)
        if (get(&h->boot[i]) != words[i])
            return false;
    return p->boot[0] != '\0';
}

static void look_when(const struct page *p, const struct half_head *h, uint64_t now, struct look *out)
{
    uint64_t until = get(&h->valid_until);

    if (this_boot(p, h)) {
        out->now = now;
        out->came = get(&h->came);
        out->valid_until = until <= now + VALID_MS_MAX ? until : 0;
    } else {
        out->now = wall_ms();
        out->came = get(&h->came_wall);
    }
}

bool page_look(const struct page *p, uint64_t now, struct look *out)
{
    uint64_t state = page_state(p);
    const struct half_head *h = half_at(p, state);
    struct look l = { .state = state, .half = (const uint8_t *)h, .now = now };

    l.seq = atomic_load_explicit(&h->seq, memory_order_acquire);
    uint64_t counts = get(&h->counts);
    uint32_t rows = rows_of(counts), len = (uint32_t)counts;
    if ((l.seq & 1) != 0)
        return false;
    if (atomic_load_explicit(&p->bad_state, memory_order_relaxed) != state && (counts & HAS_LIST) != 0 &&
        rows <= PAGE_ROWS_MAX && len <= PAGE_LIST_MAX) {
        l.has_list = true;
        l.version = get(&h->version);
        l.overflow = (counts & OVERFLOW) != 0;
        l.rows = rows;
        l.len = len;
        look_when(p, h, now, &l);
    }
    l.row_words = (const _Atomic uint64_t *)(const void *)(l.half + HALF_HEAD);
    l.bytes = l.half + HALF_HEAD + ROWS_BYTES;
    *out = l;
    return true;
}

bool page_unchanged(const struct look *l)
{
    const struct half_head *h = (const struct half_head *)(const void *)l->half;

    atomic_thread_fence(memory_order_acquire);
    return get(&h->seq) == l->seq;
}

struct row look_row(const struct look *l, uint32_t i)
{
    const _Atomic uint64_t *from = l->row_words + i * ROW_WORDS;
    uint64_t words[ROW_WORDS] = { 0 };
    struct row row;

    for (size_t w = 0; w < ROW_WORDS; w++)
        words[w] = get(&from[w]);
    memcpy(&row, words, sizeof row);
    return row;
}

void page_condemn(struct page *p, uint64_t state)
{
    if (atomic_exchange(&p->bad_state, state) != state)
        atomic_fetch_add(&p->damaged, 1);
}

uint64_t page_version(struct page *p, uint64_t now)
{
    struct look l;

    return page_look(p, now, &l) && l.valid_until != 0 ? l.version : 0;
}

/* -------------------------------------------------------------------- writing */

static uint64_t sum_word(uint64_t sum, uint64_t word)
{
    return tg_hash_rotl((sum ^ word) * 0x9E3779B97F4A7C15u, 29);
}

/* Of everything in a half but what a prolongation changes. counts has been checked. */
static uint64_t sum_half(const struct half_head *h)
{
    const uint8_t *bytes = (const uint8_t *)h + HALF_HEAD;
    uint64_t counts = get(&h->counts), sum = sum_word(counts, get(&h->version));
    size_t rows = rows_of(counts), words = ((uint32_t)counts + 7u) / 8;

    sum = sum_word(sum_word(sum, get(&h->came)), get(&h->came_wall));
    for (int i = 0; i < 5; i++)
        sum = sum_word(sum, get(&h->boot[i]));
    for (size_t i = 0; i < rows * ROW_WORDS; i++)
        sum = sum_word(sum, get((const _Atomic uint64_t *)(const void *)bytes + i));
    for (size_t i = 0; i < words; i++)
        sum = sum_word(sum, get((const _Atomic uint64_t *)(const void *)(bytes + ROWS_BYTES) + i));
    return sum;
}

static void copy_words(uint8_t *to, const void *from, size_t len)
{
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = 0;
        memcpy(&word, (const uint8_t *)from + at, len - at < 8 ? len - at : 8);
        put((_Atomic uint64_t *)(void *)(to + at), word);
    }
}

static void fill(const struct page *p, struct half_head *h, const struct page_list *list, uint64_t now)
{
    uint64_t valid_ms = list->valid_ms < VALID_MS_MAX ? list->valid_ms : VALID_MS_MAX;
    uint8_t *half = (uint8_t *)h;

    put(&h->version, list->version);
    put(&h->valid_until, now + valid_ms);
    put(&h->came, now);
    put(&h->came_wall, wall_ms());
    put(&h->counts, HAS_LIST | (list->overflow ? OVERFLOW : 0) | (uint64_t)list->rows << 32 | list->len);
    copy_words((uint8_t *)h->boot, p->boot, sizeof p->boot);
    copy_words(half + HALF_HEAD, list->row, list->rows * sizeof *list->row);
    copy_words(half + HALF_HEAD + ROWS_BYTES, list->bytes, list->len);
    put(&h->sum, sum_half(h));
}

static int page_lock(const struct page *p)
{
    return p->fd >= 0 ? lock_try(p->fd) : 0;
}

static void page_unlock(const struct page *p)
{
    if (p->fd >= 0)
        flock(p->fd, LOCK_UN);
}

static void change_state(const struct page *p, uint64_t state, uint64_t half)
{
    atomic_store_explicit(&head_of(p)->state, ((state >> 1) + 1) << 1 | half, memory_order_release);
}

int page_publish(struct page *p, const struct page_list *list, uint64_t now)
{
    if (list->rows > PAGE_ROWS_MAX || list->len > PAGE_LIST_MAX)
        return -EMSGSIZE;
    int rc = page_lock(p);
    if (rc != 0)
        return rc;
    uint64_t state = page_state(p), half = ~state & 1;
    struct half_head *h = half_at(p, half);
    uint64_t seq = (get(&h->seq) | 1) + 2; /* a writer that was killed left it odd */
    put(&h->seq, seq);
    atomic_thread_fence(memory_order_release);
    fill(p, h, list, now);
    atomic_store_explicit(&h->seq, seq + 1, memory_order_release);
    change_state(p, state, half);
    page_unlock(p);
    return 0;
}

int page_prolong(struct page *p, uint64_t version, uint64_t valid_ms, uint64_t now)
{
    struct look l;
    int rc = page_lock(p);

    if (rc != 0)
        return rc;
    if (page_look(p, now, &l) && l.has_list && l.version == version && l.valid_until != 0) {
        struct half_head *h = half_at(p, l.state);
        put(&h->valid_until, now + (valid_ms < VALID_MS_MAX ? valid_ms : VALID_MS_MAX));
        change_state(p, l.state, l.state & 1);
    } else
        rc = -ESTALE;
    page_unlock(p);
    return rc;
}

/* --------------------------------------------------------------- opening, closing */

/* Names differ where sources do, also where a file's name cannot say so. */
static void page_name(const char *source, char out[PAGE_NAME_MAX])
{
    char plain[SPOOL_NAME_MAX - 32];
    unsigned char hash[16];
    uint64_t first;

    spool_source_name(source, plain, sizeof plain);
    tg_hash128((const unsigned char *)source, strlen(source), hash);
    memcpy(&first, hash, sizeof first);
    snprintf(out, PAGE_NAME_MAX, "%s-%016" PRIx64 ".verdicts", plain, first);
}

static bool head_valid(const struct page *p, const char *source)
{
    const struct page_head *h = head_of(p);

    return h->magic == PAGE_MAGIC && h->format == PAGE_FORMAT && h->bytes == PAGE_BYTES &&
           memchr(h->source, '\0', sizeof h->source) != NULL && strcmp(h->source, source) == 0;
}

/* Under the lock, or in memory. The magic comes last: before, it is no page. */
static void head_init(const struct page *p, const char *source)
{
    struct page_head *h = head_of(p);

    h->magic = 0;
    for (uint64_t half = 0; half < 2; half++) {
        struct half_head *hh = half_at(p, half);
        put(&hh->seq, (get(&hh->seq) | 1) + 1);
        put(&hh->version, 0);
        put(&hh->counts, 0);
        put(&hh->sum, sum_half(hh));
    }
    h->format = PAGE_FORMAT;
    h->bytes = PAGE_BYTES;
    snprintf(h->source, sizeof h->source, "%s", source);
    atomic_store(&h->state, (get(&h->state) | 1) + 1);
    atomic_thread_fence(memory_order_release);
    h->magic = PAGE_MAGIC;
}

/* Once, when it is opened: what a crash of the machine or a hand has done to the file. */
static void check_sum(struct page *p)
{
    struct look l;

    if (!page_look(p, 0, &l)) {
        page_condemn(p, page_state(p));
        return;
    }
    const struct half_head *h = half_at(p, l.state);
    uint64_t counts = get(&h->counts);
    bool fits = rows_of(counts) <= PAGE_ROWS_MAX && (uint32_t)counts <= PAGE_LIST_MAX;
    bool right = fits && sum_half(h) == get(&h->sum);
    if (!right && (!fits || page_unchanged(&l)))
        page_condemn(p, l.state);
}

static struct page *page_empty(void)
{
    struct page *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->fd = -1;
    atomic_store(&p->bad_state, UINT64_MAX);
    boot_name(p->boot);
    return p;
}

void page_close(struct page *p)
{
    if (p == NULL)
        return;
    if (p->at != NULL)
        munmap(p->at, PAGE_BYTES);
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

int page_in_memory(const char *source, struct page **out)
{
    struct page *p = page_empty();
    void *at;
    int rc = p == NULL ? -ENOMEM : memory_map(PAGE_BYTES, false, &at);

    if (rc != 0) {
        page_close(p);
        return rc;
    }
    p->at = at;
    head_init(p, source);
    *out = p;
    return 0;
}

static int page_map(struct page *p)
{
    void *at;
    int rc = file_map(p->fd, PAGE_BYTES, false, &at);

    if (rc == 0)
        p->at = at;
    return rc;
}

/* The file is there, whatever is in it. A copy may have holes: they are filled before anybody stores. */
static int page_attach(struct page *p, const char *source, bool create)
{
    struct stat st;

    if (fstat(p->fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_size < (off_t)PAGE_BYTES && !create))
        return -EBADMSG;
    int rc = file_grow(p->fd, PAGE_BYTES);
    if (rc == 0)
        rc = page_map(p);
    if (rc != 0 || head_valid(p, source))
        return rc;
    if (!create)
        return -EBADMSG;
    rc = lock_try(p->fd);
    if (rc != 0)
        return rc;
    if (!head_valid(p, source))
        head_init(p, source);
    page_unlock(p);
    return 0;
}

int page_open(int dir_fd, const char *source, bool create, struct page **out)
{
    char name[PAGE_NAME_MAX];
    struct page *p = page_empty();
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (create ? O_CREAT : 0);

    if (p == NULL)
        return -ENOMEM;
    page_name(source, name);
    p->fd = above_standard(openat(dir_fd, name, flags, 0600));
    int rc = p->fd < 0 ? p->fd : 0;
    if (rc == 0 && create)
        rc = file_system_check(p->fd);
    if (rc == 0)
        rc = page_attach(p, source, create);
    if (rc != 0) {
        page_close(p);
        return rc;
    }
    check_sum(p);
    *out = p;
    return 0;
}
