/* SPDX-License-Identifier: MIT
 *
 * test_host.c: what a host may rely on: a call makes no system call and allocates nothing while the
 * sender is awake; forks, signals and a lack of descriptors do no harm; the header's example works.
 */
#include "peer.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#if defined __SANITIZE_ADDRESS__
#define SANITIZER "-fsanitize=address,undefined"
#elif defined __SANITIZE_THREAD__
#define SANITIZER "-fsanitize=thread"
#else
#define SANITIZER ""
#endif

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

/* ----------------------------------------------- no system call, no allocation */

static _Thread_local unsigned long allocations;

#ifndef __SANITIZE_ADDRESS__
#ifndef __SANITIZE_THREAD__ /* a sanitizer brings an allocator of its own */
void *__libc_malloc(size_t n);
void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}
#endif
#endif

/* From here on this thread is killed at any system call but exit, and what a clock needs on a machine
 * whose clock the vDSO cannot read. */
static void forbid_system_calls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

static tg_emitter *awake_emitter(size_t spool_bytes)
{
    struct tg_options o = options(&home, "quiet");
    struct tg_message m = TG_MESSAGE_INIT;
    tg_emitter *tg;

    o.linger_ms = 60000; /* it wakes for the first event and gathers for a minute */
    o.segment_bytes = 1 << 20;
    o.spool_bytes = spool_bytes;
    m.kind = TG_MESSAGE_SENT;
    if (tg_open(&o, &tg) != TG_OK || emit(tg, 1) != TG_OK || tg_message(tg, &m) != TG_OK)
        _exit(1);
    return tg;
}

/* So many pairs of calls, each of which is to be quiet. */
static void quiet_calls(size_t spool_bytes, int pairs, bool fills)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;
    struct tg_message m = TG_MESSAGE_INIT;
    const struct tg_tag tags[] = { { "team", "blue" } };
    tg_emitter *tg = awake_emitter(spool_bytes);
    unsigned long before = allocations;
    int full = 0;

    d.session_id = "s";
    d.response_id = "r";
    d.tags = tags;
    d.tag_count = 1;
    m.kind = TG_MESSAGE_RECEIVED;
    forbid_system_calls();
    for (int i = 0; i < pairs; i++) {
        full += tg_dispatch_complete(tg, &d) == TG_ERR_FULL;
        full += tg_message(tg, &m) == TG_ERR_FULL;
    }
    syscall(SYS_exit_group, (full > 0) != fills ? 2 : allocations != before ? 3 : 0);
}

static int status_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void check_quiet(size_t spool_bytes, int pairs, bool fills)
{
    pid_t pid = fork(); /* no thread of ours runs yet */
    if (pid == 0)
        quiet_calls(spool_bytes, pairs, fills);
    int status = status_of(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_quiet(void **state)
{
    (void)state;
    if (sizeof SANITIZER > 1) /* a sanitizer's own system calls are not ours */
        skip();
#ifdef __SANITIZE_THREAD__ /* makes system calls of its own */
    skip();
#endif
    check_quiet(0, 2000, false); /* in a segment of its own */
    check_quiet((1 << 20) + (128 << 10), 20000,
                true); /* past the end of the only one, and on when it is full */
}

/* That the filter above would have noticed. */
static void test_quiet_can_fail(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        forbid_system_calls();
        getppid();
        syscall(SYS_exit_group, 0);
    }
    int status = status_of(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* ------------------------------------------------------------------- fork, signals */

static int child(tg_emitter *parents)
{
    struct tg_message m = TG_MESSAGE_INIT;
    struct tg_stats s;

    m.kind = TG_MESSAGE_SENT;
    if (emit(parents, 999) != TG_ERR_FORKED || tg_message(parents, &m) != TG_ERR_FORKED)
        return 1;
    if (tg_flush(parents, 1000) != TG_ERR_FORKED || tg_stats(parents, &s) != TG_ERR_FORKED ||
        tg_count(parents, "x", NULL, 1) != TG_ERR_FORKED)
        return 2;
    if (tg_close(parents, 1000) != TG_ERR_FORKED)
        return 3;
#ifndef __SANITIZE_THREAD__ /* which knows no threads after a fork */
    struct tg_options o = options(&home, "child");
    tg_emitter *own;
    if (tg_open(&o, &own) != TG_OK || emit(own, 2) != TG_OK || tg_close(own, PATIENCE_MS) != TG_OK)
        return 4;
    return 0;
#else
    return 0;
#endif
}

static void test_fork(void **state)
{
    struct tg_options o = options(&home, "parent");

    (void)state;
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 1);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child(tg));
    peer_start(peer);
    assert_int_equal(status_of(pid), 0);
    emit_many(tg, 3, 1);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
#ifndef __SANITIZE_THREAD__
    peer_has_exactly(peer, 1, 3);
#endif
    assert_int_equal(entries(home.spool), 0);
}

static unsigned long long blocked_by(const char *task)
{
    char path[320], line[256];
    unsigned long long mask = 0;

    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        sscanf(line, "SigBlk: %llx", &mask);
    fclose(f);
    return mask;
}

/* The library's threads leave every signal to the host's. */
static void test_signals_blocked(void **state)
{
    const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE, SIGUSR1, SIGALRM };
    struct tg_options o = options(&home, "signals");
    char self[16];
    int seen = 0;

    (void)state;
    tg_emitter *tg = open_emitter(&o);
    snprintf(self, sizeof self, "%d", (int)getpid());
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, self) == 0)
            continue;
        unsigned long long mask = blocked_by(e->d_name);
        if (mask == 0)
            continue; /* a sanitizer's own */
        seen++;
        for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
            assert_true(mask >> (signals[i] - 1) & 1);
    }
    closedir(dir);
    assert_true(seen >= 3); /* the sender, and two of libzmq */
    assert_int_equal(tg_close(tg, 0), TG_OK);
}

/* ------------------------------------------------------------------------ descriptors */

static int highest_fd(void)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD, 0);

    assert_true(fd >= 0);
    close(fd);
    return fd;
}

/* However few there are: no abort, and what cannot be sent now is kept. */
static void test_few_descriptors(void **state)
{
    struct tg_options o = options(&home, "few");
    struct rlimit before, few;
    int opened = 0, late = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int n = 0; n < 40; n++) {
        tg_emitter *tg;
        few = before;
        few.rlim_cur = (rlim_t)(highest_fd() + n);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int rc = tg_open(&o, &tg);
        assert_true(rc == TG_OK || rc == TG_ERR_NOMEM);
        if (rc == TG_OK) {
            opened++;
            assert_int_equal(emit(tg, n), TG_OK);
            late += stats(tg).last_error == EMFILE;
            tg_close(tg, 0);
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    }
    assert_true(opened > 10 && opened < 40);
    assert_true(late > 0);
}

static void test_descriptors_come_back(void **state)
{
    struct tg_options o = options(&home, "few");
    struct rlimit before, few;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)(highest_fd() + 14);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 10);
    assert_int_equal(stats(tg).last_error, EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 10);
}

/* A host that has closed its standard descriptors and writes to them all the same. */
static int careless_host(void)
{
    struct tg_options o = options(&home, "closed");
    tg_emitter *tg;

    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        close(fd);
    if (tg_open(&o, &tg) != TG_OK || emit(tg, 1) != TG_OK)
        return 1;
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode)))
            return 2;
    }
    return tg_close(tg, 0) == TG_ERR_TIMEOUT ? 0 : 3;
}

/* Somebody else made the default directory under /tmp first: nothing goes there, nothing is refused. */
static void test_foreign_directory(void **state)
{
    struct tg_options o = options(&home, "foreign");
    char dir[64], runtime[512] = "";
    tg_emitter *tg = NULL;

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tollgate-%u", (unsigned)geteuid());
    if (geteuid() != 0 || mkdir(dir, 0755) != 0)
        skip();
    if (getenv("XDG_RUNTIME_DIR") != NULL)
        snprintf(runtime, sizeof runtime, "%s", getenv("XDG_RUNTIME_DIR"));
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("TOLLGATE_ENDPOINT");
    int made = chown(dir, 65534, 65534);
    o.endpoint = NULL;
    int rc = tg_open(&o, &tg);
    rmdir(dir);
    if (runtime[0] != '\0')
        setenv("XDG_RUNTIME_DIR", runtime, 1);
    assert_int_equal(made, 0);
    assert_int_equal(rc, TG_OK);
    assert_int_equal(emit(tg, 1), TG_OK);
    assert_int_not_equal(stats(tg).last_error, 0);
    assert_int_equal(stats(tg).pending, 1);
    assert_int_equal(tg_close(tg, 0), TG_ERR_TIMEOUT);
}

static void test_closed_standard(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(careless_host());
    assert_int_equal(status_of(pid), 0);
}

/* ------------------------------------------------------------------- header's example */

/* Copies the first indented block of the header's opening comment, without the margin. */
static void write_example(const char *path)
{
    const char margin[] = " *     ";
    char line[256];
    FILE *in = fopen("include/tollgate.h", "r"), *out = fopen(path, "w");
    int lines = 0;

    assert_non_null(in);
    assert_non_null(out);
    while (fgets(line, sizeof line, in) != NULL) {
        bool code = strncmp(line, margin, sizeof margin - 1) == 0;
        if (code)
            lines += fputs(line + sizeof margin - 1, out) >= 0;
        else if (strncmp(line, " * Rules", 8) == 0)
            break;
        else
            fputs("\n", out);
    }
    fclose(in);
    fclose(out);
    assert_true(lines >= 12 && lines <= 20);
}

static void test_header_example(void **state)
{
    char source[128], program[128], command[1024], runtime[96];
    const char *build = getenv("BUILD") != NULL ? getenv("BUILD") : "build";

    (void)state;
    snprintf(source, sizeof source, "%s/example.c", home.dir);
    snprintf(program, sizeof program, "%s/example", home.dir);
    write_example(source);
    snprintf(
        command, sizeof command,
        "${CC:-cc} -std=c11 -Wall -Wextra -Werror %s -Iinclude -o %s %s %s/libtollgate.a "
        "$(pkg-config --libs libzmq) $(pkg-config --libs msgpack-c 2>/dev/null || pkg-config --libs msgpack) "
        "-lpthread",
        SANITIZER, program, source, build);
    assert_int_equal(system(command), 0);
    snprintf(runtime, sizeof runtime, "%.80s/tollgate", home.dir);
    assert_int_equal(mkdir(runtime, 0700), 0);
    snprintf(peer->endpoint, sizeof peer->endpoint, "ipc://%s/events.sock", runtime);
    peer_start(peer);
    snprintf(command, sizeof command, "env -u TOLLGATE_ENDPOINT -u TOLLGATE_SPOOL_DIR XDG_RUNTIME_DIR=%s %s",
             home.dir, program);
    assert_int_equal(system(command), 0);
    peer_stop(peer);
    assert_int_equal(peer->event_count, 1);
    assert_int_equal(peer->event[0].number, 1200);
}

static void test_invalid(void **state)
{
    struct tg_options good = options(&home, "invalid"), o;
    struct tg_dispatch d = TG_DISPATCH_INIT;
    struct tg_message m = TG_MESSAGE_INIT;
    tg_emitter *tg = NULL;

    (void)state;
#define REFUSED(field, value)                               \
    do {                                                    \
        o = good;                                           \
        o.field = value;                                    \
        assert_int_equal(tg_open(&o, &tg), TG_ERR_INVALID); \
        assert_null(tg);                                    \
    } while (0)
    REFUSED(size, 0);
    REFUSED(endpoint, "nonsense");
    REFUSED(endpoint, "ipc://");
    REFUSED(endpoint, "tcp://localhost");
    REFUSED(endpoint, "udp://localhost:7447");
    REFUSED(spool_bytes, 65536);
    REFUSED(segment_bytes, 32768);
    REFUSED(segment_bytes, 100000);
    REFUSED(segment_bytes, (size_t)256 << 20);
    REFUSED(on_full, (enum tg_full)7);
    REFUSED(mode, (enum tg_mode)7);
    REFUSED(linger_ms, 100000);
    assert_int_equal(tg_open(&good, NULL), TG_ERR_INVALID);
    assert_int_equal(entries(home.spool), 0);

    tg = open_emitter(&good);
    assert_int_equal(tg_dispatch_complete(NULL, &d), TG_ERR_INVALID);
    assert_int_equal(tg_dispatch_complete(tg, NULL), TG_ERR_INVALID);
    assert_int_equal(tg_message(tg, &m), TG_ERR_INVALID); /* no kind */
    m.kind = (enum tg_message_kind)21;
    assert_int_equal(tg_message(tg, &m), TG_ERR_INVALID);
    d.size = 8;
    assert_int_equal(tg_dispatch_complete(tg, &d), TG_ERR_INVALID);
    assert_int_equal(tg_stats(tg, NULL), TG_ERR_INVALID);
    assert_int_equal(tg_flush(NULL, 0), TG_ERR_INVALID);
    assert_int_equal(stats(tg).emitted, 0);
    assert_int_equal(tg_close(tg, 0), TG_OK);
    assert_int_equal(tg_close(NULL, 0), TG_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_quiet_can_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals_blocked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_few_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_standard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_example, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalid, setup, teardown),
    };

    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
