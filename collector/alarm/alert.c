/* SPDX-License-Identifier: MIT */
#include "alert.h"

#include <string.h>

static const char *const kinds[] = {
#define X(name) #name,
    ALERT_KINDS(X)
#undef X
};
static const char *const severities[] = { "info", "warning", "critical" };

static int place(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *alert_kind_name(int kind)
{
    return kind >= 0 && kind < ALERT_KIND_COUNT ? kinds[kind] : NULL;
}

int alert_kind_code(const char *name)
{
    return place(kinds, ALERT_KIND_COUNT, name);
}

const char *severity_name(int severity)
{
    return severity >= 0 && severity < SEVERITIES ? severities[severity] : NULL;
}

int severity_code(const char *name)
{
    return place(severities, SEVERITIES, name);
}
