/* SPDX-License-Identifier: MIT
 *
 * cli.h: what the commands of `tollgate` share: their options, the daemon's answers, and how numbers
 * are written for people. One thread; a command returns the exit status.
 */
#ifndef COLLECTOR_CLI_H
#define COLLECTOR_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLI_URL        "http://127.0.0.1:7448"
#define CLI_PARAMS_MAX 40
#define CLI_BODY_MAX   (64u << 20) /* of an answer that is held in memory */
#define CLI_TEXT       64          /* bytes of a number written for people */

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* ------------------------------------------------------------------ options */

/* An option --name; a NULL param sets *flag, else its value becomes the query parameter param. */
struct cli_option {
    const char *name, *param;
    bool *flag;
};

struct cli_param {
    const char *name, *value; /* borrowed from argv */
};

struct cli {
    const char *url, *token;
    struct cli_param param[CLI_PARAMS_MAX];
    unsigned params;
    int (*stopped)(void); /* not 0: end the transfer now; NULL: never */
};

/* Reads the options of a command: those given (ended by a NULL name), --url, --token, and, if
 * filters is set, one for each name of an event (--agent, --model, ...). -1: all is well; else the
 * exit status: 0 after --help, 2 after a wrong option, which has been named on stderr. */
int cli_options(struct cli *c, int argc, char **argv, const struct cli_option *options, bool filters,
                const char *help);

/* The value given for a query parameter, or NULL; and setting one that was not given. */
const char *cli_param(const struct cli *c, const char *name);
void cli_param_default(struct cli *c, const char *name, const char *value);

/* ------------------------------------------------------------------- client */

/* Takes a piece of an answer; false ends the transfer. */
typedef bool (*cli_sink)(void *arg, const char *bytes, size_t len);

struct cli_answer {
    long status; /* 0: no answer came */
    char *body;  /* owned; terminated */
    size_t len;
    char why[256]; /* why there is none, for a person */
};

/* GET url/path with the parameters in c (with_params) into memory. timeout_s 0: none. */
void cli_get(const struct cli *c, const char *path, bool with_params, long timeout_s, struct cli_answer *out);
void cli_answer_fini(struct cli_answer *a);

/* GET, and the body of a good answer goes to sink as it comes. */
void cli_stream(const struct cli *c, const char *path, cli_sink sink, void *arg, struct cli_answer *out);

/* Tells on stderr, in one line, why there is no good answer. Returns the exit status: 2 if the
 * request was wrong, else 1. */
int cli_complain(const struct cli *c, const struct cli_answer *a);

/* GET and parse. NULL: has been told on stderr, *status is the exit status. */
json_t *cli_json(const struct cli *c, const char *path, bool with_params, int *status);

/* Writes the body of path to stdout as it comes. Returns the exit status. */
int cli_copy(const struct cli *c, const char *path);

/* ------------------------------------------------------------------- people */

bool cli_colour(void); /* stdout is a terminal and NO_COLOR is not set */

void human_count(int64_t n, char out[CLI_TEXT]);                  /* 1,204 */
void human_si(int64_t n, char out[CLI_TEXT]);                     /* 18.2 M */
void human_bytes(int64_t n, char out[CLI_TEXT]);                  /* 1.5 MiB */
void human_ms(int64_t ms, char out[CLI_TEXT]);                    /* 840 ms, 3.1 s, 2 h 05 m */
void human_percent(int64_t part, int64_t of, char out[CLI_TEXT]); /* 0.4 %, or - */
void human_usd(int64_t nanousd, char out[CLI_TEXT]);              /* $12.41; below a cent with more digits */

/* Writes s with control characters made harmless: names come from strangers. */
void human_text(FILE *to, const char *s);

/* A table: cells are added row by row, then all is written and freed. */
struct table {
    unsigned columns;
    bool *left;  /* owned: of each column */
    char **cell; /* owned, and each of them */
    size_t cells, room;
};
void table_init(struct table *t, unsigned columns);
void table_left(struct table *t, unsigned column); /* aligned to the left; others to the right */
void table_add(struct table *t, const char *text);
void table_print(struct table *t); /* the first row is the head */

/* The samples of a Prometheus exposition. */
double exposition_sum(const char *text, const char *name); /* over all labels; NAN: not there */

/* ----------------------------------------------------------------- commands */

int command_usage(int argc, char **argv);
int command_events(int argc, char **argv);
int command_tail(int argc, char **argv);
int command_status(int argc, char **argv);
int command_doctor(int argc, char **argv);

/* What emitters lost, from the newest report of each (source, epoch): status and doctor. -1: the
 * reports cannot be read. worst: the source that lost most, or "". */
int64_t reports_lost(const struct cli *c, char *worst, size_t size);

#endif
