/* SPDX-License-Identifier: MIT
 *
 * paths.h: where a user's collector keeps its things if nothing else is said. Daemon and command line
 * must agree, so the rules stand here, and the lock on it. Any thread.
 */
#ifndef COLLECTOR_PATHS_H
#define COLLECTOR_PATHS_H

#include <stddef.h>

#define PATHS_MAX      4096
#define PATHS_DATABASE "tollgate.db"

/* $XDG_RUNTIME_DIR/tollgate/name, else under /tmp by user: gone after a reboot. */
void paths_runtime(char *out, size_t size, const char *name);

/* $XDG_STATE_HOME/tollgate/name, else ~/.local/state/tollgate/name, else /var/lib/tollgate/name. */
void paths_state(char *out, size_t size, const char *name);

/* Makes the directories above path, 0700 where there are none. 0 or -1 with errno. */
int paths_make_parents(const char *path);

/* Takes the lock that says that one process writes the database at path: path-lock, flock(2). It ends
 * with the descriptor, or the process. -1: error says why, in one line; errno is EWOULDBLOCK if another
 * process has it. */
int paths_lock(const char *path, char *error, size_t size);

#endif
