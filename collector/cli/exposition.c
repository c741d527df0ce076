/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* The end of a sample's name and labels, where its value begins. NULL: not a sample of name. */
static const char *sample(const char *line, const char *name)
{
    size_t len = strlen(name);
    bool quoted = false;

    if (strncmp(line, name, len) != 0)
        return NULL;
    line += len;
    if (*line != '{')
        return *line == ' ' ? line : NULL;
    for (line++; *line && *line != '\n' && (quoted || *line != '}'); line++) {
        if (*line == '\\' && line[1])
            line++;
        else if (*line == '"')
            quoted = !quoted;
    }
    return *line == '}' ? line + 1 : NULL;
}

double exposition_sum(const char *text, const char *name)
{
    double sum = NAN;

    for (const char *line = text; *line; line += *line == '\n') {
        const char *value = sample(line, name);
        if (value)
            sum = (isnan(sum) ? 0 : sum) + strtod(value, NULL);
        line += strcspn(line, "\n");
    }
    return sum;
}
