/* SPDX-License-Identifier: MIT */
#include <langinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../base/clock.h"
#include "cli.h"

#define WIDTH_MIN     20
#define WIDTH_MAX     1000
#define SHOW_EVERY_US 200000
#define SPEED_FROM_US 1000000 /* before that a speed says little */

bool cli_colour(void)
{
    const char *no = getenv("NO_COLOR");

    return isatty(STDOUT_FILENO) && !(no && no[0]);
}

bool cli_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

unsigned cli_width(void)
{
    const char *columns = getenv("COLUMNS");
    long n = columns ? strtol(columns, NULL, 10) : 0;
    struct winsize size;

    if (n <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        n = size.ws_col;
    if (n <= 0)
        return 0;
    return n < WIDTH_MIN ? WIDTH_MIN : n > WIDTH_MAX ? WIDTH_MAX : (unsigned)n;
}

/* ----------------------------------------------------------------- progress */

void progress_start(struct progress *p, const char *what, human_fn human)
{
    int64_t now = mono_us();

    *p = (struct progress){ what, human, now, now, isatty(STDERR_FILENO), false };
}

/* How far of how much, how fast, how long still: as far as anybody knows. */
static void amounts_write(const struct progress *p, int64_t done, int64_t of, int64_t took_us)
{
    char so_far[CLI_TEXT], all[CLI_TEXT], speed[CLI_TEXT], left[CLI_TEXT];
    double per_us = took_us > 0 ? (double)done / (double)took_us : 0;

    p->human(done, so_far);
    p->human(of, all);
    p->human((int64_t)(per_us * 1e6), speed);
    fputs(so_far, stderr);
    if (of > 0)
        fprintf(stderr, " of %s (%d %%)", all, (int)(100.0 * (double)done / (double)of));
    if (took_us < SPEED_FROM_US || done <= 0)
        return;
    fprintf(stderr, ", %s/s", speed);
    human_ms((int64_t)((double)(of - done) / per_us / 1e3), left);
    if (of > done)
        fprintf(stderr, ", %s left", left);
}

void progress_show(struct progress *p, int64_t done, int64_t of)
{
    int64_t now = p->on ? mono_us() : 0;
    char took[CLI_TEXT];

    if (!p->on || now - p->shown_us < SHOW_EVERY_US)
        return;
    p->shown_us = now;
    p->shown = true;
    human_ms((now - p->begun_us) / 1000, took);
    fprintf(stderr, "\r\033[K%s: %s", p->what, p->human ? "" : took);
    if (p->human)
        amounts_write(p, done, of, now - p->begun_us);
    else if (of > 0)
        fprintf(stderr, ", %d %%", (int)(100.0 * (double)done / (double)of));
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->on = p->shown = false;
}

/* ------------------------------------------------------------------ signals */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

void cli_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART: waits end */

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_stopped(void)
{
    return stopped;
}
