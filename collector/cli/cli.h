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

#define CLI_URL          "http://127.0.0.1:7448"
#define CLI_PARAMS_MAX   52
#define CLI_PARAMS_OWN   4 /* of them kept for what a command adds itself */
#define CLI_OPERANDS_MAX 64
#define CLI_BODY_MAX     (64u << 20) /* of an answer that is held in memory */
#define CLI_TEXT         64          /* bytes of a number written for people */
#define CLI_PATH         4096

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_REFUSED = 3 }; /* 3: of check */

/* ------------------------------------------------------------------ options */

/* An option --name; a NULL param sets *flag, else its value becomes the query parameter param. */
struct cli_option {
    const char *name, *param;
    bool *flag;
};

struct cli_param {
    const char *name, *value; /* borrowed from argv */
    bool tag;                 /* name is a tag's: sent as tag:name */
};

struct cli {
    const char *url, *token;
    struct cli_param param[CLI_PARAMS_MAX];
    unsigned params;
    const char *operand[CLI_OPERANDS_MAX]; /* what is no option; borrowed */
    unsigned operands, operands_min, operands_max;
    int (*stopped)(void); /* not 0: end the transfer now; NULL: never */
    long patience_s;      /* how long the answer to a change may take; 0: 60 */
    long silence_s;       /* a stream in which nothing comes for so long has broken off; 0: never */
};

/* Reads the options of a command: those given (ended by a NULL name), --url, --token, and, if
 * filters is set, --tag and one for each name of an event (--agent, --model, ...); and as many
 * operands as *c wants. -1: all is well; else the exit status: 0 after --help, 2 after a wrong
 * option, which has been named on stderr. Cuts --tag's values in argv. */
int cli_options(struct cli *c, int argc, char **argv, const struct cli_option *options, bool filters,
                const char *help);

/* The value given for a query parameter, or NULL; and setting one that was not given. */
const char *cli_param(const struct cli *c, const char *name);
void cli_param_default(struct cli *c, const char *name, const char *value);

/* The value of an option that is a whole number. -1: it is none or too large, told on stderr. */
int cli_number(const struct cli *c, const char *name, int64_t max, int64_t *out);

/* One line on stderr after "tollgate: "; control characters are made harmless. Returns CLI_FAILED. */
__attribute__((format(printf, 1, 2))) int cli_fail(const char *fmt, ...);

/* ------------------------------------------------------------------- client */

/* Takes a piece of an answer; false ends the transfer. */
typedef bool (*cli_sink)(void *arg, const char *bytes, size_t len);

struct cli_answer {
    long status; /* 0: no answer came */
    char *body;  /* owned; terminated */
    size_t len;
    char why[256]; /* why there is none, for a person */
    bool cut;      /* a header says that there are more rows */
    char next[64]; /* and this one where they go on, or "" */
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

/* POST, PUT or DELETE with a body (NULL: none; borrowed), and parse. NULL: has been told on stderr, *status
 * is the exit status. */
json_t *cli_change(const struct cli *c, const char *method, const char *path, const json_t *body,
                   int *status);

/* Writes the body of path to stdout as it comes; on a terminal control characters are made harmless.
 * Returns the exit status. */
int cli_copy(const struct cli *c, const char *path);

/* The same of a list. If the collector has cut it, stderr says so, and the exit status is CLI_FAILED
 * where the body cannot tell (CSV) and nobody asked for a --limit. */
int cli_copy_list(const struct cli *c, const char *path);

/* "/v1/sessions/" and the id, percent-encoded. Owned by the caller; NULL: no memory. */
char *cli_path(const char *prefix, const char *id);

/* True: the collector is asked on a loopback address, so its files are here. */
bool cli_is_local(const struct cli *c);

/* ------------------------------------------------------------------- people */

bool cli_colour(void);             /* stdout is a terminal and NO_COLOR is not set */
bool cli_utf8(void);               /* the locale's characters are UTF-8 */
unsigned cli_width(void);          /* characters in a line of stdout: $COLUMNS, the terminal's; 0: no end */
size_t human_width(const char *s); /* characters, not bytes */

void human_count(int64_t n, char out[CLI_TEXT]);                    /* 1,204 */
void human_si(int64_t n, char out[CLI_TEXT]);                       /* 18.2 M */
void human_bytes(int64_t n, char out[CLI_TEXT]);                    /* 1.5 MiB */
void human_ms(int64_t ms, char out[CLI_TEXT]);                      /* 840 ms, 3.1 s, 2 h 05 m */
void human_percent(int64_t part, int64_t of, char out[CLI_TEXT]);   /* 0.4 %, or - */
void human_rate(double rate, char out[CLI_TEXT]);                   /* the same of 0.004 */
void human_change(int64_t now, int64_t before, char out[CLI_TEXT]); /* +12 %, x 12, new */
void human_usd(int64_t nanousd, char out[CLI_TEXT]); /* $12.41; below a cent with more digits */
typedef void (*human_fn)(int64_t n, char out[CLI_TEXT]);

/* Writes s with control characters made harmless: names come from strangers. */
void human_text(FILE *to, const char *s);

/* The same of bytes that come piece by piece, except for the ends of lines and tabs. *held: false
 * before the first piece; after the last one, true: the byte 0xc2 was kept back. */
void human_piece(FILE *to, const char *bytes, size_t len, bool *held);

/* Drops a UTF-8 character at the end of text of which bytes are missing. */
void human_whole(char *text);

/* A table: cells are added row by row, then all is written and freed. */
struct table {
    unsigned columns;
    bool *left;        /* owned: of each column */
    char **cell;       /* owned, and each of them */
    const char **code; /* owned; of each cell: its colour on a terminal, borrowed; NULL: none */
    size_t cells, room;
    bool fit;
    unsigned fitted; /* which column, with fit */
};
void table_init(struct table *t, unsigned columns);
void table_left(struct table *t, unsigned column); /* aligned to the left; others to the right */
void table_add(struct table *t, const char *text);
void table_colour(struct table *t, const char *code); /* of the last cell: an SGR code, static */
void table_fit(struct table *t, unsigned column);     /* cut so that lines fit into the terminal's */
void table_print(struct table *t);                    /* the first row is the head */

/* One line on stderr that tells how far long work is; nothing unless stderr is a terminal. */
struct progress {
    const char *what; /* borrowed */
    human_fn human;   /* NULL: only time and percentage are shown */
    int64_t begun_us, shown_us;
    bool on, shown;
};
void progress_start(struct progress *p, const char *what, human_fn human);
void progress_show(struct progress *p, int64_t done, int64_t of); /* of 0: nobody knows */
void progress_end(struct progress *p);                            /* the line disappears */

/* SIGINT and SIGTERM are noted instead of ending the process. */
void cli_catch_signals(void);
int cli_stopped(void);

/* The samples of a Prometheus exposition. */
double exposition_sum(const char *text, const char *name); /* over all labels; NAN: not there */
/* The same over those with a label that has this value. */
double exposition_sum_of(const char *text, const char *name, const char *label, const char *value);

/* The least bound of a histogram below which the part q of its values is, over all labels; infinite:
 * above all bounds; NAN: it is not there or empty. *count: how many values. */
double exposition_quantile(const char *text, const char *name, double q, double *count);

/* ----------------------------------------------------------------- commands */

int command_usage(int argc, char **argv);
int command_sessions(int argc, char **argv);
int command_session(int argc, char **argv);
int command_agents(int argc, char **argv);
int command_models(int argc, char **argv);
int command_efficiency(int argc, char **argv);
int command_risk(int argc, char **argv);
int command_events(int argc, char **argv);
int command_tail(int argc, char **argv);
int command_alerts(int argc, char **argv);
int command_status(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_budgets(int argc, char **argv);
int command_budget(int argc, char **argv);
int command_burn(int argc, char **argv);
int command_allow(int argc, char **argv);
int command_allowances(int argc, char **argv);
int command_pause(int argc, char **argv);
int command_resume(int argc, char **argv);
int command_pauses(int argc, char **argv);
int command_check(int argc, char **argv);
int command_audit(int argc, char **argv);
int command_runaway(int argc, char **argv);
int command_runaway_replay(int argc, char **argv); /* tollgate runaway replay */
int command_prices(int argc, char **argv);
int command_price(int argc, char **argv);
int command_reprice(int argc, char **argv);
int command_backup(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_rebuild(int argc, char **argv);
int command_ledger(int argc, char **argv);
int command_simulate(int argc, char **argv); /* tollgate budgets simulate */

/* What emitters lost, from the newest report of each (source, epoch): status and doctor. -1: the
 * reports cannot be read. worst: the source that lost most, or "". */
int64_t reports_lost(const struct cli *c, char *worst, size_t size);

#endif
