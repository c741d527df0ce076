/* SPDX-License-Identifier: MIT
 *
 * bench_alert.c: begins what alert.py times to its end. For each line on its input it does one thing, and
 * prints when that began: nanoseconds of the monotonic clock, which all processes share.
 *
 *     bench_alert emit ENDPOINT SPOOL_DIR   a tg_dispatch_complete of agent alert-N
 *     bench_alert post URL FOLDER BYTES     an fdatasync of 4 KiB in the folder, then a POST of so many bytes
 * by libcurl, over one connection
 *
 * A random pause before each keeps it from falling in step with what the collector does by the clock.
 */
#include <curl/curl.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../include/tollgate.h"

#define TIMEOUT_MS 10000
#define PAUSE_NS   8000000
#define PAGE       4096
#define BYTES_MAX  65536

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_alert: %s\n", what);
    exit(1);
}

static bool next_round(void)
{
    char line[16];

    if (fgets(line, sizeof line, stdin) == NULL)
        return false;
    nanosleep(&(struct timespec){ 0, rand() % PAUSE_NS }, NULL);
    return true;
}

static void say(int64_t begun_ns)
{
    printf("%" PRId64 "\n", begun_ns);
    fflush(stdout);
}

static void emit(const char *endpoint, const char *spool_dir)
{
    struct tg_options opt = TG_OPTIONS_INIT;
    tg_emitter *tg;
    char agent[32];

    opt.endpoint = endpoint;
    opt.source = "bench-alert";
    opt.spool_dir = spool_dir;
    if (tg_open(&opt, &tg) != TG_OK)
        die("tg_open");
    for (unsigned round = 1; next_round(); round++) {
        struct tg_dispatch d = TG_DISPATCH_INIT;
        snprintf(agent, sizeof agent, "alert-%u", round);
        d.agent_id = agent;
        d.status = TG_STATUS_OK;
        const int64_t begun = now_ns();
        if (tg_dispatch_complete(tg, &d) != TG_OK)
            die("tg_dispatch_complete");
        say(begun);
    }
    tg_close(tg, TIMEOUT_MS);
}

static void sync_page(int fd)
{
    static const char page[PAGE];

    if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fdatasync(fd) != 0)
        die("fdatasync");
}

static void post(const char *url, const char *folder, long bytes)
{
    static char body[BYTES_MAX];
    char file[4096];
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CURL *curl = curl_easy_init();

    snprintf(file, sizeof file, "%s/alert.page", folder);
    int fd = open(file, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || curl == NULL || headers == NULL || bytes < 3 || bytes > BYTES_MAX)
        die("post");
    memset(body, ' ', sizeof body);
    memcpy(body, "{}", 2);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, bytes);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    while (next_round()) {
        const int64_t begun = now_ns();
        sync_page(fd);
        if (curl_easy_perform(curl) != CURLE_OK)
            die("curl_easy_perform");
        say(begun);
    }
    close(fd);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "emit") == 0) {
        emit(argv[2], argv[3]);
    } else if (argc == 5 && strcmp(argv[1], "post") == 0) {
        post(argv[2], argv[3], strtol(argv[4], NULL, 10));
    } else {
        fputs("usage: bench_alert emit ENDPOINT SPOOL_DIR | bench_alert post URL FOLDER BYTES\n", stderr);
        return 2;
    }
    return 0;
}
