/* SPDX-License-Identifier: MIT
 *
 * The dictionary tables: one row for the same names, however they came; roots; and what happens to
 * combinations past the bound.
 */
#include "writer_db.h"

#include "collector/base/session_name.h"
#include "collector/writer/names.h"
#include "made_event.h"

#define BOUND 3

struct fixture {
    struct store store;
    struct names names;
    uint32_t source;
};

static void wake(struct fixture *f)
{
    db_open(&f->store);
    assert_int_equal(names_init(&f->names, &f->store, BOUND), 0);
    assert_int_equal(names_recover(&f->names), 0);
    assert_int_equal(store_begin(&f->store), 0);
    assert_int_equal(names_source(&f->names, "gw", 5, &f->source), 0);
}

static void end(struct fixture *f)
{
    assert_int_equal(store_commit(&f->store), 0);
    names_fini(&f->names);
    store_close(&f->store);
}

static uint32_t session(struct fixture *f, const char *id, const char *parent, const char *root)
{
    struct made_names n = { .session_id = id, .parent_session_id = parent, .root_session_id = root };
    struct made_event m;
    uint32_t row, again;

    made_event(&m, KIND_dispatch, &n);
    m.event.session = (struct slice){ m.bytes, (uint32_t)(m.event.dims.at - m.bytes) };
    assert_int_equal(names_session(&f->names, m.event.session, &row), 0);
    assert_int_equal(names_session(&f->names, m.event.session, &again), 0);
    assert_int_equal(row, again);
    return row;
}

static int64_t root_of(struct fixture *f, uint32_t row)
{
    char sql[80];

    snprintf(sql, sizeof sql, "SELECT root FROM session WHERE id=%u", row);
    return db_ask(&f->store, sql);
}

static void a_session_knows_its_root(void **state)
{
    struct fixture f;

    (void)state;
    wake(&f);
    uint32_t root = session(&f, "r", NULL, NULL), child = session(&f, "c", "r", "r");
    assert_int_equal(root_of(&f, root), root);
    assert_int_equal(root_of(&f, child), root);
    assert_int_equal(root_of(&f, session(&f, "g", "c", "r")), root);
    uint32_t named = session(&f, "x", NULL, "x"); /* its own, told so */
    assert_int_equal(root_of(&f, named), named);
    uint32_t orphan = session(&f, "o", "somebody", NULL);
    assert_int_equal(root_of(&f, orphan), orphan);
    assert_int_equal(root_of(&f, session(&f, NULL, NULL, "r")), root);
    end(&f);
}

/* The child's event comes first: the root's row is made, and is the one that the root's events get. */
static void a_root_nobody_has_met_gets_a_row(void **state)
{
    struct fixture f;

    (void)state;
    wake(&f);
    uint32_t child = session(&f, "c", "p", "r");
    int64_t root = root_of(&f, child);
    assert_int_not_equal(root, child);
    assert_int_equal(session(&f, "r", NULL, NULL), root);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM session"), 2);
    assert_int_equal(f.names.known, 2);
    end(&f);
}

static void the_root_is_a_row_without_parent_if_there_is_one(void **state)
{
    struct fixture f;

    (void)state;
    wake(&f);
    uint32_t beneath = session(&f, "r", "p", NULL);
    assert_int_equal(root_of(&f, session(&f, "a", NULL, "r")), beneath);
    uint32_t top = session(&f, "r", NULL, NULL);
    assert_int_equal(root_of(&f, session(&f, "b", NULL, "r")), top);
    assert_int_equal(db_ask(&f.store, "SELECT count(DISTINCT name) FROM session WHERE session_id='r'"), 1);
    assert_int_equal(db_ask(&f.store, "SELECT name FROM session WHERE session_id='r'"),
                     session_name((struct slice){ (const uint8_t *)"r", 1 }));
    end(&f);
}

/* More than the cache holds, twice, and again after a restart: always the same rows. */
static void ids_survive_the_cache_and_a_restart(void **state)
{
    const int n = SCALE(140000);
    struct fixture f;
    char name[32];

    (void)state;
    for (int life = 0; life < 2; life++) {
        wake(&f);
        for (int i = 0; i < 2 * n; i++) {
            snprintf(name, sizeof name, "session-%d", i % n);
            assert_int_equal(session(&f, name, NULL, NULL), i % n + 1);
        }
        assert_int_equal(f.names.known, n);
        end(&f);
    }
}

static void after_a_rollback_ids_are_given_again(void **state)
{
    struct fixture f;

    (void)state;
    wake(&f);
    assert_int_equal(session(&f, "a", NULL, NULL), 1);
    store_rollback(&f.store);
    assert_int_equal(names_recover(&f.names), 0);
    assert_int_equal(store_begin(&f.store), 0);
    assert_int_equal(session(&f, "b", NULL, NULL), 1);
    end(&f);
}

/* ------------------------------------------------------------- combinations */

static struct combination combine(struct fixture *f, const struct made_names *n)
{
    struct made_event m;
    struct combination c, again;

    made_event(&m, KIND_dispatch, n);
    assert_int_equal(names_dims(&f->names, f->source, m.event.dims, &c), 0);
    assert_int_equal(names_dims(&f->names, f->source, m.event.dims, &again), 0);
    assert_int_equal(c.id, again.id);
    assert_int_equal(c.rollup, again.rollup);
    assert_int_equal(c.granularity, again.granularity);
    assert_int_equal(c.status, again.status);
    return c;
}

static void expect_row(struct fixture *f, uint32_t id, const char *condition)
{
    char sql[256];

    snprintf(sql, sizeof sql, "SELECT count(*) FROM dims WHERE id=%u AND %s", id, condition);
    if (db_ask(&f->store, sql) != 1)
        fail_msg("dims %u is not one with %s", id, condition);
}

static void combinations_up_to_the_bound_are_their_own(void **state)
{
    static const char *const users[] = { "u-1", "u-2", "u-3" };
    struct fixture f;

    (void)state;
    wake(&f);
    for (int i = 0; i < BOUND; i++) {
        struct made_names n = { .user_id = users[i], .status = (uint8_t)i, .granularity = (uint8_t)i };
        struct combination c = combine(&f, &n);
        assert_int_equal(c.rollup, c.id);
        assert_int_equal(c.status, i);
        assert_int_equal(c.granularity, i == 0 ? GRANULARITY_call : i);
    }
    assert_int_equal(f.names.combinations.known, BOUND);
    end(&f);
}

static void past_the_bound_the_many_names_become_other(void **state)
{
    struct fixture f;
    struct made_names n = { .agent_id = "a", .model = "m", .status = STATUS_error };
    char user[16];
    uint32_t first = 0;

    (void)state;
    wake(&f);
    for (int i = 0; i < 20; i++) {
        snprintf(user, sizeof user, "u-%d", i);
        n.user_id = user;
        n.tag = i % 2 == 0 ? user : NULL;
        struct combination c = combine(&f, &n);
        assert_int_equal(c.rollup == c.id, i < BOUND);
        if (i < BOUND)
            continue;
        expect_row(&f, c.rollup,
                   "user_id='(other)' AND model='m' AND agent_id='a' AND status=2 AND channel IS NULL");
        expect_row(&f, c.rollup, i % 2 == 0 ? "tags='(other)'" : "tags IS NULL");
        expect_row(&f, c.rollup, "rollup=id");
        first = first != 0 ? first : c.rollup;
    }
    assert_int_equal(f.names.combinations.known, BOUND + 2);
    n.user_id = "(other)"; /* a gateway may say so itself */
    n.tag = NULL;
    assert_int_equal(combine(&f, &n).id, first);
    end(&f);
}

static void past_twice_the_bound_every_name_is_other(void **state)
{
    struct fixture f;
    struct made_names n = { .user_id = "u" };
    char model[16];
    uint32_t last = 0;

    (void)state;
    for (int life = 0; life < 2; life++) { /* what a combination got, it keeps */
        wake(&f);
        for (int i = 0; i < 30; i++) {
            snprintf(model, sizeof model, "m-%d", i);
            n.model = model;
            n.status = (uint8_t)(1 + i % 2);
            struct combination c = combine(&f, &n);
            if (i < BOUND) {
                assert_int_equal(c.rollup, c.id);
            } else if (i < 2 * BOUND) {
                expect_row(&f, c.rollup, "user_id='(other)' AND model LIKE 'm-%'");
            } else {
                expect_row(&f, c.rollup,
                           "model='(other)' AND agent_id='(other)' AND tags='(other)'"
                           " AND source=(SELECT id FROM source WHERE name='(other)')");
                expect_row(&f, c.rollup, i % 2 == 0 ? "status=1" : "status=2");
                assert_int_not_equal(c.rollup, last);
                last = c.rollup;
            }
        }
        assert_int_equal(f.names.combinations.known, 2 * BOUND + 2);
        end(&f);
    }
}

/* A combination that no generalisation changes stays itself as long as there is room at all. */
static void a_combination_without_the_many_names_stands_for_itself(void **state)
{
    struct fixture f;
    char model[16];

    (void)state;
    wake(&f);
    for (int i = 0; i < 3 * BOUND; i++) {
        snprintf(model, sizeof model, "m-%d", i);
        struct made_names n = { .model = model };
        struct combination c = combine(&f, &n);
        assert_int_equal(c.rollup == c.id, i < 2 * BOUND);
    }
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_knows_its_root),
        TEST(a_root_nobody_has_met_gets_a_row),
        TEST(the_root_is_a_row_without_parent_if_there_is_one),
        TEST(ids_survive_the_cache_and_a_restart),
        TEST(after_a_rollback_ids_are_given_again),
        TEST(combinations_up_to_the_bound_are_their_own),
        TEST(past_the_bound_the_many_names_become_other),
        TEST(past_twice_the_bound_every_name_is_other),
        TEST(a_combination_without_the_many_names_stands_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
