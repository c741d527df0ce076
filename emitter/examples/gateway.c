/* SPDX-License-Identifier: MIT
 *
 * gateway.c: a little agent gateway that meters itself. Start here.
 *
 * Every agent has a model and a few sessions; a call takes its time, finds part of its prompt in the
 * provider's cache, and fails now and then, as calls do. Before each call it asks whether there is
 * budget for it: from memory, or, with --admit 1, the collector itself, who sets the money aside. What
 * you would add to your own gateway is may_call, report_call, report_answer, and tg_open and tg_close
 * in main.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tollgate.h>

static const struct model {
    const char *agent, *provider, *name, *surface;
    int prompt, completion, latency_ms; /* on average */
} models[] = {
    { "researcher", "anthropic", "claude-sonnet-4-5", "http", 9000, 700, 5200 },
    { "coder", "openai", "gpt-5-codex", "cli", 24000, 1500, 9400 },
    { "secretary", "anthropic", "claude-haiku-4-5", "telegram", 1800, 160, 1100 },
    { "reviewer", "google", "gemini-2.5-pro", "http", 15000, 400, 3600 },
};
enum { MODELS = sizeof models / sizeof *models, SESSIONS = 5 };
static double rate = 50, seconds = 10, agents = 6, admit = 0;
static const char *runaway = ""; /* an agent that makes half of all calls */

struct call {
    const struct model *model;
    char agent[64], session[96], run[32], response[32];
    enum tg_status status;
    enum tg_trigger trigger;
    char use_model[128], use_lane[64];
    struct tg_reservation reserved; /* with --admit */
};

static int about(int n) /* half to one and a half times as much */
{
    return n / 2 + rand() % (n + 1);
}

static int pick_agent(void)
{
    int any = rand() % (int)agents;

    if (rand() % 2 == 0)
        return any;
    for (int i = 0; i < MODELS; i++)
        if (strcmp(models[i].agent, runaway) == 0)
            return i;
    return any;
}

static struct call make_call(int number)
{
    int agent = pick_agent(), chance = rand() % 100;
    struct call c = { .model = &models[agent % MODELS], .status = TG_STATUS_OK };

    c.trigger = rand() % 10 == 0 ? TG_TRIGGER_HEARTBEAT : TG_TRIGGER_USER;
    snprintf(c.agent, sizeof c.agent, agent < MODELS ? "%s" : "%s-%d", c.model->agent, agent / MODELS + 1);
    snprintf(c.session, sizeof c.session, "%s:session-%d", c.agent, rand() % SESSIONS);
    snprintf(c.run, sizeof c.run, "run-%d", number / 3);
    snprintf(c.response, sizeof c.response, "resp_%08x%08x", (unsigned)rand(), (unsigned)number);
    if (chance < 3)
        c.status = chance == 0 ? TG_STATUS_TIMEOUT : TG_STATUS_ERROR;
    return c;
}

static void nap(double s)
{
    nanosleep(&(struct timespec){ (time_t)s, (long)((s - (double)(time_t)s) * 1e9) }, NULL);
}

/* Ask before the call. False: it must not be made. */
static int may_call(tg_emitter *tg, struct call *c)
{
    struct tg_request r = { .agent_id = c->agent,
                            .session_id = c->session,
                            .provider = c->model->provider,
                            .model = c->model->name,
                            .surface = c->model->surface,
                            .trigger = c->trigger,
                            .prompt_tokens = c->model->prompt };
    struct tg_verdict v = { .action = TG_ALLOW };

    if (admit > 0) /* whatever comes back, v says what to do: also if nobody answers */
        tg_admit(tg, &r, 0, 500, &c->reserved, &v);
    else
        tg_check(tg, &r, &v);
    if (v.action == TG_ALLOW)
        return 1;
    if (v.action != TG_WARN)
        printf("%s: %s\n", c->agent, v.message);
    if (v.action == TG_DELAY && v.delay_ms > 0)
        nap((double)(v.delay_ms < 1000 ? v.delay_ms : 1000) / 1000); /* a demonstration has no more time */
    if (v.action == TG_DOWNGRADE) {
        snprintf(c->use_model, sizeof c->use_model, "%s", v.use_model);
        snprintf(c->use_lane, sizeof c->use_lane, "%s", v.use_lane);
    }
    if (v.action == TG_BLOCK)
        c->reserved.id[0] = '\0'; /* nothing was set aside */
    return v.action != TG_BLOCK;
}

/* Tell about a finished model call: set what is known, leave the rest unknown. */
static int report_call(tg_emitter *tg, const struct call *c)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;

    d.agent_id = c->agent;
    d.session_id = c->session;
    d.run_id = c->run;
    d.provider = c->model->provider;
    d.model = c->use_model[0] != '\0' ? c->use_model : c->model->name;
    d.requested_model = c->model->name;
    d.lane = c->use_lane;
    d.surface = c->model->surface;
    d.trigger = c->trigger;
    d.status = c->status;
    d.attempt = 1;
    d.reservation_id = c->reserved.id;  /* settles it */
    if (c->status == TG_STATUS_BLOCKED) /* no provider has seen it: there is nothing else to tell */
        return tg_dispatch_complete(tg, &d);
    d.latency_ms = about(c->model->latency_ms);
    if (c->status == TG_STATUS_OK) {
        int prompt = about(c->model->prompt), cached = prompt / 10 * (rand() % 9); /* up to 80 % */
        tg_usage_anthropic(prompt - cached, about(c->model->completion), cached, 0, 0, &d.usage);
        d.response_id = c->response; /* the same call told twice counts once */
        d.ttft_ms = d.latency_ms / 5;
        d.http_status = 200;
    } else { /* its tokens stay unknown, which is not 0 */
        d.error_type = c->status == TG_STATUS_ERROR ? "rate_limit" : "timeout";
        d.http_status = c->status == TG_STATUS_ERROR ? 429 : TG_UNKNOWN;
    }
    return tg_dispatch_complete(tg, &d);
}

/* Tell that the answer went out to whoever asked. */
static int report_answer(tg_emitter *tg, const struct call *c)
{
    struct tg_message m = TG_MESSAGE_INIT;

    m.kind = TG_MESSAGE_SENT;
    m.agent_id = c->agent;
    m.session_id = c->session;
    m.run_id = c->run;
    m.surface = c->model->surface;
    m.outcome = TG_OUTCOME_DELIVERED;
    m.bytes = about(4 * c->model->completion);
    return tg_message(tg, &m);
}

static int parse(int argc, char **argv, struct tg_options *opt)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = argv[i + 1]; /* NULL behind the last one */
        if (value != NULL && strcmp(argv[i], "--rate") == 0)
            rate = atof(value);
        else if (value != NULL && strcmp(argv[i], "--seconds") == 0)
            seconds = atof(value);
        else if (value != NULL && strcmp(argv[i], "--agents") == 0)
            agents = atof(value);
        else if (value != NULL && strcmp(argv[i], "--admit") == 0)
            admit = atof(value);
        else if (value != NULL && strcmp(argv[i], "--runaway") == 0)
            runaway = value;
        else if (value != NULL && strcmp(argv[i], "--endpoint") == 0)
            opt->endpoint = value;
        else
            return -1;
    }
    return rate > 0 && rate <= 1e6 && seconds > 0 && agents >= 1 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct tg_options opt = TG_OPTIONS_INIT;
    struct tg_stats st;
    tg_emitter *tg;

    if (parse(argc, argv, &opt) != 0)
        return fprintf(stderr,
                       "usage: %s [--rate N] [--seconds N] [--agents N] [--admit 1] [--runaway AGENT] "
                       "[--endpoint E]\n",
                       *argv),
               2;
    opt.gateway = "example-gateway";
    opt.gateway_version = TG_VERSION;
    int rc = tg_open(&opt, &tg);
    if (rc != TG_OK)
        return fprintf(stderr, "tg_open: %s\n", tg_strerror(rc)), 1;
    srand((unsigned)time(NULL));
    for (int i = 0; i < (int)(rate * seconds); i++) {
        struct call c = make_call(i);
        if (!may_call(tg, &c))
            c.status = TG_STATUS_BLOCKED;
        report_call(tg, &c);
        tg_count(tg, "calls", c.model->surface, 1);
        if (c.status == TG_STATUS_OK)
            report_answer(tg, &c);
        nap(1 / rate);
    }
    tg_flush(tg, 5000);
    if (tg_stats(tg, &st) == TG_OK)
        printf("events emitted: %" PRIu64 ", stored: %" PRIu64 ", waiting: %" PRIu64 ", dropped: %" PRIu64
               "\n"
               "look at them: tollgate usage --by agent; tollgate events\n",
               st.emitted, st.settled, st.pending, st.dropped_full);
    return tg_close(tg, 1000) == TG_OK ? 0 : 1;
}
