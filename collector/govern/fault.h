/* SPDX-License-Identifier: MIT
 *
 * fault.h: what is wrong with a definition: field, value and what was expected. What takes JSON fills
 * it; HTTP tells it as a problem document, the configuration as one line with its place.
 */
#ifndef COLLECTOR_FAULT_H
#define COLLECTOR_FAULT_H

#include <stdio.h>

struct fault {
    char field[96]; /* as "limit" or "scope.agent" */
    char value[96]; /* as given, cut */
    char expected[192];
};

#define fault_set(f, name, given, ...)                         \
    (snprintf((f)->field, sizeof(f)->field, "%s", (name)),     \
     snprintf((f)->value, sizeof(f)->value, "%.80s", (given)), \
     snprintf((f)->expected, sizeof(f)->expected, __VA_ARGS__))

#endif
