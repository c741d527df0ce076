/* SPDX-License-Identifier: MIT */
#include "event.h"

#include <string.h>

#include "msgpack_reader.h"

struct code {
    int code;
    const char *name;
};

#define CODE(number, text) { number, #text },
static const struct code kinds[] = {
#define TG_KIND CODE
#include "../../schema/event.def"
    { 0, NULL },
};
static const struct code triggers[] = {
#define TG_TRIGGER CODE
#include "../../schema/event.def"
    { 0, NULL },
};
static const struct code granularities[] = {
#define TG_GRANULARITY CODE
#include "../../schema/event.def"
    { 0, NULL },
};
static const struct code statuses[] = {
#define TG_STATUS CODE
#include "../../schema/event.def"
    { 0, NULL },
};
static const struct code outcomes[] = {
#define TG_OUTCOME CODE
#include "../../schema/event.def"
    { 0, NULL },
};
#undef CODE

static const char *name_of(const struct code *table, int code)
{
    for (; table->name != NULL; table++)
        if (table->code == code)
            return table->name;
    return NULL;
}

static int code_of(const struct code *table, const char *name, size_t len)
{
    for (; table->name != NULL; table++)
        if (strlen(table->name) == len && memcmp(table->name, name, len) == 0)
            return table->code;
    return -1;
}

const char *kind_name(int code)
{
    return name_of(kinds, code);
}

const char *trigger_name(int code)
{
    return name_of(triggers, code);
}

const char *granularity_name(int code)
{
    return name_of(granularities, code);
}

const char *status_name(int code)
{
    return name_of(statuses, code);
}

const char *outcome_name(int code)
{
    return name_of(outcomes, code);
}

int kind_code(const char *name, size_t len)
{
    return code_of(kinds, name, len);
}

int trigger_code(const char *name, size_t len)
{
    return code_of(triggers, name, len);
}

int granularity_code(const char *name, size_t len)
{
    return code_of(granularities, name, len);
}

int status_code(const char *name, size_t len)
{
    return code_of(statuses, name, len);
}

int outcome_code(const char *name, size_t len)
{
    return code_of(outcomes, name, len);
}

/* Ingest has checked the bytes; positions that are missing at the end are unknown. */
static struct slice next_text(struct mp *r)
{
    struct mp_value v;

    if (!mp_read(r, &v) || v.type != MP_STR || v.s.len == 0)
        return (struct slice){ NULL, 0 };
    return v.s;
}

static uint8_t next_code(struct mp *r, int (*by_name)(const char *, size_t))
{
    struct mp_value v;

    if (!mp_read(r, &v))
        return 0;
    if (v.type == MP_STR && v.s.len > 0)
        return (uint8_t)by_name((const char *)v.s.at, v.s.len);
    return v.type == MP_UINT ? (uint8_t)v.u : v.type == MP_FLOAT ? (uint8_t)v.f : 0;
}

static struct slice next_map(struct mp *r)
{
    const uint8_t *start = r->at;
    struct mp peek = *r;
    struct mp_value v;

    if (!mp_skip(r) || !mp_read(&peek, &v) || v.type != MP_MAP || v.count == 0)
        return (struct slice){ NULL, 0 };
    return (struct slice){ start, (uint32_t)(r->at - start) };
}

void session_names_read(struct slice wire, struct session_names *out)
{
    struct mp r = mp_of(wire);

#define TG_HEAD_TEXT(name) out->text[S_##name] = next_text(&r);
#include "../../schema/event.def"
}

void dims_names_read(struct slice wire, struct dims_names *out)
{
    struct mp r = mp_of(wire);

#define TG_DIMS_TEXT(name) out->text[DIM_##name] = next_text(&r);
#define TG_DIMS_ENUM(name) out->code[DIM_##name] = next_code(&r, name##_code);
#define TG_DIMS_TAGS(name) out->name = next_map(&r);
#include "../../schema/event.def"
}
