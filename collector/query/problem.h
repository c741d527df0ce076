/* SPDX-License-Identifier: MIT
 *
 * problem.h: why a request cannot be answered, as RFC 9457 wants it told.
 */
#ifndef COLLECTOR_QUERY_PROBLEM_H
#define COLLECTOR_QUERY_PROBLEM_H

#include <stdbool.h>

/* Empty strings: not said. Texts that do not fit are cut. */
struct problem {
    int status; /* HTTP */
    char detail[256];
    bool of_body; /* parameter is the name of a field in the body */
    char parameter[64];
    char value[128];
    char expected[384];
};

/* Fill p and are -1, so that a parser can `return problem_set(...)`; a wrong parameter is status 400. */
#define problem_set(p, status, ...)               (problem_fill((p), (status), __VA_ARGS__), -1)
#define problem_parameter(p, name, value, wanted) (problem_fill_parameter((p), (name), (value), (wanted)), -1)
#define problem_field(p, name, value, wanted)     (problem_fill_field((p), (name), (value), (wanted)), -1)

void problem_fill(struct problem *p, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void problem_fill_parameter(struct problem *p, const char *parameter, const char *value,
                            const char *expected);
void problem_fill_field(struct problem *p, const char *field, const char *value, const char *expected);

#endif
