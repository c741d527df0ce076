/* SPDX-License-Identifier: MIT
 *
 * place.c: default addresses and private directories. No state; any thread.
 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "record.h"

static const char *first(const char *given, const char *variable)
{
    if (given == NULL || *given == '\0')
        given = getenv(variable);
    return given != NULL && *given != '\0' ? given : NULL;
}

/* The user's runtime directory, or NULL. */
static const char *runtime_dir(void)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");

    return dir != NULL && *dir == '/' ? dir : NULL;
}

static int fits(int n)
{
    return n < 0 || n >= PLACE_PATH_MAX ? -ENAMETOOLONG : 0;
}

int place_spool_dir(const char *dir, char out[PLACE_PATH_MAX])
{
    dir = first(dir, "TOLLGATE_SPOOL_DIR");
    if (dir != NULL)
        return fits(snprintf(out, PLACE_PATH_MAX, "%s", dir));
    if (runtime_dir() != NULL)
        return fits(snprintf(out, PLACE_PATH_MAX, "%s/tollgate/spool", runtime_dir()));
    return fits(snprintf(out, PLACE_PATH_MAX, "/dev/shm/tollgate-%u/spool", (unsigned)geteuid()));
}

static int endpoint_check(const char *endpoint)
{
    const size_t path_max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;

    if (strncmp(endpoint, "ipc://", 6) == 0)
        return endpoint[6] == '\0' || strlen(endpoint + 6) > path_max ? -EINVAL : 0;
    if (strncmp(endpoint, "tcp://", 6) == 0)
        return strchr(endpoint + 6, ':') == NULL ? -EINVAL : 0;
    return -EINVAL;
}

/* /tmp is everybody's: whoever makes the directory first gets the events, so it has to be us. */
static int endpoint_in_tmp(char out[PLACE_PATH_MAX])
{
    int fd = -1;
    int rc = fits(snprintf(out, PLACE_PATH_MAX, "/tmp/tollgate-%u", (unsigned)geteuid()));

    if (rc == 0)
        rc = place_private_dir(out, &fd);
    if (rc != 0 || fd < 0)
        return rc;
    close(fd);
    return fits(snprintf(out, PLACE_PATH_MAX, "ipc:///tmp/tollgate-%u/events.sock", (unsigned)geteuid()));
}

int place_endpoint(const char *endpoint, char out[PLACE_PATH_MAX])
{
    int rc;

    endpoint = first(endpoint, "TOLLGATE_ENDPOINT");
    if (endpoint != NULL)
        rc = fits(snprintf(out, PLACE_PATH_MAX, "%s", endpoint));
    else if (runtime_dir() != NULL)
        rc = fits(snprintf(out, PLACE_PATH_MAX, "ipc://%s/tollgate/events.sock", runtime_dir()));
    else
        rc = endpoint_in_tmp(out);
    return rc != 0 ? rc : endpoint_check(out);
}

void place_source(const char *source, char out[256])
{
    char host[256] = "";
    uint64_t cut = 0;

    source = first(source, "TOLLGATE_SOURCE");
    if (source == NULL) {
        gethostname(host, sizeof host - 1);
        source = host[0] != '\0' ? host : "unnamed";
    }
    size_t len = record_text_len(source, &cut);
    memcpy(out, source, len);
    out[len] = '\0';
}

/* Makes what is missing of path, each part ours alone. */
static int make_parents(const char *path)
{
    char part[PLACE_PATH_MAX];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof part)
        return len == 0 ? -ENOENT : -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char keep = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return -errno;
        part[i] = keep;
    }
    return 0;
}

int place_private_dir(const char *path, int *fd_out)
{
    struct stat st;
    int rc = make_parents(path);

    if (rc != 0)
        return rc;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0)
        rc = -errno;
    else if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        rc = -EPERM;
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *fd_out = fd;
    return 0;
}
