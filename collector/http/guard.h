/* SPDX-License-Identifier: MIT
 *
 * guard.h: who may ask at all. Pure but for reading the request's headers.
 */
#ifndef COLLECTOR_HTTP_GUARD_H
#define COLLECTOR_HTTP_GUARD_H

#include "request.h"

/* Whether a numeric address is of this machine only. */
bool guard_loopback(const char *address);

/* Whether a Host header names this machine or the address that is listened on: anything else comes
 * from a page that had its own name point here (DNS rebinding). */
bool guard_host(const char *host, const char *address);

/* Compares without telling by its duration how much was right. */
bool guard_token(const char *given, const char *token);

/* 0, or -1 and *p filled: 401 without the token, 403 from a foreign page. */
int guard_request(const struct request *r, struct problem *p);

#endif
