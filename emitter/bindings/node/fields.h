/* SPDX-License-Identifier: MIT
 *
 * fields.h: reads JavaScript objects and values into the structs of tollgate.h. On failure each
 * function returns false with a JavaScript exception pending.
 */
#ifndef TOLLGATE_NODE_FIELDS_H
#define TOLLGATE_NODE_FIELDS_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tollgate.h>

#define TEXT_BYTES    (TG_STRING_MAX + 5) /* one character more than is kept, and the NUL */
#define OPTION_BYTES  4096                /* endpoint and spool_dir are paths */
#define EVENT_TEXTS   (40 + 2 * TG_TAGS_MAX)
#define OPTION_TEXTS  5
#define REQUEST_TEXTS (9 + 2 * TG_TAGS_MAX)

/* Where strings are kept until the library has copied them. */
struct text_buffer {
    char *at;
    size_t used, size;
    size_t each; /* bytes of one string, with its NUL */
};

/* Throws a TypeError "NAME must be EXPECTED"; returns false. */
bool type_error(napi_env env, const char *name, const char *expected);

/* One value. A number is whole, at most max, and negative if unknown. */
bool read_text(napi_env env, napi_value value, const char *name, struct text_buffer *buffer,
               const char **out);
bool read_number(napi_env env, napi_value value, const char *name, double max, int64_t *out);
/* As read_number; undefined and null leave *out as it is. */
bool read_optional_number(napi_env env, napi_value value, const char *name, int64_t *out);

/* An object. tags has room for TG_TAGS_MAX and lives as long as *out. */
bool read_options(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_options *out);
bool read_dispatch(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_tag *tags,
                   struct tg_dispatch *out);
bool read_message(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_tag *tags,
                  struct tg_message *out);
bool read_usage(napi_env env, napi_value object, struct tg_usage *out);
bool read_request(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_tag *tags,
                  struct tg_request *out);

#endif
