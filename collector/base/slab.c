/* SPDX-License-Identifier: MIT
 *
 * slab.c: reading. Nothing is read outside the bytes that slab_open was given, whatever they say.
 */
#include "slab.h"

#include <string.h>

#include "leb128.h"
#include "sketch.h"

#define HIGH_BITS 0x8080808080808080ULL

int slab_open(const void *body, size_t len, struct slab_view *out)
{
    uint64_t cells, columns, size[SLAB_COLUMNS] = { 0 }, total = 0, n;
    struct slab_view v = { 0 };

    if (len == 0)
        return -1;
    const uint8_t *at = body, *end = at + len;
    if (*at++ != SLAB_VERSION || (at = leb128_get(at, end, &cells)) == NULL ||
        (at = leb128_get(at, end, &columns)) == NULL || cells > SLAB_CELLS_MAX || columns > len)
        return -1;
    for (uint64_t i = 0; i < columns; i++) {
        if ((at = leb128_get(at, end, &n)) == NULL || n > len)
            return -1;
        total += n;
        if (i < SLAB_COLUMNS)
            size[i] = n;
    }
    if (total != (size_t)(end - at))
        return -1;
    v.cells = (uint32_t)cells;
    for (int i = 0; i < SLAB_COLUMNS; i++) {
        v.column[i].at = at;
        v.column[i].end = at += size[i];
    }
    *out = v;
    return 0;
}

/* ------------------------------------------------------------------ numbers */

static inline uint64_t load_le64(const uint8_t *at)
{
    uint64_t w;

    memcpy(&w, at, sizeof w);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(w) : w;
}

/* Pushes the seven low bits of each of eight bytes together. */
static inline uint64_t squeeze(uint64_t w)
{
    w &= ~HIGH_BITS;
    w = (w & 0x007f007f007f007fULL) | (w & 0x7f007f007f007f00ULL) >> 1;
    w = (w & 0x00003fff00003fffULL) | (w & 0x3fff00003fff0000ULL) >> 2;
    return (w & 0x000000000fffffffULL) | (w & 0x0fffffff00000000ULL) >> 4;
}

/* The same of one or two bytes. */
static inline uint64_t squeeze_two(uint64_t w)
{
    return (w & 0x7f) | (w >> 1 & 0x3f80);
}

/* Takes the numbers that end within the eight bytes w; how many. stops: their last bytes' high bits. */
static inline uint32_t split_word(uint64_t w, uint64_t stops, int64_t *out, unsigned *bytes)
{
    unsigned begin = 0;
    uint32_t count = 0;

    do {
        unsigned stop = (unsigned)__builtin_ctzll(stops) + 1;
        out[count++] = (int64_t)squeeze((w & (stop == 64 ? ~0ULL : (1ULL << stop) - 1)) >> begin);
        begin = stop;
        stops &= stops - 1;
    } while (stops != 0);
    *bytes = begin / 8;
    return count;
}

/* Reads numbers by the word while eight of them, and eight bytes, are left. */
static const uint8_t *read_words(const uint8_t *at, const uint8_t *end, uint32_t n, int64_t *out,
                                 uint32_t *done)
{
    uint32_t i = 0;

    while (n - i >= 8 && end - at >= 8) {
        uint64_t w = load_le64(at), stops = ~w & HIGH_BITS;
        unsigned bytes = 8;
        if (stops == HIGH_BITS) {
            for (int k = 0; k < 8; k++)
                out[i++] = at[k];
        } else if (stops != 0) {
            i += split_word(w, stops, out + i, &bytes);
        } else {
            uint64_t number;
            const uint8_t *next = leb128_get_long(at, end, &number);
            if (next == NULL)
                return NULL;
            out[i++] = (int64_t)number;
            bytes = (unsigned)(next - at);
        }
        at += bytes;
    }
    *done = i;
    return at;
}

static int read_plain(const uint8_t *at, const uint8_t *end, uint32_t n, int64_t *out)
{
    uint32_t i;
    uint64_t number;

    if (at == end)
        return n == 0 ? 0 : -1;
    if ((at = read_words(at, end, n, out, &i)) == NULL)
        return -1;
    for (; i < n; i++) {
        if ((at = leb128_get(at, end, &number)) == NULL)
            return -1;
        out[i] = (int64_t)number;
    }
    return at == end ? 0 : -1;
}

/* Numbers of w bytes each. */
static int read_fixed(const uint8_t *at, const uint8_t *end, uint32_t n, int64_t *out)
{
    const unsigned w = at < end ? *at++ : 0;
    uint32_t i = 0;

    if (w == 0 || w > 8 || (size_t)(end - at) != (size_t)w * n)
        return -1;
    const uint64_t mask = ~0ULL >> (64 - 8 * w);
    for (uint32_t whole = n > 8 ? n - 8 : 0; i < whole; i++, at += w)
        out[i] = (int64_t)(load_le64(at) & mask);
    for (; i < n; i++) { /* eight bytes from here may be too many */
        uint64_t number = 0;
        for (unsigned k = 0; k < w; k++)
            number |= (uint64_t)*at++ << (8 * k);
        out[i] = (int64_t)number;
    }
    return 0;
}

/* The calls of the cells whose bit is set. */
static int read_some(const uint8_t *at, const uint8_t *end, uint32_t n, const int64_t *calls, int64_t *out)
{
    if ((size_t)(end - at) != (n + 7) / 8 || (n % 8 != 0 && end[-1] >> n % 8 != 0))
        return -1;
    for (uint32_t i = 0; i < n; i++)
        out[i] = calls[i] & -(int64_t)(at[i / 8] >> i % 8 & 1);
    return 0;
}

static int read_dims(const struct slab_view *v, int64_t *out)
{
    int64_t dims = 0;

    if (read_plain(v->column[SLAB_DIMS].at, v->column[SLAB_DIMS].end, v->cells, out) != 0)
        return -1;
    for (uint32_t i = 0; i < v->cells; i++) {
        if (out[i] < (i != 0) || out[i] > UINT32_MAX)
            return -1;
        out[i] = dims += out[i];
    }
    return dims <= UINT32_MAX ? 0 : -1;
}

int slab_read(const struct slab_view *v, enum slab_column column, const int64_t *calls, int64_t *out)
{
    const uint8_t *at = v->column[column].at, *end = v->column[column].end;

    if (column == SLAB_DIMS)
        return read_dims(v, out);
    if (at == end || *at == SLAB_ZERO) {
        memset(out, 0, v->cells * sizeof *out);
        return end - at <= 1 ? 0 : -1;
    }
    if (*at == SLAB_PLAIN)
        return read_plain(at + 1, end, v->cells, out);
    if (*at == SLAB_FIXED)
        return read_fixed(at + 1, end, v->cells, out);
    if (*at == SLAB_CALLS_SOME && calls != NULL)
        return read_some(at + 1, end, v->cells, calls, out);
    if (*at != SLAB_CALLS_ALL || calls == NULL || end - at != 1)
        return -1;
    memcpy(out, calls, v->cells * sizeof *out);
    return 0;
}

/* ----------------------------------------------------------------- sketches */

struct slab_points slab_points(const struct slab_view *v, enum slab_column column)
{
    const uint8_t *at = v->column[column].at, *end = v->column[column].end;

    return (struct slab_points){ .at = at != end ? at : NULL, .end = end };
}

static void points_damaged(struct slab_points *p)
{
    *p = (struct slab_points){ .at = p->end, .end = p->end, .damaged = true };
}

/* Reads a number of one or two bytes off w without a branch, and shifts it out; false: it is longer. */
static inline bool take_short(uint64_t *w, uint64_t *n, size_t *bytes)
{
    const uint64_t two = *w >> 7 & 1;

    *n = (*w & 0x7f) | (*w >> 1 & 0x3f80 & -two);
    *bytes += 1 + two;
    bool is_short = (*w >> 15 & two) == 0;
    *w >>= 8 + 8 * two;
    return is_short;
}

/* A point's two numbers; the byte after them, or NULL. */
static inline const uint8_t *get_pair(const uint8_t *at, const uint8_t *end, uint64_t *distance, uint64_t *n)
{
    if (end - at >= 8) {
        uint64_t w = load_le64(at);
        size_t bytes = 0;
        bool short_distance = take_short(&w, distance, &bytes), short_n = take_short(&w, n, &bytes);
        if (short_distance && short_n)
            return at + bytes;
    }
    at = leb128_get(at, end, distance);
    return at != NULL ? leb128_get(at, end, n) : NULL;
}

bool slab_points_next_below(struct slab_points *p, uint32_t limit, uint16_t *bucket, int64_t *count)
{
    uint64_t distance, n;
    const uint8_t *at;

    if (p->left == 0)
        return false;
    const bool first = p->bucket == 0;
    if ((at = get_pair(p->at, p->end, &distance, &n)) == NULL || n == 0 || (distance == 0 && !first) ||
        distance >= SKETCH_BUCKETS || p->bucket + distance + first > SKETCH_BUCKETS) {
        points_damaged(p);
        return false;
    }
    const uint32_t next = p->bucket + (uint32_t)distance + first;
    if (next > limit)
        return false;
    p->bucket = next;
    p->at = at;
    p->left--;
    *bucket = (uint16_t)(next - 1);
    *count = (int64_t)n;
    return true;
}

bool slab_points_next(struct slab_points *p, uint16_t *bucket, int64_t *count)
{
    return slab_points_next_below(p, SKETCH_BUCKETS, bucket, count);
}

/* Adds the points that end within the eight bytes w, up to left of them; how many bytes they take. */
static inline unsigned add_word(uint64_t w, uint64_t *counts, uint32_t *bucket, uint32_t *left)
{
    uint64_t stops = ~w & HIGH_BITS;
    unsigned begin = 0;

    while (*left > 0 && (stops & (stops - 1)) != 0) {
        unsigned middle = (unsigned)__builtin_ctzll(stops) + 1;
        stops &= stops - 1;
        unsigned end = (unsigned)__builtin_ctzll(stops) + 1;
        stops &= stops - 1;
        uint64_t distance = (w & ((1ULL << middle) - 1)) >> begin;
        uint64_t count = (w & ~0ULL >> (64 - end)) >> middle;
        if (middle - begin > 16 || *bucket + squeeze_two(distance) >= SKETCH_BUCKETS)
            break;
        *bucket += (uint32_t)squeeze_two(distance);
        counts[*bucket] += end - middle > 16 ? squeeze(count) : squeeze_two(count);
        begin = end;
        --*left;
    }
    return begin / 8;
}

/* Adds by the word as far as that goes. The cell's first point has been read. */
static void add_words(struct slab_points *p, uint64_t *counts)
{
    const uint8_t *at = p->at;
    uint32_t left = p->left, bucket = p->bucket - 1;

    while (left > 0 && p->end - at >= 8) {
        uint64_t w = load_le64(at);
        unsigned bytes = 8;
        if ((w & HIGH_BITS) == 0 && left >= 4 && bucket < SKETCH_BUCKETS - 4 * 128) {
            counts[bucket += at[0]] += at[1];
            counts[bucket += at[2]] += at[3];
            counts[bucket += at[4]] += at[5];
            counts[bucket += at[6]] += at[7];
            left -= 4;
        } else if ((bytes = add_word(w, counts, &bucket, &left)) == 0) {
            break;
        }
        at += bytes;
    }
    p->at = at;
    p->left = left;
    p->bucket = bucket + 1;
}

void slab_points_add(struct slab_points *p, int64_t *counts)
{
    uint64_t *wrapping = (uint64_t *)counts;
    uint16_t bucket;
    int64_t count;

    while (slab_points_next(p, &bucket, &count)) {
        wrapping[bucket] += (uint64_t)count;
        add_words(p, wrapping);
    }
}

/* Goes past n numbers; NULL: there are not so many. */
static const uint8_t *skip_numbers(const uint8_t *at, const uint8_t *end, uint32_t n)
{
    for (; n >= 8 && end - at >= 8; at += 8) {
        uint64_t stops = ~load_le64(at) & HIGH_BITS;
        n -= (uint32_t)((stops >> 7) * 0x0101010101010101ULL >> 56);
    }
    for (; n > 0 && at < end; at++)
        n -= *at < 0x80;
    return n == 0 ? at : NULL;
}

/* Four points of one byte each number: the sum of their distances. */
static inline uint32_t sum_distances(uint64_t w)
{
    return (uint32_t)((w & 0x00ff00ff00ff00ffULL) * 0x0001000100010001ULL >> 48);
}

uint32_t slab_points_skip_below(struct slab_points *p, uint32_t limit)
{
    const uint32_t before = p->left;
    uint16_t bucket;
    int64_t count;

    do {
        while (p->left >= 4 && p->end - p->at >= 8 && p->bucket != 0) {
            uint64_t w = load_le64(p->at);
            if ((w & HIGH_BITS) != 0 || p->bucket + sum_distances(w) > limit)
                break;
            p->bucket += sum_distances(w);
            p->at += 8;
            p->left -= 4;
        }
    } while (slab_points_next_below(p, limit, &bucket, &count));
    return p->damaged ? 0 : before - p->left;
}

bool slab_points_skip(struct slab_points *p)
{
    const uint8_t *at;

    if (p->damaged)
        return false;
    if (p->left == 0)
        return true;
    if ((at = skip_numbers(p->at, p->end, 2 * p->left)) == NULL) {
        points_damaged(p);
        return false;
    }
    p->at = at;
    p->left = 0;
    return true;
}

int slab_points_cell(struct slab_points *p)
{
    const uint8_t *at;
    uint64_t n;

    if (p->at == NULL)
        return 0;
    if (!slab_points_skip(p))
        return -1;
    if ((at = leb128_get(p->at, p->end, &n)) == NULL || n > SKETCH_BUCKETS) {
        points_damaged(p);
        return -1;
    }
    p->at = at;
    p->left = (uint32_t)n;
    p->bucket = 0;
    return (int)n;
}
