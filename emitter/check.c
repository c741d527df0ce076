/* SPDX-License-Identifier: MIT
 *
 * check.c: the functions of tollgate.h that ask before a call: tg_check from memory, the others over
 * the sending thread's socket.
 */
#include <string.h>

#include "emitter.h"

/* --------------------------------------------------------------------- from memory */

/* The page has something to say, or is new, or nobody has asked this before. */
static __attribute__((noinline)) struct finding find(struct page *page, const struct tg_request *request,
                                                     uint64_t now, bool doubt, struct tg_verdict *out)
{
    struct subject who;

    subject_of(request, &who);
    return verdict_find(page, &who, now, doubt, out);
}

static void check_page(tg_emitter *tg, struct page *page, const struct tg_request *request,
                       struct tg_verdict *out)
{
    uint64_t now = boot_ms();
    struct memo_key key;
    struct finding f;
    bool remembered = tg->memo != NULL && memo_key_of(request, &key);

    if (remembered && memo_get(tg->memo, &key, page_state(page), now, &f)) {
        if (f.row == FOUND_NONE) {
            out->action = TG_ALLOW;
            out->stale = f.stale;
            return;
        }
        if (verdict_repeat(page, &f, now, out))
            return;
    }
    f = find(page, request, now, false, out);
    if (remembered && f.until > now)
        memo_put(tg->memo, &key, &f);
}

static void allow(struct tg_verdict *out)
{
    out->action = TG_ALLOW;
    out->stale = 1;
}

EXPORT int tg_check(tg_emitter *tg, const struct tg_request *request, struct tg_verdict *out)
{
    if (tg == NULL || request == NULL || out == NULL)
        return TG_ERR_INVALID;
    int rc = emitter_guard(tg);
    if (rc != TG_OK)
        return rc;
    struct page *page = verdicts_page(&tg->verdicts);
    if (page != NULL)
        check_page(tg, page, request, out);
    else
        allow(out);
    return TG_OK;
}

/* -------------------------------------------------------------- over the socket */

static void wake(const void *arg)
{
    emitter_wake_sender(arg);
}

/* Until leave, tg_close waits. */
static int enter(tg_emitter *tg)
{
    int rc = emitter_guard(tg);

    if (rc != TG_OK)
        return rc;
    return tg->asks == NULL || asks_enter(tg->asks) ? TG_OK : TG_ERR_CLOSED;
}

static void leave(tg_emitter *tg)
{
    if (tg->asks != NULL)
        asks_leave(tg->asks);
}

/* One of these is answered by one of those, or nobody is there to ask. */
static int ask(tg_emitter *tg, const struct ask *question, uint32_t timeout_ms, struct answer *out)
{
    if (tg->mode == TG_MODE_SPOOL)
        return TG_ERR_UNSUPPORTED;
    if (tg->asks == NULL || tg->sender == NULL)
        return TG_ERR_UNREACHABLE;
    int rc = asks_wait(tg->asks, question, timeout_ms, wake, tg, out);
    if (rc != TG_OK)
        return rc;
    if (out->status == ANSWER_DONE || (question->type == ASK_ADMIT && out->status == ANSWER_DENIED))
        return TG_OK;
    if (question->type == ASK_SETTLE && out->status == ANSWER_SETTLED)
        return TG_OK; /* harmless */
    return out->status == ANSWER_BUSY ? TG_ERR_BUSY : TG_ERR_REFUSED;
}

static void make_id(char out[33])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];

    random_bytes(random, sizeof random);
    for (int i = 0; i < 16; i++) {
        out[2 * i] = digits[random[i] >> 4];
        out[2 * i + 1] = digits[random[i] & 15];
    }
    out[32] = '\0';
}

/* Nobody can be asked: what memory says, and what was agreed upon for that case. */
static void doubt(tg_emitter *tg, const struct tg_request *request, struct tg_verdict *out)
{
    struct page *page = verdicts_page(&tg->verdicts);

    if (page != NULL)
        find(page, request, boot_ms(), true, out);
    else
        allow(out);
}

/* Copies what the action makes valid. */
static void take_admission(const struct answer *a, struct tg_reservation *r, struct tg_verdict *out)
{
    *out = a->verdict;
    if (a->status == ANSWER_DENIED)
        out->action = TG_BLOCK;
    else if (out->action == TG_BLOCK)
        out->action = TG_WARN; /* granted: a softer budget's wish is no denial */
    r->status = (int)a->status;
    r->expires_in_ms = a->status == ANSWER_DONE ? a->expires_in_ms : TG_UNKNOWN;
    r->reserved_nanousd = a->status == ANSWER_DONE ? a->reserved_nanousd : TG_UNKNOWN;
}

static bool ttl_valid(uint32_t ttl_ms)
{
    return ttl_ms == 0 || (ttl_ms >= ASK_TTL_MS_MIN && ttl_ms <= ASK_TTL_MS_MAX);
}

static int admit(tg_emitter *tg, const struct tg_request *request, uint32_t ttl_ms, uint32_t timeout_ms,
                 struct tg_reservation *r, struct tg_verdict *out)
{
    struct tg_reservation asked = *r;
    struct answer a;

    if (asked.id[0] == '\0')
        make_id(asked.id);
    struct ask question = { .type = ASK_ADMIT, .id = asked.id, .request = request, .ttl_ms = ttl_ms };
    int rc = ask(tg, &question, timeout_ms, &a);
    if (rc == TG_ERR_CLOSED)
        return rc;
    asked.status = TG_UNKNOWN;
    asked.expires_in_ms = asked.reserved_nanousd = TG_UNKNOWN;
    if (rc == TG_OK)
        take_admission(&a, &asked, out);
    else
        doubt(tg, request, out);
    if (rc == TG_ERR_REFUSED || rc == TG_ERR_BUSY)
        asked.status = (int)a.status;
    if (rc == TG_ERR_REFUSED)
        memcpy(out->message, a.verdict.message, sizeof out->message);
    *r = asked;
    return rc;
}

EXPORT int tg_admit(tg_emitter *tg, const struct tg_request *request, uint32_t ttl_ms, uint32_t timeout_ms,
                    struct tg_reservation *r, struct tg_verdict *out)
{
    if (tg == NULL || request == NULL || r == NULL || out == NULL || !ttl_valid(ttl_ms) ||
        memchr(r->id, '\0', sizeof r->id) == NULL)
        return TG_ERR_INVALID;
    int rc = enter(tg);
    if (rc != TG_OK)
        return rc;
    rc = admit(tg, request, ttl_ms, timeout_ms, r, out);
    leave(tg);
    return rc;
}

static int ask_about(tg_emitter *tg, const struct ask *question, uint32_t timeout_ms)
{
    struct answer a;

    if (tg == NULL || question->id == NULL || !ttl_valid(question->ttl_ms))
        return TG_ERR_INVALID;
    size_t len = strnlen(question->id, ASK_ID_MAX + 1);
    if (len == 0 || len > ASK_ID_MAX)
        return TG_ERR_INVALID;
    int rc = enter(tg);
    if (rc != TG_OK)
        return rc;
    rc = ask(tg, question, timeout_ms, &a);
    leave(tg);
    return rc;
}

EXPORT int tg_settle(tg_emitter *tg, const char *id, const struct tg_usage *usage, uint32_t timeout_ms)
{
    return ask_about(tg, &(struct ask){ .type = ASK_SETTLE, .id = id, .usage = usage }, timeout_ms);
}

EXPORT int tg_renew(tg_emitter *tg, const char *id, uint32_t ttl_ms, uint32_t timeout_ms)
{
    return ask_about(tg, &(struct ask){ .type = ASK_RENEW, .id = id, .ttl_ms = ttl_ms }, timeout_ms);
}
