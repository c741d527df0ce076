/* SPDX-License-Identifier: MIT
 *
 * migrations.h: the files of schema/sql, in order, as the build embeds them.
 */
#ifndef COLLECTOR_MIGRATIONS_H
#define COLLECTOR_MIGRATIONS_H

extern const char *const migrations[];
extern const int migrations_count;

#endif
