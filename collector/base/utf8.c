/* SPDX-License-Identifier: MIT */
#include "utf8.h"

#include <glib.h>

bool utf8_valid_slow(const uint8_t *s, size_t len)
{
    return g_utf8_validate_len((const char *)s, len, NULL);
}
