/* SPDX-License-Identifier: MIT
 *
 * fuzz_slab.c: any bytes as a slab out of the file. Reading stays within them; what can be merged is
 * a slab that reads without a fault, and sums of such slabs are exact to the byte.
 */
#include <stdlib.h>
#include <string.h>

#include "../../collector/base/sketch.h"
#include "../../collector/base/slab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static int read_points(const struct slab_view *v, enum slab_column column, bool at_once)
{
    static int64_t counts[SKETCH_BUCKETS];
    struct slab_points p = slab_points(v, column);
    uint16_t bucket;
    int64_t count;

    for (uint32_t i = 0; i < v->cells; i++) {
        int n = slab_points_cell(&p);
        if (n < 0)
            return -1;
        if (at_once) {
            slab_points_add(&p, counts);
            continue;
        }
        for (; n > 0 && slab_points_next(&p, &bucket, &count); n--)
            must(bucket < SKETCH_BUCKETS && count != 0);
        if (n != 0)
            return -1;
    }
    return slab_points_skip(&p) && (p.at == NULL || p.at == p.end) ? 0 : -1;
}

/* Reads everything; 0, or -1: damaged. The arrays end where the cells do, so that ASan sees the next. */
static int read_all(const void *bytes, size_t size)
{
    struct slab_view v;
    int rc = 0;

    if (slab_open(bytes, size, &v) != 0)
        return -1;
    int64_t *calls = calloc(v.cells, sizeof *calls), *n = malloc(v.cells * sizeof *n);
    for (unsigned c = 0; c < SLAB_LATENCY_SKETCH; c++)
        rc |= slab_read(&v, c, c >= SLAB_KNOWN ? calls : NULL, c == SLAB_CALLS ? calls : n);
    for (unsigned i = 0; i < SLAB_SKETCHES; i++) {
        rc |= read_points(&v, SLAB_LATENCY_SKETCH + i, true);
        rc |= read_points(&v, SLAB_LATENCY_SKETCH + i, false);
    }
    free(calls);
    free(n);
    return rc;
}

static void must_be_same(const struct slab_bytes *a, const struct slab_bytes *b)
{
    must(a->len == b->len && memcmp(a->at, b->at, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct slab_bytes slab, twice, out, empty;
    static struct slab_merger m;

    must(slab_merge(&m, NULL, 0, NULL, 0, 1, &empty) == 0);
    int rc = slab_merge(&m, NULL, 0, data, size, 1, &slab);
    must(rc == 0 || rc == -1);
    if (read_all(data, size) != 0) { /* what is damaged may be seen or not */
        slab_merge(&m, data, size, empty.at, empty.len, 1, &out);
        return 0;
    }
    must(rc == 0 && read_all(slab.at, slab.len) == 0);
    must(slab_merge(&m, slab.at, slab.len, NULL, 0, -1, &out) == 0);
    must_be_same(&out, &slab);
    must(slab_merge(&m, data, size, slab.at, slab.len, 1, &twice) == 0);
    must(slab_merge(&m, twice.at, twice.len, slab.at, slab.len, -1, &out) == 0);
    must_be_same(&out, &slab);
    must(slab_merge(&m, slab.at, slab.len, slab.at, slab.len, -1, &out) == 0);
    must_be_same(&out, &empty);
    return 0;
}
