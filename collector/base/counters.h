/* SPDX-License-Identifier: MIT
 *
 * counters.h: what the collector counts about itself, since it started. Any thread adds; readers
 * see each number whole. /metrics is made from this list: COUNTER is a total, GAUGE a level.
 */
#ifndef COLLECTOR_COUNTERS_H
#define COLLECTOR_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#define COLLECTOR_COUNTERS(COUNTER, GAUGE)                                                          \
    COUNTER(events_stored, "Events stored durably")                                                 \
    COUNTER(events_duplicate, "Events that were here before")                                       \
    COUNTER(events_replaced, "Partial records that a final one took the place of")                  \
    COUNTER(events_conflict, "Second final records that said something else; the first one stays")  \
    COUNTER(events_quarantined, "Events that could not be understood")                              \
    COUNTER(events_coarser, "Events told at a finer granularity too, stored but not summed")        \
    COUNTER(events_misdated, "Events from the far past or future, stored at their time of arrival") \
    COUNTER(quarantine_discarded, "Quarantined pieces that the quarantine had no room for")         \
    COUNTER(strings_repaired, "Strings that were not UTF-8")                                        \
    COUNTER(frames_received, "ZeroMQ messages received")                                            \
    COUNTER(frames_received_bytes, "Bytes of ZeroMQ messages received")                             \
    COUNTER(frames_unreadable, "ZeroMQ messages without a readable header, dropped")                \
    COUNTER(batches_refused, "Batches that can never be accepted")                                  \
    COUNTER(batches_gap, "Batches answered with gap: something before them is missing")             \
    COUNTER(batches_busy, "Batches answered with busy: the store could not write")                  \
    COUNTER(replies_dropped, "Replies that could not be delivered; the publisher will ask again")   \
    COUNTER(posts_busy, "HTTP ingest requests answered with 503: the queue was full")               \
    COUNTER(commits, "Transactions committed")                                                      \
    COUNTER(commit_microseconds, "Time spent in commits, fsync included")                           \
    COUNTER(commit_failures, "Transactions that failed and were rolled back")                       \
    COUNTER(checkpoints, "Checkpoints of the write-ahead log")                                      \
    GAUGE(queue_events, "Events waiting for the writer")                                            \
    GAUGE(queue_events_limit, "Events that may wait for the writer")                                \
    GAUGE(wal_bytes, "Size of the write-ahead log in use")                                          \
    GAUGE(store_writable, "1: the store takes events, 0: it does not (disk full, fault)")           \
    GAUGE(last_commit_unix_ms, "When the last transaction was committed")                           \
    GAUGE(projection_lag_events, "Events of the log that are not yet in the flushed rollups")       \
    GAUGE(streams_known, "Ordered streams in memory")                                               \
    GAUGE(ingest_lag_ms, "Age of the newest stored event when it was committed")

struct counters {
#define FIELD(name, help) _Atomic int64_t name;
    COLLECTOR_COUNTERS(FIELD, FIELD)
#undef FIELD
};

static inline void count_add(_Atomic int64_t *counter, int64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline void count_set(_Atomic int64_t *gauge, int64_t n)
{
    atomic_store_explicit(gauge, n, memory_order_relaxed);
}

static inline int64_t count_get(_Atomic int64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
