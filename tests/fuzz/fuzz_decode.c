/* SPDX-License-Identifier: MIT
 *
 * fuzz_decode.c: any bytes as a frame. What the decoder lets through must keep the rules of
 * schema/wire.md, because no later stage asks again.
 */
#include <stdlib.h>
#include <string.h>

#include "../../collector/base/msgpack_reader.h"
#include "../../collector/base/utf8.h"
#include "../../collector/ingest/decode.h"

#define STRING_MAX 255
#define SUM_MAX    1000000000000000LL /* no number may be larger: sums must fit */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_text(struct slice s)
{
    must(s.at == NULL || (s.len > 0 && s.len <= STRING_MAX && utf8_valid(s.at, s.len)));
}

static void check_names(const struct event *e)
{
    struct session_names session;
    struct dims_names dims;

    dims_names_read(e->dims, &dims);
    for (int i = 0; i < DIMS_TEXTS; i++)
        check_text(dims.text[i]);
    must(dims.code[DIM_status] == 0 || status_name(dims.code[DIM_status]) != NULL);
    must(dims.code[DIM_trigger] == 0 || trigger_name(dims.code[DIM_trigger]) != NULL);
    must(dims.code[DIM_granularity] == 0 || granularity_name(dims.code[DIM_granularity]) != NULL);
    if (e->session.at == NULL)
        return;
    session_names_read(e->session, &session);
    for (int i = 0; i < SESSION_TEXTS; i++)
        check_text(session.text[i]);
}

static void check_event(const struct event *e)
{
    const bool message = event_is_message(e);
    const int texts = message ? (int)MESSAGE_TEXTS : (int)DISPATCH_TEXTS;
    const int nums = message ? (int)MESSAGE_NUMS : (int)DISPATCH_NUMS;

    must(kind_name(e->kind) != NULL && e->ts_ms >= UNKNOWN);
    if (e->kind == KIND_report) {
        struct mp body = mp_of(e->body);
        must(mp_skip(&body) && body.at == body.end && e->session.at == NULL && e->dims.at == NULL);
        return;
    }
    for (int i = 0; i < texts; i++)
        check_text(e->text[i]);
    for (int i = 0; i < nums; i++)
        must(e->num[i] >= UNKNOWN && e->num[i] <= SUM_MAX);
    for (int i = DISPATCH_WIRE_NUMS; !message && i < (int)DISPATCH_NUMS; i++)
        must(e->num[i] == UNKNOWN);
    check_names(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct batch batch;
    struct decode_fault fault;
    uint64_t stands_for = 0;

    if (decode_batch(data, size, &batch, &fault) != DECODE_OK) {
        must(memchr(fault.text, 0, sizeof fault.text) != NULL);
        return 0;
    }
    must(batch.count >= 1 && batch.count <= BATCH_EVENTS_MAX && batch.first_seq >= 1 && batch.source[0] != 0);
    for (size_t i = 0; i < batch.count; i++) {
        const struct batch_event *at = &batch.events[i];
        stands_for += at->fault != NULL ? at->fault_count : 1;
        if (at->fault == NULL)
            check_event(&at->event);
    }
    must(stands_for <= BATCH_EVENTS_MAX);
    return 0;
}
