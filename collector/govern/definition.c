/* SPDX-License-Identifier: MIT */
#include "definition.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"

int definition_fault(struct fault *fault, const char *field, const json_t *given, const char *expected, ...)
{
    char *dumped = given != NULL && !json_is_string(given)
                       ? json_dumps(given, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS)
                       : NULL;
    const char *text = json_is_string(given) ? json_string_value(given) : dumped;
    va_list args;

    struct line name = line_of(fault->field, sizeof fault->field);
    struct line value = line_of(fault->value, sizeof fault->value);
    line_text(&name, field);
    line_text(&value, text != NULL ? text : "");
    va_start(args, expected);
    vsnprintf(fault->expected, sizeof fault->expected, expected, args);
    va_end(args);
    free(dumped);
    return -1;
}

int definition_no_memory(struct fault *fault, const char *field)
{
    return definition_fault(fault, field, NULL, "more memory");
}

json_t *definition_get(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

int definition_keys(const json_t *object, const char *const *known, struct fault *fault)
{
    char list[sizeof fault->expected - 8] = "";
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        size_t n = 0, i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0)
            i++;
        if (known[i] != NULL)
            continue;
        for (i = 0; known[i] != NULL && n < sizeof list; i++)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? ", " : "", known[i]);
        return definition_fault(fault, key, value, "one of %s", list);
    }
    return 0;
}

static bool has_nul(const json_t *text)
{
    return strlen(json_string_value(text)) != json_string_length(text);
}

int definition_text(const json_t *object, const char *key, const char *field, size_t max, char **out,
                    struct fault *fault)
{
    json_t *value = definition_get(object, key);
    char *copy;

    if (value == NULL)
        return 0;
    if (!json_is_string(value) || has_nul(value) || json_string_length(value) == 0 ||
        json_string_length(value) > max)
        return definition_fault(fault, field, value, "a text of 1 to %zu bytes", max);
    if ((copy = strdup(json_string_value(value))) == NULL)
        return definition_no_memory(fault, field);
    *out = copy;
    return 0;
}

int definition_bool(const json_t *object, const char *key, bool *out, struct fault *fault)
{
    json_t *value = definition_get(object, key);

    if (value == NULL)
        return 0;
    if (!json_is_boolean(value))
        return definition_fault(fault, key, value, "true or false");
    *out = json_is_true(value);
    return 0;
}

int definition_choice(const json_t *object, const char *key, const char *const *choices, int *out,
                      struct fault *fault)
{
    json_t *value = definition_get(object, key);
    char list[128] = "";
    size_t n = 0;

    if (value == NULL)
        return 0;
    for (int i = 0; choices[i] != NULL; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), choices[i]) == 0) {
            *out = i;
            return 0;
        }
        if (n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? "|" : "", choices[i]);
    }
    return definition_fault(fault, key, value, "%s", list);
}

int definition_name(const json_t *object, size_t max, char *out, struct fault *fault)
{
    json_t *value = definition_get(object, "name");
    const char *text = json_string_value(value);
    size_t len = json_is_string(value) ? json_string_length(value) : 0;

    if (text == NULL || len == 0 || len > max ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != len)
        return definition_fault(fault, "name", value, "1 to %zu letters, digits, dots, _ or -", max);
    memcpy(out, text, len + 1);
    return 0;
}
