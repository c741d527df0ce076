/* SPDX-License-Identifier: MIT
 *
 * tollgate.h: meter the model calls of an agent gateway.
 *
 *     #include <tollgate.h>
 *
 *     int main(void)
 *     {
 *         struct tg_options opt = TG_OPTIONS_INIT;     // the collector on this machine
 *         tg_emitter *tg;
 *         if (tg_open(&opt, &tg) != TG_OK) return 1;
 *
 *         struct tg_dispatch d = TG_DISPATCH_INIT;     // every field unknown until set
 *         d.agent_id = "researcher"; d.session_id = "s-42";
 *         d.provider = "anthropic";  d.model = "claude-sonnet-4-5";
 *         d.usage.prompt_tokens = 1200; d.usage.completion_tokens = 310;
 *         d.latency_ms = 840;        d.status = TG_STATUS_OK;
 *         tg_dispatch_complete(tg, &d);                // some 100 ns; never blocks
 *
 *         return tg_close(tg, 1000) == TG_OK ? 0 : 1;  // wait up to a second for the receipt
 *     }
 *
 * Rules that hold for every function:
 *  - Threads: any number may call with the same emitter at once, except tg_close.
 *  - Blocking: only tg_flush, tg_admit, tg_settle, tg_renew and tg_close wait, for as long as they are
 *    told.
 *  - Strings are UTF-8 and copied before the call returns. NULL and "" mean unknown. A string
 *    longer than TG_STRING_MAX bytes is cut at a character and counted in tg_stats.truncated.
 *  - Numbers are counts, milliseconds or nano-dollars, as their names say. A negative number
 *    means unknown, which is not the same as 0.
 *  - Fork: in a child process every call with the parent's emitter returns TG_ERR_FORKED and
 *    does nothing; the child opens its own. No handler is installed.
 *  - The library prints nothing, installs no signal handler, changes no locale, cwd or umask.
 */
#ifndef TOLLGATE_H
#define TOLLGATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TG_VERSION_MAJOR 0
#define TG_VERSION_MINOR 1
#define TG_VERSION_PATCH 0
#define TG_VERSION "0.1.0"

#define TG_STRING_MAX 255 /* bytes of one string of an event */
#define TG_TAGS_MAX 16    /* tags of one event */
#define TG_UNKNOWN (-1)   /* a number nobody told us */

/* What a function answers. Values never change; tg_strerror says each in words. */
enum tg_err {
    TG_OK = 0,
    TG_ERR_INVALID = 1, /* a NULL argument, an option out of its range, a bad endpoint */
    TG_ERR_NOMEM = 2,   /* no memory, thread or descriptor: tg_open only */
    TG_ERR_FULL = 3,    /* the spool is full: the event was dropped and counted */
    TG_ERR_FORKED = 4,  /* the emitter belongs to the parent of this process */
    TG_ERR_TIMEOUT = 5, /* tg_flush, tg_close: not everything was acknowledged in time, or ever */
    TG_ERR_CLOSED = 6,  /* the emitter is closing */
    TG_ERR_UNREACHABLE = 7, /* tg_admit, tg_settle, tg_renew: no answer in time */
    TG_ERR_UNSUPPORTED = 8, /* the same in TG_MODE_SPOOL: this process has no line to the collector */
    TG_ERR_BUSY = 9,        /* the same: the collector answered that it cannot for the moment */
    TG_ERR_REFUSED = 10,    /* the same: no such reservation any more, or a request that breaks a rule */
};

/* The meaning of a number returned by this library, in a few words. Never NULL, static. */
const char *tg_strerror(int err);

/* The library's version, as "0.1.0". Static. */
const char *tg_version(void);

/* ------------------------------------------------------------------ emitter */

typedef struct tg_emitter tg_emitter;

/* What happens when the whole spool is full because no collector takes the events. */
enum tg_full {
    TG_FULL_DROP_NEWEST = 0, /* the call returns TG_ERR_FULL (the default) */
    TG_FULL_EVICT_OLDEST = 1 /* the sender gives up the oldest eighth of full segments */
};

/* How the events leave the process. */
enum tg_mode {
    TG_MODE_SEND = 0, /* a thread of this library sends (libtollgate; the default) */
    TG_MODE_SPOOL = 1 /* only write the spool; tollgate-ship sends (libtollgate-core's only mode) */
};

/* All fields may stay as TG_OPTIONS_INIT leaves them. Strings are copied by tg_open. */
struct tg_options {
    size_t size;                 /* set by TG_OPTIONS_INIT: lets the library grow this struct */
    const char *endpoint;        /* NULL: $TOLLGATE_ENDPOINT, else the collector's ipc socket of this user.
                                    tcp: a numeric address is advised, for tg_close may have to wait
                                    until a lookup of a host's name has ended, beyond its timeout */
    const char *source;          /* NULL: $TOLLGATE_SOURCE, else the host's name. Names this gateway */
    const char *spool_dir;       /* NULL: $TOLLGATE_SPOOL_DIR, else the user's runtime directory (tmpfs).
                                    On a disk it survives a reboot, up to the last sync */
    const char *gateway;         /* name of the embedding program, for reports; may be NULL */
    const char *gateway_version; /* its version; may be NULL */
    size_t spool_bytes;          /* bound of all segments together; 0: 64 MiB */
    size_t segment_bytes;        /* a power of two from 64 KiB; 0: 4 MiB. Each thread begins with one and
                                    takes more as it fills them */
    enum tg_full on_full;
    enum tg_mode mode;
    uint32_t linger_ms;          /* the sender gathers this long before it sends; 0: 5 ms */
    uint32_t report_ms;          /* how often the emitter reports about itself; 0: 60,000 ms */
};
#define TG_OPTIONS_INIT { sizeof(struct tg_options), NULL, NULL, NULL, NULL, NULL, 0, 0, \
    TG_FULL_DROP_NEWEST, TG_MODE_SEND, 0, 0 }

/* Opens an emitter: creates the spool, starts the sender. The collector need not be there.
 * A spool that cannot be made (no directory, disk full) falls back to memory; tg_stats says so. A
 * default socket directory under /tmp that is somebody else's is not used: the events stay in the
 * spool and tg_stats.last_error says why.
 * opt NULL: all defaults. On success *out is owned by the caller until tg_close; on failure *out
 * is untouched. Does not wait for the network. Errors: TG_ERR_INVALID, TG_ERR_NOMEM. */
int tg_open(const struct tg_options *opt, tg_emitter **out);

/* Waits up to timeout_ms until every event is acknowledged, stops the sender and frees tg.
 * What is not acknowledged by then stays in the spool for the next emitter with this source:
 * TG_ERR_TIMEOUT. If the spool is in memory, it is lost, and nobody is told but the caller, by that
 * number: ask tg_stats before for how many are pending. TG_ERR_TIMEOUT too if events were evicted
 * meanwhile. The last that the collector hears is that this emitter leaves. One that fell silent without
 * that word, because it died or the time did not suffice, is missed there: an alert.
 * tg is freed whatever is returned; NULL is TG_OK. No other call with tg may run or come
 * after, but for threads that wait in tg_admit, tg_settle or tg_renew: they are sent away first.
 * timeout_ms 0: no wait. An endpoint with a host's name may make it wait for DNS. */
int tg_close(tg_emitter *tg, uint32_t timeout_ms);

/* Waits up to timeout_ms until every event emitted before this call, by any thread, is settled
 * (on the collector's disk, or refused by it for good). TG_ERR_TIMEOUT if that takes longer, or if
 * events, of whatever age, were evicted meanwhile; TG_ERR_FORKED. */
int tg_flush(tg_emitter *tg, uint32_t timeout_ms);

/* ------------------------------------------------------------------- events */

/* How a model call ended. */
enum tg_status {
    TG_STATUS_UNKNOWN = 0,
    TG_STATUS_OK = 1,
    TG_STATUS_ERROR = 2,
    TG_STATUS_TIMEOUT = 3,
    TG_STATUS_ABORTED = 4, /* the caller went away or cancelled */
    TG_STATUS_BLOCKED = 5  /* a budget or policy stopped it before the provider saw it */
};

/* Why the call was made. */
enum tg_trigger {
    TG_TRIGGER_UNKNOWN = 0,
    TG_TRIGGER_USER = 1,
    TG_TRIGGER_HEARTBEAT = 2,
    TG_TRIGGER_CRON = 3,
    TG_TRIGGER_SUBAGENT = 4,
    TG_TRIGGER_COMPACTION = 5,
    TG_TRIGGER_RETRY = 6,
    TG_TRIGGER_PLUGIN = 7
};

/* What one record tells about. The finest one known for a run is the one that counts. */
enum tg_granularity {
    TG_GRANULARITY_CALL = 1, /* one request to a provider (what 0 means too) */
    TG_GRANULARITY_RUN = 2,  /* all calls of one run, summed */
    TG_GRANULARITY_TURN = 3  /* all runs of one turn, summed */
};

/* Tokens of a call, in OpenAI's convention: the prompt includes the cached and the cache-write
 * tokens, the completion includes the reasoning tokens. See tg_usage_* for other conventions. */
struct tg_usage {
    int64_t prompt_tokens;
    int64_t completion_tokens;
    int64_t total_tokens;
    int64_t cached_tokens;         /* of the prompt: read from the provider's cache */
    int64_t cache_write_tokens;    /* of the prompt: written to the cache, any lifetime */
    int64_t cache_write_1h_tokens; /* of cache_write_tokens: written for an hour */
    int64_t reasoning_tokens;      /* of the completion */
};
#define TG_USAGE_INIT { TG_UNKNOWN, TG_UNKNOWN, TG_UNKNOWN, TG_UNKNOWN, TG_UNKNOWN, TG_UNKNOWN, TG_UNKNOWN }

/* A label of the operator's own. Names and values are strings like any other. */
struct tg_tag {
    const char *name;
    const char *value;
};

/* A finished model call. Start from TG_DISPATCH_INIT and set what is known. */
struct tg_dispatch {
    size_t size;                 /* set by TG_DISPATCH_INIT */
    int64_t ts_ms;               /* when it ended, Unix time; unknown: now */
    const unsigned char *event_id; /* 16 bytes made earlier with tg_event_id; NULL: made here */
    const char *session_id, *parent_session_id, *root_session_id;
    const char *agent_id, *user_id;
    const char *provider, *model, *requested_model;
    const char *surface, *channel, *lane;
    enum tg_trigger trigger;
    enum tg_granularity granularity;
    enum tg_status status;
    const char *error_type;
    const struct tg_tag *tags;
    size_t tag_count;
    const char *run_id, *call_id, *response_id, *trace_id, *span_id, *reservation_id;
    const char *tool_used;
    int64_t attempt;             /* 1 for the first */
    struct tg_usage usage;
    int64_t tool_calls;          /* tool calls that the answer asks for */
    int64_t latency_ms;          /* request to end */
    int64_t ttft_ms;             /* request to first token */
    int64_t http_status;
    int64_t partial;             /* 1: an interim usage; a final record will replace it */
    int64_t cost_reported_nanousd; /* what the gateway or provider says it cost */
};
#define TG_DISPATCH_INIT { sizeof(struct tg_dispatch), TG_UNKNOWN, NULL, NULL, NULL, NULL, NULL, NULL, \
    NULL, NULL, NULL, NULL, NULL, NULL, TG_TRIGGER_UNKNOWN, TG_GRANULARITY_CALL, TG_STATUS_UNKNOWN, \
    NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, TG_UNKNOWN, TG_USAGE_INIT, TG_UNKNOWN, \
    TG_UNKNOWN, TG_UNKNOWN, TG_UNKNOWN, TG_UNKNOWN, TG_UNKNOWN }

/* Publishes a finished model call: writes it to the calling thread's segment of the spool, from
 * where it is sent and kept until acknowledged. Never waits for the collector. A thread's first call
 * may take milliseconds (its segment is made), and so may one that takes a further segment because
 * the last one is full; other calls allocate nothing and make no system call while the sender is
 * awake.
 * The event's id is made here once: from (session_id, response_id) if the provider gave a
 * response id, else from (session_id, span_id), else from time and stream. See schema/wire.md.
 * Errors: TG_ERR_INVALID (NULL), TG_ERR_FULL (dropped, counted), TG_ERR_FORKED, TG_ERR_CLOSED. */
int tg_dispatch_complete(tg_emitter *tg, const struct tg_dispatch *d);

/* The id that tg_dispatch_complete gives to an event with these strings: for a caller who tells
 * of the same call twice (a partial record, then the final one) or by another path too. NULL and
 * "" mean unknown. TG_ERR_INVALID and *out untouched if neither response_id nor span_id is known. */
int tg_event_id(const char *session_id, const char *response_id, const char *span_id,
                unsigned char out[16]);

/* What happened to a message. */
enum tg_message_kind {
    TG_MESSAGE_RECEIVED = 16,
    TG_MESSAGE_SENDING = 17,
    TG_MESSAGE_SENT = 18,
    TG_AGENT_END = 19,
    TG_BEFORE_AGENT_FINALIZE = 20
};

/* How it ended. */
enum tg_outcome {
    TG_OUTCOME_UNKNOWN = 0,
    TG_OUTCOME_DELIVERED = 1,
    TG_OUTCOME_FAILED = 2,
    TG_OUTCOME_REWRITTEN = 3,
    TG_OUTCOME_CANCELLED = 4,
    TG_OUTCOME_OBSERVED = 5
};

/* A step in a message's life. The text of a message is never part of it. */
struct tg_message {
    size_t size;                 /* set by TG_MESSAGE_INIT */
    int64_t ts_ms;
    const unsigned char *event_id; /* 16 bytes, or NULL: made here */
    enum tg_message_kind kind;   /* must be set */
    enum tg_outcome outcome;
    const char *session_id, *parent_session_id, *root_session_id;
    const char *agent_id, *user_id;
    const char *surface, *channel, *error_type;
    const struct tg_tag *tags;
    size_t tag_count;
    const char *run_id, *message_id;
    int64_t bytes;               /* length of the text */
    int64_t latency_ms;
};
#define TG_MESSAGE_INIT { sizeof(struct tg_message), TG_UNKNOWN, NULL, (enum tg_message_kind)0, \
    TG_OUTCOME_UNKNOWN, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, \
    TG_UNKNOWN, TG_UNKNOWN }

/* Publishes a message event. As tg_dispatch_complete in every respect. */
int tg_message(tg_emitter *tg, const struct tg_message *m);

/* ------------------------------------------------------- usage conventions */

/* Each fills *out from the numbers one provider's answer carries; a negative input is unknown and
 * makes what depends on it unknown. Pure functions: any thread, no emitter needed.
 *
 * OpenAI (chat completions and responses): prompt includes cached, completion includes reasoning. */
void tg_usage_openai(int64_t prompt, int64_t completion, int64_t total, int64_t cached,
                     int64_t reasoning, struct tg_usage *out);

/* Anthropic messages: input excludes what was read from or written to the cache. cache_creation
 * is the sum over lifetimes, cache_creation_1h the part that is kept for an hour. Where the answer
 * has no cache field at all, pass 0 for it: Anthropic omits them only when nothing was cached. */
void tg_usage_anthropic(int64_t input, int64_t output, int64_t cache_read, int64_t cache_creation,
                        int64_t cache_creation_1h, struct tg_usage *out);

/* OpenClaw's message.usage: input excludes cacheRead and cacheWrite; total is totalTokens. */
void tg_usage_openclaw(int64_t input, int64_t output, int64_t cache_read, int64_t cache_write,
                       int64_t total, struct tg_usage *out);

/* ---------------------------------------------------------------- governing */

/* What to do with a call. Of several that hold for it the highest counts. */
enum tg_action {
    TG_ALLOW = 0,
    TG_WARN = 1,      /* make the call; somebody should know that a budget runs low */
    TG_DOWNGRADE = 2, /* make it with use_model or in use_lane */
    TG_DELAY = 3,     /* make it after delay_ms */
    TG_BLOCK = 4      /* do not make it, and publish a dispatch with TG_STATUS_BLOCKED */
};

/* What spent and limit of a verdict are counted in. */
enum tg_unit {
    TG_UNIT_NONE = 0,
    TG_UNIT_NANOUSD = 1,
    TG_UNIT_TOKENS = 2,
    TG_UNIT_CALLS = 3
};

/* A call that is about to be made. Zeroed, every field is unknown, so set what you know:
 *     &(struct tg_request){ .agent_id = "researcher", .session_id = "s-42", .model = "claude-sonnet-4-5" }
 * Strings are only read. What is longer than TG_STRING_MAX is cut as it is in events, but not counted. */
struct tg_request {
    const char *agent_id, *session_id;
    const char *root_session_id; /* unknown: session_id */
    const char *user_id, *provider, *model, *lane, *surface, *channel;
    enum tg_trigger trigger;
    const struct tg_tag *tags;   /* the first TG_TAGS_MAX count, and of equal names the last */
    size_t tag_count;
    int64_t prompt_tokens;       /* an estimate, for tg_admit; 0, here, means unknown */
    int64_t max_tokens;          /* the answer's limit, for tg_admit; 0, here, means unknown */
};

/* The answer, copied: nothing in it has to be freed or goes stale under your hands. Only action and
 * stale are always set; with TG_ALLOW nothing else is, whatever stood there before. */
struct tg_verdict {
    enum tg_action action;
    int stale;             /* 1: no collector's word that is young enough; action says what was agreed upon
                              for that case (a budget's on_error), TG_ALLOW if nothing was */
    char budget[65];       /* the budget, policy or pause that says so */
    char message[512];     /* a sentence for a person */
    char use_model[128];   /* TG_DOWNGRADE: this model instead; "": the same */
    char use_lane[64];     /* TG_DOWNGRADE: this lane instead; "": the same */
    int64_t spent, limit;  /* in unit; TG_UNKNOWN */
    int unit;              /* enum tg_unit */
    int64_t opens_in_ms;   /* after so long this verdict ends by itself; TG_UNKNOWN: nobody can say */
    int64_t delay_ms;      /* TG_DELAY: wait so long before the call; TG_UNKNOWN otherwise */
};

/* Asks, from memory, whether a call may be made: the collector pushes what is not allowed ahead of
 * time. Never blocks; some 100 ns for a request like an earlier one, microseconds for a new one. Once a
 * second in TG_MODE_SPOOL it looks for a file, until tollgate-ship has made it. What it allows may still
 * go over a budget by the calls that are under way at that moment: where that must not be, tg_admit.
 * Without a collector, or with one that does not govern, everything is allowed, but for what guards
 * say: those of the last collector known in this place, kept in a file beside the spool.
 * Errors: TG_ERR_INVALID (NULL), TG_ERR_FORKED, TG_ERR_CLOSED; *out is untouched then. */
int tg_check(tg_emitter *tg, const struct tg_request *request, struct tg_verdict *out);

/* Money set aside for one call. Zero it before the first use. */
struct tg_reservation {
    char id[33];              /* becomes tg_dispatch.reservation_id */
    int64_t reserved_nanousd; /* TG_UNKNOWN: the model has no price, or nothing was reserved */
    int64_t expires_in_ms;    /* TG_UNKNOWN: nothing was reserved */
    int status;               /* the collector's own, see schema/wire.md; TG_UNKNOWN: it did not answer */
};

/* Asks the collector for a reservation: one round trip, and it is on disk when this returns.
 * ttl_ms: how long it holds, 1,000 to 86,400,000; 0: 10 minutes. Waits up to timeout_ms; the calling
 * thread only, others go on.
 * r->id: "" and it is made here, before anything is asked; if it is set, the same reservation is asked
 * for again (after TG_ERR_UNREACHABLE: the answer may have been lost), which is harmless.
 * TG_OK: *out says what to do, TG_BLOCK if it was denied; then nothing is reserved.
 * TG_ERR_UNREACHABLE, TG_ERR_BUSY, TG_ERR_REFUSED, TG_ERR_UNSUPPORTED: *out is what tg_check says, with
 * what was agreed upon for the case that nobody can be asked (on_error), whichever is stricter;
 * after TG_ERR_REFUSED, out->message is the collector's reason, whatever the action. *r keeps its id; the
 * collector may have reserved all the same until ttl_ms is over.
 * Then make the call and publish its tg_dispatch with reservation_id: that settles it, no tg_settle needed.
 * Other errors: TG_ERR_INVALID (NULL, ttl_ms, an id that does not end), TG_ERR_FORKED, TG_ERR_CLOSED
 * (also to those who wait when tg_close is called); r and out are untouched. */
int tg_admit(tg_emitter *tg, const struct tg_request *request, uint32_t ttl_ms, uint32_t timeout_ms,
             struct tg_reservation *r, struct tg_verdict *out);

/* Gives a reservation back (usage NULL: the call was not made) or tells what the call took. Needed only
 * where no event with this reservation_id will come; one that comes all the same is what counts.
 * id: 1 to 64 bytes. Harmless when repeated. Waits up to timeout_ms. TG_OK: it is on disk.
 * Errors: TG_ERR_UNREACHABLE, TG_ERR_BUSY, TG_ERR_REFUSED (no such reservation, or a number breaks a
 * rule), TG_ERR_UNSUPPORTED, TG_ERR_INVALID (NULL, id), TG_ERR_FORKED, TG_ERR_CLOSED. */
int tg_settle(tg_emitter *tg, const char *id, const struct tg_usage *usage, uint32_t timeout_ms);

/* Lets a reservation hold for ttl_ms from now: a call takes longer than expected. Everything else as
 * tg_settle. TG_ERR_REFUSED: it is over, or never was. */
int tg_renew(tg_emitter *tg, const char *id, uint32_t ttl_ms, uint32_t timeout_ms);

/* ---------------------------------------------------------- seeing yourself */

/* Adds n to a counter that travels to the collector with the emitter's reports, e.g.
 * tg_count(tg, "hook.message_sent", "telegram", 1). name and label: short, from a small fixed set
 * (at most 128 pairs; the rest is counted under "other"). label may be NULL. Never blocks. */
int tg_count(tg_emitter *tg, const char *name, const char *label, int64_t n);

/* What became of this emitter's events so far. */
struct tg_stats {
    uint64_t emitted;          /* calls that returned TG_OK */
    uint64_t settled;          /* acknowledged by the collector */
    uint64_t pending;          /* in the spool now */
    uint64_t dropped_full;     /* lost: spool full */
    uint64_t dropped_evicted;  /* lost: given up by TG_FULL_EVICT_OLDEST */
    uint64_t dropped_too_big;  /* lost: larger than a segment can hold */
    uint64_t dropped_damaged;  /* lost: unreadable after an unclean stop of the machine */
    uint64_t dropped_refused;  /* lost: the collector will never take it, sent alone or not */
    uint64_t duplicates;       /* events the collector had already */
    uint64_t truncated;        /* strings cut at TG_STRING_MAX */
    uint64_t batches_sent;     /* counts repeats too */
    uint64_t batches_resent;
    uint64_t adopted;          /* events sent for an emitter that died */
    uint64_t spool_bytes;      /* size of all segments */
    uint64_t spool_used_bytes;
    int32_t spool_in_memory;   /* 1: no directory or no room, a kill loses what is pending */
    int32_t connected;         /* 1: the collector answered last */
    int32_t last_error;        /* errno of the last fault of spool or socket; 0: none */
    int32_t verdicts_stale;    /* 1: guards decide, or nobody */
    uint64_t verdict_version;  /* of the collector's verdicts that are known here; 0: none */
    uint64_t verdicts_damaged; /* lists that could not be read, from the collector or from the file */
    uint64_t asked;            /* calls of tg_admit, tg_settle and tg_renew that went to the collector */
    uint64_t unanswered;       /* of those, without an answer in time */
};

/* Fills *out. Numbers of other threads may be a moment old. TG_ERR_INVALID, TG_ERR_FORKED. */
int tg_stats(tg_emitter *tg, struct tg_stats *out);

#ifdef __cplusplus
}
#endif
#endif
