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

/* Whether the labels between name and value have this one. */
static bool has_label(const char *labels, const char *value_at, const char *label, const char *value)
{
    size_t name_len = strlen(label), value_len = strlen(value);

    for (const char *at = labels; at < value_at; at++) {
        if ((*at == '{' || *at == ',') && strncmp(at + 1, label, name_len) == 0 &&
            strncmp(at + 1 + name_len, "=\"", 2) == 0 && strncmp(at + 3 + name_len, value, value_len) == 0 &&
            at[3 + name_len + value_len] == '"')
            return true;
    }
    return false;
}

double exposition_sum_of(const char *text, const char *name, const char *label, const char *value)
{
    double sum = NAN;

    for (const char *line = text; *line; line += *line == '\n') {
        const char *at = sample(line, name);
        if (at && (!label || !value || has_label(line + strlen(name), at, label, value)))
            sum = (isnan(sum) ? 0 : sum) + strtod(at, NULL);
        line += strcspn(line, "\n");
    }
    return sum;
}

double exposition_sum(const char *text, const char *name)
{
    return exposition_sum_of(text, name, NULL, NULL);
}

/* ---------------------------------------------------------------- histograms */

#define BOUNDS_MAX 64

struct bound {
    double le, count; /* how many were at most le */
};

static double bound_of(const char *labels, const char *end)
{
    const char *at = memmem(labels, (size_t)(end - labels), "le=\"", 4);

    return at ? strtod(at + 4, NULL) : NAN; /* "+Inf" too */
}

/* Sums what all series of a histogram say about the same bound. Returns how many bounds. */
static size_t bounds_read(const char *text, const char *name, struct bound *out)
{
    size_t n = 0, i;

    for (const char *line = text; *line; line += *line == '\n') {
        const char *at = sample(line, name);
        double le = at ? bound_of(line, at) : NAN;
        for (i = 0; i < n && !isnan(le) && fabs(out[i].le - le) > 1e-12 && !(isinf(out[i].le) && isinf(le));
             i++)
            ;
        if (!isnan(le) && i == n && n < BOUNDS_MAX)
            out[n++] = (struct bound){ le, 0 };
        if (!isnan(le) && i < n)
            out[i].count += strtod(at, NULL);
        line += strcspn(line, "\n");
    }
    return n;
}

double exposition_quantile(const char *text, const char *name, double q, double *count)
{
    struct bound bounds[BOUNDS_MAX];
    char buckets[128];
    double all = 0, least = NAN;

    snprintf(buckets, sizeof buckets, "%s_bucket", name);
    size_t n = bounds_read(text, buckets, bounds);
    for (size_t i = 0; i < n; i++)
        all = bounds[i].count > all ? bounds[i].count : all;
    for (size_t i = 0; i < n && all > 0; i++) {
        if (bounds[i].count >= q * all && !(bounds[i].le >= least))
            least = bounds[i].le;
    }
    *count = all;
    return least;
}
