/* SPDX-License-Identifier: MIT
 *
 * test_kill.c: kill -9 of a gateway at random moments, sending itself or leaving that to
 * tollgate-ship, which is killed too. Every event whose call had returned arrives exactly once.
 *
 * The gateway is this program started anew with arguments; it keeps a journal in shared memory of
 * how many calls each of its threads has returned from.
 */
#include "peer.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

enum { THREADS = 3, ROUNDS = 12, STRIDE = 100000000 };

struct journal {
    _Atomic int64_t tried[THREADS], returned[THREADS];
};

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

static struct journal *journal_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    if (fd < 0 || ftruncate(fd, sizeof(struct journal)) != 0)
        abort();
    void *at = mmap(NULL, sizeof(struct journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

/* -------------------------------------------------------------------- the gateway */

static struct journal *journal;
static tg_emitter *emitter;

static void *gateway_thread(void *arg)
{
    int me = (int)(intptr_t)arg;

    for (int64_t n = 1;;) {
        atomic_store(&journal->tried[me], n);
        if (emit(emitter, me * (int64_t)STRIDE + n) == TG_OK)
            atomic_store(&journal->returned[me], n++);
        if (n % 64 == 0)
            nanosleep(&(struct timespec){ 0, 200000 }, NULL);
    }
    return NULL;
}

/* test_kill gateway MODE ENDPOINT SPOOL JOURNAL */
static int gateway(char **argv)
{
    struct tg_options o = TG_OPTIONS_INIT;
    pthread_t thread;

    o.mode = strcmp(argv[2], "spool") == 0 ? TG_MODE_SPOOL : TG_MODE_SEND;
    o.endpoint = argv[3];
    o.spool_dir = argv[4];
    o.source = "killed";
    o.segment_bytes = 256 << 10; /* goes round often */
    o.spool_bytes = 4 << 20;
    journal = journal_map(argv[5]);
    if (journal == NULL || tg_open(&o, &emitter) != TG_OK)
        return 1;
    for (intptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, gateway_thread, (void *)i) != 0)
            return 1;
    pause();
    return 0;
}

/* ------------------------------------------------------------------------ the tests */

static pid_t start(const char *program, char *const argv[])
{
    pid_t pid;

    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    return pid;
}

static pid_t start_gateway(const char *mode, const char *journal_path)
{
    char *argv[] = { (char *)"test_kill",
                     (char *)"gateway",
                     (char *)(uintptr_t)mode,
                     home.endpoint,
                     home.spool,
                     (char *)(uintptr_t)journal_path,
                     NULL };

    return start("/proc/self/exe", argv);
}

static pid_t start_ship(bool once)
{
    const char *build = getenv("BUILD") != NULL ? getenv("BUILD") : "build";
    char program[256];
    char *argv[] = { (char *)"tollgate-ship",
                     (char *)"--endpoint",
                     home.endpoint,
                     (char *)"--spool-dir",
                     home.spool,
                     (char *)(uintptr_t)(once ? "--once" : NULL),
                     NULL };

    snprintf(program, sizeof program, "%s/tollgate-ship", build);
    return start(program, argv);
}

static void kill_hard(pid_t pid)
{
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it had not ended by itself */
}

static int exit_status(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Some moment after the gateway has begun: not the same in any two rounds. */
static void some_moment(struct journal *j, int round)
{
    EVENTUALLY(atomic_load(&j->returned[round % THREADS]) > 1 + round * 37);
    nanosleep(&(struct timespec){ 0, 1000 + rand() % 30000000 }, NULL);
}

/* Of each thread 1 to n, each once, n being what the journal says or one more, whose call had not
 * returned yet. */
static void arrived_exactly(const struct journal *j)
{
    size_t at = 0;

    pthread_mutex_lock(&peer->mutex);
    qsort(peer->event, peer->event_count, sizeof *peer->event, by_number);
    for (int t = 0; t < THREADS; t++) {
        int64_t n = 0;
        for (; at < peer->event_count && peer->event[at].number / STRIDE == t; at++)
            assert_int_equal(peer->event[at].number % STRIDE, ++n);
        assert_in_range(n, atomic_load(&j->returned[t]), atomic_load(&j->tried[t]));
    }
    assert_int_equal(at, peer->event_count);
    peer->event_count = 0;
    pthread_mutex_unlock(&peer->mutex);
}

static void round_trip(const char *mode, int round, bool kill_ship)
{
    char path[96];
    pid_t ship = -1;

    snprintf(path, sizeof path, "%s/journal-%d", home.dir, round);
    struct journal *j = journal_map(path);
    pid_t pid = start_gateway(mode, path);
    if (kill_ship)
        ship = start_ship(false);
    some_moment(j, round);
    if (kill_ship)
        kill_hard(ship);
    kill_hard(pid);
    assert_int_equal(exit_status(start_ship(true)), 0);
    assert_int_equal(entries(home.spool), 0);
    arrived_exactly(j);
    munmap(j, sizeof *j);
}

static void test_sending_gateway(void **state)
{
    (void)state;
    peer_start(peer);
    for (int i = 0; i < ROUNDS; i++)
        round_trip("send", i, false);
    peer_stop(peer);
}

static void test_spooling_gateway_and_ship(void **state)
{
    (void)state;
    peer_start(peer);
    for (int i = 0; i < ROUNDS; i++)
        round_trip("spool", i, i % 2 == 0);
    peer_stop(peer);
}

/* The next gateway of the source takes over, and is killed itself. */
static void test_adopted_by_the_next(void **state)
{
    struct tg_options o = options(&home, "killed");
    struct journal *j[4];

    (void)state;
    peer_start(peer);
    for (int i = 0; i < 4; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/journal-%d", home.dir, i);
        j[i] = journal_map(path);
        pid_t pid = start_gateway("send", path);
        some_moment(j[i], i);
        kill_hard(pid);
    }
    tg_emitter *tg = open_emitter(&o);
    EVENTUALLY(entries(home.spool) == 1);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(entries(home.spool), 0);
    peer_stop(peer);
    int64_t returned = 0, tried = 0;
    for (int i = 0; i < 4; i++) {
        for (int t = 0; t < THREADS; t++) {
            returned += atomic_load(&j[i]->returned[t]);
            tried += atomic_load(&j[i]->tried[t]);
        }
        munmap(j[i], sizeof *j[i]);
    }
    assert_in_range(peer->event_count, returned, tried);
}

/* A ship serves the living, ends at TERM with 0, and says what is wrong with an option. */
static void test_ship_manners(void **state)
{
    char path[96];

    (void)state;
    peer_start(peer);
    snprintf(path, sizeof path, "%s/journal", home.dir);
    struct journal *j = journal_map(path);
    pid_t ship = start_ship(false), pid = start_gateway("spool", path);
    EVENTUALLY(PEER_GET(peer, event_count) > 1000);
    assert_int_equal(kill(ship, SIGTERM), 0);
    assert_int_equal(exit_status(ship), 0);
    kill_hard(pid);
    assert_int_equal(exit_status(start_ship(true)), 0);
    arrived_exactly(j);
    munmap(j, sizeof *j);
    peer_stop(peer);
    snprintf(home.endpoint, sizeof home.endpoint, "nonsense");
    assert_int_equal(exit_status(start_ship(true)), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sending_gateway, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spooling_gateway_and_ship, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopted_by_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ship_manners, setup, teardown),
    };

    if (argc == 6 && strcmp(argv[1], "gateway") == 0)
        return gateway(argv);
    srand((unsigned)getpid());
    return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
