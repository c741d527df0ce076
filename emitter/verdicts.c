/* SPDX-License-Identifier: MIT
 *
 * verdicts.c: the page that may come. Its pointer changes once, from NULL.
 */
#include "verdicts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "linux.h"

#define LOOK_MS 1000

/* Who comes second takes what the first has put there. */
static struct page *keep(struct verdicts *v, struct page *page)
{
    struct page *none = NULL;

    if (atomic_compare_exchange_strong(&v->page, &none, page))
        return page;
    page_close(page);
    return none;
}

static struct page *open_existing(struct verdicts *v)
{
    struct page *page;
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    int rc = page_open(v->dir_fd, v->source, false, &page);
    pthread_setcancelstate(state, NULL);
    if (rc == -EBADMSG && atomic_load(&v->damaged) == 0)
        atomic_fetch_add(&v->damaged, 1);
    return rc == 0 ? keep(v, page) : NULL;
}

void verdicts_init(struct verdicts *v, int dir_fd, const char *source, bool others)
{
    atomic_init(&v->page, NULL);
    atomic_init(&v->damaged, 0);
    snprintf(v->source, sizeof v->source, "%s", source);
    v->dir_fd = dir_fd >= 0 ? fcntl(dir_fd, F_DUPFD_CLOEXEC, 3) : -1;
    atomic_init(&v->look_at, others && v->dir_fd >= 0 ? boot_ms() + LOOK_MS : UINT64_MAX);
    if (v->dir_fd >= 0)
        open_existing(v);
}

void verdicts_fini(struct verdicts *v)
{
    page_close(atomic_load(&v->page));
    if (v->dir_fd >= 0)
        close(v->dir_fd);
}

static __attribute__((noinline)) struct page *look_again(struct verdicts *v)
{
    uint64_t at = atomic_load_explicit(&v->look_at, memory_order_relaxed);
    uint64_t now = at != UINT64_MAX ? boot_ms() : 0;

    if (now < at || !atomic_compare_exchange_strong(&v->look_at, &at, now + LOOK_MS))
        return NULL;
    return open_existing(v);
}

struct page *verdicts_page(struct verdicts *v)
{
    struct page *page = atomic_load_explicit(&v->page, memory_order_acquire);

    return page != NULL ? page : look_again(v);
}

struct page *verdicts_make(struct verdicts *v)
{
    struct page *page = atomic_load(&v->page);
    int rc = -ENOTDIR;

    if (page != NULL)
        return page;
    if (v->dir_fd >= 0)
        rc = page_open(v->dir_fd, v->source, true, &page);
    if (rc == -EWOULDBLOCK)
        return NULL;
    if (rc != 0)
        rc = page_in_memory(v->source, &page);
    return rc == 0 ? keep(v, page) : NULL;
}

uint64_t verdicts_damaged(struct verdicts *v)
{
    struct page *page = atomic_load(&v->page);

    return atomic_load(&v->damaged) + (page != NULL ? atomic_load(&page->damaged) : 0);
}
