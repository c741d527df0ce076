/* SPDX-License-Identifier: MIT
 *
 * test_spool.c: where events are kept: directories that will not do, disks that fill, threads that
 * come and go, spools that are left, damaged, half made, or somebody else's.
 */
#include "peer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "emitter/delivery.h"
#include "emitter/linux.h"
#include "emitter/place.h"
#include "emitter/report.h"
#include "emitter/ring.h"
#include "emitter/sender.h"
#include "emitter/spool.h"

static struct home home;
static struct peer *peer;

static int setup(void **state)
{
    (void)state;
    home_make(&home);
    peer = peer_new(home.endpoint);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_free(peer);
    home_remove(&home);
    return 0;
}

/* Emits into whatever spool there is, and has it delivered. */
static void works_in_memory(const struct tg_options *o, int error)
{
    tg_emitter *tg = open_emitter(o);

    assert_int_equal(stats(tg).spool_in_memory, 1);
    if (error != 0)
        assert_int_equal(stats(tg).last_error, error);
    peer_start(peer);
    emit_many(tg, 1, 100);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 100);
    assert_int_equal(report_number(peer, NULL, "spool_in_memory"), 1);
}

static void test_no_directory(void **state)
{
    struct tg_options o = options(&home, "nowhere");

    (void)state;
    o.spool_dir = "/proc/no/such/place";
    works_in_memory(&o, 0);
}

static void test_directory_of_others(void **state)
{
    struct tg_options o = options(&home, "open");

    (void)state;
    assert_int_equal(mkdir(home.spool, 0777), 0);
    assert_int_equal(chmod(home.spool, 0777), 0);
    works_in_memory(&o, EPERM);
    assert_int_equal(entries(home.spool), 0);
}

static void test_file_system(void **state)
{
    int good = open(home.dir, O_RDONLY | O_DIRECTORY), bad = open("/proc", O_RDONLY | O_DIRECTORY);

    (void)state;
    assert_int_equal(file_system_check(good), 0);
    assert_int_equal(file_system_check(bad), -EOPNOTSUPP);
    close(good);
    close(bad);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* No room for the first file: all of it in memory, and no SIGXFSZ for the host. */
static void test_full_at_open(void **state)
{
    struct tg_options o = options(&home, "full");

    (void)state;
    limit_files(4096);
    tg_emitter *tg = open_emitter(&o);
    limit_files(RLIM_INFINITY);
    assert_int_equal(stats(tg).spool_in_memory, 1);
    assert_int_equal(stats(tg).last_error, EFBIG);
    assert_int_equal(entries(home.spool), 0);
    peer_start(peer);
    emit_many(tg, 1, 100);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 100);
}

/* No room for a thread's segment: that one in memory. */
static void test_full_later(void **state)
{
    struct tg_options o = options(&home, "later");

    (void)state;
    tg_emitter *tg = open_emitter(&o);
    assert_int_equal(stats(tg).spool_in_memory, 0);
    limit_files((rlim_t)1 << 20);
    emit_many(tg, 1, 100);
    limit_files(RLIM_INFINITY);
    assert_int_equal(stats(tg).spool_in_memory, 1);
    assert_int_equal(stats(tg).last_error, EFBIG);
    peer_start(peer);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 100);
    assert_int_equal(entries(home.spool), 0);
}

struct visit {
    tg_emitter *tg;
    int64_t number;
};

static void *visitor(void *arg)
{
    struct visit *v = arg;

    return emit(v->tg, v->number) == TG_OK ? v : NULL;
}

/* A thousand threads one after the other use one segment. */
static void test_thread_leaves(void **state)
{
    enum { THREADS = 1000 };
    struct tg_options o = options(&home, "leaves");
    tg_emitter *tg = open_emitter(&o);

    (void)state;
    for (int i = 1; i <= THREADS; i++) {
        struct visit v = { tg, i };
        pthread_t thread;
        void *done;
        assert_int_equal(pthread_create(&thread, NULL, visitor, &v), 0);
        pthread_join(thread, &done);
        assert_ptr_equal(done, &v);
    }
    assert_true(stats(tg).spool_bytes < 2 * (4 << 20));
    peer_start(peer);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, THREADS);
}

/* One thread with many emitters, more than it remembers at a glance, opened and closed in turn. */
static void test_many_emitters(void **state)
{
    enum { EMITTERS = 9 };
    struct tg_options o = options(&home, "many");
    tg_emitter *tg[EMITTERS];
    int64_t n = 0;

    (void)state;
    o.spool_bytes = 1 << 20;
    peer_start(peer);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < EMITTERS; i++)
            tg[i] = open_emitter(&o);
        for (int i = 0; i < 10 * EMITTERS; i++)
            assert_int_equal(emit(tg[i % EMITTERS], ++n), TG_OK);
        for (int i = 0; i < EMITTERS; i++) {
            assert_int_equal(stats(tg[i]).emitted, 10);
            assert_int_equal(tg_close(tg[i], PATIENCE_MS), TG_OK);
        }
    }
    peer_stop(peer);
    peer_has_exactly(peer, 1, n);
    assert_int_equal(entries(home.spool), 0);
}

/* --------------------------------------------------------------------- left-overs */

/* Leaves a spool with count events behind; returns its path. */
static void leave(const char *source, int64_t first, int64_t count, char path[512])
{
    struct tg_options o = options(&home, source);
    char prefix[64];

    o.mode = TG_MODE_SPOOL;
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, first, count);
    assert_int_equal(tg_close(tg, 0), TG_ERR_TIMEOUT);
    snprintf(prefix, sizeof prefix, "%s.", source);
    DIR *dir = opendir(home.spool);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
            snprintf(path, 512, "%s/%s", home.spool, e->d_name);
    closedir(dir);
}

/* An emitter of this source takes what is left, until adopted reaches count. */
static void adopt(const char *source, uint64_t count)
{
    struct tg_options o = options(&home, source);

    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    EVENTUALLY(stats(tg).adopted == count && entries(home.spool) == 1);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
}

static void test_adopted(void **state)
{
    char path[512];

    (void)state;
    leave("gone", 1, 3000, path);
    leave("gone", 3001, 10, path);
    adopt("gone", 3010);
    peer_has_exactly(peer, 1, 3010);
    assert_int_equal(peer->stream_count, 2 + 2 + 1); /* events and reports of each, our own reports */
}

/* Maps a file of a spool, to spoil it. */
static uint8_t *map_file(const char *spool, const char *name, size_t *bytes)
{
    char path[600];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", spool, name);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    close(fd);
    *bytes = (size_t)st.st_size;
    return at;
}

/* Two records are unreadable: the others arrive, the two are counted and reported. */
static void test_damaged_records(void **state)
{
    char path[512];
    size_t bytes;

    (void)state;
    leave("rotten", 1, 100, path);
    uint8_t *at = map_file(path, "s1", &bytes);
    struct place p = { 0, 0 };
    const uint8_t *record;
    size_t len;
    for (int i = 1; i <= 50; i++) {
        assert_int_equal(ring_next((struct ring *)(void *)at, &p, &record, &len), RING_RECORD);
        if (i == 1 || i == 50)
            at[record - at] = 0xc1;
    }
    munmap(at, bytes);
    adopt("rotten", 98);
    assert_int_equal(peer->event_count, 98);
    for (size_t i = 0; i < peer->event_count; i++)
        assert_true(peer->event[i].number != 1 && peer->event[i].number != 50);
}

/* The rest of a segment never reached the disk: what did arrives, the rest is counted. */
static void test_torn_segment(void **state)
{
    char path[512];
    size_t bytes;

    (void)state;
    leave("torn", 1, 100, path);
    uint8_t *at = map_file(path, "s1", &bytes);
    struct place p = { 0, 0 };
    ring_walk((struct ring *)(void *)at, &p, 40);
    memset(at + RING_DATA + p.at, 0, bytes - RING_DATA - p.at);
    munmap(at, bytes);
    adopt("torn", 40);
    peer_has_exactly(peer, 1, 40);
}

/* A header that makes no sense, a segment that is none: left alone, and in nobody's way. */
static void test_not_a_spool(void **state)
{
    char path[512];
    size_t bytes;

    (void)state;
    leave("odd", 1, 10, path);
    uint8_t *at = map_file(path, "header", &bytes);
    memset(at, 0xee, bytes);
    munmap(at, bytes);
    struct tg_options o = options(&home, "odd");
    o.mode = TG_MODE_SPOOL;
    tg_emitter *left = open_emitter(&o);
    emit_many(left, 11, 10);
    assert_int_equal(tg_close(left, 0), TG_ERR_TIMEOUT);
    o.mode = TG_MODE_SEND;
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    EVENTUALLY(stats(tg).adopted == 10);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 11, 10);
    assert_int_equal(access(path, F_OK), 0);
}

static void limit_descriptors(rlim_t n)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = n;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static struct spool *take_left(const char *path, int *root_fd)
{
    struct spool *s;

    *root_fd = open(home.spool, O_RDONLY | O_DIRECTORY);
    assert_true(*root_fd >= 0);
    assert_int_equal(spool_take(*root_fd, strrchr(path, '/') + 1, &s), 0);
    return s;
}

/* A segment that cannot be opened for the moment is not done, and is opened later. */
static void test_no_descriptor(void **state)
{
    struct rlimit before;
    struct delivery *d;
    char path[512];
    int root_fd;

    (void)state;
    leave("poor", 1, 100, path);
    struct spool *s = take_left(path, &root_fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit_descriptors(3);
    int gone = spool_owner_gone(s), rc = delivery_new(s, false, 1, &d);
    bool left_over = s->left_over, finished = rc == 0 && delivery_finish(d, 1);
    limit_descriptors(before.rlim_cur);
    assert_int_equal(gone, -EMFILE);
    assert_false(left_over);
    assert_int_equal(rc, 0);
    assert_false(finished);
    assert_int_equal(spool_owner_gone(s), 1);
    assert_false(delivery_finish(d, 2));
    assert_int_equal(d->streams, 2);
    assert_non_null(d->stream[1]);
    delivery_free(d, false);
    close(root_fd);
    adopt("poor", 100);
    peer_has_exactly(peer, 1, 100);
}

/* A segment whose file is gone for good is stepped over. */
static void test_missing_segment(void **state)
{
    char path[512], file[600];
    struct delivery *d;
    int root_fd;

    (void)state;
    leave("holey", 1, 100, path);
    snprintf(file, sizeof file, "%s/s1", path);
    assert_int_equal(unlink(file), 0);
    struct spool *s = take_left(path, &root_fd);
    assert_int_equal(spool_owner_gone(s), 1);
    assert_int_equal(s->missing, 1);
    assert_int_equal(delivery_new(s, false, 1, &d), 0);
    assert_int_equal(d->streams, 2);
    assert_null(d->stream[1]);
    delivery_free(d, false);
    close(root_fd);
    adopt("holey", 0);
}

/* tollgate-ship --once with too few descriptors waits; it neither ends nor removes anything. */
static void test_once_without_descriptors(void **state)
{
    struct sender_options o = { .endpoint = home.endpoint, .dir = home.spool, .once = true, .stop_fd = -1 };
    char path[512];

    (void)state;
    leave("poor", 1, 100, path);
    for (rlim_t n = 6; n <= 14; n += 2) {
        pid_t pid = fork();
        if (pid == 0) {
            limit_descriptors(n);
            sender_run(&o);
            _exit(0);
        }
        nanosleep(&(struct timespec){ 0, 200000000 }, NULL);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_int_equal(access(path, F_OK), 0);
    }
    adopt("poor", 100);
    peer_has_exactly(peer, 1, 100);
}

static void count_limit(void *arg, const char *event, const char *spool, int64_t number)
{
    (void)spool, (void)number;
    *(int *)arg += strcmp(event, "too_many_spools") == 0;
}

/* More left-overs than are served at a time. */
static void test_once_many(void **state)
{
    enum { SPOOLS = 150 };
    struct tg_options o = options(&home, "crowd");
    int told = 0;
    struct sender_options so = { .endpoint = home.endpoint,
                                 .dir = home.spool,
                                 .once = true,
                                 .stop_fd = -1,
                                 .log = count_limit,
                                 .log_arg = &told };

    (void)state;
    o.mode = TG_MODE_SPOOL;
    o.segment_bytes = 64 << 10;
    for (int i = 1; i <= SPOOLS; i++) {
        tg_emitter *tg = open_emitter(&o);
        emit_many(tg, i, 1);
        assert_int_equal(tg_close(tg, 0), TG_ERR_TIMEOUT);
    }
    peer_start(peer);
    assert_int_equal(sender_run(&so), 0);
    peer_stop(peer);
    assert_int_equal(entries(home.spool), 0);
    peer_has_exactly(peer, 1, SPOOLS);
    assert_int_equal(told, 1);
}

/* A last report that finds no room is written when there is some. */
static void test_last_report(void **state)
{
    struct spool_options o = { .source = "full", .segment_bytes = RING_BYTES_MIN, .report_ms = 1000 };
    static uint8_t rest[16];
    struct report r;
    struct spool *s;

    (void)state;
    assert_int_equal(spool_new(&o, &s), 0);
    report_init(&r, s);
    while (ring_put(&r.writer, rest, sizeof rest))
        ;
    report_last(&r, s, 1);
    assert_false(r.final);
    ring_settle(s->ring[0], ring_head(s->ring[0]));
    report_last(&r, s, 2);
    assert_true(r.final);
    spool_close(s, false);
}

/* What a kill leaves while a spool is made or removed is swept away; a living one is not. */
static void test_half_made(void **state)
{
    struct tg_options o = options(&home, "half"), live = options(&home, "half");
    char path[160];

    (void)state;
    live.mode = TG_MODE_SPOOL;
    tg_emitter *alive = open_emitter(&live);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/.%s.0123456789abcdef", home.spool, i == 0 ? "new" : "old");
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/.%s.0123456789abcdef/s0", home.spool, i == 0 ? "new" : "old");
        close(open(path, O_RDWR | O_CREAT, 0600));
    }
    assert_int_equal(entries(home.spool), 3);
    tg_emitter *tg = open_emitter(&o);
    EVENTUALLY(entries(home.spool) == 2);
    assert_int_equal(emit(alive, 1), TG_OK);
    assert_int_equal(tg_close(alive, 0), TG_ERR_TIMEOUT);
    tg_close(tg, 0);
}

/* Odd characters in a source make a file name all the same, and no two sources meet. */
static void test_source_names(void **state)
{
    char name[32], long_source[400];

    (void)state;
    assert_int_equal(spool_source_name("a/../b c.\xc3\xa9", name, sizeof name), 11);
    assert_string_equal(name, "a____b_c___");
    assert_int_equal(spool_source_name("0123456789012345678901234567890123456789", name, sizeof name), 31);
    assert_true(spool_name_valid("x.0123456789abcdef"));
    assert_false(spool_name_valid(".0123456789abcdef"));
    assert_false(spool_name_valid("x.0123456789abcdeF"));
    assert_false(spool_name_valid("x0123456789abcdef"));
    assert_false(spool_name_valid(".new.0123456789abcdef"));
    memset(long_source, 's', sizeof long_source - 1);
    long_source[sizeof long_source - 1] = '\0';
    struct tg_options o = options(&home, long_source);
    tg_emitter *tg = open_emitter(&o);
    assert_int_equal(stats(tg).spool_in_memory, 0);
    assert_int_equal(tg_close(tg, 0), TG_OK);
}

static void test_places(void **state)
{
    char out[PLACE_PATH_MAX], source[256];

    (void)state;
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    unsetenv("TOLLGATE_SPOOL_DIR");
    unsetenv("TOLLGATE_ENDPOINT");
    assert_int_equal(place_spool_dir(NULL, out), 0);
    assert_string_equal(out, "/run/user/7/tollgate/spool");
    assert_int_equal(place_endpoint(NULL, out), 0);
    assert_string_equal(out, "ipc:///run/user/7/tollgate/events.sock");
    setenv("TOLLGATE_SPOOL_DIR", "/var/spool/x", 1);
    setenv("TOLLGATE_ENDPOINT", "tcp://127.0.0.1:7447", 1);
    setenv("TOLLGATE_SOURCE", "by-name", 1);
    assert_int_equal(place_spool_dir("", out), 0);
    assert_string_equal(out, "/var/spool/x");
    assert_int_equal(place_endpoint(NULL, out), 0);
    assert_string_equal(out, "tcp://127.0.0.1:7447");
    assert_int_equal(place_endpoint("ipc:///a", out), 0);
    assert_string_equal(out, "ipc:///a");
    place_source(NULL, source);
    assert_string_equal(source, "by-name");
    unsetenv("TOLLGATE_SOURCE");
    place_source("", source);
    assert_true(source[0] != '\0');
    unsetenv("TOLLGATE_SPOOL_DIR");
    unsetenv("TOLLGATE_ENDPOINT");
    unsetenv("XDG_RUNTIME_DIR");
    assert_int_equal(place_spool_dir(NULL, out), 0);
    assert_non_null(strstr(out, "/dev/shm/tollgate-"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_system, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_at_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thread_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_emitters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_spool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_once_without_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_once_many, setup, teardown),
        cmocka_unit_test(test_last_report),
        cmocka_unit_test_setup_teardown(test_half_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source_names, setup, teardown),
        cmocka_unit_test(test_places),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
