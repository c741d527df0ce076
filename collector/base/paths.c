/* SPDX-License-Identifier: MIT */
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void paths_runtime(char *out, size_t size, const char *name)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");

    if (dir != NULL && dir[0] == '/')
        snprintf(out, size, "%s/tollgate/%s", dir, name);
    else
        snprintf(out, size, "/tmp/tollgate-%u/%s", (unsigned)getuid(), name);
}

void paths_state(char *out, size_t size, const char *name)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (state != NULL && state[0] == '/')
        snprintf(out, size, "%s/tollgate/%s", state, name);
    else if (home != NULL && home[0] == '/')
        snprintf(out, size, "%s/.local/state/tollgate/%s", home, name);
    else
        snprintf(out, size, "/var/lib/tollgate/%s", name);
}

int paths_make_parents(const char *path)
{
    char dir[PATHS_MAX];

    if (snprintf(dir, sizeof dir, "%s", path) >= (int)sizeof dir) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (char *at = strchr(dir + (dir[0] != '\0'), '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(dir, 0700) != 0 && errno != EEXIST)
            return -1;
        *at = '/';
    }
    return 0;
}

/* The one name that a file has, however many lead to it; also of one that is not there yet. False: too long.
 */
static bool real_name(const char *path, char out[PATHS_MAX])
{
    char dir[PATHS_MAX], *real = realpath(path, NULL);
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    int len;

    if (real != NULL) {
        len = snprintf(out, PATHS_MAX, "%s", real);
    } else {
        snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1,
                 slash != NULL ? path : ".");
        real = realpath(dir, NULL);
        len = real != NULL ? snprintf(out, PATHS_MAX, "%s/%s", real, name)
                           : snprintf(out, PATHS_MAX, "%s", path);
    }
    free(real);
    return len < PATHS_MAX;
}

int paths_lock(const char *path, char *error, size_t size)
{
    char real[PATHS_MAX], name[PATHS_MAX];
    int fd;

    if (!real_name(path, real) || snprintf(name, sizeof name, "%s-lock", real) >= (int)sizeof name) {
        snprintf(error, size, "%.200s...: the path is too long", path);
        return -1;
    }
    if ((fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0) {
        snprintf(error, size, "%.400s: %s", name, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    int why = errno;
    if (why == EWOULDBLOCK)
        snprintf(error, size, "%s is in use by another tollgated", path);
    else
        snprintf(error, size, "%.400s: %s", name, strerror(why));
    close(fd);
    errno = why;
    return -1;
}
