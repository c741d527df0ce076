/* SPDX-License-Identifier: MIT
 *
 * send_command.c: a program of the operator's, started without a shell, in a process group of its own that is
 * killed when its time is over. Its input is a file in memory, so that nobody has to write while it reads.
 * What it complains is read as it comes, and dropped but for the beginning, so that it never waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/log.h"
#include "send_work.h"

#define FILES_FIRST  3 /* of those that it does not get */
#define DEFAULT_PATH "PATH=/usr/local/bin:/usr/bin:/bin"
#define ENV_BYTES    64
#define READS        16 /* in a row: others wait too */

/* Its input: the message, from the beginning. */
static int input_of(const struct attempt *a)
{
    int fd = memfd_create("alert", MFD_CLOEXEC);
    size_t done = 0;
    ssize_t n = 0;

    while (fd >= 0 && done < a->len && (n = write(fd, a->body + done, a->len - done)) > 0)
        done += (size_t)n;
    if (fd >= 0 && (done < a->len || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int set_actions(posix_spawn_file_actions_t *actions, int input, int complaints)
{
    int rc;

    if ((rc = posix_spawn_file_actions_adddup2(actions, input, 0)) != 0 ||
        (rc = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0)) != 0 ||
        (rc = posix_spawn_file_actions_adddup2(actions, complaints, 2)) != 0)
        return rc;
    return posix_spawn_file_actions_addclosefrom_np(actions, FILES_FIRST);
}

/* The daemon's threads block signals; the command is to be as if a shell had started it. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    if ((rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSIGDEF)) != 0 ||
        (rc = posix_spawnattr_setpgroup(attributes, 0)) != 0 ||
        (rc = posix_spawnattr_setsigmask(attributes, &none)) != 0)
        return rc;
    return posix_spawnattr_setsigdefault(attributes, &all);
}

static int spawn(const struct destination *d, char *const env[], int input, int complaints, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc != 0)
        return rc;
    if ((rc = posix_spawnattr_init(&attributes)) == 0) {
        if ((rc = set_actions(&actions, input, complaints)) == 0 && (rc = set_attributes(&attributes)) == 0)
            rc = posix_spawnp(pid, d->arg[0], &actions, &attributes, d->arg, env);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int spawn_for(const struct destination *d, const struct payload_message *m, int input, int complaints,
                     pid_t *pid)
{
    char count[ENV_BYTES], severity[ENV_BYTES], kind[ENV_BYTES], path[4096];
    const char *here = getenv("PATH");
    char *env[] = { path, count, severity, kind, NULL };

    snprintf(count, sizeof count, "TOLLGATE_ALERT_COUNT=%zu", m->alerts);
    snprintf(severity, sizeof severity, "TOLLGATE_ALERT_SEVERITY=%s",
             severity_name((int)m->alert[0].severity));
    snprintf(kind, sizeof kind, "TOLLGATE_ALERT_KIND=%s", alert_kind_name((int)m->alert[0].kind));
    if (here == NULL || (size_t)snprintf(path, sizeof path, "PATH=%s", here) >= sizeof path)
        snprintf(path, sizeof path, DEFAULT_PATH);
    return spawn(d, env, input, complaints, pid);
}

void command_begin(struct attempt *a, const struct destination *d, const struct payload_message *m)
{
    int input = input_of(a), complaints[2] = { -1, -1 };

    if (input < 0 || pipe2(complaints, O_CLOEXEC) != 0) {
        attempt_end(a, SEND_FAILED, "it cannot be started: %s", strerror(errno));
    } else {
        int rc = spawn_for(d, m, input, complaints[1], &a->pid);
        if (rc != 0) {
            a->pid = 0;
            attempt_end(a, rc == EAGAIN || rc == ENOMEM ? SEND_FAILED : SEND_HELP, "it cannot be started: %s",
                        strerror(rc));
        }
    }
    if (input >= 0)
        close(input);
    if (complaints[1] >= 0)
        close(complaints[1]);
    a->complaints = complaints[0];
    if (complaints[0] >= 0)
        fcntl(complaints[0], F_SETFL, O_NONBLOCK);
    if (a->pid == 0) {
        command_kill(a); /* the files only */
        return;
    }
    a->deadline = mono_after(mono_now(), a->timeout_ms);
    a->pidfd = pidfd_open(a->pid, 0);
    if (a->pidfd < 0) { /* nobody could tell when it ends */
        attempt_end(a, SEND_FAILED, "it cannot be watched: %s", strerror(errno));
        command_kill(a);
    }
}

static void read_complaints(struct attempt *a)
{
    char drop[4096];
    ssize_t n;

    for (int i = 0; i < READS && a->complaints >= 0; i++) {
        if ((n = read(a->complaints, drop, sizeof drop)) < 0)
            return;
        if (n == 0) {
            close(a->complaints);
            a->complaints = -1;
            return;
        }
        size_t len = (size_t)n, room = sizeof a->said - a->said_len;
        memcpy(a->said + a->said_len, drop, len < room ? len : room);
        a->said_len += len < room ? len : room;
    }
}

static void end(struct attempt *a, int status)
{
    char said[4 * ANSWER_SHOWN] = "";
    const char *colon = a->said_len > 0 && !a->killed ? ": " : "";

    if (*colon != '\0')
        log_quote(a->said, a->said_len, said, sizeof said);
    if (a->killed)
        attempt_end(a, SEND_FAILED, "it took longer than %lld ms and was killed", (long long)a->timeout_ms);
    else if (WIFSIGNALED(status))
        attempt_end(a, SEND_FAILED, "signal %d ended it%s%s", WTERMSIG(status), colon, said);
    else if (WEXITSTATUS(status) != 0)
        attempt_end(a, SEND_FAILED, "it ended with status %d%s%s", WEXITSTATUS(status), colon, said);
    else
        attempt_end(a, SEND_TOLD, "%s", "");
}

static void close_files(struct attempt *a)
{
    if (a->pidfd >= 0)
        close(a->pidfd);
    if (a->complaints >= 0)
        close(a->complaints);
    a->pidfd = a->complaints = -1;
}

void command_look(struct attempt *a)
{
    int status;

    read_complaints(a);
    if (waitpid(a->pid, &status, WNOHANG) == a->pid) {
        a->pid = 0;
        read_complaints(a);
        close_files(a);
        end(a, status);
    } else if (!a->killed && mono_left(a->deadline) == 0) {
        kill(-a->pid, SIGKILL);
        a->killed = true; /* its file says when it is gone */
    }
}

void command_kill(struct attempt *a)
{
    if (a->pid > 0) {
        kill(-a->pid, SIGKILL);
        while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        a->pid = 0;
    }
    close_files(a);
}
