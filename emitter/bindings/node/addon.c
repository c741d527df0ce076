/* SPDX-License-Identifier: MIT
 *
 * addon.c: tollgate.h for Node.js. A thin N-API layer: each function reads its arguments, calls the
 * library and answers with the library's number (0 is TG_OK).
 *
 * Invariants:
 *  - Everything here runs on the JavaScript thread, but for flush_run, admit_run, settle_run and
 *    close_run, which run on a thread of libuv's pool and touch nothing but their own task and the emitter.
 *  - An emitter is closed once, and never while one of those is under way: handle.busy counts them.
 *  - dispatch, message, check and count allocate nothing of their own: strings are read onto the stack.
 *  - After a TypeError nothing has been emitted.
 */
#include <stdlib.h>
#include <string.h>

#include "fields.h"

#define WAIT_MAX_MS  3600000.0
#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ------------------------------------------------------------------ handles */

struct task;

struct handle {
    tg_emitter *tg;       /* owned; NULL once closed */
    unsigned busy;        /* flushes and questions under way */
    bool closing;         /* close was called: no new calls */
    struct task *waiting; /* owned: the close that waits for those */
};

/* What is asked of the collector and what it answers. */
struct question {
    struct tg_request request;
    struct tg_tag tags[TG_TAGS_MAX];
    uint32_t ttl_ms;
    struct tg_reservation reservation;
    struct tg_verdict verdict;
    char id[TEXT_BYTES];
    struct tg_usage usage;
    bool used;
    char text[REQUEST_TEXTS * TEXT_BYTES];
};

/* A flush, a close or a question on its way through libuv's pool. */
struct task {
    struct handle *handle; /* borrowed: `keep` keeps it alive */
    tg_emitter *tg;        /* owned by a close, else borrowed */
    uint32_t timeout_ms;
    int result;
    struct question *question; /* owned; NULL: it is none */
    bool admits;               /* its promise is of an admission, not of a number */
    napi_ref keep;
    napi_deferred promise;
    napi_async_work work;
};

static const napi_type_tag handle_tag = { 0x746f6c6c67617465ULL, 0x656d697474657230ULL };

static void handle_free(napi_env env, void *data, void *hint)
{
    struct handle *handle = data;

    (void)env;
    (void)hint;
    tg_close(handle->tg, 0); /* what is not settled stays in the spool */
    free(handle);
}

/* The arguments of a function and the handle that is the first of them. */
static struct handle *get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *args)
{
    size_t given = count;
    napi_valuetype type;
    bool ours = false;
    void *data;

    if (napi_get_cb_info(env, info, &given, args, NULL, NULL) != napi_ok ||
        napi_typeof(env, args[0], &type) != napi_ok)
        return NULL;
    if (type != napi_external || napi_check_object_type_tag(env, args[0], &handle_tag, &ours) != napi_ok ||
        !ours || napi_get_value_external(env, args[0], &data) != napi_ok) {
        type_error(env, "handle", "what open() returned");
        return NULL;
    }
    return data;
}

static napi_value number(napi_env env, int value)
{
    napi_value out = NULL;

    napi_create_int32(env, value, &out);
    return out;
}

/* ---------------------------------------------------------------- functions */

/* open(options?) -> handle */
static napi_value addon_open(napi_env env, napi_callback_info info)
{
    char text[OPTION_TEXTS * OPTION_BYTES];
    struct text_buffer buffer = { text, 0, sizeof text, OPTION_BYTES };
    struct tg_options options = TG_OPTIONS_INIT;
    size_t given = 1;
    napi_value arg, out = NULL;
    napi_valuetype type;

    if (napi_get_cb_info(env, info, &given, &arg, NULL, NULL) != napi_ok ||
        napi_typeof(env, arg, &type) != napi_ok)
        return NULL;
    if (type != napi_undefined && !read_options(env, arg, &buffer, &options))
        return NULL;

    struct handle *handle = calloc(1, sizeof *handle);
    int err = handle ? tg_open(&options, &handle->tg) : TG_ERR_NOMEM;
    if (err != TG_OK) {
        free(handle);
        napi_throw_error(env, NULL, tg_strerror(err));
        return NULL;
    }
    if (napi_create_external(env, handle, handle_free, NULL, &out) != napi_ok) {
        handle_free(env, handle, NULL);
        return NULL;
    }
    napi_type_tag_object(env, out, &handle_tag);
    return out;
}

/* dispatch(handle, event) -> number */
static napi_value addon_dispatch(napi_env env, napi_callback_info info)
{
    char text[EVENT_TEXTS * TEXT_BYTES];
    struct text_buffer buffer = { text, 0, sizeof text, TEXT_BYTES };
    struct tg_dispatch event = TG_DISPATCH_INIT;
    struct tg_tag tags[TG_TAGS_MAX];
    napi_value args[2];
    struct handle *handle = get_arguments(env, info, 2, args);

    if (!handle || !read_dispatch(env, args[1], &buffer, tags, &event))
        return NULL;
    return number(env, handle->closing ? TG_ERR_CLOSED : tg_dispatch_complete(handle->tg, &event));
}

/* message(handle, event) -> number */
static napi_value addon_message(napi_env env, napi_callback_info info)
{
    char text[EVENT_TEXTS * TEXT_BYTES];
    struct text_buffer buffer = { text, 0, sizeof text, TEXT_BYTES };
    struct tg_message event = TG_MESSAGE_INIT;
    struct tg_tag tags[TG_TAGS_MAX];
    napi_value args[2];
    struct handle *handle = get_arguments(env, info, 2, args);

    if (!handle || !read_message(env, args[1], &buffer, tags, &event))
        return NULL;
    return number(env, handle->closing ? TG_ERR_CLOSED : tg_message(handle->tg, &event));
}

/* count(handle, name, label or null, n) -> number */
static napi_value addon_count(napi_env env, napi_callback_info info)
{
    char text[2 * TEXT_BYTES];
    struct text_buffer buffer = { text, 0, sizeof text, TEXT_BYTES };
    const char *name = NULL, *label = NULL;
    napi_value args[4];
    napi_valuetype type;
    int64_t n;
    struct handle *handle = get_arguments(env, info, 4, args);

    if (!handle || !read_text(env, args[1], "name", &buffer, &name) ||
        napi_typeof(env, args[2], &type) != napi_ok)
        return NULL;
    if (type != napi_null && type != napi_undefined && !read_text(env, args[2], "label", &buffer, &label))
        return NULL;
    if (!read_number(env, args[3], "n", INT32_MAX, &n))
        return NULL;
    return number(env, handle->closing ? TG_ERR_CLOSED : tg_count(handle->tg, name, label, n));
}

static bool set_number(napi_env env, napi_value object, const char *name, double value)
{
    napi_value property;

    return napi_create_double(env, value, &property) == napi_ok &&
           napi_set_named_property(env, object, name, property) == napi_ok;
}

/* stats(handle) -> object, or null once closed */
static napi_value addon_stats(napi_env env, napi_callback_info info)
{
    struct tg_stats stats;
    napi_value arg, out;
    struct handle *handle = get_arguments(env, info, 1, &arg);

    if (!handle)
        return NULL;
    if (handle->closing || tg_stats(handle->tg, &stats) != TG_OK)
        return napi_get_null(env, &out) == napi_ok ? out : NULL;
    if (napi_create_object(env, &out) != napi_ok)
        return NULL;
#define STAT(name) set_number(env, out, #name, (double)stats.name)
    bool ok = STAT(emitted) && STAT(settled) && STAT(pending) && STAT(dropped_full) &&
              STAT(dropped_evicted) && STAT(dropped_too_big) && STAT(dropped_damaged) &&
              STAT(dropped_refused) && STAT(duplicates) && STAT(truncated) && STAT(batches_sent) &&
              STAT(batches_resent) && STAT(adopted) && STAT(spool_bytes) && STAT(spool_used_bytes) &&
              STAT(spool_in_memory) && STAT(connected) && STAT(last_error) && STAT(verdicts_stale) &&
              STAT(verdict_version) && STAT(verdicts_damaged) && STAT(asked) && STAT(unanswered);
#undef STAT
    return ok ? out : NULL;
}

static bool set_text(napi_env env, napi_value object, const char *name, const char *text)
{
    napi_value property;

    if (*text == '\0')
        return true;
    return napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &property) == napi_ok &&
           napi_set_named_property(env, object, name, property) == napi_ok;
}

/* A property for what is known, none for what is not. */
static bool set_known(napi_env env, napi_value object, const char *name, int64_t value)
{
    return value < 0 || set_number(env, object, name, (double)value);
}

/* { action, stale } and, of what is not allowed, what is known of it. */
static napi_value verdict_object(napi_env env, const struct tg_verdict *v)
{
    static const char *const actions[] = { "allow", "warn", "downgrade", "delay", "block" };
    static const char *const units[] = { "", "nanousd", "tokens", "calls" };
    napi_value out, stale;

    if (napi_create_object(env, &out) != napi_ok || !set_text(env, out, "action", actions[v->action]) ||
        napi_get_boolean(env, v->stale != 0, &stale) != napi_ok ||
        napi_set_named_property(env, out, "stale", stale) != napi_ok)
        return NULL;
    if (v->action == TG_ALLOW)
        return out;
    bool ok = set_text(env, out, "budget", v->budget) && set_text(env, out, "message", v->message) &&
              set_text(env, out, "use_model", v->use_model) && set_text(env, out, "use_lane", v->use_lane) &&
              set_text(env, out, "unit", units[v->unit]) && set_known(env, out, "spent", v->spent) &&
              set_known(env, out, "limit", v->limit) && set_known(env, out, "opens_in_ms", v->opens_in_ms) &&
              set_known(env, out, "delay_ms", v->delay_ms);
    return ok ? out : NULL;
}

/* check(handle, request) -> verdict, or null once closed */
static napi_value addon_check(napi_env env, napi_callback_info info)
{
    char text[REQUEST_TEXTS * TEXT_BYTES];
    struct text_buffer buffer = { text, 0, sizeof text, TEXT_BYTES };
    struct tg_request request = { .agent_id = NULL };
    struct tg_tag tags[TG_TAGS_MAX];
    struct tg_verdict verdict;
    napi_value args[2], out;
    struct handle *handle = get_arguments(env, info, 2, args);

    if (!handle || !read_request(env, args[1], &buffer, tags, &request))
        return NULL;
    if (handle->closing || tg_check(handle->tg, &request, &verdict) != TG_OK)
        return napi_get_null(env, &out) == napi_ok ? out : NULL;
    return verdict_object(env, &verdict);
}

/* usageOpenclaw(input, output, cacheRead, cacheWrite, total) -> object with what is known */
static napi_value addon_usage_openclaw(napi_env env, napi_callback_info info)
{
    static const char *const names[] = { "input", "output", "cacheRead", "cacheWrite", "total" };
    napi_value args[5], out;
    size_t given = 5;
    int64_t n[5];
    struct tg_usage usage;

    if (napi_get_cb_info(env, info, &given, args, NULL, NULL) != napi_ok)
        return NULL;
    for (size_t i = 0; i < 5; i++) {
        n[i] = TG_UNKNOWN;
        if (!read_optional_number(env, args[i], names[i], &n[i]))
            return NULL;
    }
    tg_usage_openclaw(n[0], n[1], n[2], n[3], n[4], &usage);
    if (napi_create_object(env, &out) != napi_ok)
        return NULL;
#define KNOWN(name) (usage.name < 0 || set_number(env, out, #name, (double)usage.name))
    bool ok = KNOWN(prompt_tokens) && KNOWN(completion_tokens) && KNOWN(total_tokens) &&
              KNOWN(cached_tokens) && KNOWN(cache_write_tokens) && KNOWN(cache_write_1h_tokens) &&
              KNOWN(reasoning_tokens);
#undef KNOWN
    return ok ? out : NULL;
}

/* strerror(number) -> string */
static napi_value addon_strerror(napi_env env, napi_callback_info info)
{
    size_t given = 1;
    napi_value arg, out = NULL;
    int64_t err;

    if (napi_get_cb_info(env, info, &given, &arg, NULL, NULL) != napi_ok ||
        !read_number(env, arg, "error", INT32_MAX, &err))
        return NULL;
    napi_create_string_utf8(env, tg_strerror((int)err), NAPI_AUTO_LENGTH, &out);
    return out;
}

/* ----------------------------------------------- flush, close and questions */

/* { result, id, verdict } and what is known of the reservation. */
static napi_value admission_object(napi_env env, int result, const struct question *q)
{
    napi_value out, verdict;

    if (napi_create_object(env, &out) != napi_ok || !set_number(env, out, "result", result))
        return NULL;
    if (q == NULL || result == TG_ERR_CLOSED || result == TG_ERR_INVALID || result == TG_ERR_FORKED)
        return out;
    verdict = verdict_object(env, &q->verdict);
    bool ok = verdict != NULL && napi_set_named_property(env, out, "verdict", verdict) == napi_ok &&
              set_text(env, out, "id", q->reservation.id) &&
              set_known(env, out, "status", q->reservation.status) &&
              set_known(env, out, "reserved_nanousd", q->reservation.reserved_nanousd) &&
              set_known(env, out, "expires_in_ms", q->reservation.expires_in_ms);
    return ok ? out : NULL;
}

static void task_start(napi_env env, struct task *task)
{
    napi_queue_async_work(env, task->work);
}

static void task_done(napi_env env, struct task *task)
{
    struct handle *handle = task->handle;

    napi_value value = task->admits ? admission_object(env, task->result, task->question) : NULL;

    napi_resolve_deferred(env, task->promise, value != NULL ? value : number(env, task->result));
    napi_delete_async_work(env, task->work);
    napi_delete_reference(env, task->keep);
    free(task->question);
    free(task);
    if (handle->busy == 0 && handle->waiting) {
        struct task *close = handle->waiting;
        handle->waiting = NULL;
        task_start(env, close);
    }
}

static void flush_run(napi_env env, void *data)
{
    struct task *task = data;

    (void)env;
    task->result = tg_flush(task->tg, task->timeout_ms);
}

static void flush_done(napi_env env, napi_status status, void *data)
{
    struct task *task = data;

    (void)status; /* nothing cancels it */
    task->handle->busy--;
    task_done(env, task);
}

static void close_run(napi_env env, void *data)
{
    struct task *task = data;

    (void)env;
    task->result = tg_close(task->tg, task->timeout_ms);
}

static void close_done(napi_env env, napi_status status, void *data)
{
    (void)status;
    task_done(env, data);
}

static bool read_timeout(napi_env env, napi_value value, uint32_t *out)
{
    int64_t ms;

    if (!read_number(env, value, "timeout_ms", WAIT_MAX_MS, &ms))
        return false;
    *out = ms < 0 ? 0 : (uint32_t)ms;
    return true;
}

/* A task with its promise, or NULL with an exception pending. */
static struct task *task_new(napi_env env, napi_value *args, struct handle *handle, const char *name,
                             napi_async_execute_callback run, napi_async_complete_callback done,
                             napi_value *promise)
{
    struct task *task = calloc(1, sizeof *task);
    napi_value resource;

    if (!task)
        goto fail;
    task->handle = handle;
    task->tg = handle->tg;
    if (!read_timeout(env, args[1], &task->timeout_ms))
        goto fail;
    if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource) != napi_ok ||
        napi_create_async_work(env, NULL, resource, run, done, task, &task->work) != napi_ok)
        goto fail;
    if (napi_create_reference(env, args[0], 1, &task->keep) != napi_ok ||
        napi_create_promise(env, &task->promise, promise) != napi_ok) {
        if (task->keep)
            napi_delete_reference(env, task->keep);
        napi_delete_async_work(env, task->work);
        goto fail;
    }
    return task;
fail:
    free(task);
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) == napi_ok && !pending)
        napi_throw_error(env, NULL, tg_strerror(TG_ERR_NOMEM));
    return NULL;
}

/* A promise that is settled already. */
static napi_value resolved(napi_env env, napi_value result)
{
    napi_deferred deferred;
    napi_value promise;

    if (result == NULL || napi_create_promise(env, &deferred, &promise) != napi_ok)
        return NULL;
    napi_resolve_deferred(env, deferred, result);
    return promise;
}

/* flush(handle, timeout_ms) -> promise of a number */
static napi_value addon_flush(napi_env env, napi_callback_info info)
{
    napi_value args[2], promise;
    struct handle *handle = get_arguments(env, info, 2, args);

    if (!handle)
        return NULL;
    if (handle->closing)
        return resolved(env, number(env, TG_ERR_CLOSED));
    struct task *task = task_new(env, args, handle, "tollgate.flush", flush_run, flush_done, &promise);
    if (!task)
        return NULL;
    handle->busy++;
    task_start(env, task);
    return promise;
}

/* close(handle, timeout_ms) -> promise of a number. Waits for flushes and questions that are under way. */
static napi_value addon_close(napi_env env, napi_callback_info info)
{
    napi_value args[2], promise;
    struct handle *handle = get_arguments(env, info, 2, args);

    if (!handle)
        return NULL;
    if (handle->closing)
        return resolved(env, number(env, TG_OK));
    struct task *task = task_new(env, args, handle, "tollgate.close", close_run, close_done, &promise);
    if (!task)
        return NULL;
    handle->closing = true;
    handle->tg = NULL; /* the task owns it now */
    if (handle->busy > 0)
        handle->waiting = task;
    else
        task_start(env, task);
    return promise;
}

static void admit_run(napi_env env, void *data)
{
    struct task *task = data;
    struct question *q = task->question;

    (void)env;
    task->result = tg_admit(task->tg, &q->request, q->ttl_ms, task->timeout_ms, &q->reservation, &q->verdict);
}

static void settle_run(napi_env env, void *data)
{
    struct task *task = data;
    const struct question *q = task->question;

    (void)env;
    task->result = tg_settle(task->tg, q->id, q->used ? &q->usage : NULL, task->timeout_ms);
}

/* undefined and null leave *out as it is. */
static bool read_id(napi_env env, napi_value value, char *out, size_t room)
{
    struct text_buffer buffer = { out, 0, room, room };
    const char *text;
    napi_valuetype type;

    if (napi_typeof(env, value, &type) != napi_ok)
        return false;
    return type == napi_undefined || type == napi_null || read_text(env, value, "id", &buffer, &text);
}

static bool read_admission(napi_env env, napi_value *args, struct question *q)
{
    struct text_buffer buffer = { q->text, 0, sizeof q->text, TEXT_BYTES };
    int64_t ttl_ms = 0;

    if (!read_request(env, args[2], &buffer, q->tags, &q->request) ||
        !read_optional_number(env, args[3], "ttl_ms", &ttl_ms) || !read_id(env, args[4], q->id, sizeof q->id))
        return false;
    q->ttl_ms = ttl_ms < 0 ? 0 : ttl_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ttl_ms;
    if (strlen(q->id) >= sizeof q->reservation.id)
        return type_error(env, "id", "a string of at most 32 bytes");
    memcpy(q->reservation.id, q->id, strlen(q->id));
    return true;
}

/* A question's task, with its promise; it owns q, which is freed if it cannot be made. */
static napi_value ask(napi_env env, napi_value *args, struct handle *handle, struct question *q, bool admits)
{
    napi_value promise;
    struct task *task = task_new(env, args, handle, admits ? "tollgate.admit" : "tollgate.settle",
                                 admits ? admit_run : settle_run, flush_done, &promise);

    if (!task) {
        free(q);
        return NULL;
    }
    task->question = q;
    task->admits = admits;
    handle->busy++;
    task_start(env, task);
    return promise;
}

static struct question *question_new(napi_env env)
{
    struct question *q = calloc(1, sizeof *q);

    if (!q)
        napi_throw_error(env, NULL, tg_strerror(TG_ERR_NOMEM));
    return q;
}

/* admit(handle, timeout_ms, request, ttl_ms or null, id or null) -> promise of an admission */
static napi_value addon_admit(napi_env env, napi_callback_info info)
{
    napi_value args[5];
    struct handle *handle = get_arguments(env, info, 5, args);
    struct question *q = handle ? question_new(env) : NULL;

    if (!q)
        return NULL;
    if (!read_admission(env, args, q)) {
        free(q);
        return NULL;
    }
    if (handle->closing) {
        free(q);
        return resolved(env, admission_object(env, TG_ERR_CLOSED, NULL));
    }
    return ask(env, args, handle, q, true);
}

/* settle(handle, timeout_ms, id, usage or null: the call was not made) -> promise of a number */
static napi_value addon_settle(napi_env env, napi_callback_info info)
{
    napi_value args[4];
    napi_valuetype type;
    struct handle *handle = get_arguments(env, info, 4, args);
    struct question *q = handle ? question_new(env) : NULL;

    if (!q)
        return NULL;
    if (!read_id(env, args[2], q->id, sizeof q->id) || napi_typeof(env, args[3], &type) != napi_ok)
        goto fail;
    q->used = type != napi_undefined && type != napi_null;
    if (q->used && !read_usage(env, args[3], &q->usage))
        goto fail;
    if (!handle->closing)
        return ask(env, args, handle, q, false);
    free(q);
    return resolved(env, number(env, TG_ERR_CLOSED));
fail:
    free(q);
    return NULL;
}

int32_t NODE_API_MODULE_GET_API_VERSION(void); /* NAPI_MODULE_INIT defines it without a prototype */

NAPI_MODULE_INIT()
{
    static const struct {
        const char *name;
        napi_callback call;
    } functions[] = {
        { "open", addon_open },         { "dispatch", addon_dispatch },
        { "message", addon_message },   { "count", addon_count },
        { "stats", addon_stats },       { "usageOpenclaw", addon_usage_openclaw },
        { "strerror", addon_strerror }, { "flush", addon_flush },
        { "close", addon_close },       { "check", addon_check },
        { "admit", addon_admit },       { "settle", addon_settle },
    };
    napi_value value;

    for (size_t i = 0; i < COUNT(functions); i++) {
        if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &value) !=
                napi_ok ||
            napi_set_named_property(env, exports, functions[i].name, value) != napi_ok)
            return NULL;
    }
    if (napi_create_string_utf8(env, tg_version(), NAPI_AUTO_LENGTH, &value) != napi_ok ||
        napi_set_named_property(env, exports, "version", value) != napi_ok)
        return NULL;
    return exports;
}
