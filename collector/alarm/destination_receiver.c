/* SPDX-License-Identifier: MIT
 *
 * destination_receiver.c: what the receivers' readers share, and the command. A fault never quotes what may
 * be a secret: a URL's path is one.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "destination_work.h"

/* -------------------------------------------------------------------- faults */

static void set_fault(const struct destination_reading *r, const char *key, const json_t *given,
                      const char *expected)
{
    char field[sizeof r->fault->field];

    if (key[0] != '\0')
        snprintf(field, sizeof field, "%s.%s", r->type, key);
    else
        snprintf(field, sizeof field, "%s", r->type);
    definition_fault(r->fault, field, given, "%s", expected);
}

int destination_shown_fault(const struct destination_reading *r, const char *key, const json_t *given,
                            const char *expected, ...)
{
    char text[sizeof r->fault->expected];
    va_list args;

    va_start(args, expected);
    vsnprintf(text, sizeof text, expected, args);
    va_end(args);
    set_fault(r, key, given, text);
    return -1;
}

int destination_hidden_fault(const struct destination_reading *r, const char *key, const char *expected, ...)
{
    char text[sizeof r->fault->expected];
    va_list args;

    va_start(args, expected);
    vsnprintf(text, sizeof text, expected, args);
    va_end(args);
    set_fault(r, key, NULL, text);
    snprintf(r->fault->value, sizeof r->fault->value, "(not shown)");
    return -1;
}

/* ---------------------------------------------------------------------- keys */

int destination_receiver_keys(const struct destination_reading *r, const char *const *known)
{
    struct fault fault;

    if (!json_is_object(r->receiver))
        return destination_hidden_fault(r, "", "a map, as { %s: ... }", known[0]);
    if (definition_keys(r->receiver, known, &fault) == 0)
        return 0;
    return destination_hidden_fault(r, fault.field, "%s", fault.expected);
}

bool destination_is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            return false;
    return true;
}

/* Whether it is a text of 1 to max printable bytes. */
static bool is_text(const json_t *given, size_t max)
{
    return json_is_string(given) && json_string_length(given) >= 1 && json_string_length(given) <= max &&
           strlen(json_string_value(given)) == json_string_length(given) &&
           destination_is_printable(json_string_value(given));
}

int destination_variable(const struct destination_reading *r, const char *key, const json_t *given,
                         const char **value)
{
    const char *found;

    if (!is_text(given, DESTINATION_VARIABLE_MAX) || strpbrk(json_string_value(given), "= ") != NULL)
        return destination_shown_fault(r, key, given, "the name of a variable of the environment");
    found = getenv(json_string_value(given));
    if (found == NULL || found[0] == '\0')
        return destination_shown_fault(r, key, given,
                                       "a variable of the environment that is set (this one is not)");
    *value = found;
    return 0;
}

static int copy_secret(const struct destination_reading *r, const char *key, const char *text, size_t max,
                       char **out)
{
    if (strlen(text) > max || !destination_is_printable(text))
        return destination_hidden_fault(r, key, "1 to %zu printable characters (ASCII)", max);
    if ((*out = strdup(text)) == NULL)
        return destination_hidden_fault(r, key, "more memory");
    return 0;
}

int destination_secret(const struct destination_reading *r, const char *key, size_t max, char **out)
{
    const json_t *given = definition_get(r->receiver, key), *named;
    const char *text = NULL;
    char name[48];

    snprintf(name, sizeof name, "%s_env", key);
    named = definition_get(r->receiver, name);
    if (given != NULL && named != NULL)
        return destination_shown_fault(r, name, named, "only one of %s and %s", key, name);
    if (given != NULL && !is_text(given, max))
        return destination_hidden_fault(r, key, "a text of 1 to %zu printable characters (ASCII)", max);
    if (given != NULL)
        return copy_secret(r, key, json_string_value(given), max, out);
    if (named == NULL)
        return 0;
    return destination_variable(r, name, named, &text) != 0 ? -1 : copy_secret(r, name, text, max, out);
}

int destination_ca_file(const struct destination_reading *r)
{
    const json_t *given = definition_get(r->receiver, "ca_file");

    if (given == NULL)
        return 0;
    if (!is_text(given, DESTINATION_PATH_MAX) || json_string_value(given)[0] != '/')
        return destination_shown_fault(r, "ca_file", given, "an absolute path");
    if ((r->d->ca_file = strdup(json_string_value(given))) == NULL)
        return destination_hidden_fault(r, "ca_file", "more memory");
    return 0;
}

/* ------------------------------------------------------------------- command */

/* Whole numbers are taken as their digits: YAML tells them apart, a person may not. */
static int add_argument(struct destination_reading *r, const json_t *given)
{
    const char *text = json_string_value(given);
    char digits[24];

    if (json_is_integer(given)) {
        snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(given));
        text = digits;
    }
    if (text == NULL || (json_is_string(given) && strlen(text) != json_string_length(given)) ||
        strlen(text) > DESTINATION_ARG_MAX)
        return destination_hidden_fault(r, "", "arguments that are texts of up to %d bytes",
                                        DESTINATION_ARG_MAX);
    if (r->d->args == 0 && text[0] != '/')
        return destination_shown_fault(r, "", given, "the absolute path of a program, then its arguments");
    if ((r->d->arg[r->d->args] = strdup(text)) == NULL)
        return destination_hidden_fault(r, "", "more memory");
    r->d->args++;
    return 0;
}

int destination_read_command(struct destination_reading *r)
{
    const json_t *given = r->receiver;
    size_t count = json_is_array(given) ? json_array_size(given) : 1;

    r->d->type = DESTINATION_COMMAND;
    if (count == 0 || count > DESTINATION_ARGS_MAX || json_is_object(given))
        return destination_hidden_fault(
            r, "", "a list: the absolute path of a program and up to %d arguments", DESTINATION_ARGS_MAX - 1);
    if ((r->d->arg = calloc(count + 1, sizeof *r->d->arg)) == NULL)
        return destination_hidden_fault(r, "", "more memory");
    for (size_t i = 0; i < count; i++)
        if (add_argument(r, json_is_array(given) ? json_array_get(given, i) : given) != 0)
            return -1;
    return 0;
}
