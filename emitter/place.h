/* SPDX-License-Identifier: MIT
 *
 * place.h: where things are on this machine when nobody says otherwise. Errors are negative errno.
 */
#ifndef EMITTER_PLACE_H
#define EMITTER_PLACE_H

#include <stddef.h>

#define PLACE_PATH_MAX 1024

/* The directory that holds all spools: dir, else $TOLLGATE_SPOOL_DIR, else the user's runtime
 * directory. */
int place_spool_dir(const char *dir, char out[PLACE_PATH_MAX]);

/* The collector's address: endpoint, else $TOLLGATE_ENDPOINT, else its ipc socket of this user. */
int place_endpoint(const char *endpoint, char out[PLACE_PATH_MAX]);

/* Name of this gateway: source, else $TOLLGATE_SOURCE, else the host's. At most 255 bytes. */
void place_source(const char *source, char out[256]);

/* Opens path as a directory that is ours alone to write (0700 if made here, parents too). */
int place_private_dir(const char *path, int *fd_out);

#endif
