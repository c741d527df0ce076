/* SPDX-License-Identifier: MIT
 *
 * convert.c: other people's ways to count tokens, in ours. Pure; any thread.
 *
 * Unknown is not zero: a sum with an unknown part is unknown, and so is one that overflows.
 */
#include "tollgate.h"

#define EXPORT __attribute__((visibility("default")))

static int64_t known(int64_t v)
{
    return v < 0 ? TG_UNKNOWN : v;
}

static int64_t add(int64_t a, int64_t b)
{
    if (a < 0 || b < 0 || a > INT64_MAX - b)
        return TG_UNKNOWN;
    return a + b;
}

EXPORT void tg_usage_openai(int64_t prompt, int64_t completion, int64_t total, int64_t cached,
                            int64_t reasoning, struct tg_usage *out)
{
    *out = (struct tg_usage){
        .prompt_tokens = known(prompt),
        .completion_tokens = known(completion),
        .total_tokens = known(total),
        .cached_tokens = known(cached),
        .cache_write_tokens = TG_UNKNOWN,
        .cache_write_1h_tokens = TG_UNKNOWN,
        .reasoning_tokens = known(reasoning),
    };
}

EXPORT void tg_usage_anthropic(int64_t input, int64_t output, int64_t cache_read, int64_t cache_creation,
                               int64_t cache_creation_1h, struct tg_usage *out)
{
    int64_t prompt = add(add(input, cache_read), cache_creation);

    *out = (struct tg_usage){
        .prompt_tokens = prompt,
        .completion_tokens = known(output),
        .total_tokens = add(prompt, output),
        .cached_tokens = known(cache_read),
        .cache_write_tokens = known(cache_creation),
        .cache_write_1h_tokens = known(cache_creation_1h),
        .reasoning_tokens = TG_UNKNOWN, /* part of output, not told */
    };
}

EXPORT void tg_usage_openclaw(int64_t input, int64_t output, int64_t cache_read, int64_t cache_write,
                              int64_t total, struct tg_usage *out)
{
    *out = (struct tg_usage){
        .prompt_tokens = add(add(input, cache_read), cache_write),
        .completion_tokens = known(output),
        .total_tokens = known(total),
        .cached_tokens = known(cache_read),
        .cache_write_tokens = known(cache_write),
        .cache_write_1h_tokens = TG_UNKNOWN,
        .reasoning_tokens = TG_UNKNOWN,
    };
}
