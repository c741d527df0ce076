/* SPDX-License-Identifier: MIT
 *
 * destination.h: where alerts are told, which ones, and when not. Immutable once made; pure. What a
 * definition may say stands in tollgate.yaml(5).
 */
#ifndef COLLECTOR_DESTINATION_H
#define COLLECTOR_DESTINATION_H

#include "../base/zone.h"
#include "../govern/scope.h"
#include "alert.h"

#define DESTINATIONS_MAX          64
#define DESTINATION_NAME_MAX      64
#define DESTINATION_ARGS_MAX      64
#define DESTINATION_HEADERS_MAX   16
#define DESTINATION_TO_MAX        32
#define DESTINATION_URL_MAX       2048 /* bytes, as all below */
#define DESTINATION_SECRET_MAX    1024
#define DESTINATION_HEADER_MAX    1024 /* "Name: value" */
#define DESTINATION_ADDRESS_MAX   254
#define DESTINATION_PATH_MAX      1024
#define DESTINATION_ARG_MAX       4096
#define DESTINATION_VARIABLE_MAX  128 /* the name of one of the environment */
#define DESTINATION_PAGERDUTY_URL "https://events.pagerduty.com/v2/enqueue"

enum destination_type { DESTINATION_WEBHOOK, DESTINATION_EMAIL, DESTINATION_COMMAND };

/* What a webhook's body looks like. */
enum template { TEMPLATE_JSON, TEMPLATE_SLACK, TEMPLATE_DISCORD, TEMPLATE_TEAMS, TEMPLATE_PAGERDUTY };

/* When only what is critical is told, if that; the rest waits for its end: while the clock of the zone, as it
 * hangs on the wall, shows from_min or later, and not yet to_min. Minutes of the day; to_min may be 1440;
 * from_min > to_min: over midnight. days: bit 0 is Monday, of the day on which it begins. */
struct quiet {
    bool on, critical_too;
    int from_min, to_min;
    uint8_t days;
    const struct zone *zone; /* shared */
};

/* Encryption of mail on its way to the server; less than required only on loopback. OFFERED: if the server
 * does, whatever certificate it has, unless there is a ca_file. */
enum mail_tls { MAIL_TLS_NONE, MAIL_TLS_OFFERED, MAIL_TLS_REQUIRED };

struct destination {
    char name[DESTINATION_NAME_MAX + 1];
    enum destination_type type;
    uint32_t kinds; /* bits by enum alert_kind */
    enum severity least;
    struct scope scope; /* a condition about what an alert does not name does not hold, unless negated */
    char **budget;      /* owned; patterns; NULL: any, and alerts of none */
    unsigned budgets;
    struct quiet quiet;
    int64_t group_ms;   /* between two messages: what comes meanwhile goes together; 0: no pause */
    int64_t give_up_ms; /* after so long of failures */
    int64_t timeout_ms; /* of one attempt */

    /* webhook; all owned. Secrets come from the environment or stand here; they are never told. */
    enum template template;
    char *url, *secret, *routing_key; /* NULL: none */
    char **header;                    /* "Name: value"; no control character, no name that Tollgate sends */
    unsigned headers;
    char *ca_file; /* of email too; NULL: the system's */
    /* email */
    char *server; /* smtp://host:587, smtps://host:465 */
    char *user, *password, *from;
    char **to;
    unsigned tos;
    enum mail_tls tls;
    /* command: argv, no shell; the generic JSON on its standard input */
    char **arg; /* NULL-terminated */
    unsigned args;

    char *host;         /* owned; of url or server, no port; NULL: a command */
    json_t *definition; /* owned: as given, to be printed back: secrets as they were given */
};

/* zone: of quiet hours that name none. 0, or -1 and *fault, which quotes no secret; a variable of the
 * environment that is not set is a fault too. The caller owns *out. */
int destination_parse(const json_t *definition, const char *zone, struct destination **out,
                      struct fault *fault);
void destination_free(struct destination *d); /* NULL is fine */

/* As it was given, secrets too: for the configuration's print-back, nothing else. A new reference. */
json_t *destination_json(const struct destination *d);

/* For everybody: {"name", "type", "host": or null, "kinds": [], "severity", "scope", "budgets": [], "quiet":
 * {"from", "to", "timezone", "days", "critical"} or null, "group_ms", "give_up_ms", "timeout_ms"}: no path,
 * no secret, no header, no address. A new reference, NULL: no memory. */
json_t *destination_public_json(const struct destination *d);

/* "webhook", "slack", "discord", "teams", "pagerduty", "email", "command": its key in a definition. */
const char *destination_type_name(const struct destination *d);

/* Whether it wants an alert. subject: the alert's; NULL: it has none. */
bool destination_wants(const struct destination *d, enum alert_kind kind, enum severity severity,
                       const json_t *subject);

/* When an alert of this severity may be told: now_ms, or the end of the quiet time that holds now. */
int64_t destination_opens_ms(const struct destination *d, enum severity severity, int64_t now_ms);

#endif
