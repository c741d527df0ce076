/* SPDX-License-Identifier: MIT
 *
 * body.h: the JSON object in a request's body, held against what may stand in it. What is left is of the
 * right shape; whether it makes sense is for whom it is handed to.
 */
#ifndef COLLECTOR_HTTP_BODY_H
#define COLLECTOR_HTTP_BODY_H

#include <jansson.h>

#include "request.h"

#define BODY_TEXT_MAX    1024 /* bytes of a text */
#define BODY_MEMBERS_MAX 32
#define BODY_TAGS_MAX    64

enum body_shape {
    BODY_TEXT,    /* 1 to BODY_TEXT_MAX bytes, or max of them */
    BODY_FLAG,    /* true or false */
    BODY_COUNT,   /* a whole number from 0, up to max if there is one */
    BODY_SPAN,    /* "2h", or milliseconds as a number; becomes milliseconds */
    BODY_AMOUNT,  /* a whole number above 0, or text as "5 usd" */
    BODY_OUTCOME, /* "called" or "not_called" */
    BODY_TRIGGER, /* the name of a trigger */
    BODY_TAGS,    /* an object of texts */
};

struct body_member {
    const char *name; /* NULL: ends the list */
    enum body_shape shape;
    bool needed;
    int64_t max;
    const char *as; /* its name in the result; NULL: the same */
};

/* The body as an object, a new reference in *out; an empty body is an empty object. 0, or -1, *p filled and
 * *out untouched. */
int body_object(const struct request *r, struct problem *p, json_t **out);

/* Adds the members of body to `to`; null is as if it were not there. Refuses what is not in the list, is
 * missing, has the wrong shape, or comes under two names. 0, or -1 and *p filled. */
int body_members(const json_t *body, const struct body_member *list, struct problem *p, json_t *to);

#endif
