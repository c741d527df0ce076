/* SPDX-License-Identifier: MIT
 *
 * destination_work.h: what the files that read a destination's definition share. Their functions return 0, or
 * -1 and the fault is written.
 */
#ifndef COLLECTOR_DESTINATION_WORK_H
#define COLLECTOR_DESTINATION_WORK_H

#include "../govern/definition.h"
#include "destination.h"

struct destination_reading {
    const json_t *given;    /* the definition; borrowed, as zone and type */
    const char *zone;       /* of quiet hours that name none */
    const char *type;       /* the key of the receiver: "slack" */
    const json_t *receiver; /* its value */
    struct destination *d;  /* owned until it is complete */
    struct fault *fault;
};

/* Which URLs a receiver takes. */
struct url_rule {
    const char *plain, *secure; /* schemes */
    bool is_server;             /* a host and a port, no path */
};

/* Judges a URL: a scheme of the rule, a host, no user, nothing that libcurl would not send. *host is then a
 * copy of its host, for the caller to free; *is_plain, *is_loopback: what it says of the way. Returns what
 * was expected (static), or NULL: it is fine. */
const char *destination_url_fault(const char *url, const struct url_rule *rule, char **host, bool *is_plain,
                                  bool *is_loopback);

/* The receivers. */
int destination_read_webhook(struct destination_reading *r);
int destination_read_email(struct destination_reading *r);
int destination_read_command(struct destination_reading *r);

/* The fault of a key of the receiver, "slack.url"; what was given is not quoted: it may be a secret. */
__attribute__((format(printf, 3, 4))) int
destination_hidden_fault(const struct destination_reading *r, const char *key, const char *expected, ...);
/* The same, with what was given. */
__attribute__((format(printf, 4, 5))) int destination_shown_fault(const struct destination_reading *r,
                                                                  const char *key, const json_t *given,
                                                                  const char *expected, ...);

/* The receiver must be a map with these keys, the last of which is NULL. */
int destination_receiver_keys(const struct destination_reading *r, const char *const *known);

/* A text of 1 to max printable bytes (ASCII; a space is one) from the key, or from the variable of the
 * environment that KEY_env names; not from both. Not given: *out stays. */
int destination_secret(const struct destination_reading *r, const char *key, size_t max, char **out);

/* The value of the variable that `given`, at `key`, names; borrowed from the environment. */
int destination_variable(const struct destination_reading *r, const char *key, const json_t *given,
                         const char **value);

/* An absolute path, not given: *out stays. */
int destination_ca_file(const struct destination_reading *r);

/* Whether all bytes are printable ASCII. */
bool destination_is_printable(const char *text);

/* quiet: { from, to, timezone, days, critical }. */
int destination_read_quiet(struct destination_reading *r);

#endif
