/* SPDX-License-Identifier: MIT
 *
 * payload.h: a message as the bytes that a destination takes. Pure.
 */
#ifndef COLLECTOR_PAYLOAD_H
#define COLLECTOR_PAYLOAD_H

#include "destination.h"

#define PAYLOAD_ALERTS_MAX 500 /* of one message */
#define PAYLOAD_SHOWN_MAX  10  /* of them with all they have where people read; the rest as a count by kind */

/* An alert as it stands in the file. */
struct told {
    int64_t id, ts_ms, last_ms, count, ended_ms; /* ended_ms: UNKNOWN */
    enum alert_kind kind;
    enum severity severity;
    char *title;                /* owned */
    json_t *subject, *evidence; /* owned */
};
void told_fini(struct told *t);

struct payload_message {
    const char *key;         /* the idempotency key */
    const char *destination; /* its name */
    const char *link;        /* where alerts can be looked at: LINK/v1/alerts/ID; NULL: none */
    const struct told *alert;
    size_t alerts; /* at least 1; the gravest first, then by id */
};

/* The body, malloc'd and NUL-terminated, *len without it; NULL: no memory. Of JSON (TEMPLATE_JSON):
 * {"key", "destination", "count", "severity": the gravest, "alerts": [ALERT]}, all of them (schema/alert.md);
 * ALERT as GET /v1/alerts/{id} shows it, without acked and deliveries. The others stay below what their
 * receivers take (Slack 3,000 characters of a block and 50 blocks, Discord 10 embeds and 6,000 characters,
 * Teams 28 KB, PagerDuty 512 KB and its deduplication key); what strangers named is shown, never obeyed. */
char *payload_webhook(const struct payload_message *m, const struct destination *d, size_t *len);

/* A whole message (RFC 5322, UTF-8, lines ended by CRLF): Message-ID from the key, plain text. */
char *payload_mail(const struct payload_message *m, const struct destination *d, int64_t now_ms, size_t *len);

/* The alert as JSON; a new reference. */
json_t *told_json(const struct told *t, const char *link);

/* "sha256=" and HMAC-SHA256 of TIMESTAMP "." BODY under secret, in hex; out takes PAYLOAD_SIGNATURE bytes.
 * The request says it as X-Tollgate-Signature: t=TIMESTAMP,sha256=HEX. timestamp_s negative: of BODY alone,
 * which the request says as X-Hub-Signature-256: sha256=HEX. */
#define PAYLOAD_SIGNATURE 72
void payload_sign(const char *secret, int64_t timestamp_s, const char *body, size_t len,
                  char out[PAYLOAD_SIGNATURE]);

#endif
