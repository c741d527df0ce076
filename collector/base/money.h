/* SPDX-License-Identifier: MIT
 *
 * money.h: amounts of money are whole nano-dollars; products are made in 128 bits and rounded once.
 */
#ifndef COLLECTOR_MONEY_H
#define COLLECTOR_MONEY_H

#include <stdint.h>

#define NANOUSD_PER_USD 1000000000LL
#define NANOUSD_MAX     (INT64_C(1) << 62) /* 4.6 billion dollars: what is more is told as this */

struct nanousd {
    int64_t n;
};

#endif
