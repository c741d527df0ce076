/* SPDX-License-Identifier: MIT
 *
 * selftest.h: the collector's first customer. Publishes one report through the real socket, waits
 * until it is settled and reads it back the way a query does. Only then is the daemon ready.
 */
#ifndef COLLECTOR_SELFTEST_H
#define COLLECTOR_SELFTEST_H

#include <stdbool.h>

#define SELFTEST_SOURCE "tollgate.selftest"

struct selftest;

/* Both strings are borrowed until selftest_close. NULL: no memory or no socket. */
struct selftest *selftest_open(const char *endpoint, const char *database);

/* Goes on with the test for up to wait_ms; call again until it is true. */
bool selftest_step(struct selftest *t, int wait_ms);

void selftest_close(struct selftest *t); /* NULL is fine */

#endif
