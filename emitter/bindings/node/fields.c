/* SPDX-License-Identifier: MIT
 *
 * fields.c: the properties of a JavaScript object as the fields of a struct of tollgate.h.
 *
 * Invariants:
 *  - Pure functions of the JavaScript thread. Nothing is allocated: strings go into the caller's
 *    buffer, each at most one character longer than the library keeps, so that the library cuts
 *    and counts what is too long.
 *  - undefined and null leave a field as it is, which is unknown.
 *  - A wrong type is a TypeError that names the property.
 */
#include "fields.h"

#include <stdio.h>
#include <string.h>

#define SAFE_MAX       9007199254740991.0 /* Number.MAX_SAFE_INTEGER */
#define EVENT_ID_BYTES 16

struct code {
    const char *name;
    unsigned value;
};

static const struct code kinds[] = {
#define TG_KIND(code, name) { #name, code },
#include "../../../schema/event.def"
    { NULL, 0 }
};
static const struct code triggers[] = {
#define TG_TRIGGER(code, name) { #name, code },
#include "../../../schema/event.def"
    { NULL, 0 }
};
static const struct code granularities[] = {
#define TG_GRANULARITY(code, name) { #name, code },
#include "../../../schema/event.def"
    { NULL, 0 }
};
static const struct code statuses[] = {
#define TG_STATUS(code, name) { #name, code },
#include "../../../schema/event.def"
    { NULL, 0 }
};
static const struct code outcomes[] = {
#define TG_OUTCOME(code, name) { #name, code },
#include "../../../schema/event.def"
    { NULL, 0 }
};
static const struct code modes[] = { { "send", TG_MODE_SEND }, { "spool", TG_MODE_SPOOL }, { NULL, 0 } };
static const struct code full_policies[] = { { "drop_newest", TG_FULL_DROP_NEWEST },
                                             { "evict_oldest", TG_FULL_EVICT_OLDEST },
                                             { NULL, 0 } };

enum field_type { FIELD_TEXT, FIELD_NUMBER, FIELD_SIZE, FIELD_U32, FIELD_CODE };

struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    const struct code *codes; /* of FIELD_CODE */
};

#define TEXT(s, name)                                     \
    {                                                     \
#name, FIELD_TEXT, offsetof(struct s, name), NULL \
    }
#define NUMBER(s, name)                                     \
    {                                                       \
#name, FIELD_NUMBER, offsetof(struct s, name), NULL \
    }
#define USAGE(name)                                                         \
    {                                                                       \
#name, FIELD_NUMBER, offsetof(struct tg_dispatch, usage.name), NULL \
    }
#define CODE(s, name, codes)                               \
    {                                                      \
#name, FIELD_CODE, offsetof(struct s, name), codes \
    }

static const struct field dispatch_fields[] = {
    TEXT(tg_dispatch, session_id),
    TEXT(tg_dispatch, parent_session_id),
    TEXT(tg_dispatch, root_session_id),
    TEXT(tg_dispatch, agent_id),
    TEXT(tg_dispatch, user_id),
    TEXT(tg_dispatch, provider),
    TEXT(tg_dispatch, model),
    TEXT(tg_dispatch, requested_model),
    TEXT(tg_dispatch, surface),
    TEXT(tg_dispatch, channel),
    TEXT(tg_dispatch, lane),
    CODE(tg_dispatch, trigger, triggers),
    CODE(tg_dispatch, granularity, granularities),
    CODE(tg_dispatch, status, statuses),
    TEXT(tg_dispatch, error_type),
    TEXT(tg_dispatch, run_id),
    TEXT(tg_dispatch, call_id),
    TEXT(tg_dispatch, response_id),
    TEXT(tg_dispatch, trace_id),
    TEXT(tg_dispatch, span_id),
    TEXT(tg_dispatch, reservation_id),
    TEXT(tg_dispatch, tool_used),
    NUMBER(tg_dispatch, attempt),
    USAGE(prompt_tokens),
    USAGE(completion_tokens),
    USAGE(total_tokens),
    USAGE(cached_tokens),
    USAGE(cache_write_tokens),
    USAGE(cache_write_1h_tokens),
    USAGE(reasoning_tokens),
    NUMBER(tg_dispatch, tool_calls),
    NUMBER(tg_dispatch, latency_ms),
    NUMBER(tg_dispatch, ttft_ms),
    NUMBER(tg_dispatch, http_status),
    NUMBER(tg_dispatch, partial),
    NUMBER(tg_dispatch, cost_reported_nanousd),
    NUMBER(tg_dispatch, ts_ms),
};

static const struct field message_fields[] = {
    CODE(tg_message, kind, kinds),     CODE(tg_message, outcome, outcomes),
    TEXT(tg_message, session_id),      TEXT(tg_message, parent_session_id),
    TEXT(tg_message, root_session_id), TEXT(tg_message, agent_id),
    TEXT(tg_message, user_id),         TEXT(tg_message, surface),
    TEXT(tg_message, channel),         TEXT(tg_message, error_type),
    TEXT(tg_message, run_id),          TEXT(tg_message, message_id),
    NUMBER(tg_message, bytes),         NUMBER(tg_message, latency_ms),
    NUMBER(tg_message, ts_ms),
};

static const struct field request_fields[] = {
    TEXT(tg_request, agent_id),
    TEXT(tg_request, session_id),
    TEXT(tg_request, root_session_id),
    TEXT(tg_request, user_id),
    TEXT(tg_request, provider),
    TEXT(tg_request, model),
    TEXT(tg_request, lane),
    TEXT(tg_request, surface),
    TEXT(tg_request, channel),
    CODE(tg_request, trigger, triggers),
    NUMBER(tg_request, prompt_tokens),
    NUMBER(tg_request, max_tokens),
};

static const struct field option_fields[] = {
    TEXT(tg_options, endpoint),
    TEXT(tg_options, source),
    TEXT(tg_options, spool_dir),
    TEXT(tg_options, gateway),
    TEXT(tg_options, gateway_version),
    { "spool_bytes", FIELD_SIZE, offsetof(struct tg_options, spool_bytes), NULL },
    { "segment_bytes", FIELD_SIZE, offsetof(struct tg_options, segment_bytes), NULL },
    CODE(tg_options, on_full, full_policies),
    CODE(tg_options, mode, modes),
    { "linger_ms", FIELD_U32, offsetof(struct tg_options, linger_ms), NULL },
    { "report_ms", FIELD_U32, offsetof(struct tg_options, report_ms), NULL },
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Every field of event.def stands in dispatch_fields, but tags and beside ts_ms. */
enum {
#define TG_HEAD_TEXT(name)     EVENT_##name,
#define TG_DIMS_TEXT(name)     EVENT_##name,
#define TG_DIMS_ENUM(name)     EVENT_##name,
#define TG_DISPATCH_TEXT(name) EVENT_##name,
#define TG_DISPATCH_NUM(name)  EVENT_##name,
#include "../../../schema/event.def"
    EVENT_FIELDS
};
_Static_assert(COUNT(dispatch_fields) == EVENT_FIELDS + 1,
               "event.def has a field that dispatch_fields lacks");

/* Enumerations are stored through an unsigned. */
_Static_assert(sizeof(enum tg_trigger) == sizeof(unsigned) &&
                   sizeof(enum tg_message_kind) == sizeof(unsigned) &&
                   sizeof(enum tg_mode) == sizeof(unsigned),
               "an enum is not an unsigned");

_Static_assert(COUNT(dispatch_fields) <= EVENT_TEXTS - 2 * TG_TAGS_MAX, "EVENT_TEXTS is too small");

_Static_assert(COUNT(request_fields) - 3 <= REQUEST_TEXTS - 2 * TG_TAGS_MAX, "REQUEST_TEXTS is too small");

/* ------------------------------------------------------------------ reading */

bool type_error(napi_env env, const char *name, const char *expected)
{
    char text[160];

    snprintf(text, sizeof text, "tollgate: %s must be %s", name, expected);
    napi_throw_type_error(env, NULL, text);
    return false;
}

static bool is_object(napi_env env, napi_value value, const char *name)
{
    napi_valuetype type;

    if (napi_typeof(env, value, &type) == napi_ok && type == napi_object)
        return true;
    return type_error(env, name, "an object");
}

bool read_text(napi_env env, napi_value value, const char *name, struct text_buffer *buffer, const char **out)
{
    char *at = buffer->at + buffer->used;
    size_t room = buffer->size - buffer->used, len;

    if (room > buffer->each)
        room = buffer->each;
    if (napi_get_value_string_utf8(env, value, at, room, &len) != napi_ok)
        return type_error(env, name, "a string");
    buffer->used += len + 1;
    *out = at;
    return true;
}

/* A whole number; negative is unknown, as in tollgate.h. */
bool read_number(napi_env env, napi_value value, const char *name, double max, int64_t *out)
{
    double number;

    if (napi_get_value_double(env, value, &number) != napi_ok)
        return type_error(env, name, "a number");
    if (!(number >= -SAFE_MAX && number <= max) || number != (double)(int64_t)number)
        return type_error(env, name, "a whole number in its range");
    *out = (int64_t)number;
    return true;
}

/* A code's name or number; 0, "unknown" and negative numbers are unknown. */
static bool read_code(napi_env env, napi_value value, const struct field *field, unsigned *out)
{
    char text[32];
    size_t len;
    int64_t number = 0;
    bool named = napi_get_value_string_utf8(env, value, text, sizeof text, &len) == napi_ok;

    if (!named && !read_number(env, value, field->name, UINT32_MAX, &number))
        return false;
    if (named ? strcmp(text, "unknown") == 0 : number <= 0) {
        *out = 0;
        return true;
    }
    for (const struct code *code = field->codes; code->name; code++) {
        if (named ? strcmp(code->name, text) == 0 : code->value == (uint64_t)number) {
            *out = code->value;
            return true;
        }
    }
    return type_error(env, field->name, "one of its codes (schema/wire.md)");
}

static bool read_field(napi_env env, napi_value value, const struct field *field, struct text_buffer *buffer,
                       char *out)
{
    int64_t number;

    switch (field->type) {
    case FIELD_TEXT:
        return read_text(env, value, field->name, buffer, (const char **)(void *)(out + field->offset));
    case FIELD_CODE:
        return read_code(env, value, field, (unsigned *)(void *)(out + field->offset));
    case FIELD_NUMBER:
        return read_number(env, value, field->name, SAFE_MAX, (int64_t *)(void *)(out + field->offset));
    case FIELD_SIZE:
        if (!read_number(env, value, field->name, SAFE_MAX, &number))
            return false;
        *(size_t *)(void *)(out + field->offset) = number < 0 ? 0 : (size_t)number;
        return true;
    case FIELD_U32:
        if (!read_number(env, value, field->name, UINT32_MAX, &number))
            return false;
        *(uint32_t *)(void *)(out + field->offset) = number < 0 ? 0 : (uint32_t)number;
        return true;
    }
    return false;
}

/* *present: the object has a property of this name that is not undefined and not null. */
static bool get_property(napi_env env, napi_value object, const char *name, napi_value *value, bool *present)
{
    napi_valuetype type;

    if (napi_get_named_property(env, object, name, value) != napi_ok ||
        napi_typeof(env, *value, &type) != napi_ok)
        return false; /* a getter threw: its exception is pending */
    *present = type != napi_undefined && type != napi_null;
    return true;
}

static bool read_object(napi_env env, napi_value object, const struct field *fields, size_t count,
                        struct text_buffer *buffer, void *out)
{
    for (size_t i = 0; i < count; i++) {
        napi_value value;
        bool present;

        if (!get_property(env, object, fields[i].name, &value, &present))
            return false;
        if (present && !read_field(env, value, &fields[i], buffer, out))
            return false;
    }
    return true;
}

/* event_id: 16 bytes in a Uint8Array. The bytes stay where they are: they outlive the call. */
static bool read_event_id(napi_env env, napi_value object, const unsigned char **out)
{
    napi_value value;
    bool present;
    napi_typedarray_type type;
    size_t len;
    void *data;

    if (!get_property(env, object, "event_id", &value, &present))
        return false;
    if (!present)
        return true;
    if (napi_get_typedarray_info(env, value, &type, &len, &data, NULL, NULL) != napi_ok ||
        type != napi_uint8_array || len != EVENT_ID_BYTES)
        return type_error(env, "event_id", "a Uint8Array of 16 bytes");
    *out = data;
    return true;
}

/* tags: an object of strings. */
static bool read_tags(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_tag *tags,
                      const struct tg_tag **out, size_t *out_count)
{
    napi_value value, names, name, text;
    bool present;
    uint32_t count;

    if (!get_property(env, object, "tags", &value, &present))
        return false;
    if (!present)
        return true;
    if (!is_object(env, value, "tags"))
        return false;
    if (napi_get_property_names(env, value, &names) != napi_ok ||
        napi_get_array_length(env, names, &count) != napi_ok || count > TG_TAGS_MAX)
        return type_error(env, "tags", "an object of at most 16 strings");
    for (uint32_t i = 0; i < count; i++) {
        if (napi_get_element(env, names, i, &name) != napi_ok ||
            napi_get_property(env, value, name, &text) != napi_ok ||
            !read_text(env, name, "tags", buffer, &tags[i].name) ||
            !read_text(env, text, "tags", buffer, &tags[i].value))
            return false;
    }
    *out = tags;
    *out_count = count;
    return true;
}

bool read_optional_number(napi_env env, napi_value value, const char *name, int64_t *out)
{
    napi_valuetype type;

    if (napi_typeof(env, value, &type) != napi_ok)
        return false;
    return type == napi_undefined || type == napi_null || read_number(env, value, name, SAFE_MAX, out);
}

bool read_options(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_options *out)
{
    return is_object(env, object, "options") &&
           read_object(env, object, option_fields, COUNT(option_fields), buffer, out);
}

bool read_dispatch(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_tag *tags,
                   struct tg_dispatch *out)
{
    return is_object(env, object, "event") &&
           read_object(env, object, dispatch_fields, COUNT(dispatch_fields), buffer, out) &&
           read_event_id(env, object, &out->event_id) &&
           read_tags(env, object, buffer, tags, &out->tags, &out->tag_count);
}

bool read_message(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_tag *tags,
                  struct tg_message *out)
{
    return is_object(env, object, "event") &&
           read_object(env, object, message_fields, COUNT(message_fields), buffer, out) &&
           read_event_id(env, object, &out->event_id) &&
           read_tags(env, object, buffer, tags, &out->tags, &out->tag_count);
}

/* The tokens among the fields of a dispatch. */
bool read_usage(napi_env env, napi_value object, struct tg_usage *out)
{
    struct tg_dispatch event = TG_DISPATCH_INIT;
    const size_t first = offsetof(struct tg_dispatch, usage);

    if (!is_object(env, object, "usage"))
        return false;
    for (size_t i = 0; i < COUNT(dispatch_fields); i++) {
        const struct field *f = &dispatch_fields[i];
        if (f->offset >= first && f->offset < first + sizeof *out &&
            !read_object(env, object, f, 1, NULL, &event))
            return false;
    }
    *out = event.usage;
    return true;
}

bool read_request(napi_env env, napi_value object, struct text_buffer *buffer, struct tg_tag *tags,
                  struct tg_request *out)
{
    return is_object(env, object, "request") &&
           read_object(env, object, request_fields, COUNT(request_fields), buffer, out) &&
           read_tags(env, object, buffer, tags, &out->tags, &out->tag_count);
}
