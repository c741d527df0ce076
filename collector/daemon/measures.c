/* SPDX-License-Identifier: MIT */
#include "measures.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "../../include/tollgate.h"

static void gauge(metric_fn emit, void *sink, const char *name, const char *help, int64_t value)
{
    emit(sink, &(struct metric){ .name = name, .help = help, .type = "gauge", .value = value });
}

static void build_emit(metric_fn emit, void *sink)
{
    emit(sink, &(struct metric){
                   .name = "tollgate_build_info",
                   .help = "Always 1; the labels say what is running.",
                   .type = "gauge",
                   .labels = { { "version", TG_VERSION }, { "sqlite", sqlite3_libversion() } },
                   .value = 1,
               });
}

/* The file and the file system it lies on. What cannot be read is left out. */
static void disk_emit(const char *database, metric_fn emit, void *sink)
{
    struct statvfs fs;

    if (statvfs(database, &fs) != 0)
        return;
    gauge(emit, sink, "tollgate_disk_bytes", "Size of the file system that holds the database.",
          (int64_t)fs.f_blocks * (int64_t)fs.f_frsize);
    gauge(emit, sink, "tollgate_disk_free_bytes", "Room left on the file system that holds the database.",
          (int64_t)fs.f_bavail * (int64_t)fs.f_frsize);
}

static void ages_emit(const struct retention_ages *ages, metric_fn emit, void *sink)
{
    static const char *const kinds[RETENTION_KINDS] = {
        [RETAIN_DISPATCH] = "dispatch", [RETAIN_MESSAGE] = "message",
        [RETAIN_REPORT] = "report",     [RETAIN_QUARANTINE] = "quarantine",
        [RETAIN_MINUTE] = "minute",     [RETAIN_QUARTER] = "quarter",
        [RETAIN_DAY] = "day",           [RETAIN_SESSION] = "session",
        [RETAIN_ALERT] = "alert",
    };

    for (int kind = 0; kind < RETENTION_KINDS; kind++) {
        int64_t ms = retention_age(ages, (enum retention_kind)kind);
        emit(sink, &(struct metric){ .name = "tollgate_retention_age_seconds",
                                     .help = "How long rows of this kind are kept; 0: for ever.",
                                     .type = "gauge",
                                     .labels = { { "kind", kinds[kind] } },
                                     .value = ms == RETENTION_FOREVER ? 0 : ms,
                                     .per = 1000 });
    }
}

/* ------------------------------------------------- the process, by the names that all exporters use */

static int64_t resident_bytes(void)
{
    long long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL)
        return 0;
    if (fscanf(f, "%lld %lld", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static int64_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t n = 0;

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 3; /* ".", "..", and the directory itself */
}

static void process_emit(metric_fn emit, void *sink)
{
    struct timespec cpu = { 0, 0 };

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    emit(sink, &(struct metric){ .name = "process_cpu_seconds_total",
                                 .help = "Processor time of this process.",
                                 .type = "counter",
                                 .value = (int64_t)cpu.tv_sec * 1000000 + cpu.tv_nsec / 1000,
                                 .per = 1000000 });
    gauge(emit, sink, "process_resident_memory_bytes", "Resident memory of this process.", resident_bytes());
    gauge(emit, sink, "process_open_fds", "Open files of this process.", open_files());
}

void measures_emit(const struct measures *from, metric_fn emit, void *sink)
{
    count_set(&from->counters->queue_events, (int64_t)queue_weight(from->queue));
    build_emit(emit, sink);
    counters_emit(from->counters, emit, sink);
    disk_emit(from->database, emit, sink);
    ages_emit(from->ages, emit, sink);
    process_emit(emit, sink);
    writer_emit(from->writer, emit, sink);
    notifier_emit(from->notifier, emit, sink);
}
