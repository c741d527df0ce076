/* SPDX-License-Identifier: MIT
 *
 * governor.c: hello, verdicts, questions.
 *
 * Hello goes out with every new connection and then every third of the time that verdicts stay valid, at
 * least every 10 s; a collector that does not govern never answers, and nothing follows from that. A
 * list that came holds for every source served here, as wire.md does not say for which it is. Pages
 * are shared with other processes that send: who finds one being written tries again a moment later,
 * by another hello, which is answered with whatever is missing then.
 */
#include "governor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "linux.h"

#define HELLO_MS     10000
#define HELLO_MS_MIN 100
#define RETRY_MS     20
#define VALID_PARTS  3 /* hellos while verdicts stay valid */

void governor_init(struct governor *g, struct verdicts *own, uint64_t epoch, struct asks *asks)
{
    *g =
        (struct governor){ .asks = asks, .hello_ms = UINT64_MAX, .every_ms = HELLO_MS, .retry_ms = RETRY_MS };
    if (own != NULL)
        g->served[g->count++] = (struct served){ .verdicts = own, .epoch = epoch };
}

static void served_free(struct served *s)
{
    if (!s->owned)
        return;
    verdicts_fini(s->verdicts);
    free(s->verdicts);
}

void governor_fini(struct governor *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        served_free(&g->served[i]);
    free(g->list);
}

void governor_link(struct governor *g, enum link_event event, bool watched, uint64_t now)
{
    if (event == LINK_SAME && watched)
        return;
    g->hello_ms = event == LINK_DOWN ? UINT64_MAX : now;
    g->retry_ms = RETRY_MS;
    g->again = event == LINK_UP;
}

/* ------------------------------------------------------------------ tollgate-ship */

void governor_serve_begin(struct governor *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        g->served[i].seen = !g->served[i].owned;
}

void governor_serve(struct governor *g, const struct spool *spool, uint64_t now)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (strcmp(g->served[i].verdicts->source, spool->head->source) == 0) {
            g->served[i].seen = true;
            return;
        }
    struct verdicts *v = g->count < GOVERNOR_SOURCES_MAX ? malloc(sizeof *v) : NULL;
    if (v == NULL)
        return; /* perhaps at the next look */
    verdicts_init(v, spool->root_fd, spool->head->source, false);
    g->served[g->count++] = (struct served){ v, spool->head->epoch, true, true };
    if (g->hello_ms != UINT64_MAX)
        g->hello_ms = now;
}

void governor_serve_end(struct governor *g)
{
    for (uint32_t i = 0; i < g->count;) {
        if (g->served[i].seen) {
            i++;
            continue;
        }
        served_free(&g->served[i]);
        g->served[i] = g->served[--g->count];
    }
}

/* ----------------------------------------------------------------------- sending */

static void later(struct governor *g, uint64_t now)
{
    g->hello_ms = now + g->retry_ms;
    g->retry_ms = g->retry_ms * 2 < HELLO_MS ? g->retry_ms * 2 : HELLO_MS;
}

static uint64_t version_of(const struct served *s)
{
    struct page *page = verdicts_page(s->verdicts);

    return page != NULL ? page_version(page, boot_ms()) : 0;
}

static void say_hello(struct governor *g, uint64_t now, asks_transmit *transmit, void *arg)
{
    uint8_t frame[FRAME_MAX];

    for (uint32_t i = 0; i < g->count; i++) {
        const struct served *s = &g->served[i];
        size_t len = frame_hello(s->verdicts->source, s->epoch, version_of(s), frame);
        if (transmit(arg, frame, len) != 0) {
            later(g, now);
            return;
        }
    }
    g->hello_ms = now + g->every_ms;
}

int governor_send(struct governor *g, uint64_t now, asks_transmit *transmit, void *arg)
{
    int rc = g->asks != NULL ? asks_send(g->asks, now, g->again, transmit, arg) : 0;

    g->again = false;
    if (now >= g->hello_ms)
        say_hello(g, now, transmit, arg);
    return rc;
}

uint64_t governor_rest(const struct governor *g)
{
    uint64_t asks = g->asks != NULL ? asks_rest(g->asks) : UINT64_MAX;

    return asks < g->hello_ms ? asks : g->hello_ms;
}

/* ---------------------------------------------------------------------- receiving */

static void set_every(struct governor *g, uint64_t valid_ms, uint64_t now)
{
    uint64_t every = valid_ms / VALID_PARTS;

    every = every < HELLO_MS_MIN ? HELLO_MS_MIN : every > HELLO_MS ? HELLO_MS : every;
    g->every_ms = (uint32_t)every;
    if (g->hello_ms != UINT64_MAX && g->hello_ms > now + every)
        g->hello_ms = now + every;
}

/* 0; -EWOULDBLOCK: another process writes. Not to have the version that stays valid is no fault. */
static int put_into(struct served *s, const struct list *list, uint64_t now)
{
    struct page *page = verdicts_make(s->verdicts);

    if (page == NULL)
        return -EWOULDBLOCK;
    if (list->whole)
        return page_publish(page, &list->page, now);
    int rc = page_prolong(page, list->page.version, list->page.valid_ms, now);
    return rc == -ESTALE ? 0 : rc;
}

static void put_list(struct governor *g, uint64_t now)
{
    int rc = 0;

    for (uint32_t i = 0; i < g->count; i++) {
        int one = put_into(&g->served[i], g->list, boot_ms());
        rc = one != 0 ? one : rc;
    }
    if (rc != 0)
        later(g, now);
    else
        g->retry_ms = RETRY_MS;
}

static void take_list(struct governor *g, struct reader *r, uint64_t parts, uint64_t now)
{
    if (g->list == NULL)
        g->list = malloc(sizeof *g->list);
    if (g->list == NULL)
        return; /* the next hello is answered again */
    if (list_read(r, parts, g->list) != 0) {
        for (uint32_t i = 0; i < g->count; i++)
            atomic_fetch_add(&g->served[i].verdicts->damaged, 1);
        return;
    }
    set_every(g, g->list->page.valid_ms, now);
    put_list(g, now);
}

void governor_take(struct governor *g, const uint8_t *frame, size_t len, uint64_t now)
{
    struct reader r = { frame, frame + len };
    uint64_t parts, type;

    if (!frame_type(&r, &parts, &type))
        return;
    if (type == TYPE_VERDICTS)
        take_list(g, &r, parts, now);
    else if (g->asks != NULL && (type == ASK_ADMIT + 1 || type == ASK_SETTLE + 1 || type == ASK_RENEW + 1))
        asks_answer(g->asks, (enum ask_type)(type - 1), &r, parts);
}
