/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include <string.h>

#include "../base/msgpack_reader.h"

static const char *const names[] = { "agent", "session", "root_session", "user",    "provider", "model",
                                     "lane",  "surface", "channel",      "trigger", "tag" };

const char *subject_field_name(int field)
{
    return field >= 0 && field <= SUBJECT_TAG ? names[field] : NULL;
}

int subject_field_code(const char *name, size_t len)
{
    bool is_id = len > 3 && memcmp(name + len - 3, "_id", 3) == 0;
    int end = is_id ? SUBJECT_user_id : SUBJECT_TAG;

    len -= is_id ? 3 : 0;
    for (int i = 0; i <= end; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return i;
    return -1;
}

struct slice subject_tag(const struct subject *s, struct slice name)
{
    struct mp mp = mp_of(s->tags);
    struct mp_value map, key, value;
    struct slice found = { NULL, 0 };

    if (s->tags.at == NULL || !mp_read(&mp, &map) || map.type != MP_MAP)
        return (struct slice){ NULL, 0 };
    for (uint32_t i = 0; i < map.count; i++) {
        if (!mp_read(&mp, &key) || !mp_read(&mp, &value) || key.type != MP_STR || value.type != MP_STR)
            break;
        if (key.s.len == name.len && memcmp(key.s.at, name.at, name.len) == 0)
            found = value.s;
    }
    return found;
}

struct slice subject_value(const struct subject *s, int field, const char *tag)
{
    struct slice v = field == SUBJECT_TAG
                         ? subject_tag(s, (struct slice){ (const uint8_t *)tag, (uint32_t)strlen(tag) })
                         : s->text[field];

    if (field == SUBJECT_root_session_id && v.len == 0)
        v = s->text[SUBJECT_session_id];
    return v.len > 0 ? v : (struct slice){ NULL, 0 };
}
