/* SPDX-License-Identifier: MIT
 *
 * linux.h: what only Linux offers, in one place. A port to another system is another file with
 * these functions. Errors are negative errno values.
 */
#ifndef EMITTER_LINUX_H
#define EMITTER_LINUX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One word on a page that the kernel wipes in a forked child: tells parent from child by a load. */
enum {
    GUARD_FORKED = 0, /* what a wiped page reads as */
    GUARD_OPEN = 1,
    GUARD_CLOSING = 2,
    GUARD_ASK = 3 /* the kernel cannot wipe pages: ask getpid each time */
};
struct guard {
    _Atomic uint32_t state;
    int32_t pid;
};

int guard_new(struct guard **out);
void guard_free(struct guard *g);
/* GUARD_OPEN, GUARD_CLOSING or GUARD_FORKED, GUARD_ASK resolved. */
uint32_t guard_ask(const struct guard *g);

/* 0 if a file system keeps what was preallocated (a store into it never raises SIGBUS). */
int file_system_check(int fd);

/* Makes a new file of so many bytes, all of them allocated. The descriptor is the caller's. */
int file_new(int dir_fd, const char *name, size_t bytes, int *fd_out);

/* Maps an open file for reading and writing; populate: with every page faulted in. */
int file_map(int fd, size_t bytes, bool populate, void **out);

/* The same from anonymous memory, zeroed. */
int memory_map(size_t bytes, bool populate, void **out);

/* Makes an open file at least so long, with every byte allocated. */
int file_grow(int fd, size_t bytes);

/* A descriptor that wakes a poll when 8 bytes are written to it: without a name. */
int wake_new(int *fd_out);

/* The same open file under a number above 2: a host that has closed its standard descriptors and
 * writes to them all the same must not write into ours. Takes fd, gives fd or another or -errno. */
int above_standard(int fd);

/* Takes an exclusive lock without waiting: 0, -EWOULDBLOCK, or another error. */
int lock_try(int fd);

/* Wait until *word differs from seen, at most timeout_ms; wake all who wait, in any process. */
void word_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ms);
void word_wake(_Atomic uint32_t *word);

/* A barrier paid by one side. A process that called barrier_join may store, then load without a
 * fence; a process that stores, calls barrier_all and then loads sees one of the two orders, as if
 * both had fences. Each returns false where the kernel cannot: then both need fences. */
bool barrier_join(void);
bool barrier_all(void);

/* Random bytes that no other process, a forked child included, has. */
void random_bytes(void *out, size_t len);

/* Milliseconds since the machine started, sleep included. */
uint64_t boot_ms(void);

/* Names this boot of the machine: 36 characters; "" where nobody knows. */
void boot_name(char out[40]);

/* Random bits for an epoch: never 0, at most 63. */
uint64_t random_epoch(void);

/* A name for the calling thread, for people who look at it. */
void thread_name(const char *name);

#endif
