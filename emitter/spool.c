/* SPDX-License-Identifier: MIT
 *
 * spool.c: the directory of an emitter.
 *
 *     SPOOL_DIR/SOURCE.EPOCH/header   struct spool_header, mapped by all who have to do with it
 *                            wake     FIFO: a byte in it wakes the sender
 *                            s0 ...   segments (ring.c); the stream number is the file's
 * Locks (flock): on the directory while the emitter lives; on `header` by whoever sends. They belong
 * to open files, so a kill frees them.
 * Invariants:
 *  - A directory appears under its name complete (made as .new.*, then renamed) and disappears
 *    whole (renamed to .old.*, then emptied), so nobody meets half of one.
 *  - head->segments grows after the segment is ready; nothing of a spool ever shrinks.
 *  - Every byte of a file was allocated when it was made: no store can fail.
 */
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux.h"
#include "place.h"
#include "record.h"

#define HEADER_MAGIC  0x316c6f6f70736774u /* "tgspool1" */
#define HEADER_FORMAT 1u
#define HEADER_BYTES  ((sizeof(struct spool_header) + 4095) & ~(size_t)4095)
#define NEW_TRIES     8

size_t spool_source_name(const char *source, char *out, size_t room)
{
    size_t n = 0;

    for (; source[n] != '\0' && n + 1 < room; n++) {
        char c = source[n];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        out[n] = plain ? c : '_';
    }
    out[n] = '\0';
    return n;
}

bool spool_name_valid(const char *name)
{
    size_t len = strlen(name);

    if (name[0] == '.' || len < 18 || len >= SPOOL_NAME_MAX || name[len - 17] != '.')
        return false;
    return strspn(name + len - 16, "0123456789abcdef") == 16;
}

static void segment_file_name(uint32_t i, char out[16])
{
    snprintf(out, 16, "s%u", i);
}

static size_t segment_bytes(const struct spool *s, uint32_t i)
{
    return i == 0 ? SPOOL_REPORT_BYTES : (size_t)s->head->segment_bytes;
}

/* ---------------------------------------------------------------- making one */

static int segment_file(struct spool *s, uint32_t i, size_t bytes, struct ring **out)
{
    char name[16];
    void *at;
    int fd;

    segment_file_name(i, name);
    int rc = file_new(s->dir_fd, name, bytes, &fd);
    if (rc != 0)
        return rc;
    rc = file_map(fd, bytes, true, &at);
    close(fd);
    if (rc != 0) {
        unlinkat(s->dir_fd, name, 0);
        return rc;
    }
    *out = ring_init(at, bytes, i);
    return 0;
}

int spool_add_segment(struct spool *s, size_t bytes, uint32_t *out)
{
    uint32_t i = atomic_load(&s->head->segments);
    int rc = -ENOTDIR;
    void *at;

    if (i >= SPOOL_SEGMENTS_MAX)
        return -ENOSPC;
    if (s->dir_fd >= 0) {
        rc = segment_file(s, i, bytes, &s->ring[i]);
        if (rc != 0)
            atomic_store(&s->head->last_error, -rc);
    }
    if (rc != 0) {
        if (memory_map(bytes, true, &at) != 0)
            return -ENOMEM;
        s->ring[i] = ring_init(at, bytes, i);
        atomic_store(&s->head->in_memory, 1);
    }
    atomic_store(&s->head->segments, i + 1);
    *out = i;
    return 0;
}

static void header_init(struct spool_header *h, const struct spool_options *o, uint64_t epoch)
{
    h->format = HEADER_FORMAT;
    h->bytes = sizeof *h;
    h->epoch = epoch;
    h->segment_bytes = o->segment_bytes;
    h->pid = (int32_t)getpid();
    h->evict = o->evict;
    h->report_ms = o->report_ms;
    h->linger_ms = o->linger_ms;
    atomic_store(&h->fence, !barrier_join() || !barrier_all());
    snprintf(h->source, sizeof h->source, "%s", o->source);
    snprintf(h->gateway, sizeof h->gateway, "%s", o->gateway != NULL ? o->gateway : "");
    snprintf(h->gateway_version, sizeof h->gateway_version, "%s",
             o->gateway_version != NULL ? o->gateway_version : "");
    h->magic = HEADER_MAGIC;
}

static struct spool *spool_empty(void)
{
    struct spool *s = calloc(1, sizeof *s);

    if (s != NULL)
        s->root_fd = s->dir_fd = s->header_fd = s->wake_fd = -1;
    return s;
}

static int header_file(struct spool *s, const struct spool_options *o, uint64_t epoch)
{
    void *at;
    int rc = file_new(s->dir_fd, "header", HEADER_BYTES, &s->header_fd);

    if (rc == 0)
        rc = file_map(s->header_fd, HEADER_BYTES, true, &at);
    if (rc != 0)
        return rc;
    s->head = at;
    header_init(s->head, o, epoch);
    return o->send ? lock_try(s->header_fd) : 0;
}

static int wake_open(struct spool *s)
{
    int fd = above_standard(openat(s->dir_fd, "wake", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0)
        return fd;
    s->wake_fd = fd;
    return 0;
}

static int wake_file(struct spool *s)
{
    if (mkfifoat(s->dir_fd, "wake", 0600) != 0)
        return -errno;
    return wake_open(s);
}

/* True if the directory under fd still stands somewhere. */
static bool linked(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* Makes and locks SPOOL_DIR/temporary. Between the two a sweeper may have taken it for rubbish. */
static int directory_new(struct spool *s, const char *temporary)
{
    if (mkdirat(s->root_fd, temporary, 0700) != 0)
        return -errno;
    s->dir_fd = openat(s->root_fd, temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (s->dir_fd < 0)
        return errno == ENOENT ? -EAGAIN : -errno;
    int rc = lock_try(s->dir_fd);
    if (rc == -EWOULDBLOCK || (rc == 0 && !linked(s->dir_fd)))
        rc = -EAGAIN;
    return rc;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void unmap(struct spool *s)
{
    for (uint32_t i = 0; i < SPOOL_SEGMENTS_MAX; i++)
        if (s->ring[i] != NULL)
            munmap(s->ring[i], s->ring[i]->cap + RING_DATA);
    memset(s->ring, 0, sizeof s->ring);
    if (s->head != NULL)
        munmap(s->head, HEADER_BYTES);
    s->head = NULL;
}

/* Removes the files of the directory under dir_fd and the directory itself. */
static void directory_remove(int root_fd, int dir_fd, const char *name)
{
    char file[16];

    for (uint32_t i = 0; i < SPOOL_SEGMENTS_MAX; i++) {
        segment_file_name(i, file);
        unlinkat(dir_fd, file, 0);
    }
    unlinkat(dir_fd, "wake", 0);
    unlinkat(dir_fd, "header", 0);
    unlinkat(root_fd, name, AT_REMOVEDIR);
}

static int fill_directory(struct spool *s, const struct spool_options *o, uint64_t epoch)
{
    uint32_t i;
    int rc = header_file(s, o, epoch);

    if (rc == 0)
        rc = wake_file(s);
    if (rc == 0)
        rc = spool_add_segment(s, SPOOL_REPORT_BYTES, &i);
    if (rc == 0 && atomic_load(&s->head->in_memory) != 0)
        rc = -atomic_load(&s->head->last_error);
    return rc;
}

static int in_directory_once(struct spool *s, const struct spool_options *o)
{
    char source[SPOOL_NAME_MAX - 32], temporary[SPOOL_NAME_MAX];
    uint64_t epoch = random_epoch();

    spool_source_name(o->source, source, sizeof source);
    snprintf(s->name, sizeof s->name, "%s.%016" PRIx64, source, epoch);
    snprintf(temporary, sizeof temporary, ".new.%016" PRIx64, epoch);
    int rc = directory_new(s, temporary);
    if (rc == 0)
        rc = fill_directory(s, o, epoch);
    if (rc == 0 && renameat(s->root_fd, temporary, s->root_fd, s->name) != 0)
        rc = errno == ENOENT ? -EAGAIN : -errno;
    if (rc == 0)
        return 0;
    unmap(s);
    if (s->dir_fd >= 0)
        directory_remove(s->root_fd, s->dir_fd, temporary);
    close_fd(&s->header_fd);
    close_fd(&s->wake_fd);
    close_fd(&s->dir_fd);
    return rc;
}

static int in_directory(struct spool *s, const struct spool_options *o)
{
    int rc = place_private_dir(o->dir, &s->root_fd);

    if (rc == 0)
        rc = file_system_check(s->root_fd);
    if (rc == 0)
        rc = -EAGAIN;
    for (int i = 0; i < NEW_TRIES && rc == -EAGAIN; i++)
        rc = in_directory_once(s, o);
    if (rc != 0)
        close_fd(&s->root_fd);
    return rc;
}

static int in_memory(struct spool *s, const struct spool_options *o, int error)
{
    uint32_t i;
    void *at;
    int rc = wake_new(&s->wake_fd);

    if (rc == 0)
        rc = memory_map(HEADER_BYTES, true, &at);
    if (rc != 0)
        return rc;
    s->head = at;
    s->name[0] = '\0';
    header_init(s->head, o, random_epoch());
    atomic_store(&s->head->last_error, error);
    return spool_add_segment(s, SPOOL_REPORT_BYTES, &i);
}

int spool_new(const struct spool_options *o, struct spool **out)
{
    struct spool *s = spool_empty();

    if (s == NULL)
        return -ENOMEM;
    int rc = o->dir != NULL ? in_directory(s, o) : -ENOTDIR;
    if (rc != 0)
        rc = in_memory(s, o, -rc);
    if (rc != 0) {
        spool_close(s, false);
        return rc;
    }
    *out = s;
    return 0;
}

/* ------------------------------------------------------------- somebody else's */

static int open_locked(struct spool *s)
{
    struct stat st;

    int fd = above_standard(openat(s->dir_fd, "header", O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0)
        return fd;
    s->header_fd = fd;
    int rc = lock_try(s->header_fd);
    if (rc != 0)
        return rc;
    if (fstat(s->header_fd, &st) != 0 || st.st_nlink == 0)
        return -ENOENT;
    return st.st_size != (off_t)HEADER_BYTES ? -EBADMSG : 0;
}

static bool ends(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static bool header_valid(const struct spool *s)
{
    const struct spool_header *h = s->head;
    char epoch[20];

    snprintf(epoch, sizeof epoch, "%016" PRIx64, h->epoch);
    return h->magic == HEADER_MAGIC && h->format == HEADER_FORMAT && h->bytes == sizeof *h &&
           strcmp(epoch, s->name + strlen(s->name) - 16) == 0 && h->segment_bytes >= RING_BYTES_MIN &&
           h->segment_bytes <= RING_BYTES_MAX && h->source[0] != '\0' && ends(h->source, sizeof h->source) &&
           ends(h->gateway, sizeof h->gateway) && ends(h->gateway_version, sizeof h->gateway_version) &&
           atomic_load(&h->segments) <= SPOOL_SEGMENTS_MAX && atomic_load(&h->counts) <= SPOOL_COUNTS_MAX;
}

static int take(struct spool *s)
{
    void *at;

    s->dir_fd = openat(s->root_fd, s->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (s->dir_fd < 0)
        return -errno;
    int rc = open_locked(s);
    if (rc == 0)
        rc = wake_open(s);
    if (rc == 0)
        rc = file_map(s->header_fd, HEADER_BYTES, false, &at);
    if (rc != 0)
        return rc;
    s->head = at;
    return header_valid(s) ? 0 : -EBADMSG;
}

int spool_take(int root_fd, const char *name, struct spool **out)
{
    struct spool *s = spool_empty();

    if (s == NULL)
        return -ENOMEM;
    snprintf(s->name, sizeof s->name, "%s", name);
    s->root_fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
    int rc = s->root_fd < 0 ? -errno : take(s);
    if (rc != 0) {
        spool_close(s, false);
        return rc;
    }
    *out = s;
    return 0;
}

static int segment_open(const struct spool *s, uint32_t i, struct ring **out)
{
    struct stat st;
    char name[16];
    void *at;
    size_t bytes = segment_bytes(s, i);

    segment_file_name(i, name);
    int fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ELOOP ? -EBADMSG : -errno;
    int rc = fstat(fd, &st) != 0 ? -errno : 0;
    if (rc == 0 && st.st_size != (off_t)bytes)
        rc = -EBADMSG;
    if (rc == 0)
        rc = file_map(fd, bytes, false, &at);
    close(fd);
    if (rc != 0)
        return rc;
    rc = ring_check(at, bytes, i);
    if (rc != 0) {
        munmap(at, bytes);
        return rc;
    }
    *out = at;
    return 0;
}

int spool_segment(struct spool *s, uint32_t i, struct ring **out)
{
    int rc = 0;

    if (i >= atomic_load(&s->head->segments))
        return -ENOENT;
    if (s->ring[i] == NULL)
        rc = s->dir_fd >= 0 ? segment_open(s, i, &s->ring[i]) : -ENOENT;
    *out = s->ring[i];
    return rc;
}

struct ring *spool_ring(struct spool *s, uint32_t i)
{
    struct ring *ring;

    return spool_segment(s, i, &ring) == 0 ? ring : NULL;
}

/* All segments that are there, or none: one that were opened later would not have been recovered. */
static int open_all(struct spool *s, uint32_t *missing)
{
    struct ring *ring;

    *missing = 0;
    for (uint32_t i = 0; i < atomic_load(&s->head->segments); i++) {
        int rc = spool_segment(s, i, &ring);
        if (rc != 0 && !spool_segment_lost(rc))
            return rc;
        *missing += rc != 0;
    }
    return 0;
}

int spool_owner_gone(struct spool *s)
{
    if (s->left_over)
        return 1;
    if (lock_try(s->dir_fd) != 0)
        return 0;
    int rc = open_all(s, &s->missing);
    if (rc != 0)
        return rc;
    s->left_over = true;
    for (uint32_t i = 0; i < SPOOL_SEGMENTS_MAX; i++)
        if (s->ring[i] != NULL)
            atomic_fetch_add(&s->head->dropped_damaged, ring_recover(s->ring[i], record_readable));
    return 1;
}

void spool_close(struct spool *s, bool remove)
{
    char old[SPOOL_NAME_MAX];

    if (s == NULL)
        return;
    if (remove && s->dir_fd >= 0) {
        snprintf(old, sizeof old, ".old.%.16s", s->name + strlen(s->name) - 16);
        if (renameat(s->root_fd, s->name, s->root_fd, old) == 0)
            directory_remove(s->root_fd, s->dir_fd, old);
    }
    unmap(s);
    close_fd(&s->wake_fd);
    close_fd(&s->header_fd);
    close_fd(&s->dir_fd);
    close_fd(&s->root_fd);
    free(s);
}

void spool_sweep(int root_fd, const char *name)
{
    if (strncmp(name, ".new.", 5) != 0 && strncmp(name, ".old.", 5) != 0)
        return;
    int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (lock_try(fd) == 0)
        directory_remove(root_fd, fd, name);
    close(fd);
}

/* --------------------------------------------------------------- words, totals */

void spool_wake(const struct spool *s)
{
    const uint64_t one = 1; /* what an eventfd wants; a full FIFO wakes as well */

    if (write(s->wake_fd, &one, sizeof one) < 0)
        return;
}

void spool_progress(struct spool *s)
{
    atomic_fetch_add(&s->head->progress, 1);
    if (atomic_load(&s->head->flushing) > 0)
        word_wake(&s->head->progress);
}

uint64_t spool_losses(const struct spool_header *h)
{
    return atomic_load(&h->dropped_full) + atomic_load(&h->dropped_evicted) +
           atomic_load(&h->dropped_too_big) + atomic_load(&h->dropped_damaged) +
           atomic_load(&h->dropped_refused);
}

void spool_totals(struct spool *s, struct spool_totals *out)
{
    const struct spool_header *h = s->head;
    struct spool_totals t = { 0 };
    uint64_t gone = 0;

    for (uint32_t i = 0; i < atomic_load(&h->segments); i++) {
        const struct ring *r = spool_ring(s, i);
        if (r == NULL)
            continue;
        struct place tail = ring_tail(r), head = ring_head(r);
        t.bytes += r->cap + RING_DATA;
        if (head.seq > tail.seq)
            t.used_bytes += ring_distance(r, tail, head);
        if (i == 0)
            continue;
        t.emitted += head.seq;
        gone += tail.seq;
    }
    uint64_t lost = atomic_load(&h->dropped_evicted) + atomic_load(&h->dropped_damaged) +
                    atomic_load(&h->dropped_refused);
    t.settled = gone > lost ? gone - lost : 0;
    t.pending = t.emitted > gone ? t.emitted - gone : 0;
    *out = t;
}
