/* SPDX-License-Identifier: MIT
 *
 * fuzz_verdict.c: any bytes as a message from the collector, and as a page of verdicts. What a message
 * says is checked whole before it counts, so a list that was taken is never found damaged later, and the
 * glance at its rows changes nothing. A page may be anything: reading it stays within it and ends.
 */
#include <stdlib.h>
#include <string.h>

#include "../../emitter/frame.h"
#include "../../emitter/page.h"
#include "../../emitter/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1000000 };

static const struct tg_tag tags[] = { { "team", "blue" }, { "t", "v" } };
static const struct tg_request requests[] = {
    { .agent_id = NULL },
    { .agent_id = "a", .session_id = "s-1", .model = "m", .provider = "p", .trigger = TG_TRIGGER_CRON },
    { .root_session_id = "r",
      .user_id = "u",
      .lane = "l",
      .surface = "h*",
      .channel = "c",
      .tags = tags,
      .tag_count = 2 },
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_be_said(const struct tg_verdict *v)
{
    must(v->action >= TG_ALLOW && v->action <= TG_BLOCK);
    if (v->action == TG_ALLOW)
        return;
    must(memchr(v->budget, 0, sizeof v->budget) != NULL && memchr(v->message, 0, sizeof v->message) != NULL);
    must(memchr(v->use_model, 0, sizeof v->use_model) != NULL &&
         memchr(v->use_lane, 0, sizeof v->use_lane) != NULL);
    must(v->unit >= TG_UNIT_NONE && v->unit <= TG_UNIT_CALLS);
}

static void ask_all(struct page *p, uint64_t now, bool doubt, struct finding *found)
{
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct tg_verdict v;
        struct subject who;
        subject_of(&requests[i], &who);
        found[i] = verdict_find(p, &who, now, doubt, &v);
        must_be_said(&v);
    }
}

static void take_list(struct page *p, struct reader *r, uint64_t parts)
{
    static struct list list;
    struct finding glanced[3], read[3];

    if (list_read(r, parts, &list) != 0 || !list.whole)
        return;
    uint64_t damaged = atomic_load(&p->damaged);
    must(page_publish(p, &list.page, NOW) == 0);
    ask_all(p, NOW, true, glanced);
    for (uint32_t i = 0; i < list.page.rows; i++)
        list.sorted[i].field = ROW_ANY_FIELD;
    must(page_publish(p, &list.page, NOW) == 0);
    ask_all(p, NOW, true, read);
    for (int i = 0; i < 3; i++)
        must(glanced[i].row == read[i].row && glanced[i].until == read[i].until);
    ask_all(p, NOW + list.page.valid_ms / 2, false, read);
    must(atomic_load(&p->damaged) == damaged);
}

static void take_message(struct page *p, const uint8_t *data, size_t size)
{
    struct reader r = { data, data + size };
    uint64_t parts, type;
    struct bytes id;

    if (!frame_type(&r, &parts, &type))
        return;
    if (type == TYPE_VERDICTS) {
        take_list(p, &r, parts);
        return;
    }
    const enum ask_type asked[] = { ASK_ADMIT, ASK_SETTLE, ASK_RENEW };
    for (int i = 0; i < 3; i++) {
        struct reader again = r;
        struct answer answer;
        if (frame_answer(asked[i], &again, parts, &id, &answer)) {
            must(id.len > 0 && id.len <= ASK_ID_MAX && id.at >= data && id.at + id.len <= data + size);
            must_be_said(&answer.verdict);
        }
    }
}

/* The head of a half, then four rows, then the list. */
static void take_page(struct page *p, const uint8_t *data, size_t size)
{
    const size_t head = 128, rows = 4 * sizeof(struct row);
    struct finding found[3];
    struct look l;

    if (size < head + rows)
        return;
    static uint8_t *half; /* found while it was a page */
    if (half == NULL && page_look(p, NOW, &l))
        half = (uint8_t *)(uintptr_t)l.half;
    memset(half, 0, 8); /* its sequence number: nobody writes */
    must(page_look(p, NOW, &l));
    memcpy((void *)(uintptr_t)l.row_words, data + head, rows);
    memcpy((void *)(uintptr_t)l.bytes, data + head + rows, size - head - rows);
    memcpy((void *)(uintptr_t)l.half, data, head);
    ask_all(p, NOW, true, found);
    ask_all(p, NOW, false, found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct page *of_messages, *of_bytes;

    if (of_messages == NULL)
        must(page_in_memory("fuzz", &of_messages) == 0 && page_in_memory("fuzz", &of_bytes) == 0);
    take_message(of_messages, data, size);
    atomic_store(&of_bytes->bad_state, UINT64_MAX);
    take_page(of_bytes, data, size);
    return 0;
}
