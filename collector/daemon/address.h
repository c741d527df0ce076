/* SPDX-License-Identifier: MIT
 *
 * address.h: "address:port", as HTTP listens on it. Pure.
 */
#ifndef COLLECTOR_ADDRESS_H
#define COLLECTOR_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "address:port" or "[address]:port" to its parts; false if it is none. */
bool address_split(const char *text, char *host, size_t host_size, uint16_t *port);

bool address_is_numeric(const char *host); /* of IPv4 or IPv6 */
bool address_is_loopback(const char *host);

#endif
