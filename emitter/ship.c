/* SPDX-License-Identifier: MIT
 *
 * ship.c: tollgate-ship, the sender as a process of its own: for gateways that load
 * libtollgate-core, and for what dead gateways left behind.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "place.h"
#include "sender.h"
#include "tollgate.h"

static const char help[] =
    "usage: tollgate-ship [--endpoint E] [--spool-dir D] [--source S] [--once] [--help] [--version]\n"
    "\n"
    "Sends what gateways wrote to their spools: those in spool mode, and those that were killed.\n"
    "\n"
    "  --endpoint E   the collector (default: $TOLLGATE_ENDPOINT, else this user's ipc socket)\n"
    "  --spool-dir D  where the spools are (default: $TOLLGATE_SPOOL_DIR, else the runtime directory)\n"
    "  --source S     only spools of this source\n"
    "  --once         stop when no left-over of a dead gateway is left\n"
    "  --help         this text\n"
    "  --version      the version\n";

struct settings {
    const char *endpoint, *dir, *source;
    bool once;
};

/* 0: go on; otherwise the exit status + 1. */
static int parse(int argc, char **argv, struct settings *out)
{
    static const struct option options[] = {
        { "endpoint", required_argument, NULL, 'e' },
        { "spool-dir", required_argument, NULL, 'd' },
        { "source", required_argument, NULL, 's' },
        { "once", no_argument, NULL, 'o' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'e':
            out->endpoint = optarg;
            break;
        case 'd':
            out->dir = optarg;
            break;
        case 's':
            out->source = optarg;
            break;
        case 'o':
            out->once = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 1;
        case 'v':
            printf("tollgate-ship %s\n", TG_VERSION);
            return 1;
        default:
            return 3; /* getopt has said what was wrong */
        }
    }
    if (optind == argc)
        return 0;
    fprintf(stderr, "tollgate-ship: unexpected argument '%s'\n", argv[optind]);
    return 3;
}

static void log_line(void *arg, const char *event, const char *spool, int64_t number)
{
    (void)arg;
    if (number < 0)
        fprintf(stderr, "event=%s error=\"%s\"\n", event, strerror((int)-number));
    else if (number > 0)
        fprintf(stderr, "event=%s spool=%s pid=%" PRId64 "\n", event, spool, number);
    else
        fprintf(stderr, "event=%s spool=%s\n", event, spool);
}

/* TERM and INT become readable; every other thread inherits the mask. */
static int signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int fail(const char *what, const char *value, int error)
{
    fprintf(stderr, "tollgate-ship: %s '%s': %s\n", what, value, strerror(-error));
    return error == -EINVAL ? 2 : 1;
}

int main(int argc, char **argv)
{
    char endpoint[PLACE_PATH_MAX] = "", dir[PLACE_PATH_MAX] = "";
    struct settings set = { NULL, NULL, NULL, false };
    int dir_fd;

    int rc = parse(argc, argv, &set);
    if (rc != 0)
        return rc - 1;
    rc = place_endpoint(set.endpoint, endpoint);
    if (rc != 0)
        return fail("endpoint", set.endpoint != NULL ? set.endpoint : endpoint, rc);
    rc = place_spool_dir(set.dir, dir);
    if (rc == 0)
        rc = place_private_dir(dir, &dir_fd);
    if (rc != 0)
        return fail("spool directory", set.dir != NULL ? set.dir : dir, rc);
    close(dir_fd);
    struct sender_options o = { .endpoint = endpoint,
                                .dir = dir,
                                .source = set.source,
                                .once = set.once,
                                .stop_fd = signals(),
                                .log = log_line };
    fprintf(stderr, "event=start version=%s endpoint=%s spool_dir=%s\n", TG_VERSION, endpoint, dir);
    rc = sender_run(&o);
    if (rc != 0)
        return fail("endpoint", endpoint, rc);
    fprintf(stderr, "event=stop\n");
    return 0;
}
