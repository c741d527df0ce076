/* SPDX-License-Identifier: MIT
 *
 * The write-ahead log and who holds it. SQLite's shared memory file says how far the log is written
 * back and where readers stand; its locks say which processes they are. The layout is documented
 * ("WAL-mode file format"). The file is looked at while no connection of ours is open: closing it
 * would take our own locks away.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

#define READERS    5
#define MX_FRAME   16  /* where the header has the number of frames */
#define BACKFILLED 96  /* where the frames written back are counted */
#define READ_MARKS 100 /* where each reader slot's frame is */
#define READ_LOCKS 123 /* the byte that the first reader slot locks */
#define SHM_BYTES  136
#define WARN_BYTES (512LL << 20)
#define HELD_BYTES (96LL << 20) /* three times what the collector lets it grow to by itself */

struct reader {
    bool found;
    pid_t pid;       /* 0: out of our sight */
    uint32_t behind; /* pages that were written since what it reads */
};

static uint32_t number_at(const unsigned char *shm, size_t at)
{
    uint32_t n;

    memcpy(&n, shm + at, sizeof n); /* in the machine's own order */
    return n;
}

/* The reader that stands furthest behind, which is in the way of a new beginning. */
static struct reader holder_find(const char *database)
{
    struct reader found = { .found = false };
    unsigned char shm[SHM_BYTES];
    char name[CLI_PATH + 8];

    snprintf(name, sizeof name, "%s-shm", database);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && read(fd, shm, sizeof shm) == (ssize_t)sizeof shm;
    for (int i = 0; ok && i < READERS; i++) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = READ_LOCKS + i, .l_len = 1
        };
        uint32_t mark = number_at(shm, i == 0 ? BACKFILLED : READ_MARKS + 4 * (size_t)i);
        uint32_t frames = number_at(shm, MX_FRAME), behind = mark < frames ? frames - mark : 0;
        if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && behind > found.behind)
            found = (struct reader){ true, lock.l_pid, behind };
    }
    if (fd >= 0)
        close(fd);
    return found;
}

/* "process 4711 (sqlite3)" */
static void who_is(const struct doctor *d, pid_t pid, char *out, size_t size)
{
    char path[64], name[32] = "?";

    if (pid == 0 || pid == json_integer_value(json_object_get(d->version, "pid"))) {
        snprintf(out, size, "%s", pid ? "a query of the collector" : "a process in another container");
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f && fgets(name, sizeof name, f))
        name[strcspn(name, "\n")] = 0;
    if (f)
        fclose(f);
    snprintf(out, size, "process %d (%s)", (int)pid, name);
}

/* What the log holds now, and how large its file once had to be. -1: not known. */
static void bytes_read(const struct doctor *d, int64_t *in_use, int64_t *file)
{
    double told = exposition_sum(d->metrics, "tollgate_wal_bytes");
    char name[CLI_PATH + 8];
    struct stat st;

    snprintf(name, sizeof name, "%s-wal", doctor_said(d, "database"));
    *file = cli_is_local(&d->c) && stat(name, &st) == 0 ? st.st_size : -1;
    *in_use = told >= 0 ? (int64_t)told : *file;
}

static void held_tell(struct doctor *d, enum verdict v, const char *size)
{
    struct reader r = { .found = false };
    char who[96];

    if (cli_is_local(&d->c))
        r = holder_find(doctor_said(d, "database"));
    who_is(d, r.pid, who, sizeof who);
    if (r.found)
        doctor_tell(d, v, "wal",
                    "the write-ahead log has %s, because %s still reads what was there %" PRIu32
                    " pages ago: it grows until that ends",
                    size, who, r.behind);
    else
        doctor_tell(d, v, "wal", "the write-ahead log has %s, and no reader that holds it can be seen now",
                    size);
}

void doctor_wal(struct doctor *d)
{
    char size[CLI_TEXT], once[CLI_TEXT];
    int64_t in_use, file;

    bytes_read(d, &in_use, &file);
    if (in_use < 0)
        return;
    doctor_fact(d, "wal_bytes", in_use);
    human_bytes(in_use, size);
    human_bytes(file, once);
    if (in_use >= HELD_BYTES)
        held_tell(d, in_use >= WARN_BYTES ? VERDICT_WARN : VERDICT_OK, size);
    else if (file > HELD_BYTES)
        doctor_tell(d, VERDICT_OK, "wal",
                    "the write-ahead log has %s; its file was %s once, which is used again", size, once);
    else
        doctor_tell(d, VERDICT_OK, "wal", "the write-ahead log has %s", size);
}
