/* SPDX-License-Identifier: MIT
 *
 * test_verdict.c: what a list says of a request, and the page it stands in: which entry counts, until
 * when, and what damage, other writers and other boots do to it.
 */
#include "peer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <signal.h>
#include <sys/wait.h>

#include "../../emitter/linux.h"
#include "../../emitter/memo.h"
#include "governing.h"

enum { NOW = 1000000, VALID = 30000 };
static const uint64_t T = NOW;

struct desk {
    struct home home;
    int dir;
    struct page *page;
    msgpack_sbuffer buffer;
    struct list *list;
};

static int setup(void **state)
{
    struct desk *d = calloc(1, sizeof *d);

    home_make(&d->home);
    assert_int_equal(mkdir(d->home.spool, 0700), 0);
    d->dir = open(d->home.spool, O_RDONLY | O_DIRECTORY);
    assert_true(d->dir >= 0);
    assert_int_equal(page_open(d->dir, "source", true, &d->page), 0);
    msgpack_sbuffer_init(&d->buffer);
    d->list = malloc(sizeof *d->list);
    assert_non_null(d->list);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct desk *d = *state;

    page_close(d->page);
    msgpack_sbuffer_destroy(&d->buffer);
    close(d->dir);
    home_remove(&d->home);
    free(d->list);
    free(d);
    return 0;
}

static int read_list(struct desk *d)
{
    struct reader r = { (const uint8_t *)d->buffer.data, (const uint8_t *)d->buffer.data + d->buffer.size };
    uint64_t parts = 0, head[2];

    assert_true(read_array(&r, &parts) && read_uint(&r, &head[0]) && read_uint(&r, &head[1]));
    return list_read(&r, parts, d->list);
}

static void publish_at(struct desk *d, uint64_t version, int overflow, const struct test_entry *e, size_t n,
                       uint64_t now)
{
    put_list(&d->buffer, version, VALID, overflow, e, n);
    assert_int_equal(read_list(d), 0);
    assert_int_equal(page_publish(d->page, &d->list->page, now), 0);
}

static void publish(struct desk *d, const struct test_entry *e, size_t n)
{
    publish_at(d, 1, 0, e, n, T);
}

static struct tg_verdict ask_at(struct desk *d, struct tg_request r, uint64_t now, bool doubt)
{
    struct tg_verdict v = { .action = (enum tg_action)99 };
    struct subject who;

    subject_of(&r, &who);
    verdict_find(d->page, &who, now, doubt, &v);
    return v;
}

#define ASK(d, ...) (ask_at(d, (struct tg_request){ __VA_ARGS__ }, T, false).action)

/* ------------------------------------------------------------------- patterns */

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *value;
        bool fits;
    } table[] = {
        { "", "", true },
        { "", "a", false },
        { "*", "", false },
        { "*", "anything", true },
        { "a", "a", true },
        { "a", "", false },
        { "a", "ab", false },
        { "ab", "a", false },
        { "a*", "a", true },
        { "a*", "abc", true },
        { "a*", "ba", false },
        { "*c", "abc", true },
        { "*c", "abcd", false },
        { "a*c", "abc", true },
        { "a*c", "ac", true },
        { "a*c", "abcbc", true },
        { "a*c", "acb", false },
        { "*b*", "abc", true },
        { "*b*", "ac", false },
        { "a**c", "abc", true },
        { "\\*", "*", true },
        { "\\*", "a", false },
        { "a\\*c", "a*c", true },
        { "a\\*c", "abc", false },
        { "\\\\", "\\", true },
        { "\\a", "a", true },
        { "a\\", "a\\", true },
        { "a\\", "a", false },
        { "*\\**", "a*b", true },
        { "*\\**", "ab", false },
        { "A", "a", false },
        { "?", "a", false },
        { "?", "?", true },
        { "[a]", "a", false },
        { "*ab*ab", "abab", true },
        { "*ab*ab", "ab", false },
        { "\xc3\xa9*", "\xc3\xa9t\xc3\xa9", true },
        { "*a*b*c*", "xaxbxcx", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct bytes p = { (const uint8_t *)table[i].pattern, strlen(table[i].pattern) };
        if (pattern_fits(p, table[i].value, strlen(table[i].value)) != table[i].fits)
            fail_msg("'%s' against '%s'", table[i].pattern, table[i].value);
    }
}

/* Stars that match nothing in the end: squares, not powers. */
static void test_pattern_is_not_exponential(void **state)
{
    char value[256], pattern[256];
    uint64_t begun = test_ms();

    (void)state;
    memset(value, 'a', 255);
    for (int i = 0; i < 254; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[254] = 'b';
    assert_false(pattern_fits((struct bytes){ (const uint8_t *)pattern, 255 }, value, 255));
    assert_true(test_ms() - begun < PATIENCE_MS);
}

/* ----------------------------------------------------------------- conditions */

/* Each field has its own number and is compared with its own value, not with a neighbour's. */
static void test_every_field(void **state)
{
    struct desk *d = *state;
    const struct tg_tag tag = { "team", "v" };
    const struct tg_request only[] = {
        { .agent_id = "v" },
        { .session_id = "v" },
        { .root_session_id = "v" },
        { .user_id = "v" },
        { .provider = "v" },
        { .model = "v" },
        { .lane = "v" },
        { .surface = "v" },
        { .channel = "v" },
        { .trigger = TG_TRIGGER_CRON },
        { .tags = &tag, .tag_count = 1 },
    };

    for (int field = 0; field <= 10; field++) {
        const char *value = field == 9 ? "cron" : "v";
        struct test_entry e = { .action = TG_BLOCK,
                                .condition = { { field, 0, { value }, field == 10 ? "team" : NULL } } };
        publish(d, &e, 1);
        for (int i = 0; i <= 10; i++) {
            bool same = i == field || (field == 2 && i == 1); /* no root: the session is one */
            if (ask_at(d, only[i], T, false).action != (same ? TG_BLOCK : TG_ALLOW))
                fail_msg("condition on %d, value in %d", field, i);
        }
    }
}

static void test_conditions(void **state)
{
    struct desk *d = *state;
    const struct tg_tag tags[] = { { "team", "red" }, { "", "x" }, { "none", NULL }, { "team", "blue" } };
    const struct test_entry all = { .action = TG_WARN };
    const struct test_entry both = { .action = TG_BLOCK,
                                     .condition = { { 0, 0, { "a" } }, { 5, 0, { "m1", "m2*" } } } };
    const struct test_entry not_a = { .action = TG_BLOCK, .condition = { { 0, 1, { "a", "b" } } } };
    const struct test_entry unknown = { .action = TG_BLOCK, .condition = { { 3, 0, { "" } } } };
    const struct test_entry known = { .action = TG_BLOCK, .condition = { { 3, 1, { "" } } } };
    const struct test_entry blue = { .action = TG_BLOCK, .condition = { { 10, 0, { "blue" }, "team" } } };
    const struct test_entry no_tag = { .action = TG_BLOCK, .condition = { { 10, 0, { "" }, "none" } } };
    const struct test_entry escaped = { .action = TG_BLOCK, .condition = { { 1, 0, { "s\\*" } } } };

    publish(d, &all, 1);
    assert_int_equal(ASK(d, .agent_id = NULL), TG_WARN);
    publish(d, &both, 1);
    assert_int_equal(ASK(d, .agent_id = "a", .model = "m1"), TG_BLOCK);
    assert_int_equal(ASK(d, .agent_id = "a", .model = "m2-mini"), TG_BLOCK);
    assert_int_equal(ASK(d, .agent_id = "a", .model = "m3"), TG_ALLOW);
    assert_int_equal(ASK(d, .agent_id = "b", .model = "m1"), TG_ALLOW);
    publish(d, &not_a, 1);
    assert_int_equal(ASK(d, .agent_id = "b"), TG_ALLOW);
    assert_int_equal(ASK(d, .agent_id = "c"), TG_BLOCK);
    assert_int_equal(ASK(d, .session_id = "s"), TG_BLOCK); /* unknown is neither */
    publish(d, &unknown, 1);
    assert_int_equal(ASK(d, .agent_id = "a"), TG_BLOCK);
    assert_int_equal(ASK(d, .user_id = ""), TG_BLOCK);
    assert_int_equal(ASK(d, .user_id = "u"), TG_ALLOW);
    publish(d, &known, 1);
    assert_int_equal(ASK(d, .user_id = ""), TG_ALLOW);
    assert_int_equal(ASK(d, .user_id = "u"), TG_BLOCK);
    publish(d, &blue, 1);
    assert_int_equal(ASK(d, .tags = tags, .tag_count = 4), TG_BLOCK); /* the last of a name */
    assert_int_equal(ASK(d, .tags = tags, .tag_count = 3), TG_ALLOW);
    assert_int_equal(ASK(d, .tags = NULL, .tag_count = 4), TG_ALLOW);
    publish(d, &no_tag, 1);
    assert_int_equal(ASK(d, .tags = tags, .tag_count = 4), TG_BLOCK);
    publish(d, &escaped, 1);
    assert_int_equal(ASK(d, .session_id = "s*"), TG_BLOCK);
    assert_int_equal(ASK(d, .session_id = "s1"), TG_ALLOW);
}

/* Values are cut where an event's would be. */
static void test_long_values(void **state)
{
    struct desk *d = *state;
    char pattern[256], value[400];
    struct test_entry e = { .action = TG_BLOCK, .condition = { { 1, 0, { pattern } } } };

    memset(pattern, 'x', 255);
    pattern[255] = '\0';
    memset(value, 'x', 399);
    value[399] = '\0';
    publish(d, &e, 1);
    assert_int_equal(ASK(d, .session_id = value), TG_BLOCK);
    assert_int_equal(ASK(d, .session_id = value + 146), TG_ALLOW); /* 253 */
}

static void test_precedence(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = {
        { .action = TG_WARN, .budget = "warn" },
        { .action = TG_DELAY, .budget = "first", .delay_ms = 250, .condition = { { 0, 0, { "a*" } } } },
        { .action = TG_DELAY, .budget = "second", .delay_ms = 999 },
        { .action = TG_BLOCK, .budget = "other", .condition = { { 0, 0, { "z" } } } },
        { .action = TG_DOWNGRADE, .budget = "down" },
    };

    publish(d, e, 5);
    struct tg_verdict v = ask_at(d, (struct tg_request){ .agent_id = "ab" }, T, false);
    assert_int_equal(v.action, TG_DELAY);
    assert_string_equal(v.budget, "first");
    assert_int_equal(v.delay_ms, 250);
    assert_string_equal(ask_at(d, (struct tg_request){ .agent_id = "b" }, T, false).budget, "second");
    assert_string_equal(ask_at(d, (struct tg_request){ .agent_id = "z" }, T, false).budget, "other");
}

static void test_contents(void **state)
{
    struct desk *d = *state;
    char text[701], model[201];
    struct test_entry e = { .action = TG_DOWNGRADE,
                            .budget = "team/day",
                            .opens_in_ms = 5000,
                            .text = "Too much.",
                            .use_model = "small",
                            .use_lane = "slow",
                            .spent = -5,
                            .limit = 1000000000000,
                            .unit = 1 };

    publish(d, &e, 1);
    struct tg_verdict v = ask_at(d, (struct tg_request){ 0 }, T + 1200, false);
    assert_int_equal(v.action, TG_DOWNGRADE);
    assert_string_equal(v.budget, "team/day");
    assert_string_equal(v.message, "Too much.");
    assert_string_equal(v.use_model, "small");
    assert_string_equal(v.use_lane, "slow");
    assert_int_equal(v.spent, -5);
    assert_int_equal(v.limit, 1000000000000);
    assert_int_equal(v.unit, TG_UNIT_NANOUSD);
    assert_int_equal(v.opens_in_ms, 3800);
    assert_int_equal(v.delay_ms, TG_UNKNOWN);
    assert_int_equal(v.stale, 0);

    for (int i = 0; i < 700; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[700] = '\0';
    memset(model, 'm', 200);
    model[200] = '\0';
    e = (struct test_entry){ .action = TG_DOWNGRADE, .text = text, .use_model = model };
    publish(d, &e, 1);
    v = ask_at(d, (struct tg_request){ 0 }, T, false);
    assert_int_equal(strlen(v.message), 510); /* 512 less the end, less half a character */
    assert_string_equal(v.use_model, "");     /* a cut name would be another model's */
    assert_int_equal(v.opens_in_ms, TG_UNKNOWN);
    assert_int_equal(v.spent, TG_UNKNOWN);
}

/* ---------------------------------------------------------------------- time */

static void test_opens(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = { { .action = TG_BLOCK, .opens_in_ms = 100 }, { .action = TG_WARN } };

    publish(d, e, 2);
    assert_int_equal(ask_at(d, (struct tg_request){ 0 }, T + 99, false).action, TG_BLOCK);
    assert_int_equal(ask_at(d, (struct tg_request){ 0 }, T + 100, false).action, TG_WARN);
    assert_int_equal(page_prolong(d->page, 1, VALID, T + 50), 0);
    assert_int_equal(ask_at(d, (struct tg_request){ 0 }, T + 99, false).action, TG_BLOCK);
    assert_int_equal(ask_at(d, (struct tg_request){ 0 }, T + 100, false).action,
                     TG_WARN); /* from when it came */
}

/* A pause that delays and ends by itself, beside a softer one that lasts. */
static void test_delay_that_opens(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = {
        { .action = TG_DELAY,
          .budget = "pause",
          .delay_ms = 30000,
          .opens_in_ms = 2000,
          .condition = { { 0, 0, { "a" } } } },
        { .action = TG_DELAY, .budget = "pause", .delay_ms = 1000, .condition = { { 0, 0, { "a" } } } },
    };
    struct tg_request a = { .agent_id = "a" };

    publish(d, e, 2);
    struct tg_verdict v = ask_at(d, a, T + 500, false);
    assert_int_equal(v.action, TG_DELAY);
    assert_int_equal(v.delay_ms, 30000);
    assert_int_equal(v.opens_in_ms, 1500);
    v = ask_at(d, a, T + 2000, false);
    assert_int_equal(v.action, TG_DELAY);
    assert_int_equal(v.delay_ms, 1000);
    assert_int_equal(v.opens_in_ms, TG_UNKNOWN);
    assert_int_equal(ask_at(d, (struct tg_request){ .agent_id = "b" }, T, false).action, TG_ALLOW);
}

static void test_stale_and_guards(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = { { .action = TG_WARN, .condition = { { 0, 0, { "a" } } } },
                                    { .kind = 1, .action = TG_BLOCK } };
    struct tg_request a = { .agent_id = "a" }, b = { .agent_id = "b" };

    struct tg_verdict v = ask_at(d, a, T, false); /* before the first list */
    assert_int_equal(v.action, TG_ALLOW);
    assert_int_equal(v.stale, 1);
    publish(d, e, 2);
    v = ask_at(d, a, T + VALID - 1, false);
    assert_int_equal(v.action, TG_WARN);
    assert_int_equal(v.stale, 0);
    v = ask_at(d, b, T + VALID - 1, false);
    assert_int_equal(v.action, TG_ALLOW);
    assert_int_equal(v.stale, 0);
    v = ask_at(d, a, T + VALID, false);
    assert_int_equal(v.action, TG_BLOCK);
    assert_int_equal(v.stale, 1);
    assert_int_equal(ask_at(d, a, T, true).action, TG_BLOCK); /* asked, and nobody answered */
    assert_int_equal(page_prolong(d->page, 2, VALID, T + VALID), -ESTALE);
    assert_int_equal(page_prolong(d->page, 1, VALID, T + VALID), 0);
    assert_int_equal(ask_at(d, a, T + VALID, false).action, TG_WARN);
    assert_int_equal(ask_at(d, b, T + VALID, false).action, TG_ALLOW);
}

/* In doubt the stricter of the two counts, whichever it is. */
static void test_doubt(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = { { .action = TG_BLOCK, .budget = "v", .condition = { { 0, 0, { "a" } } } },
                                    { .kind = 1, .action = TG_DELAY, .budget = "g", .delay_ms = 1 } };

    publish(d, e, 2);
    assert_string_equal(ask_at(d, (struct tg_request){ .agent_id = "a" }, T, true).budget, "v");
    struct tg_verdict v = ask_at(d, (struct tg_request){ .agent_id = "b" }, T, true);
    assert_string_equal(v.budget, "g");
    assert_int_equal(v.stale, 1);
}

static void test_overflow(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = { { .action = TG_WARN, .condition = { { 0, 0, { "a" } } } },
                                    { .kind = 1, .action = TG_BLOCK, .condition = { { 0, 1, { "c" } } } } };

    publish_at(d, 1, 1, e, 2, T);
    struct tg_verdict v = ask_at(d, (struct tg_request){ .agent_id = "a" }, T, false);
    assert_int_equal(v.action, TG_WARN); /* it meets an entry: no doubt */
    assert_int_equal(v.stale, 0);
    v = ask_at(d, (struct tg_request){ .agent_id = "b" }, T, false);
    assert_int_equal(v.action, TG_BLOCK);
    assert_int_equal(v.stale, 1);
    assert_int_equal(ASK(d, .agent_id = "c"), TG_ALLOW);
}

/* ---------------------------------------------------------------------- lists */

static void test_lists_refused(void **state)
{
    struct desk *d = *state;
    const struct test_entry e = { .action = TG_BLOCK, .condition = { { 0, 0, { "a" } } }, .text = "x" };
    size_t whole;

    put_list(&d->buffer, 1, VALID, 0, &e, 1);
    whole = d->buffer.size;
    for (size_t n = 3; n < whole; n++) { /* cut anywhere */
        d->buffer.size = n;
        assert_int_not_equal(read_list(d), 0);
    }
    d->buffer.size = whole;
    assert_int_equal(read_list(d), 0);
    struct test_entry *many = calloc(PAGE_ROWS_MAX + 1, sizeof *many);
    for (int i = 0; i <= PAGE_ROWS_MAX; i++)
        many[i].action = 1 + i % 4;
    put_list(&d->buffer, 1, VALID, 0, many, PAGE_ROWS_MAX + 1);
    assert_int_equal(read_list(d), -EMSGSIZE);
    put_list(&d->buffer, 1, VALID, 0, many, PAGE_ROWS_MAX);
    assert_int_equal(read_list(d), 0);
    assert_int_equal(d->list->page.rows, PAGE_ROWS_MAX);
    free(many);
}

/* What a newer collector says and we cannot judge: in doubt, not allowed and not refused. */
static void test_newer_collector(void **state)
{
    struct desk *d = *state;
    const struct test_entry newer[] = { { .action = 5 },
                                        { .kind = 2, .action = TG_WARN },
                                        { .action = TG_WARN, .condition = { { 11, 0, { "x" } } } } };

    for (int i = 0; i < 3; i++) {
        const struct test_entry e[] = { newer[i],
                                        { .kind = 1, .action = TG_DELAY },
                                        { .action = TG_WARN, .condition = { { 0, 0, { "a" } } } } };
        publish(d, e, 3);
        assert_int_equal(ASK(d, .agent_id = "a"), TG_WARN);
        assert_int_equal(ASK(d, .agent_id = "b"), TG_DELAY);
    }
}

/* Elements after the last one we know, in a list, an entry and a condition; missing ones at the end. */
static void test_longer_and_shorter(void **state)
{
    struct desk *d = *state;
    static const char frame[] = "\x97\x01\x04\x07\xcd\x75\x30\x00"
                                "\x92"
                                "\x9d\x00\x04\xa1\x62\x91\x95\x00\x00\x91\xa1\x61\xc0\x81\x01\x02\xc0\xa1\x74"
                                "\xc0\xc0\xc0\xc0\xc0\x00\xc4\x01\x00"
                                "\x94\x00\x01\xa1\x77\x90"
                                "\xa3new";

    msgpack_sbuffer_clear(&d->buffer);
    msgpack_sbuffer_write(&d->buffer, frame, sizeof frame - 1);
    assert_int_equal(read_list(d), 0);
    assert_int_equal(page_publish(d->page, &d->list->page, T), 0);
    assert_int_equal(ASK(d, .agent_id = "a"), TG_BLOCK);
    assert_int_equal(ASK(d, .agent_id = "b"), TG_WARN);
}

/* ----------------------------------------------------------------------- pages */

static struct page *reopen(struct desk *d, bool create)
{
    page_close(d->page);
    d->page = NULL;
    return page_open(d->dir, "source", create, &d->page) == 0 ? d->page : NULL;
}

static void test_reopened(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = { { .action = TG_WARN }, { .kind = 1, .action = TG_BLOCK } };

    publish(d, e, 2);
    assert_non_null(reopen(d, false));
    assert_int_equal(ask_at(d, (struct tg_request){ 0 }, T, false).action, TG_WARN);
    assert_int_equal(ask_at(d, (struct tg_request){ 0 }, T + VALID, false).action, TG_BLOCK);
    assert_int_equal(page_version(d->page, T), 1);
    assert_int_equal(atomic_load(&d->page->damaged), 0);
    struct page *other;
    assert_int_equal(page_open(d->dir, "sour/ce", false, &other), -ENOENT);
    assert_int_equal(page_open(d->dir, "sour_ce", true, &other), 0); /* file names alike, sources not */
    page_close(other);
    assert_int_equal(page_open(d->dir, "sour/ce", false, &other), -ENOENT);
}

/* Its guards hold, its verdicts do not, and it is asked for anew. */
static void test_other_boot(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = {
        { .action = TG_WARN },
        { .kind = 1, .action = TG_BLOCK, .condition = { { 0, 0, { "a" } } } },
        { .kind = 1, .action = TG_BLOCK, .opens_in_ms = 60000, .condition = { { 0, 0, { "b" } } } },
        { .kind = 1, .action = TG_BLOCK, .opens_in_ms = 1, .condition = { { 0, 0, { "c" } } } }
    };

    snprintf(d->page->boot, sizeof d->page->boot, "another boot of the machine");
    publish(d, e, 4);
    uint64_t soon = test_ms() + 2;
    EVENTUALLY(test_ms() > soon); /* the wall clock goes on */
    assert_non_null(reopen(d, false));
    assert_int_equal(page_version(d->page, T), 0);
    assert_int_equal(ASK(d, .agent_id = "x"), TG_ALLOW);
    assert_int_equal(ASK(d, .agent_id = "a"), TG_BLOCK);
    assert_int_equal(ASK(d, .agent_id = "b"), TG_BLOCK);
    assert_int_equal(ASK(d, .agent_id = "c"), TG_ALLOW);
    assert_int_equal(page_prolong(d->page, 1, VALID, T), -ESTALE);
}

static int page_file(struct desk *d, char path[512])
{
    DIR *dir = opendir(d->home.spool);
    int fd = -1;

    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strstr(e->d_name, ".verdicts") != NULL) {
            snprintf(path, 512, "%s/%s", d->home.spool, e->d_name);
            fd = open(path, O_RDWR);
        }
    closedir(dir);
    assert_true(fd >= 0);
    return fd;
}

/* A byte of the file is wrong: the page says what it said, or nothing, or is none; at once. */
static void flip(struct desk *d, int fd, off_t at, uint64_t *unnoticed)
{
    uint8_t byte, wrong;
    struct page *page;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    for (int bit = 0; bit < 8; bit += 7) {
        wrong = (uint8_t)(byte ^ 1u << bit);
        assert_int_equal(pwrite(fd, &wrong, 1, at), 1);
        int rc = page_open(d->dir, "source", false, &page);
        if (rc == 0) {
            struct page *was = d->page;
            d->page = page;
            enum tg_action action = ASK(d, .agent_id = "a", .session_id = "s");
            assert_true(action == TG_ALLOW || action == TG_DELAY || action == TG_BLOCK);
            *unnoticed += action == TG_DELAY;
            d->page = was;
            page_close(page);
        } else
            assert_int_equal(rc, -EBADMSG);
    }
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void test_every_byte_flipped(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = {
        { .action = TG_DELAY, .budget = "d", .condition = { { 0, 0, { "a" } }, { 1, 1, { "t*" } } } },
        { .action = TG_WARN, .condition = { { 10, 0, { "v" }, "t" } } },
        { .kind = 1, .action = TG_BLOCK, .text = "stale" }
    };
    char path[512];
    struct stat st;
    uint64_t payload = 0, rest = 0, begun = test_ms();

    publish(d, e, 3);
    publish(d, e, 3); /* both halves */
    int fd = page_file(d, path);
    assert_int_equal(fstat(fd, &st), 0);
    uint8_t *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(file, MAP_FAILED);
    for (off_t at = 0; at < st.st_size; at++)
        if (file[at] != 0 ||
            at < 4096 + 256) /* what was never written says nothing when flipped, but see below */
            flip(d, fd, at, &payload);
    for (off_t at = 1; at < st.st_size; at += 997)
        flip(d, fd, at, &rest);
    assert_true(payload > 0 && rest > 0); /* some stand in the half that does not count */
    munmap(file, (size_t)st.st_size);
    close(fd);
    assert_true(test_ms() - begun < 10 * PATIENCE_MS);
}

/* A list whose bytes lie although its sum is right: an honest hand never writes it. */
static void test_lying_rows(void **state)
{
    struct desk *d = *state;
    const struct test_entry e[] = { { .action = TG_BLOCK, .condition = { { 0, 0, { "*" } } } } };
    const struct row good = {
        .at = 0, .len = 0, .action = TG_BLOCK, .field = ROW_ANY_FIELD, .opens_in_ms = -1
    };
    static struct row rows[PAGE_ROWS_MAX];

    put_list(&d->buffer, 1, VALID, 0, e, 1);
    assert_int_equal(read_list(d), 0);
    const uint32_t len = d->list->page.len;
    const struct {
        uint32_t at, len;
    } lies[] = { { len, 1 }, { UINT32_MAX, 2 }, { 0, len - 1 }, { 1, len - 1 }, { 0, 0 } };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct row lie = good;
        lie.at = lies[i].at;
        lie.len = lies[i].len;
        d->list->page.row = &lie;
        uint64_t damaged = atomic_load(&d->page->damaged);
        assert_int_equal(page_publish(d->page, &d->list->page, T), 0);
        struct tg_verdict v = ask_at(d, (struct tg_request){ .agent_id = "a" }, T, false);
        if (v.action == TG_ALLOW) {
            assert_int_equal(v.stale, 1);
            assert_int_equal(atomic_load(&d->page->damaged), damaged + 1);
            ask_at(d, (struct tg_request){ .agent_id = "a" }, T, false);
            assert_int_equal(atomic_load(&d->page->damaged), damaged + 1); /* once */
        }
    }
    /* 4,096 rows that all point at one entry which does not hold: no more work than the list is long */
    const struct test_entry no = { .action = TG_BLOCK, .condition = { { 0, 0, { "*b" } } } };
    put_list(&d->buffer, 1, VALID, 0, &no, 1);
    assert_int_equal(read_list(d), 0);
    for (int i = 0; i < PAGE_ROWS_MAX; i++) {
        rows[i] = good;
        rows[i].len = d->list->page.len;
    }
    d->list->page.row = rows;
    d->list->page.rows = PAGE_ROWS_MAX;
    assert_int_equal(page_publish(d->page, &d->list->page, T), 0);
    assert_int_equal(ask_at(d, (struct tg_request){ .agent_id = "a" }, T, false).stale, 1);
    publish(d, e, 1); /* the next list repairs it */
    assert_int_equal(ASK(d, .agent_id = "a"), TG_BLOCK);
}

static void test_not_a_page(void **state)
{
    struct desk *d = *state;
    const struct test_entry e = { .action = TG_BLOCK };
    char path[512];
    struct page *page;

    int fd = page_file(d, path);
    page_close(d->page);
    d->page = NULL;
    assert_int_equal(ftruncate(fd, 5000), 0);
    assert_int_equal(page_open(d->dir, "source", false, &page), -EBADMSG);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(page_open(d->dir, "source", false, &page), -EBADMSG);
    assert_int_equal(page_open(d->dir, "source", true, &d->page), 0); /* made anew, in its place */
    publish(d, &e, 1);
    assert_int_equal(ASK(d, .agent_id = "a"), TG_BLOCK);
    page_close(d->page);
    assert_int_equal(pwrite(fd, "garbage!", 8, 0), 8);
    assert_int_equal(page_open(d->dir, "source", false, &page), -EBADMSG);
    assert_int_equal(page_open(d->dir, "source", true, &d->page), 0);
    assert_int_equal(ASK(d, .agent_id = "a"), TG_ALLOW);
    close(fd);
}

/* Killed in the middle of writing: the list that was there still is, and the next writer goes on. */
static void test_killed_writer(void **state)
{
    struct desk *d = *state;
    const struct test_entry one = { .action = TG_WARN }, two = { .action = TG_BLOCK };

    publish_at(d, 1, 0, &one, 1, T);
    for (int round = 0; round < 20; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct page *page;
            if (page_open(d->dir, "source", true, &page) != 0)
                _exit(1);
            put_list(&d->buffer, 2, VALID, 0, &two, 1);
            if (read_list(d) != 0)
                _exit(1);
            for (;;)
                page_publish(page, &d->list->page, T);
        }
        EVENTUALLY(ASK(d, .agent_id = "a") == TG_BLOCK);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_int_equal(ASK(d, .agent_id = "a"), TG_BLOCK);
        assert_int_equal(atomic_load(&d->page->damaged), 0);
        publish_at(d, 1, 0, &one, 1, T);
        assert_int_equal(ASK(d, .agent_id = "a"), TG_WARN);
    }
}

static void test_two_writers(void **state)
{
    struct desk *d = *state;
    const struct test_entry e = { .action = TG_BLOCK };
    struct page *other;

    assert_int_equal(page_open(d->dir, "source", true, &other), 0);
    publish(d, &e, 1);
    assert_int_equal(lock_try(other->fd), 0); /* in the middle of its writing */
    assert_int_equal(page_publish(d->page, &d->list->page, T), -EWOULDBLOCK);
    assert_int_equal(page_prolong(d->page, 1, VALID, T), -EWOULDBLOCK);
    assert_int_equal(ASK(d, .agent_id = "a"), TG_BLOCK); /* readers need no lock */
    page_close(other);
    assert_int_equal(page_publish(d->page, &d->list->page, T), 0);
}

/* A list that came meanwhile stands in the other half; the next one overwrites what is being read. */
static void test_slow_reader(void **state)
{
    struct desk *d = *state;
    const struct test_entry e = { .action = TG_BLOCK };
    struct look l;

    publish(d, &e, 1);
    assert_true(page_look(d->page, T, &l));
    assert_true(page_unchanged(&l));
    assert_int_equal(page_prolong(d->page, 1, VALID, T), 0);
    assert_true(page_unchanged(&l));
    publish(d, &e, 1);
    assert_true(page_unchanged(&l));
    publish(d, &e, 1);
    assert_false(page_unchanged(&l));
    assert_true(page_look(d->page, T, &l));
    assert_true(page_unchanged(&l));
}

/* ---------------------------------------------------------------------- threads */

struct crowd {
    struct desk *desk;
    _Atomic bool stop;
    _Atomic uint64_t wrong, seen[2];
};

/* Two lists whose entries say the same thing twice over: a mixture would show. */
static void *reader_main(void *arg)
{
    struct crowd *c = arg;

    while (!atomic_load(&c->stop)) {
        struct tg_verdict v =
            ask_at(c->desk, (struct tg_request){ .agent_id = "a", .session_id = "s" }, T, false);
        bool one = v.action == TG_DELAY && strcmp(v.budget, "one") == 0 &&
                   strcmp(v.message, "first list") == 0 && v.spent == 1;
        bool two = v.action == TG_BLOCK && strcmp(v.budget, "the other") == 0 &&
                   strcmp(v.message, "second") == 0 && v.spent == 222222;
        atomic_fetch_add(one || two ? &c->seen[two] : &c->wrong, 1);
    }
    return NULL;
}

static void test_readers_and_a_writer(void **state)
{
    struct desk *d = *state;
    struct test_entry one[40] = { 0 }, two[3] = { 0 };
    struct crowd c = { .desk = d };
    pthread_t thread[4];

    for (int i = 0; i < 39; i++)
        one[i] = (struct test_entry){ .action = TG_BLOCK, .condition = { { 1, 0, { "x*y" } } } };
    one[39] = (struct test_entry){ .action = TG_DELAY, .budget = "one", .text = "first list", .spent = 1 };
    two[0] = (struct test_entry){ .action = TG_WARN };
    two[1] =
        (struct test_entry){ .action = TG_BLOCK, .budget = "the other", .text = "second", .spent = 222222 };
    two[2] = (struct test_entry){ .kind = 1, .action = TG_DOWNGRADE };
    publish(d, one, 40);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, reader_main, &c), 0);
    for (int i = 0; i < 10000; i++)
        publish_at(d, 1, 0, i % 2 == 0 ? two : one, i % 2 == 0 ? 3 : 40, T);
    EVENTUALLY(atomic_load(&c.seen[0]) > 0);
    publish(d, two, 3);
    EVENTUALLY(atomic_load(&c.seen[1]) > 0);
    atomic_store(&c.stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(atomic_load(&c.wrong), 0);
    assert_int_equal(atomic_load(&d->page->damaged), 0);
}

/* ------------------------------------------------------------------------- memo */

static void test_memo(void **state)
{
    const struct tg_tag tag = { "t", "v" };
    struct tg_request r = { .agent_id = "a",
                            .session_id = "s",
                            .model = "m",
                            .trigger = TG_TRIGGER_USER,
                            .tags = &tag,
                            .tag_count = 1 };
    struct finding f = { .state = 4, .until = 100, .row = 7, .stale = true }, got;
    struct memo_key key, other;
    struct memo *m;
    char big[300];

    (void)state;
    assert_int_equal(memo_new(&m), 0);
    assert_true(memo_key_of(&r, &key));
    assert_false(memo_get(m, &key, 0, 0, &got));
    assert_false(memo_get(m, &key, 4, 50, &got));
    memo_put(m, &key, &f);
    assert_true(memo_get(m, &key, 4, 99, &got));
    assert_int_equal(got.row, 7);
    assert_true(got.stale);
    assert_false(memo_get(m, &key, 4, 100, &got)); /* an entry opens */
    assert_false(memo_get(m, &key, 6, 50, &got));  /* another list */
    const struct tg_tag tag2 = { "t", "w" };
    const struct tg_request others[] = {
        { .agent_id = "as", .model = "m", .trigger = TG_TRIGGER_USER, .tags = &tag, .tag_count = 1 },
        { .agent_id = "a",
          .session_id = "s",
          .model = "m",
          .trigger = TG_TRIGGER_CRON,
          .tags = &tag,
          .tag_count = 1 },
        { .agent_id = "a",
          .session_id = "s",
          .lane = "m",
          .trigger = TG_TRIGGER_USER,
          .tags = &tag,
          .tag_count = 1 },
        { .agent_id = "a", .session_id = "s", .model = "m", .trigger = TG_TRIGGER_USER },
        { .agent_id = "a",
          .session_id = "s",
          .model = "m",
          .trigger = TG_TRIGGER_USER,
          .tags = &tag2,
          .tag_count = 1 },
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_true(memo_key_of(&others[i], &other));
        other.hash = key.hash; /* the worst case: the same place */
        assert_false(memo_get(m, &other, 4, 50, &got));
    }
    memset(big, 'x', 299);
    big[299] = '\0';
    assert_false(memo_key_of(&(struct tg_request){ .agent_id = big, .session_id = big }, &key));
    memo_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_pattern_is_not_exponential),
        cmocka_unit_test_setup_teardown(test_every_field, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conditions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_precedence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_contents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delay_that_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_and_guards, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doubt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_collector, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longer_and_shorter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopened, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_boot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_byte_flipped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lying_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readers_and_a_writer, setup, teardown),
        cmocka_unit_test(test_memo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
