/* SPDX-License-Identifier: MIT
 *
 * linux.c: the system calls that only Linux has. No state of its own; any thread.
 */
#include "linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int guard_new(struct guard **out)
{
    void *page = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    struct guard *g = page;
    uint32_t state = madvise(page, page_bytes(), MADV_WIPEONFORK) == 0 ? GUARD_OPEN : GUARD_ASK;
    g->pid = (int32_t)getpid();
    atomic_store(&g->state, state);
    *out = g;
    return 0;
}

void guard_free(struct guard *g)
{
    if (g != NULL)
        munmap(g, page_bytes());
}

uint32_t guard_ask(const struct guard *g)
{
    uint32_t state = atomic_load_explicit(&g->state, memory_order_relaxed);

    if (state != GUARD_FORKED && g->pid != (int32_t)getpid())
        return GUARD_FORKED;
    return state == GUARD_ASK ? GUARD_OPEN : state;
}

int file_system_check(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) != 0)
        return -errno;
    switch ((unsigned long)fs.f_type) {
    case TMPFS_MAGIC:
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
        return 0;
    default: /* copy-on-write and network file systems may fail a store later */
        return -EOPNOTSUPP;
    }
}

/* A file grown past RLIMIT_FSIZE would bring the host SIGXFSZ. */
static int size_allowed(size_t bytes)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur)
        return -EFBIG;
    return 0;
}

int above_standard(int fd)
{
    if (fd < 0)
        return -errno;
    if (fd > STDERR_FILENO)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    close(fd);
    return high < 0 ? -error : high;
}

int file_grow(int fd, size_t bytes)
{
    int rc = size_allowed(bytes);

    while (rc == 0 && fallocate(fd, 0, 0, (off_t)bytes) != 0)
        if (errno != EINTR)
            rc = -errno;
    return rc;
}

int file_new(int dir_fd, const char *name, size_t bytes, int *fd_out)
{
    int fd = above_standard(openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd < 0)
        return fd;
    int rc = file_grow(fd, bytes);
    if (rc != 0) {
        close(fd);
        unlinkat(dir_fd, name, 0);
        return rc;
    }
    *fd_out = fd;
    return 0;
}

/* Fresh pages are mapped read-only by some file systems until their first store: do it now. */
static void touch(void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += page_bytes())
        *(volatile char *)((char *)at + i) = 0;
}

int file_map(int fd, size_t bytes, bool populate, void **out)
{
    int flags = MAP_SHARED | (populate ? MAP_POPULATE : 0);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    if (populate)
        touch(at, bytes);
    *out = at;
    return 0;
}

int memory_map(size_t bytes, bool populate, void **out)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (populate ? MAP_POPULATE : 0);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (at == MAP_FAILED)
        return -errno;
    *out = at;
    return 0;
}

int wake_new(int *fd_out)
{
    int fd = above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd < 0)
        return fd;
    *fd_out = fd;
    return 0;
}

int lock_try(int fd)
{
    int rc;

    do
        rc = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;
    while (rc == -EINTR);
    return rc;
}

void word_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ms)
{
    struct timespec t = { .tv_sec = (time_t)(timeout_ms / 1000),
                          .tv_nsec = (long)(timeout_ms % 1000) * 1000000L };

    syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0);
}

void word_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool barrier_join(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool barrier_all(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

void random_bytes(void *out, size_t len)
{
    struct timespec t;
    uint64_t r;
    uint8_t *o = out;

    if (getrandom(out, len, GRND_NONBLOCK) == (ssize_t)len)
        return;
    clock_gettime(CLOCK_REALTIME, &t); /* early in a boot */
    r = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    r ^= (uint64_t)getpid() << 40 ^ (uintptr_t)&t;
    for (size_t i = 0; i < len; i++) {
        r = (r ^ r >> 29) * 0x9E3779B97F4A7C15u;
        o[i] = (uint8_t)(r >> 56);
    }
}

uint64_t random_epoch(void)
{
    uint64_t r;

    random_bytes(&r, sizeof r);
    r &= INT64_MAX;
    return r == 0 ? 1 : r;
}

uint64_t boot_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void boot_name(char out[40])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, 36) : -1;

    if (fd >= 0)
        close(fd);
    out[n == 36 ? 36 : 0] = '\0';
}

void thread_name(const char *name)
{
    pthread_setname_np(pthread_self(), name);
}
