/* SPDX-License-Identifier: MIT
 *
 * zone.h: calendar hours, days, weeks and months of a time zone. A zone never changes once it is
 * open: any thread may read it. The units of one kind follow each other without gap or overlap:
 *   day, week, month  begin at the first instant whose local date is theirs or later; a day has 23
 *                     to 25 hours where clocks change
 *   hour              begins at a full local hour, or where the clock is changed within one; an
 *                     hour that the clock shows twice is two
 * Clocks change as the system's time zone files say, from 1970 to 2100. A time before the year 5 or
 * after 9987 is taken for the nearest that is not.
 */
#ifndef COLLECTOR_ZONE_H
#define COLLECTOR_ZONE_H

#include <stddef.h>
#include <stdint.h>

#define ZONE_NAME_MAX 64
#define ZONE_DATE_MAX 16

struct zone;

enum zone_unit { ZONE_HOUR, ZONE_DAY, ZONE_WEEK, ZONE_MONTH }; /* a week begins on Monday */

/* An IANA name, as "Europe/Berlin" or "UTC". NULL: unknown, or no memory. Reads the zone's file,
 * which takes some 2 ms: keep it open. */
struct zone *zone_open(const char *iana);
void zone_close(struct zone *z); /* NULL is fine */

/* The same, opened once for all who ask and never closed: a process keeps at most as many as the machine
 * has names for. Any thread. Not for zone_close. */
const struct zone *zone_shared(const char *iana);

/* The name it was opened with; lives as long as the zone. */
const char *zone_name(const struct zone *z);

/* When the unit that holds ms began. Unix milliseconds, as all times here. */
int64_t zone_floor(const struct zone *z, enum zone_unit unit, int64_t ms);

/* When the unit after the one that holds ms begins: always > ms. */
int64_t zone_next(const struct zone *z, enum zone_unit unit, int64_t ms);

/* Seconds that local clocks are ahead of UTC. */
int32_t zone_offset(const struct zone *z, int64_t ms);

/* The local date, as 2026-11-21. */
void zone_date(const struct zone *z, int64_t ms, char out[ZONE_DATE_MAX]);

#endif
