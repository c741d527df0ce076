/* SPDX-License-Identifier: MIT
 *
 * alert.h: what an operator is to hear of. Pure.
 */
/* clang-format off */
/*
 * kind           raised when                                          its mark, within the kind    ends
 * threshold      a budget passes a percentage of its limit            budget, key, window, percent with the window
 * overrun        it has spent more than its limit                     budget, key, window          with the window
 * forecast       at its pace it will, before the window ends          budget, key, window          with the window
 * runaway        a rule of runaway.h is broken                        rule, look, who              see runaways.h
 * unpriced       a call came whose model has no price                 provider, model              a day without
 * unknown_usage  a call ended well and nobody told its tokens         provider, model, source      a day without
 * silent         a publisher that was there is not heard any more     source                       it is heard
 * losses         a publisher says that it lost events                 source, reason               an hour without
 * quarantine     events came that cannot be understood                source                       an hour without
 * store          the store could not write                            since when                   it can
 * policy         a policy or a pause stopped a call                   its name, agent              an hour without
 * test           somebody wants to see one                            -                            -
 */
/* clang-format on */
/* While an alert has not ended, its reason coming again only raises its count. One that
 * ends with a window is told once in it. */
#ifndef COLLECTOR_ALERT_H
#define COLLECTOR_ALERT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALERT_KINDS(X) \
    X(threshold)       \
    X(overrun)         \
    X(forecast)        \
    X(runaway)         \
    X(unpriced)        \
    X(unknown_usage)   \
    X(silent)          \
    X(losses)          \
    X(quarantine)      \
    X(store)           \
    X(policy)          \
    X(test)

enum alert_kind {
#define X(name) ALERT_##name,
    ALERT_KINDS(X)
#undef X
        ALERT_KIND_COUNT
};

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_CRITICAL, SEVERITIES };

#define ALERT_TITLE_MAX   500 /* bytes */
#define ALERT_MARK_MAX    2400
#define ALERT_SUBJECT_MAX 10 /* names: those of subject.h, and budget, source, policy */

/* One that is to be raised. All borrowed. */
struct alert {
    enum alert_kind kind;
    enum severity severity;
    const char *mark; /* a text in which no two reasons are the same */
    const char *title;
    const json_t *subject;  /* {"agent": ..., "session": ..., "budget": ..., "source": ...}: what is known */
    const json_t *evidence; /* {}: numbers with their units in their names, and texts */
    int64_t until_ms;       /* when the window is over with which it ends; 0: it ends otherwise */
};

/* Static; NULL and -1: there is no such one. */
const char *alert_kind_name(int kind);
int alert_kind_code(const char *name);
const char *severity_name(int severity);
int severity_code(const char *name);

#endif
