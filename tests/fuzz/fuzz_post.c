/* SPDX-License-Identifier: MIT
 *
 * fuzz_post.c: any bytes as the body of POST /v1/events, in each content type. The answer must be
 * JSON that says of every event what became of it. A thread stands in for the writer and settles
 * whatever is pushed.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../collector/base/batch.h"
#include "../../collector/ingest/post.h"

#define QUEUE_EVENTS 10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct counters counters;
static struct post post = { .counters = &counters };

static void must(int holds)
{
    if (!holds)
        abort();
}

static void *settle(void *arg)
{
    struct queue_item *item;

    while (queue_pop(post.queue, -1, &item) == QUEUE_OK) {
        struct batch *b = (struct batch *)item;
        must(b->count >= 1 && b->count <= BATCH_EVENTS_MAX && !b->has_stream);
        for (size_t i = 0; i < b->count; i++)
            b->events[i].result = EVENT_STORED;
        b->status = BATCH_SETTLED;
        b->done(b);
    }
    return arg;
}

static void start(void)
{
    pthread_t thread;

    post.queue = queue_new(QUEUE_EVENTS);
    must(post.queue != NULL && pthread_create(&thread, NULL, settle, NULL) == 0 &&
         pthread_detach(thread) == 0);
}

static void check_answer(int status, const char *text)
{
    json_t *answer = json_loads(text, 0, NULL), *result;
    size_t i;

    must(json_is_object(answer));
    if (status >= 400) {
        must(json_integer_value(json_object_get(answer, "status")) == status);
        must(json_is_string(json_object_get(answer, "title")) &&
             json_is_string(json_object_get(answer, "detail")));
    } else {
        must(json_array_size(json_object_get(answer, "results")) > 0);
    }
    json_array_foreach(json_object_get(answer, "results"), i, result)
    {
        const char *what = json_string_value(json_object_get(result, "result"));
        must(what != NULL);
        if (strcmp(what, "rejected") == 0)
            must(json_is_string(json_object_get(result, "detail")));
    }
    json_decref(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = { NULL, "application/json", "application/x-ndjson" };
    char *text;

    if (post.queue == NULL) {
        start();
        return 0;
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int status = post_events(&post, types[i], "fuzz", (const char *)data, size, &text);
        must(status == 200 || status == 207 || status == 400 || status == 413);
        must(text != NULL);
        check_answer(status, text);
        free(text);
    }
    return 0;
}
