/* SPDX-License-Identifier: MIT
 *
 * Every answer is counted again by hand over the same rows: random bounds, buckets, groups, filters,
 * orders, watermarks, and as much folded as chance will have it.
 */
#include "query_db.h"

#include "collector/query/kept.h"
#include "collector/query/when.h"

#define KEYS_MAX 5000
#define KEY_MAX  512
#define BUCKETS  704 /* of sketches: values up to 5,000,000 */

struct expected_key {
    char name[KEY_MAX];
    struct usage_sums sums, previous;
    uint16_t count[USAGE_TIMINGS][BUCKETS], count_previous[USAGE_TIMINGS][BUCKETS];
    bool seen;
};

struct expected {
    struct expected_key key[KEYS_MAX];
    int keys;
    struct expected_key totals;
};

static const char *tag_name(const struct db *d, const struct db_row *r, const char *tag)
{
    for (int i = 0; i < DB_TAGS; i++) {
        if (strcmp(tag, db_tags[i]) == 0)
            return d->tag[d->rollup[r->dims]][i];
    }
    return NULL;
}

static const char *name_of(const struct db *d, const struct db_row *r, enum field_id field, const char *tag)
{
    return field == FIELD_tag ? tag_name(d, r, tag) : db_sum_name(d, r, (int)field);
}

static void key_add(char key[KEY_MAX], const char *name, size_t len)
{
    size_t used = strlen(key);

    snprintf(key + used, KEY_MAX - used, "|%c%.*s", name ? '=' : '-', (int)len, name ? name : "");
}

static bool term_matches(const struct filter_term *t, const char *name)
{
    bool any = !name && t->unknown;

    for (unsigned k = 0; k < t->count && name; k++)
        any |= t->prefix >> k & 1 ? strncmp(name, t->value[k], strlen(t->value[k])) == 0
                                  : strcmp(t->value[k], name) == 0;
    return any != t->negated;
}

static bool row_matches(const struct db *d, const struct db_row *r, const struct usage_request *q)
{
    if ((r->state & 7) != 0)
        return false;
    for (unsigned i = 0; i < q->filter.count; i++) {
        const struct filter_term *t = &q->filter.term[i];
        if (!term_matches(t, name_of(d, r, t->field, t->tag)))
            return false;
    }
    return true;
}

static int64_t *counts_of(struct usage_sums *s, int i)
{
    return i == 0 ? &s->blocked : i == 1 ? &s->aborted : &s->status_unknown;
}

/* Of sessions that are only known by their totals not everything can be told. */
static void compare_sums(const struct usage_sums *got, struct usage_sums want, bool timed)
{
    for (int i = 0; i < 3 && !timed; i++) {
        if (*counts_of((struct usage_sums *)(uintptr_t)got, i) == USAGE_NOT_KEPT)
            *counts_of(&want, i) = USAGE_NOT_KEPT;
    }
    assert_memory_equal(got, &want, sizeof want);
}

static void sums_count(struct usage_sums *s, uint16_t count[USAGE_TIMINGS][BUCKETS], const struct db *d,
                       const struct db_row *r)
{
    static const int timed[USAGE_TIMINGS] = { SUM_latency_ms, SUM_ttft_ms };
    int status = d->code[r->dims][FIELD_status];

    s->calls++;
    s->errors += status == 2 || status == 3;
    s->aborted += status == 4;
    s->blocked += status == 5;
    s->status_unknown += status == 0;
    s->partial += r->partial;
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        s->sum[i] += r->num[i] >= 0 ? r->num[i] : 0;
        s->known[i] += r->num[i] >= 0;
    }
    for (int i = 0; i < USAGE_TIMINGS; i++)
        if (r->num[timed[i]] >= 0)
            count[i][sketch_bucket(r->num[timed[i]])]++;
}

static struct expected_key *key_find(struct expected *e, const char *name)
{
    for (int i = 0; i < e->keys; i++) {
        if (strcmp(e->key[i].name, name) == 0)
            return &e->key[i];
    }
    return NULL;
}

/* The bucket, counted from from_ms, of a time not before it. */
static int bucket_of(const struct usage_request *q, const struct zone *zone, int64_t from_ms, int64_t ms)
{
    int n = 0;

    if (q->bucket == BUCKET_FIXED)
        return (int)(ms / q->bucket_ms - from_ms / q->bucket_ms);
    for (; q->bucket == BUCKET_CALENDAR && (from_ms = zone_next(zone, q->bucket_unit, from_ms)) <= ms;)
        n++;
    return n;
}

static void row_count(const struct db *d, const struct usage_request *q, const struct db_row *r,
                      const struct zone *zone, struct expected *e)
{
    int64_t length = q->to_ms - q->from_ms;
    bool previous = r->ts_ms < q->from_ms;
    char name[KEY_MAX];

    if (r->ts_ms >= q->to_ms || r->ts_ms < q->from_ms - length || !row_matches(d, r, q))
        return;
    snprintf(name, sizeof name, "%d",
             bucket_of(q, zone, previous ? q->from_ms - length : q->from_ms, r->ts_ms));
    for (unsigned i = 0; i < q->groups; i++) {
        const char *text = name_of(d, r, q->group[i], q->tag[i]);
        key_add(name, text, text ? strlen(text) : 0);
    }
    struct expected_key *key = key_find(e, name);
    if (!key) {
        assert_true(e->keys < KEYS_MAX);
        key = &e->key[e->keys++];
        memset(key, 0, sizeof *key);
        strcpy(key->name, name);
    }
    sums_count(previous ? &key->previous : &key->sums, previous ? key->count_previous : key->count, d, r);
    sums_count(previous ? &e->totals.previous : &e->totals.sums,
               previous ? e->totals.count_previous : e->totals.count, d, r);
}

static int count_by_hand(const struct db *d, const struct usage_request *q, struct expected *e)
{
    struct zone *zone = q->tz ? zone_open(q->tz) : NULL;
    int rows = 0;

    e->keys = 0;
    memset(&e->totals, 0, sizeof e->totals);
    for (int n = 0; n < d->rows; n++)
        row_count(d, q, &d->row[n], zone ? zone : d->zone, e);
    for (int i = 0; i < e->keys; i++)
        rows += e->key[i].sums.calls > 0;
    zone_close(zone);
    return rows;
}

/* Sessions have no sketches. */
static bool is_timed(const struct usage_request *q, const struct usage_answer *a)
{
    if (a->totals.sums.blocked == USAGE_NOT_KEPT)
        return false;
    for (unsigned i = 0; i < q->groups; i++) {
        if (q->group[i] >= FIELD_DIMS_END && q->group[i] < FIELD_SESSION_END)
            return false;
    }
    return true;
}

static void compare_times(const struct usage_times *times, bool timed, uint16_t count[USAGE_TIMINGS][BUCKETS])
{
    static const int percent[USAGE_PERCENTILES] = { 50, 95, 99 };

    for (int t = 0; t < USAGE_TIMINGS; t++) {
        int all = 0;
        for (int b = 0; b < BUCKETS; b++)
            all += count[t][b];
        for (int p = 0; p < USAGE_PERCENTILES; p++) {
            int rank = (all * percent[p] + 99) / 100, b = 0;
            for (int seen = count[t][0]; b < BUCKETS - 1 && seen < rank; seen += count[t][b])
                b++;
            assert_int_equal(times->ms[t][p], all && timed ? sketch_value((uint16_t)b) : UNKNOWN);
        }
    }
}

static void compare_row(const struct usage_row *row, const struct usage_row *previous, bool timed,
                        struct expected_key *key)
{
    compare_sums(&row->sums, key->sums, timed);
    compare_times(&row->times, timed, key->count);
    if (!previous)
        return;
    compare_sums(&previous->sums, key->previous, timed);
    compare_times(&previous->times, timed, key->count_previous);
}

static int64_t order_key(const struct usage_request *q, const struct usage_row *row)
{
    const struct usage_sums *s = &row->sums;
    int i = (int)q->order - ORDER_PERCENTILE;

    if (i >= 0)
        return row->times.ms[i / USAGE_PERCENTILES][i % USAGE_PERCENTILES];
    if (q->order >= ORDER_SUM)
        return s->known[q->order - ORDER_SUM] ? s->sum[q->order - ORDER_SUM] : -1;
    return q->order == ORDER_ERRORS       ? s->errors
           : q->order == ORDER_ERROR_RATE ? (int64_t)(usage_error_rate(s) * 1e12)
                                          : s->calls;
}

/* Buckets upwards, within them by the order asked for, what is unknown at the end. */
static void compare_order(const struct usage_request *q, const struct usage_row *a, const struct usage_row *b)
{
    int64_t x = order_key(q, a), y = order_key(q, b);

    assert_true(a->bucket <= b->bucket);
    if (a->bucket != b->bucket || b->group == USAGE_OTHER)
        return;
    assert_true(a->group != USAGE_OTHER);
    if (x == -1 || y == -1)
        assert_true(y == -1);
    else
        assert_true(q->ascending ? x <= y : x >= y);
}

static void key_add_to(struct expected_key *to, const struct expected_key *from)
{
    const int64_t *a = (const int64_t *)&from->sums;
    int64_t *b = (int64_t *)&to->sums;

    for (size_t i = 0; i < 2 * sizeof from->sums / sizeof *a; i++)
        b[i] += a[i];
    for (int t = 0; t < USAGE_TIMINGS; t++)
        for (int i = 0; i < BUCKETS; i++) {
            to->count[t][i] = (uint16_t)(to->count[t][i] + from->count[t][i]);
            to->count_previous[t][i] = (uint16_t)(to->count_previous[t][i] + from->count_previous[t][i]);
        }
}

/* The others of a bucket: all its keys that have not been seen (which come before). */
static struct expected_key *others_of(struct expected *e, uint32_t bucket)
{
    static struct expected_key others;
    char head[16];

    memset(&others, 0, sizeof others);
    snprintf(head, sizeof head, "%u", bucket);
    for (int i = 0; i < e->keys; i++) {
        struct expected_key *key = &e->key[i];
        if (key->seen || strncmp(key->name, head, strlen(head)) != 0 ||
            (key->name[strlen(head)] != '|' && key->name[strlen(head)] != 0))
            continue;
        if (key->sums.calls > 0)
            key->seen = true;
        key_add_to(&others, key);
    }
    return &others;
}

static void compare(const struct usage_answer *a, const struct usage_request *q, struct expected *e)
{
    for (int i = 0; i < e->keys; i++)
        e->key[i].seen = false;
    for (size_t i = 0; i < a->rows; i++) {
        const struct usage_row *row = &a->row[i];
        struct expected_key *key = NULL;
        char name[KEY_MAX];
        size_t len = 0;
        snprintf(name, sizeof name, "%u", row->bucket);
        for (unsigned g = 0; g < q->groups && row->group != USAGE_OTHER; g++) {
            const char *text = usage_name(a, row, g, &len);
            key_add(name, text, len);
        }
        key = row->group == USAGE_OTHER ? others_of(e, row->bucket) : key_find(e, name);
        assert_non_null(key);
        assert_false(key->seen);
        key->seen = true;
        compare_row(row, a->previous ? &a->previous[i] : NULL, is_timed(q, a), key);
        if (i > 0)
            compare_order(q, &row[-1], row);
    }
    compare_row(&a->totals, a->previous ? &a->previous[a->rows] : NULL, is_timed(q, a), &e->totals);
}

/* How many rows there are with at most `top` and one for the others in each bucket. */
static size_t rows_with_top(const struct expected *e, unsigned top)
{
    static int in_bucket[KEYS_MAX * 2];
    size_t rows = 0;

    memset(in_bucket, 0, sizeof in_bucket);
    for (int i = 0; i < e->keys; i++) {
        int bucket = atoi(e->key[i].name);
        assert_true(bucket < KEYS_MAX * 2);
        if (e->key[i].sums.calls > 0 && (top == 0 || (unsigned)in_bucket[bucket]++ <= top))
            rows++;
    }
    return rows;
}

static struct expected expected;

static void check_answer(const struct db *d, const struct usage_request *q, struct usage_answer a)
{
    struct expected *e = &expected;

    if (count_by_hand(d, q, e) == 0 && q->groups == 0 && q->bucket == BUCKET_NONE) {
        assert_int_equal(a.rows, 1);
        assert_int_equal(a.row[0].sums.calls, 0);
    } else {
        size_t rows = rows_with_top(e, q->top);
        assert_int_equal(a.rows, rows < q->limit ? rows : q->limit);
        assert_int_equal(a.truncated, rows > q->limit);
        compare(&a, q, e);
    }
    usage_fini(&a);
}

static void check(struct query_pool *pool, const struct db *d, const struct usage_request *q)
{
    struct usage_answer a;
    struct problem p;

    if (usage_run(pool, q, mono_after(mono_now(), 60000), &p, &a) != 0)
        fail_msg("%d %s", p.status, p.detail);
    check_answer(d, q, a);
}

/* ---------------------------------------------------------------- requests */

/* A value that some row has, as a filter names it; or none that any row has. */
static void list_add(struct db *d, char *list, const char *name)
{
    char *to = list + strlen(list);
    size_t keep = db_random(d, 4) == 0 ? 2 : SIZE_MAX; /* a prefix */

    for (const char *c = name ? name : ""; *c && keep > 0; c++, keep--) {
        if (strchr(",\\*!", *c))
            *to++ = '\\';
        *to++ = *c;
    }
    strcpy(to, keep == 0 ? "*" : "");
}

static void filter_make(struct db *d, struct usage_request *q, bool used[FIELDS + 1])
{
    uint32_t f = db_random(d, 4) ? db_random(d, FIELD_SESSION_END) : FIELD_tag;
    const char *tag = db_tags[db_random(d, DB_TAGS)];
    char list[256] = "";
    struct problem p;
    bool code = f < FIELDS && fields[f].code_name != NULL;

    if (used[f])
        return;
    used[f] = true;
    strcpy(list, db_random(d, 3) ? "" : "!");
    for (uint32_t i = db_random(d, 3) + 1; i > 0; i--) {
        const char *name = name_of(d, &d->row[db_random(d, (uint32_t)d->rows)], (enum field_id)f, tag);
        if (code)
            strcat(list, name ? name : "");
        else
            list_add(d, list, name);
        strcat(list, i > 1 ? "," : "");
    }
    if (f == FIELD_tag)
        assert_int_equal(filter_add_tag(&q->filter, tag, list, &p), 0);
    else
        assert_int_equal(filter_add(&q->filter, (enum field_id)f, list, &p), 0);
}

static void groups_make(struct db *d, struct usage_request *q)
{
    bool used[FIELDS + 1] = { false };

    for (uint32_t i = db_random(d, 4); i > 0; i--) {
        uint32_t f = db_random(d, 5) ? db_random(d, FIELD_SESSION_END) : FIELD_tag;
        q->tag[q->groups] = f == FIELD_tag ? db_tags[db_random(d, DB_TAGS)] : NULL;
        if (!used[f])
            q->group[q->groups++] = (enum field_id)f;
        used[f] = true;
    }
}

static void times_make(struct db *d, struct usage_request *q)
{
    static const int64_t units[] = { 1, 60000, 900000, 3600000 };
    int64_t unit = units[db_random(d, 4)];

    q->from_ms = DB_START + (int64_t)db_random(d, (uint32_t)DB_SPAN);
    q->to_ms = q->from_ms + 1 + (int64_t)db_random(d, db_random(d, 2) ? 20000000 : (uint32_t)DB_SPAN);
    if (db_random(d, 3) == 0) /* bounds that are an event's own time */
        q->to_ms = d->row[db_random(d, (uint32_t)d->rows)].ts_ms;
    if (db_random(d, 3) == 0)
        q->from_ms = d->row[db_random(d, (uint32_t)d->rows)].ts_ms;
    q->from_ms = q->from_ms / unit * unit;
    q->to_ms = (q->to_ms / unit + 1) * unit;
    if (db_random(d, 4) == 0)
        q->to_ms = zone_floor(d->zone, ZONE_DAY, q->to_ms);
    if (q->from_ms >= q->to_ms)
        q->from_ms = q->to_ms - 1;
}

static void bucket_make(struct db *d, struct usage_request *q)
{
    static const int64_t buckets[] = { 60000, 300000, 420000, 900000, 3600000, 86400000 };

    q->bucket = (enum usage_bucket)db_random(d, 3);
    q->bucket_ms = buckets[db_random(d, 6)];
    q->bucket_unit = (enum zone_unit)db_random(d, 4);
    q->tz = db_random(d, 2) ? "Europe/Berlin" : NULL;
}

/* A random request; what it filters by is taken from the data, unknown included. */
static void request_make(struct db *d, struct usage_request *q)
{
    static const unsigned limits[] = { 10000, 10000, 3 };
    static const enum usage_order orders[] = { ORDER_CALLS,      ORDER_CALLS,   ORDER_ERRORS,
                                               ORDER_ERROR_RATE, ORDER_SUM + 1, ORDER_PERCENTILE + 1,
                                               ORDER_SUM + 10 };
    bool used[FIELDS + 1] = { false };

    *q = (struct usage_request){ .limit = limits[db_random(d, 3)],
                                 .order = orders[db_random(d, 7)],
                                 .ascending = db_random(d, 3) == 0,
                                 .top = db_random(d, 3) ? 0 : 1 + db_random(d, 4),
                                 .compare = db_random(d, 3) == 0 };
    times_make(d, q);
    bucket_make(d, q);
    groups_make(d, q);
    for (uint32_t i = db_random(d, 3); i > 0; i--)
        filter_make(d, q, used);
}

/* Sums are kept from one request to the next, however few slabs they are made of. */
static void keep_all(struct query_pool *pool)
{
    struct pool_connection *c;
    struct problem p;

    assert_int_equal(pool_borrow(pool, mono_after(mono_now(), 60000), &p, &c), 0);
    kept_tune(pool_sums(c), 1, 1000);
    pool_give(c);
}

/* Sessions alone, for which totals are enough. */
static void test_sessions(void **state)
{
    static const char *const lists[] = { NULL, NULL, "s-1", "s*", "!s-2", "s-3,", "!" };
    static struct db d;
    struct problem p;

    (void)state;
    for (uint64_t seed = 31; seed < 34; seed++) {
        db_open(&d, seed);
        db_names(&d);
        db_fill(&d, 500);
        struct query_pool *pool = pool_new(d.path);
        for (int i = 0; i < 100; i++) {
            const char *list = lists[db_random(&d, 7)];
            enum field_id field = FIELD_session_id + db_random(&d, 3);
            struct usage_request q;
            if (i % 10 == 0)
                db_project(&d, db_random(&d, (uint32_t)d.next_id + 1));
            request_make(&d, &q);
            filter_fini(&q.filter);
            q.filter.count = 0;
            q.bucket = BUCKET_NONE;
            q.groups = 1 + db_random(&d, 2);
            q.group[0] = FIELD_session_id;
            q.group[1] = FIELD_root_session_id;
            if (i % 3 == 0) /* all sessions lie within, or nearly all */
                q.from_ms = DB_START - (int64_t)db_random(&d, 2000000) + 1000000;
            if (i % 4 == 0)
                q.to_ms = DB_START + DB_SPAN - (int64_t)db_random(&d, 2000000) + 1000000;
            if (list)
                assert_int_equal(filter_add(&q.filter, field, list, &p), 0);
            if (q.from_ms < q.to_ms)
                check(pool, &d, &q);
            filter_fini(&q.filter);
        }
        pool_free(pool);
        db_close(&d);
    }
}

static void test_random(void **state)
{
    static struct db d;

    (void)state;
    for (uint64_t seed = 1; seed <= 9; seed++) {
        db_open(&d, seed);
        db_names(&d);
        db_fill(&d, 600);
        struct query_pool *pool = pool_new(d.path);
        if (seed % 2)
            keep_all(pool);
        for (int i = 0; i < 150; i++) {
            struct usage_request q;
            if (i % 10 == 0)
                db_project(&d, db_random(&d, (uint32_t)d.next_id + 1));
            request_make(&d, &q);
            check(pool, &d, &q);
            filter_fini(&q.filter);
        }
        pool_free(pool);
        db_close(&d);
    }
}

/* Takes a row out of the count, and out of the rollups: neither their ids nor, mostly, their length tell. */
static void retract(struct db *d, struct db_row *r)
{
    char sql[128];

    if (r->state & 7)
        return;
    r->state |= 1;
    snprintf(sql, sizeof sql, "UPDATE dispatch SET state=%d WHERE id=%" PRId64, r->state, r->id);
    db_exec(d, sql);
    db_project_folded(d, d->watermark, d->folded);
}

/* The same few requests again and again, while rows come, late ones too, and go. */
static void test_kept(void **state)
{
    static struct db d;
    static struct usage_request q[12];

    (void)state;
    for (uint64_t seed = 21; seed < 24; seed++) {
        db_open(&d, seed);
        db_names(&d);
        db_fill(&d, 300);
        struct query_pool *pool = pool_new(d.path);
        keep_all(pool);
        for (int i = 0; i < 12; i++)
            request_make(&d, &q[i]);
        for (int i = 0; i < 20; i++) {
            int64_t folded = d.folded ? d.folded + db_random(&d, 100) : DB_START / 60000;
            if (i % 3 == 0)
                db_fill(&d, 20);
            if (i % 3 != 1)
                db_project_folded(&d, d.next_id - 1 - db_random(&d, 5), folded);
            else
                retract(&d, &d.row[db_random(&d, (uint32_t)d.rows)]);
            for (int k = 0; k < 12; k++)
                check(pool, &d, &q[k]);
        }
        for (int i = 0; i < 12; i++)
            filter_fini(&q[i].filter);
        pool_free(pool);
        db_close(&d);
    }
}

/* The boundaries that a refusal names do instead of the one that was asked for. */
static void check_refusal(struct query_pool *pool, const struct usage_request *refused,
                          const struct problem *p)
{
    bool from = strcmp(p->parameter, "from") == 0;
    struct usage_request q = *refused;
    const char *at = p->expected; /* "TIME or TIME", "TIME or later" */
    char when[WHEN_TEXT];
    struct usage_answer a;
    struct problem again;
    int tried = 0;

    assert_int_equal(p->status, 422);
    for (int i = 0; i < 2 && (from || strcmp(p->parameter, "to") == 0); i++) {
        size_t len = strcspn(at, " ");
        snprintf(when, sizeof when, "%.*s", (int)len, at);
        if (when_parse(when, 0, from ? &q.from_ms : &q.to_ms) != 0)
            break;
        at += len + strspn(at + len, " or");
        tried++;
        if (q.from_ms >= q.to_ms)
            continue;
        if (usage_run(pool, &q, mono_after(mono_now(), 60000), &again, &a) == 0)
            usage_fini(&a);
        else
            assert_string_not_equal(again.parameter, p->parameter);
    }
    if (from || strcmp(p->parameter, "to") == 0)
        assert_true(tried > 0);
    else
        assert_true(strcmp(p->parameter, "bucket") == 0 || strcmp(p->parameter, "compare") == 0);
}

/* Whatever retention has dropped: the answer is exact, or it is refused. */
static void test_dropped(void **state)
{
    static struct db d;
    int answered = 0, refused = 0;

    (void)state;
    for (uint64_t seed = 41; seed < 47; seed++) {
        db_open(&d, seed);
        db_names(&d);
        db_fill(&d, 600);
        struct query_pool *pool = pool_new(d.path);
        int64_t middle = DB_START + DB_SPAN * 3 / 5, day = zone_floor(d.zone, ZONE_DAY, middle) / 60000;
        int64_t first_day = zone_next(d.zone, ZONE_DAY, DB_START) / 60000;
        db_project_folded(&d, d.next_id - 20, (DB_START + DB_SPAN * 4 / 5) / 60000);
        db_project_sessions(&d, d.watermark);
        db_drop(&d, middle / 900000 * 15, seed % 2 ? day : 0, seed % 5 ? 0 : first_day,
                seed % 3 ? d.next_id / (int64_t)(seed % 3) - 60 : 0);
        for (int i = 0; i < 200; i++) {
            struct usage_request q;
            struct usage_answer a;
            struct problem p;
            request_make(&d, &q);
            if (usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a) == 0) {
                check_answer(&d, &q, a);
                answered++;
            } else {
                check_refusal(pool, &q, &p);
                refused++;
            }
            filter_fini(&q.filter);
        }
        pool_free(pool);
        db_close(&d);
    }
    assert_true(answered > 200 && refused > 100);
}

/* A time that was told as `-24h` moves back to what is kept. */
static void test_loose(void **state)
{
    static struct db d;
    struct usage_request q = { .limit = 10, .from_loose = true, .to_loose = true };
    struct usage_answer a;
    struct problem p;

    (void)state;
    db_open(&d, 51);
    db_names(&d);
    db_fill(&d, 600);
    struct query_pool *pool = pool_new(d.path);
    int64_t end = DB_START + DB_SPAN, day = zone_floor(d.zone, ZONE_DAY, end - 86400000);
    db_project_folded(&d, d.next_id - 20, (end - 3600000) / 60000);
    for (int i = 0; i < 3; i++) {
        const int64_t unit[] = { 60000, 900000, 0 };
        q.from_ms = DB_START + 7 * 3600000 + 1234567;
        q.to_ms = end - 1800000 + 1;
        assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), 0);
        int64_t from = unit[i] ? q.from_ms / unit[i] * unit[i] : zone_floor(d.zone, ZONE_DAY, q.from_ms);
        assert_int_equal(a.from_ms, from);
        assert_int_equal(a.to_ms, q.to_ms / 60000 * 60000);
        struct usage_request exact = q;
        exact.from_ms = a.from_ms;
        exact.to_ms = a.to_ms;
        check_answer(&d, &exact, a);
        if (i < 2)
            db_drop(&d, day / 60000, i ? day / 60000 : 0, 0, d.next_id - 60);
    }
    q.from_ms = q.to_ms - 1; /* in the same minute */
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), -1);
    assert_string_equal(p.parameter, "to");
    pool_free(pool);
    db_close(&d);
}

/* Many buckets, many rows. */
static void test_many_rows(void **state)
{
    static struct db d;
    struct usage_request q = { .bucket = BUCKET_FIXED,
                               .bucket_ms = 60000,
                               .from_ms = DB_START,
                               .to_ms = DB_START + DB_SPAN,
                               .groups = 1,
                               .group = { FIELD_agent_id },
                               .limit = 10000 };
    static const enum usage_order orders[] = { ORDER_CALLS, ORDER_PERCENTILE };

    (void)state;
    db_open(&d, 12);
    db_names(&d);
    db_fill(&d, 3900);
    struct query_pool *pool = pool_new(d.path);
    for (int i = 0; i < 8; i++) {
        q.order = orders[i & 1];
        q.top = i & 2 ? 1 : 0;
        q.compare = i & 4;
        q.from_ms = q.compare ? DB_START + DB_SPAN / 2 : DB_START;
        db_project(&d, db_random(&d, (uint32_t)d.next_id));
        check(pool, &d, &q);
    }
    pool_free(pool);
    db_close(&d);
}

/* Numbers come from peers: a sum that does not fit stops at the end of the range. */
static void test_huge_numbers(void **state)
{
    static struct db d;
    struct usage_request q = { .from_ms = 0, .to_ms = WHEN_MAX, .limit = 10 };
    struct usage_answer a;
    struct problem p;

    (void)state;
    db_open(&d, 5);
    db_names(&d);
    for (int i = 0; i < 2; i++) {
        struct db_row *r = &d.row[d.rows++];
        *r = (struct db_row){ .id = i + 1, .ts_ms = DB_START, .dims = 1 };
        r->num[0] = INT64_MAX;
        db_row_insert(&d, r);
    }
    struct query_pool *pool = pool_new(d.path);
    for (int64_t watermark = 0; watermark <= 2; watermark++) {
        db_project(&d, watermark);
        assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), 0);
        assert_int_equal(a.totals.sums.calls, 2);
        assert_true(a.totals.sums.sum[0] == INT64_MAX);
        assert_int_equal(a.totals.sums.known[0], 2);
        usage_fini(&a);
    }
    pool_free(pool);
    db_close(&d);
}

/* More groups than fit are refused, not cut. */
static void test_too_many_groups(void **state)
{
    static struct db d;
    struct usage_request q = { .from_ms = 0, .to_ms = WHEN_MAX, .limit = 10, .groups = 1 };
    struct usage_answer a;
    struct problem p;

    (void)state;
    db_open(&d, 6);
    db_names(&d);
    db_exec(&d, "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<50100)"
                "INSERT INTO session SELECT i,i,i,i,'s'||i,NULL,NULL FROM n");
    db_exec(&d, "INSERT INTO dispatch(id,ts_ms,received_after_ms,state,dims,session,event_id)"
                "SELECT id,1795000000000,0,0,1,id,zeroblob(16) FROM session WHERE id>=100");
    struct query_pool *pool = pool_new(d.path);
    q.group[0] = FIELD_session_id;
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), -1);
    assert_int_equal(p.status, 422);
    db_exec(&d, "DELETE FROM dispatch WHERE id=100"); /* exactly as many as fit */
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), 0);
    assert_int_equal(a.totals.sums.calls, USAGE_ROWS_MAX);
    assert_true(a.truncated);
    usage_fini(&a);
    pool_free(pool);
    db_close(&d);
}

static void test_deadline(void **state)
{
    static struct db d;
    struct usage_request q = {
        .from_ms = 0, .to_ms = WHEN_MAX, .limit = 10, .groups = 1, .group = { FIELD_session_id }
    };
    struct usage_answer a;
    struct problem p;

    (void)state;
    db_open(&d, 7);
    db_names(&d);
    db_fill(&d, 3000);
    struct query_pool *pool = pool_new(d.path);
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), 0);
    usage_fini(&a);
    struct monotime passed = mono_now(); /* the wait for a connection takes none, the scan is interrupted */
    assert_int_equal(usage_run(pool, &q, passed, &p, &a), -1);
    assert_int_equal(p.status, 504);
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a),
                     0); /* and the pool is whole */
    usage_fini(&a);
    struct pool_connection *taken[POOL_CONNECTIONS];
    for (int i = 0; i < POOL_CONNECTIONS; i++)
        assert_int_equal(pool_borrow(pool, mono_after(mono_now(), 60000), &p, &taken[i]), 0);
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 10), &p, &a), -1);
    assert_int_equal(p.status, 503); /* none is free */
    for (int i = 0; i < POOL_CONNECTIONS; i++)
        pool_give(taken[i]);
    pool_stop(pool);
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), -1);
    assert_int_equal(p.status, 503);
    pool_free(pool);
    db_close(&d);
}

static void test_no_database(void **state)
{
    struct usage_request q = { .from_ms = 0, .to_ms = WHEN_MAX, .limit = 10 };
    struct query_pool *pool = pool_new("/nonexistent/events.db");
    struct usage_answer a;
    struct problem p;

    (void)state;
    for (int i = 0; i < 2 * POOL_CONNECTIONS; i++) { /* a failed connection is given back */
        assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), -1);
        assert_int_equal(p.status, 503);
    }
    pool_free(pool);
}

static void test_filter(void **state)
{
    static const struct {
        enum field_id field;
        const char *list;
        int result;
    } table[] = {
        { FIELD_agent_id, "a,b", 0 },
        { FIELD_status, "ok,error", 0 },
        { FIELD_status, "fine", -1 },
        { FIELD_status, "", 0 },
        { FIELD_event_id, "00112233445566778899aabbccddeeff", 0 },
        { FIELD_event_id, "00112233445566778899AABBCCDDEEFF", 0 },
        { FIELD_event_id, "00112233", -1 },
        { FIELD_event_id, "0011223344556677889gaabbccddeeff", -1 },
        { FIELD_trigger, "cron,", 0 },
        { FIELD_granularity, "call\\,run", -1 },
        { FIELD_status, "!ok,", 0 },
        { FIELD_status, "o*", -1 },
        { FIELD_event_id, "00*", -1 },
        { FIELD_model, "!claude-*,gpt-*", 0 },
    };
    struct problem p;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct filter f = { 0 };
        assert_int_equal(filter_add(&f, table[i].field, table[i].list, &p), table[i].result);
        if (table[i].result != 0)
            assert_string_equal(p.parameter, fields[table[i].field].name);
        filter_fini(&f);
    }
    struct filter f = { 0 };
    assert_int_equal(filter_add(&f, FIELD_agent_id, "a\\,b,,c\\\\", &p), 0);
    assert_int_equal(f.term[0].count, 2);
    assert_string_equal(f.term[0].value[0], "a,b");
    assert_string_equal(f.term[0].value[1], "c\\");
    assert_true(f.term[0].unknown);
    assert_true(filter_match(&f.term[0], NULL, 0));
    assert_true(filter_match(&f.term[0], "a,b", 3));
    assert_false(filter_match(&f.term[0], "a", 1));
    filter_fini(&f);
    assert_int_equal(filter_add(&f, FIELD_agent_id, "!ab*,c\\*,\\!", &p), 0);
    static const struct {
        const char *value;
        bool match;
    } values[] = { { "ab", false }, { "abc", false }, { "a", true },  { "c*", false },
                   { "cd", true },  { "!", false },   { NULL, true }, { "", true } };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_int_equal(
            filter_match(&f.term[0], values[i].value, values[i].value ? strlen(values[i].value) : 0),
            values[i].match);
    filter_fini(&f);
    assert_int_equal(filter_add(&f, FIELD_agent_id, "!", &p), 0); /* all that tell */
    assert_false(filter_match(&f.term[0], NULL, 0));
    assert_true(filter_match(&f.term[0], "a", 1));
    filter_fini(&f);
    assert_int_equal(filter_add(&f, FIELD_agent_id, "*", &p), 0);
    assert_false(filter_match(&f.term[0], NULL, 0));
    assert_true(filter_match(&f.term[0], "a", 1));
    for (unsigned i = 0; i < FILTER_TAGS_MAX; i++)
        assert_int_equal(filter_add_tag(&f, "team", "x", &p), 0);
    assert_int_equal(filter_add_tag(&f, "team", "x", &p), -1);
    filter_fini(&f);
}

static void test_orders(void **state)
{
    struct usage_sums s = { .calls = 8, .errors = 2 };

    (void)state;
    for (int i = 0; i < ORDERS; i++) {
        const char *name = usage_order_name((enum usage_order)i);
        assert_int_equal(usage_order_find(name, strlen(name)), i);
    }
    assert_int_equal(usage_order_find("latency_ms_p95", 14), ORDER_PERCENTILE + USAGE_P95);
    assert_int_equal(usage_order_find("prompt_tokens", 13), ORDER_SUM + SUM_prompt_tokens);
    assert_int_equal(usage_order_find("prompt_token", 12), -1);
    assert_true(usage_error_rate(&s) == 0.25);
    assert_true(usage_cache_hit_rate(&s) < 0); /* nobody told */
    s.known[SUM_prompt_tokens] = s.known[SUM_cached_tokens] = 1;
    assert_true(usage_cache_hit_rate(&s) < 0);
    s.sum[SUM_prompt_tokens] = 100;
    assert_true(usage_cache_hit_rate(&s) == 0);
    s.sum[SUM_cached_tokens] = 60;
    assert_true(usage_cache_hit_rate(&s) == 0.6);
    s.sum[SUM_cached_tokens] = 160; /* more than there was: somebody is wrong */
    assert_true(usage_cache_hit_rate(&s) == 1);
    s.calls = 0;
    assert_true(usage_error_rate(&s) < 0);
}

static void test_fields(void **state)
{
    static const char *const names[] = { "from", "to", "bucket", "group_by" };

    (void)state;
    assert_int_equal(field_find("agent", 5, FIELDS), FIELD_agent_id);
    assert_int_equal(field_find("agent_id", 8, FIELDS), FIELD_agent_id);
    assert_int_equal(field_find("agent_", 6, FIELDS), -1);
    assert_int_equal(field_find("root_session", 12, FIELDS), FIELD_root_session_id);
    assert_int_equal(field_find("run", 3, FIELD_SESSION_END), -1);
    assert_int_equal(field_find("model", 5, FIELDS), FIELD_model);
    assert_string_equal(nearest_name("form", names, 4), "from");
    assert_string_equal(nearest_name("groupby", names, 4), "group_by");
    assert_null(nearest_name("completely_else", names, 4));
    assert_null(nearest_name("a_name_that_is_far_longer_than_any_that_there_is", names, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),          cmocka_unit_test(test_kept),
        cmocka_unit_test(test_dropped),         cmocka_unit_test(test_loose),
        cmocka_unit_test(test_orders),          cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_many_rows),       cmocka_unit_test(test_huge_numbers),
        cmocka_unit_test(test_too_many_groups), cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_no_database),     cmocka_unit_test(test_filter),
        cmocka_unit_test(test_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
