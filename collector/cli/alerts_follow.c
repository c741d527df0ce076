/* SPDX-License-Identifier: MIT
 *
 * alerts --follow: reads the live stream of alerts. A collector that goes away is waited for; the id of what
 * came last outlives it, so nothing is missed, and nothing is said twice. SIGINT and SIGTERM end the wait,
 * never a line.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "alerts.h"

#define RETRY_MS  1000
#define SILENCE_S 60         /* the collector says every 15 s that it is there */
#define LINE_MAX  (4u << 20) /* bytes of one line of the stream */

struct follow {
    const struct cli *c;
    bool as_json;
    char *line; /* owned: the line that is being read */
    size_t len, room;
    char *data;     /* owned: of the block that is being read; NULL: none yet */
    char id[32];    /* of that block */
    char place[32]; /* what is asked for after a break: "end", or the id of what came last */
    int64_t shown;  /* the id of the last alert shown */
    bool begun;     /* there was an answer */
    bool told;      /* that the collector is gone */
    bool failed;    /* nothing can be written, or there is no memory */
};

/* ------------------------------------------------------------------- showing */

static void show_line(const json_t *alert)
{
    const char *severity = row_text(alert, "severity", "?"), *code = severity_colour(severity);
    bool colour = cli_colour() && code;
    char at[CLI_TEXT];

    human_time(row_number(alert, "ts_ms"), at);
    printf("%sZ  ", at);
    if (colour)
        printf("\033[%sm", code);
    human_text(stdout, severity);
    printf("%s%*s", colour ? "\033[0m" : "", (int)(strlen(severity) < 10 ? 10 - strlen(severity) : 1), "");
    human_text(stdout, row_text(alert, "kind", "?"));
    printf("  #%" JSON_INTEGER_FORMAT " ", json_integer_value(json_object_get(alert, "id")));
    human_text(stdout, row_text(alert, "title", ""));
    putchar('\n');
}

static void show(struct follow *f)
{
    json_t *alert = json_loads(f->data, 0, NULL);

    if (alert && f->as_json) {
        json_dumpf(alert, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* a terminal obeys U+0080-9F */
        putchar('\n');
    } else if (alert) {
        show_line(alert);
    }
    json_decref(alert);
    f->failed = fflush(stdout) != 0;
}

/* ------------------------------------------------------------------- reading */

/* The block is whole. */
static void block_end(struct follow *f)
{
    int64_t id = strtoll(f->id, NULL, 10);

    if (f->data && id > f->shown)
        show(f);
    if (f->data ? id > f->shown : f->id[0] != 0) /* after a restore the place may be an earlier one */
        f->shown = id;
    if (f->id[0])
        memcpy(f->place, f->id, sizeof f->place);
    f->begun = true;
    f->told = false;
    f->id[0] = 0;
    free(f->data);
    f->data = NULL;
}

static void line_end(struct follow *f)
{
    const char *line = f->line;

    if (f->len == 0) {
        block_end(f);
    } else if (strncmp(line, "id: ", 4) == 0) {
        snprintf(f->id, sizeof f->id, "%s", line + 4);
    } else if (strncmp(line, "data: ", 6) == 0 && !f->data) {
        f->data = strdup(line + 6);
        f->failed = f->failed || !f->data;
    }
    f->len = 0;
}

static bool line_room(struct follow *f)
{
    if (f->len + 1 < f->room)
        return true;
    size_t room = f->room ? 2 * f->room : 4096;
    char *fresh = room <= LINE_MAX ? realloc(f->line, room) : NULL;
    if (!fresh)
        return false;
    f->line = fresh;
    f->room = room;
    return true;
}

static bool take(void *arg, const char *bytes, size_t len)
{
    struct follow *f = arg;

    for (size_t i = 0; i < len && !f->failed; i++) {
        if (!line_room(f)) {
            cli_fail("%s: a line of the stream is too long", f->c->url);
            f->failed = true;
            break;
        }
        f->line[bytes[i] == '\n' ? f->len : f->len++] = bytes[i] == '\n' ? 0 : bytes[i];
        if (bytes[i] == '\n')
            line_end(f);
    }
    return !f->failed;
}

/* What was cut is read again. */
static void forget(struct follow *f)
{
    f->len = 0;
    f->id[0] = 0;
    free(f->data);
    f->data = NULL;
}

/* ---------------------------------------------------------------------- loop */

/* After a transfer: -1 to go on, else the exit status. */
static int judge(struct follow *f, const struct cli_answer *a)
{
    if (cli_stopped())
        return CLI_OK;
    if (f->failed)
        return CLI_FAILED;
    if (!f->begun || (a->status >= 400 && a->status < 500))
        return cli_complain(f->c, a);
    if (!f->told)
        fprintf(stderr, "tollgate: %s: gone; waiting for it to come back\n", f->c->url);
    f->told = true;
    poll(NULL, 0, RETRY_MS); /* a signal ends it */
    return -1;
}

int alerts_follow(struct cli *c, bool as_json)
{
    struct follow f = { .c = c, .as_json = as_json, .place = "end" };
    struct cli_answer a;
    int status = -1;

    c->stopped = cli_stopped;
    c->silence_s = SILENCE_S;
    cli_catch_signals();
    cli_param_default(c, "after", "end"); /* there is room: it is one of CLI_PARAMS_OWN */
    snprintf(f.place, sizeof f.place, "%s", cli_param(c, "after"));
    for (unsigned i = 0; i < c->params; i++) {
        if (strcmp(c->param[i].name, "after") == 0)
            c->param[i].value = f.place;
    }
    while (status < 0 && !cli_stopped()) {
        cli_stream(c, "/v1/alerts/stream", take, &f, &a);
        forget(&f);
        status = judge(&f, &a);
        cli_answer_fini(&a);
    }
    free(f.line);
    return status < 0 ? CLI_OK : status;
}
