/* SPDX-License-Identifier: MIT */
#include "trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void note(struct trial_part *p, const struct send_result *r)
{
    bool ok = r->fate == SEND_TOLD;

    json_array_append_new(p->trial->results,
                          json_pack("{s:s, s:s, s:b, s:I, s:o}", "destination", p->name, "type", p->type,
                                    "ok", (int)ok, "ms", (json_int_t)r->took_ms, "error",
                                    ok ? json_null() : json_string(r->error)));
}

static void part_ended(struct send_owner *owner, const struct send_result *r)
{
    struct trial_part *p = (struct trial_part *)owner;

    p->attempt = NULL;
    p->trial->open--;
    note(p, r);
}

/* Another key each time: it is to be seen again. */
static void write_key(char key[33])
{
    uint64_t random[2] = { 0, 0 };

    if (getrandom(random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random[0] = (uint64_t)(uintptr_t)key;
    snprintf(key, 33, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
}

static bool make_alert(const char *name, int64_t now_ms, struct told *out)
{
    *out = (struct told){ .ts_ms = now_ms,
                          .last_ms = now_ms,
                          .count = 1,
                          .ended_ms = UNKNOWN,
                          .kind = ALERT_test,
                          .severity = SEVERITY_INFO,
                          .title = strdup("this is a test: alerts for this destination arrive here"),
                          .subject = json_object(),
                          .evidence = json_pack("{s:s}", "destination", name) };
    return out->title != NULL && out->subject != NULL && out->evidence != NULL;
}

void trial_add(struct trial *t, struct sender *s, const struct destination *d, int64_t now_ms)
{
    struct trial_part *p = &t->part[t->parts++];
    struct told alert;
    char key[33];

    *p = (struct trial_part){ .owner = { part_ended }, .trial = t, .type = destination_type_name(d) };
    snprintf(p->name, sizeof p->name, "%s", d->name);
    write_key(key);
    struct payload_message m = { key, p->name, NULL, &alert, 1 };
    if (make_alert(p->name, now_ms, &alert))
        p->attempt = sender_start(s, d, &m, now_ms, &p->owner);
    told_fini(&alert);
    if (p->attempt != NULL)
        t->open++;
    else
        note(p, &(struct send_result){ .fate = SEND_FAILED, .error = "no memory" });
}

void trial_cut(struct trial *t, struct sender *s)
{
    for (size_t i = 0; i < t->parts; i++) {
        if (t->part[i].attempt != NULL)
            sender_cut(s, t->part[i].attempt);
        t->part[i].attempt = NULL;
    }
    t->open = 0;
}
