/* SPDX-License-Identifier: MIT */
#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void problem_fill(struct problem *p, int status, const char *fmt, ...)
{
    va_list args;

    memset(p, 0, sizeof *p);
    p->status = status;
    va_start(args, fmt);
    vsnprintf(p->detail, sizeof p->detail, fmt, args);
    va_end(args);
}

void problem_fill_parameter(struct problem *p, const char *parameter, const char *value, const char *expected)
{
    problem_fill(p, 400, "parameter %s cannot be understood", parameter);
    snprintf(p->parameter, sizeof p->parameter, "%s", parameter);
    snprintf(p->value, sizeof p->value, "%s", value);
    snprintf(p->expected, sizeof p->expected, "%s", expected);
}

void problem_fill_field(struct problem *p, const char *field, const char *value, const char *expected)
{
    problem_fill_parameter(p, field, value, expected);
    snprintf(p->detail, sizeof p->detail, "%s cannot be understood", field);
    p->of_body = true;
}
