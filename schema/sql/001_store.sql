-- 001_store: the event log, its dictionaries, its partitions, and its projections.
--
-- The log (dispatch, message, report) is append-only, in order of arrival: id is one sequence over
-- all three. Only dispatch.state of an old row ever changes; retention takes whole partitions from
-- its old end. Everything named projection_* is derived from the log up to projection.watermark and
-- can be rebuilt from it, as far back as the log goes.
-- Times are Unix milliseconds, _minute is Unix minutes; NULL means unknown, which is not 0; money is
-- nano-dollars. The views at the end are the part that other programs may rely on.

CREATE TABLE source (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    first_seen_ms INTEGER NOT NULL
);

-- The watermark of each ordered stream: everything up to settled is on disk.
CREATE TABLE stream (
    source       INTEGER NOT NULL REFERENCES source,
    epoch        INTEGER NOT NULL,
    stream       INTEGER NOT NULL,
    settled      INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    PRIMARY KEY (source, epoch, stream)
) WITHOUT ROWID;

-- One row for each (session, parent, root) that events told.
CREATE TABLE session (
    id                INTEGER PRIMARY KEY,
    key               BLOB    NOT NULL UNIQUE, -- hash of the three names
    name              INTEGER NOT NULL,        -- 63 bits of the hash of session_id: finds it by name
    root              INTEGER NOT NULL,        -- id of the root's own row; its own if it is one
    session_id        TEXT,
    parent_session_id TEXT,
    root_session_id   TEXT
);
CREATE INDEX session_by_name ON session (name);
CREATE INDEX session_by_root ON session (root) WHERE root <> id;

-- A combination: every low-cardinality name of an event, stored once.
CREATE TABLE dims (
    id              INTEGER PRIMARY KEY,
    key             BLOB    NOT NULL UNIQUE, -- hash of source and the names
    rollup          INTEGER NOT NULL,         -- the combination it is summed under: its own id, or an overflow row's
    source          INTEGER NOT NULL REFERENCES source,
    agent_id        TEXT,
    user_id         TEXT,
    provider        TEXT,
    model           TEXT,
    requested_model TEXT,
    surface         TEXT,
    channel         TEXT,
    lane            TEXT,
    "trigger"       INTEGER,
    granularity     INTEGER,
    status          INTEGER,
    error_type      TEXT,
    tags            TEXT                      -- JSON object, names sorted
);

-- How identifiers are spelled in the log: schema/identifier.def. An identifier that has one of these
-- forms is a BLOB, its head and then the rest; others are TEXT.
CREATE TABLE identifier_form (
    head   BLOB PRIMARY KEY,
    prefix TEXT NOT NULL,
    form   TEXT NOT NULL                      -- of the rest: text, hex, uuid, letters or letters3
) WITHOUT ROWID;
INSERT INTO identifier_form VALUES
    (x'00', '', 'text'), (x'01', 'chatcmpl-', 'text'), (x'02', 'chatcmpl_', 'text'), (x'03', 'resp_', 'text'),
    (x'04', 'msg_', 'text'), (x'05', 'msg_01', 'text'), (x'06', 'gen-', 'text'), (x'07', 'req_', 'text'),
    (x'08', 'run_', 'text'), (x'09', 'call_', 'text'), (x'0a', 'toolu_', 'text'), (x'0b', 'toolu_01', 'text'),
    (x'20', '', 'hex'), (x'21', 'chatcmpl-', 'hex'), (x'22', 'chatcmpl_', 'hex'), (x'23', 'resp_', 'hex'),
    (x'24', 'msg_', 'hex'), (x'25', 'msg_01', 'hex'), (x'26', 'gen-', 'hex'), (x'27', 'req_', 'hex'),
    (x'28', 'run_', 'hex'), (x'29', 'call_', 'hex'), (x'2a', 'toolu_', 'hex'), (x'2b', 'toolu_01', 'hex'),
    (x'40', '', 'uuid'), (x'41', 'chatcmpl-', 'uuid'), (x'42', 'chatcmpl_', 'uuid'), (x'43', 'resp_', 'uuid'),
    (x'44', 'msg_', 'uuid'), (x'45', 'msg_01', 'uuid'), (x'46', 'gen-', 'uuid'), (x'47', 'req_', 'uuid'),
    (x'48', 'run_', 'uuid'), (x'49', 'call_', 'uuid'), (x'4a', 'toolu_', 'uuid'), (x'4b', 'toolu_01', 'uuid'),
    (x'60', '', 'letters'), (x'61', 'chatcmpl-', 'letters'), (x'62', 'chatcmpl_', 'letters'),
    (x'63', 'resp_', 'letters'), (x'64', 'msg_', 'letters'), (x'65', 'msg_01', 'letters'),
    (x'66', 'gen-', 'letters'), (x'67', 'req_', 'letters'), (x'68', 'run_', 'letters'),
    (x'69', 'call_', 'letters'), (x'6a', 'toolu_', 'letters'), (x'6b', 'toolu_01', 'letters'),
    (x'80', '', 'letters3'), (x'81', 'chatcmpl-', 'letters3'), (x'82', 'chatcmpl_', 'letters3'),
    (x'83', 'resp_', 'letters3'), (x'84', 'msg_', 'letters3'), (x'85', 'msg_01', 'letters3'),
    (x'86', 'gen-', 'letters3'), (x'87', 'req_', 'letters3'), (x'88', 'run_', 'letters3'),
    (x'89', 'call_', 'letters3'), (x'8a', 'toolu_', 'letters3'), (x'8b', 'toolu_01', 'letters3');

-- Two letters of an identifier, by the three hex digits that stand for them.
CREATE TABLE identifier_letters (
    digits  TEXT PRIMARY KEY,
    letters TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO identifier_letters
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4095),
     alphabet(a) AS (SELECT '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_')
SELECT printf('%03X', i), substr(a, 1 + i / 64, 1) || substr(a, 1 + i % 64, 1) FROM n, alphabet;

CREATE TABLE dispatch (
    id                    INTEGER PRIMARY KEY,
    ts_ms                 INTEGER NOT NULL,
    received_after_ms     INTEGER NOT NULL,   -- received at ts_ms + this
    state                 INTEGER NOT NULL,   -- 0 counts; 1 replaced by a final record; 2 told at a finer granularity; + 8: time out of range
    dims                  INTEGER NOT NULL,
    session               INTEGER,
    event_id              BLOB,               -- NULL: the hash of the session and response_id, else span_id
    run_id                BLOB,
    call_id               BLOB,
    response_id           BLOB,
    trace_id              BLOB,
    span_id               BLOB,
    reservation_id        BLOB,
    tool_used             TEXT,
    attempt               INTEGER,
    prompt_tokens         INTEGER,
    completion_tokens     INTEGER,
    total_tokens          INTEGER,            -- less prompt_tokens and completion_tokens where both are known: mostly 0
    cached_tokens         INTEGER,
    cache_write_tokens    INTEGER,
    cache_write_1h_tokens INTEGER,
    reasoning_tokens      INTEGER,
    tool_calls            INTEGER,
    latency_ms            INTEGER,
    ttft_ms               INTEGER,
    http_status           INTEGER,            -- 0 and 200 change places: most are 200, and a 0 takes no room
    partial               INTEGER,
    cost_reported_nanousd INTEGER,
    price                 INTEGER,            -- what priced it; NULL: unpriced
    cost_nanousd          INTEGER             -- what it cost by that
);

CREATE TABLE message (
    id                INTEGER PRIMARY KEY,
    ts_ms             INTEGER NOT NULL,
    received_after_ms INTEGER NOT NULL,
    kind              INTEGER NOT NULL,
    dims              INTEGER NOT NULL,
    session           INTEGER,
    event_id          BLOB    NOT NULL,
    run_id            BLOB,
    message_id        BLOB,
    outcome           INTEGER,
    bytes             INTEGER,
    latency_ms        INTEGER
);

CREATE TABLE report (
    id                INTEGER PRIMARY KEY,
    ts_ms             INTEGER NOT NULL,
    received_after_ms INTEGER NOT NULL,
    source            INTEGER NOT NULL REFERENCES source,
    epoch             INTEGER,
    event_id          BLOB    NOT NULL,
    body              TEXT    NOT NULL        -- JSON object
);

-- What could not be understood: kept as it came.
CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY,
    received_ms INTEGER NOT NULL,
    source      INTEGER REFERENCES source,
    epoch       INTEGER,
    stream      INTEGER,
    seq         INTEGER,
    events      INTEGER NOT NULL,             -- how many events this piece stands for
    reason      TEXT    NOT NULL,
    bytes       BLOB    NOT NULL
);

-- ---------------------------------------------------------------- partitions

-- The log in pieces of about a day of arrival. Retention drops a kind's rows piece by piece.
CREATE TABLE log_partition (
    first_id          INTEGER PRIMARY KEY,
    last_id           INTEGER NOT NULL,
    first_received_ms INTEGER NOT NULL,
    last_received_ms  INTEGER NOT NULL,
    newest_ms         INTEGER NOT NULL,       -- the latest time that an event in it tells
    dispatches        INTEGER NOT NULL,
    messages          INTEGER NOT NULL,
    reports           INTEGER NOT NULL
);

-- How far retention has gone: rows of this kind with id <= through_id are not in the log any more.
CREATE TABLE log_dropped (
    kind       TEXT    PRIMARY KEY,           -- dispatch, message, report
    through_id INTEGER NOT NULL,
    newest_ms  INTEGER NOT NULL               -- no dropped event of this kind is later
) WITHOUT ROWID;
INSERT INTO log_dropped VALUES ('dispatch', 0, 0), ('message', 0, 0), ('report', 0, 0);

-- --------------------------------------------------------------- projections

CREATE TABLE projection (
    name      TEXT PRIMARY KEY,
    watermark INTEGER NOT NULL                -- id of the last event of the log that is in it
) WITHOUT ROWID;
INSERT INTO projection VALUES ('usage', 0), ('session', 0);

-- What the projections were made with. reporting_zone: an IANA name; folded_minute: all minutes
-- before it are in their quarter and day; x_dropped_before: retention has taken what was before.
CREATE TABLE projection_setting (
    name  TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;
INSERT INTO projection_setting VALUES ('reporting_zone', 'UTC'), ('folded_minute', 0);

-- Usage: sums of the dispatches that count, by time and combination, and where in the log the
-- events of that time are. body: the packed cells of collector/base/slab.h. A quarter is 15
-- minutes; a day begins at midnight in the reporting zone.
CREATE TABLE projection_minute (
    start_minute INTEGER PRIMARY KEY,
    first_id     INTEGER NOT NULL,            -- of all kinds of events
    last_id      INTEGER NOT NULL,
    cells        INTEGER NOT NULL,
    revision     INTEGER NOT NULL DEFAULT (random()), -- another one whenever the row is written
    body         BLOB    NOT NULL
);
CREATE TABLE projection_quarter (
    start_minute INTEGER PRIMARY KEY,
    first_id     INTEGER NOT NULL,
    last_id      INTEGER NOT NULL,
    cells        INTEGER NOT NULL,
    revision     INTEGER NOT NULL DEFAULT (random()),
    body         BLOB    NOT NULL
);
CREATE TABLE projection_day (
    start_minute INTEGER PRIMARY KEY,
    first_id     INTEGER NOT NULL,
    last_id      INTEGER NOT NULL,
    cells        INTEGER NOT NULL,
    revision     INTEGER NOT NULL DEFAULT (random()),
    body         BLOB    NOT NULL
);

-- The days once more, in columns, for people. x_known says how many of the calls told x.
CREATE TABLE projection_day_row (
    start_minute                INTEGER NOT NULL,
    date                        TEXT    NOT NULL, -- in the reporting zone
    dims                        INTEGER NOT NULL,
    calls                       INTEGER NOT NULL,
    partial                     INTEGER NOT NULL,
    prompt_tokens               INTEGER NOT NULL,
    prompt_tokens_known         INTEGER NOT NULL,
    completion_tokens           INTEGER NOT NULL,
    completion_tokens_known     INTEGER NOT NULL,
    total_tokens                INTEGER NOT NULL,
    total_tokens_known          INTEGER NOT NULL,
    cached_tokens               INTEGER NOT NULL,
    cached_tokens_known         INTEGER NOT NULL,
    cache_write_tokens          INTEGER NOT NULL,
    cache_write_tokens_known    INTEGER NOT NULL,
    cache_write_1h_tokens       INTEGER NOT NULL,
    cache_write_1h_tokens_known INTEGER NOT NULL,
    reasoning_tokens            INTEGER NOT NULL,
    reasoning_tokens_known      INTEGER NOT NULL,
    tool_calls                  INTEGER NOT NULL,
    tool_calls_known            INTEGER NOT NULL,
    latency_ms                  INTEGER NOT NULL,
    latency_ms_known            INTEGER NOT NULL,
    ttft_ms                     INTEGER NOT NULL,
    ttft_ms_known               INTEGER NOT NULL,
    cost_reported_nanousd       INTEGER NOT NULL,
    cost_reported_nanousd_known INTEGER NOT NULL,
    cost_nanousd                INTEGER NOT NULL,
    cost_nanousd_known          INTEGER NOT NULL,
    PRIMARY KEY (start_minute, dims)
) WITHOUT ROWID;

-- Totals of each session, over its whole life: the dispatches that count, the messages, and the
-- span of all its rows in the log.
CREATE TABLE projection_session (
    session                     INTEGER PRIMARY KEY,
    dims                        INTEGER NOT NULL, -- of its last dispatch by id; before the first one, of its first message
    first_ms                    INTEGER NOT NULL,
    last_ms                     INTEGER NOT NULL,
    first_id                    INTEGER NOT NULL,
    last_id                     INTEGER NOT NULL,
    messages                    INTEGER NOT NULL,
    calls                       INTEGER NOT NULL,
    errors                      INTEGER NOT NULL, -- status error or timeout
    partial                     INTEGER NOT NULL,
    tokens                      INTEGER NOT NULL, -- total_tokens, else prompt + completion, as far as known
    prompt_tokens               INTEGER NOT NULL,
    prompt_tokens_known         INTEGER NOT NULL,
    completion_tokens           INTEGER NOT NULL,
    completion_tokens_known     INTEGER NOT NULL,
    total_tokens                INTEGER NOT NULL,
    total_tokens_known          INTEGER NOT NULL,
    cached_tokens               INTEGER NOT NULL,
    cached_tokens_known         INTEGER NOT NULL,
    cache_write_tokens          INTEGER NOT NULL,
    cache_write_tokens_known    INTEGER NOT NULL,
    cache_write_1h_tokens       INTEGER NOT NULL,
    cache_write_1h_tokens_known INTEGER NOT NULL,
    reasoning_tokens            INTEGER NOT NULL,
    reasoning_tokens_known      INTEGER NOT NULL,
    tool_calls                  INTEGER NOT NULL,
    tool_calls_known            INTEGER NOT NULL,
    latency_ms                  INTEGER NOT NULL,
    latency_ms_known            INTEGER NOT NULL,
    ttft_ms                     INTEGER NOT NULL,
    ttft_ms_known               INTEGER NOT NULL,
    cost_reported_nanousd       INTEGER NOT NULL,
    cost_reported_nanousd_known INTEGER NOT NULL,
    cost_nanousd                INTEGER NOT NULL,
    cost_nanousd_known          INTEGER NOT NULL
);
CREATE INDEX projection_session_by_last ON projection_session (last_ms);
CREATE INDEX projection_session_by_tokens ON projection_session (tokens);

-- The session index: where a session's rows are. A span is a piece of the log, written once, in
-- the order of sessions; small spans are merged into larger ones. ids: the first as its distance
-- from span, each other one as its distance from the one before; LEB128.
CREATE TABLE projection_session_span (
    span    INTEGER PRIMARY KEY,              -- id of its first event
    last_id INTEGER NOT NULL,
    tier    INTEGER NOT NULL
);
CREATE TABLE projection_session_slice (
    span    INTEGER NOT NULL,
    session INTEGER NOT NULL,
    ids     BLOB    NOT NULL,
    PRIMARY KEY (span, session)
) WITHOUT ROWID;

-- --------------------------------------------------------------------- views

-- Readable names, for people who open the file (mode=ro).
CREATE VIEW v_dispatch AS
SELECT e.id, e.ts_ms, e.ts_ms + e.received_after_ms AS received_ms, e.state,
       CASE WHEN e.event_id IS NOT NULL THEN lower(hex(e.event_id)) END AS event_id,
       src.name AS source, s.session_id, s.parent_session_id, s.root_session_id,
       d.agent_id, d.user_id, d.provider, d.model, d.requested_model, d.surface, d.channel, d.lane,
       CASE d."trigger" WHEN 1 THEN 'user' WHEN 2 THEN 'heartbeat' WHEN 3 THEN 'cron' WHEN 4 THEN 'subagent'
            WHEN 5 THEN 'compaction' WHEN 6 THEN 'retry' WHEN 7 THEN 'plugin' END AS "trigger",
       CASE d.granularity WHEN 1 THEN 'call' WHEN 2 THEN 'run' WHEN 3 THEN 'turn' END AS granularity,
       CASE d.status WHEN 1 THEN 'ok' WHEN 2 THEN 'error' WHEN 3 THEN 'timeout' WHEN 4 THEN 'aborted'
            WHEN 5 THEN 'blocked' END AS status,
       d.error_type, d.tags,
       CASE typeof(e.run_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.run_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.run_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.run_id), 3, 8) || '-' || substr(hex(e.run_id), 11, 4) || '-' ||
           substr(hex(e.run_id), 15, 4) || '-' || substr(hex(e.run_id), 19, 4) || '-' || substr(hex(e.run_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.run_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.run_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.run_id)))
           SELECT t || CAST(substr(e.run_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.run_id, 1, 1)) ELSE e.run_id END AS run_id,
       CASE typeof(e.call_id) WHEN 'integer' THEN CASE typeof(e.run_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.run_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.run_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.run_id), 3, 8) || '-' || substr(hex(e.run_id), 11, 4) || '-' ||
           substr(hex(e.run_id), 15, 4) || '-' || substr(hex(e.run_id), 19, 4) || '-' || substr(hex(e.run_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.run_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.run_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.run_id)))
           SELECT t || CAST(substr(e.run_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.run_id, 1, 1)) ELSE e.run_id END
           || ':model:' || e.call_id ELSE CASE typeof(e.call_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.call_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.call_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.call_id), 3, 8) || '-' || substr(hex(e.call_id), 11, 4) || '-' ||
           substr(hex(e.call_id), 15, 4) || '-' || substr(hex(e.call_id), 19, 4) || '-' || substr(hex(e.call_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.call_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.call_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.call_id)))
           SELECT t || CAST(substr(e.call_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.call_id, 1, 1)) ELSE e.call_id END END AS call_id,
       CASE typeof(e.response_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.response_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.response_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.response_id), 3, 8) || '-' || substr(hex(e.response_id), 11, 4) || '-' ||
           substr(hex(e.response_id), 15, 4) || '-' || substr(hex(e.response_id), 19, 4) || '-' || substr(hex(e.response_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.response_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.response_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.response_id)))
           SELECT t || CAST(substr(e.response_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.response_id, 1, 1)) ELSE e.response_id END AS response_id,
       CASE typeof(e.trace_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.trace_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.trace_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.trace_id), 3, 8) || '-' || substr(hex(e.trace_id), 11, 4) || '-' ||
           substr(hex(e.trace_id), 15, 4) || '-' || substr(hex(e.trace_id), 19, 4) || '-' || substr(hex(e.trace_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.trace_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.trace_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.trace_id)))
           SELECT t || CAST(substr(e.trace_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.trace_id, 1, 1)) ELSE e.trace_id END AS trace_id,
       CASE typeof(e.span_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.span_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.span_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.span_id), 3, 8) || '-' || substr(hex(e.span_id), 11, 4) || '-' ||
           substr(hex(e.span_id), 15, 4) || '-' || substr(hex(e.span_id), 19, 4) || '-' || substr(hex(e.span_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.span_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.span_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.span_id)))
           SELECT t || CAST(substr(e.span_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.span_id, 1, 1)) ELSE e.span_id END AS span_id,
       CASE typeof(e.reservation_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.reservation_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.reservation_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.reservation_id), 3, 8) || '-' || substr(hex(e.reservation_id), 11, 4) || '-' ||
           substr(hex(e.reservation_id), 15, 4) || '-' || substr(hex(e.reservation_id), 19, 4) || '-' || substr(hex(e.reservation_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.reservation_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.reservation_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.reservation_id)))
           SELECT t || CAST(substr(e.reservation_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.reservation_id, 1, 1)) ELSE e.reservation_id END AS reservation_id,
       e.tool_used, e.attempt, e.prompt_tokens, e.completion_tokens,
       e.total_tokens + ifnull(e.prompt_tokens + e.completion_tokens, 0) AS total_tokens, e.cached_tokens,
       e.cache_write_tokens, e.cache_write_1h_tokens, e.reasoning_tokens, e.tool_calls, e.latency_ms,
       e.ttft_ms, CASE e.http_status WHEN 0 THEN 200 WHEN 200 THEN 0 ELSE e.http_status END AS http_status, e.partial, e.cost_reported_nanousd,
       e.price, e.cost_nanousd
FROM dispatch e JOIN dims d ON d.id = e.dims JOIN source src ON src.id = d.source
LEFT JOIN session s ON s.id = e.session;

CREATE VIEW v_message AS
SELECT e.id, e.ts_ms, e.ts_ms + e.received_after_ms AS received_ms, lower(hex(e.event_id)) AS event_id,
       CASE e.kind WHEN 16 THEN 'message_received' WHEN 17 THEN 'message_sending' WHEN 18 THEN 'message_sent'
            WHEN 19 THEN 'agent_end' WHEN 20 THEN 'before_agent_finalize' END AS kind,
       src.name AS source, s.session_id, s.parent_session_id, s.root_session_id,
       d.agent_id, d.user_id, d.surface, d.channel, d.error_type, d.tags,
       CASE typeof(e.run_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.run_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.run_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.run_id), 3, 8) || '-' || substr(hex(e.run_id), 11, 4) || '-' ||
           substr(hex(e.run_id), 15, 4) || '-' || substr(hex(e.run_id), 19, 4) || '-' || substr(hex(e.run_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.run_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.run_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.run_id)))
           SELECT t || CAST(substr(e.run_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.run_id, 1, 1)) ELSE e.run_id END AS run_id,
       CASE typeof(e.message_id) WHEN 'blob' THEN (SELECT f.prefix || CASE f.form WHEN 'text' THEN CAST(substr(e.message_id, 2) AS TEXT)
           WHEN 'hex' THEN lower(hex(substr(e.message_id, 2))) WHEN 'uuid' THEN lower(substr(hex(e.message_id), 3, 8) || '-' || substr(hex(e.message_id), 11, 4) || '-' ||
           substr(hex(e.message_id), 15, 4) || '-' || substr(hex(e.message_id), 19, 4) || '-' || substr(hex(e.message_id), 23, 12))
           ELSE (WITH RECURSIVE l(i, t) AS (SELECT 3, '' UNION ALL SELECT i + 6, t ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.message_id), i, 3)) ||
           (SELECT letters FROM identifier_letters WHERE digits = substr(hex(e.message_id), i + 3, 3))
           FROM l WHERE i + CASE f.form WHEN 'letters' THEN 5 ELSE 11 END <= length(hex(e.message_id)))
           SELECT t || CAST(substr(e.message_id, (i + 1) / 2) AS TEXT) FROM l ORDER BY i DESC LIMIT 1) END
           FROM identifier_form f WHERE f.head = substr(e.message_id, 1, 1)) ELSE e.message_id END AS message_id,
       CASE e.outcome WHEN 1 THEN 'delivered' WHEN 2 THEN 'failed' WHEN 3 THEN 'rewritten'
            WHEN 4 THEN 'cancelled' WHEN 5 THEN 'observed' END AS outcome,
       e.bytes, e.latency_ms
FROM message e JOIN dims d ON d.id = e.dims JOIN source src ON src.id = d.source
LEFT JOIN session s ON s.id = e.session;

CREATE VIEW v_report AS
SELECT e.id, e.ts_ms, e.ts_ms + e.received_after_ms AS received_ms, lower(hex(e.event_id)) AS event_id,
       src.name AS source, e.epoch, e.body
FROM report e JOIN source src ON src.id = e.source;

-- Sums by day, combination and day in the reporting zone; about two minutes behind the log.
CREATE VIEW v_usage_day AS
SELECT r.date, src.name AS source, d.agent_id, d.user_id, d.provider, d.model, d.requested_model, d.surface,
       d.channel, d.lane,
       CASE d."trigger" WHEN 1 THEN 'user' WHEN 2 THEN 'heartbeat' WHEN 3 THEN 'cron' WHEN 4 THEN 'subagent'
            WHEN 5 THEN 'compaction' WHEN 6 THEN 'retry' WHEN 7 THEN 'plugin' END AS "trigger",
       CASE d.granularity WHEN 1 THEN 'call' WHEN 2 THEN 'run' WHEN 3 THEN 'turn' END AS granularity,
       CASE d.status WHEN 1 THEN 'ok' WHEN 2 THEN 'error' WHEN 3 THEN 'timeout' WHEN 4 THEN 'aborted'
            WHEN 5 THEN 'blocked' END AS status,
       d.error_type, d.tags, r.calls, r.partial,
       CASE WHEN r.prompt_tokens_known > 0 THEN r.prompt_tokens END AS prompt_tokens, r.calls - r.prompt_tokens_known AS prompt_tokens_unknown,
       CASE WHEN r.completion_tokens_known > 0 THEN r.completion_tokens END AS completion_tokens, r.calls - r.completion_tokens_known AS completion_tokens_unknown,
       CASE WHEN r.total_tokens_known > 0 THEN r.total_tokens END AS total_tokens, r.calls - r.total_tokens_known AS total_tokens_unknown,
       CASE WHEN r.cached_tokens_known > 0 THEN r.cached_tokens END AS cached_tokens, r.calls - r.cached_tokens_known AS cached_tokens_unknown,
       CASE WHEN r.cache_write_tokens_known > 0 THEN r.cache_write_tokens END AS cache_write_tokens, r.calls - r.cache_write_tokens_known AS cache_write_tokens_unknown,
       CASE WHEN r.cache_write_1h_tokens_known > 0 THEN r.cache_write_1h_tokens END AS cache_write_1h_tokens, r.calls - r.cache_write_1h_tokens_known AS cache_write_1h_tokens_unknown,
       CASE WHEN r.reasoning_tokens_known > 0 THEN r.reasoning_tokens END AS reasoning_tokens, r.calls - r.reasoning_tokens_known AS reasoning_tokens_unknown,
       CASE WHEN r.tool_calls_known > 0 THEN r.tool_calls END AS tool_calls, r.calls - r.tool_calls_known AS tool_calls_unknown,
       CASE WHEN r.latency_ms_known > 0 THEN r.latency_ms END AS latency_ms, r.calls - r.latency_ms_known AS latency_ms_unknown,
       CASE WHEN r.ttft_ms_known > 0 THEN r.ttft_ms END AS ttft_ms, r.calls - r.ttft_ms_known AS ttft_ms_unknown,
       CASE WHEN r.cost_reported_nanousd_known > 0 THEN r.cost_reported_nanousd END AS cost_reported_nanousd, r.calls - r.cost_reported_nanousd_known AS cost_reported_nanousd_unknown,
       CASE WHEN r.cost_nanousd_known > 0 THEN r.cost_nanousd END AS cost_nanousd, r.calls - r.cost_nanousd_known AS cost_nanousd_unknown
FROM projection_day_row r JOIN dims d ON d.id = r.dims JOIN source src ON src.id = d.source;

-- Totals by session; about a second behind the log.
CREATE VIEW v_session AS
SELECT s.session_id, s.parent_session_id, s.root_session_id, root.session_id AS root, src.name AS source,
       d.agent_id, d.model, d.surface, d.channel, t.first_ms, t.last_ms, t.messages, t.calls, t.errors,
       t.partial, t.tokens,
       CASE WHEN t.prompt_tokens_known > 0 THEN t.prompt_tokens END AS prompt_tokens, t.calls - t.prompt_tokens_known AS prompt_tokens_unknown,
       CASE WHEN t.completion_tokens_known > 0 THEN t.completion_tokens END AS completion_tokens, t.calls - t.completion_tokens_known AS completion_tokens_unknown,
       CASE WHEN t.total_tokens_known > 0 THEN t.total_tokens END AS total_tokens, t.calls - t.total_tokens_known AS total_tokens_unknown,
       CASE WHEN t.cached_tokens_known > 0 THEN t.cached_tokens END AS cached_tokens, t.calls - t.cached_tokens_known AS cached_tokens_unknown,
       CASE WHEN t.cache_write_tokens_known > 0 THEN t.cache_write_tokens END AS cache_write_tokens, t.calls - t.cache_write_tokens_known AS cache_write_tokens_unknown,
       CASE WHEN t.cache_write_1h_tokens_known > 0 THEN t.cache_write_1h_tokens END AS cache_write_1h_tokens, t.calls - t.cache_write_1h_tokens_known AS cache_write_1h_tokens_unknown,
       CASE WHEN t.reasoning_tokens_known > 0 THEN t.reasoning_tokens END AS reasoning_tokens, t.calls - t.reasoning_tokens_known AS reasoning_tokens_unknown,
       CASE WHEN t.tool_calls_known > 0 THEN t.tool_calls END AS tool_calls, t.calls - t.tool_calls_known AS tool_calls_unknown,
       CASE WHEN t.latency_ms_known > 0 THEN t.latency_ms END AS latency_ms, t.calls - t.latency_ms_known AS latency_ms_unknown,
       CASE WHEN t.ttft_ms_known > 0 THEN t.ttft_ms END AS ttft_ms, t.calls - t.ttft_ms_known AS ttft_ms_unknown,
       CASE WHEN t.cost_reported_nanousd_known > 0 THEN t.cost_reported_nanousd END AS cost_reported_nanousd, t.calls - t.cost_reported_nanousd_known AS cost_reported_nanousd_unknown,
       CASE WHEN t.cost_nanousd_known > 0 THEN t.cost_nanousd END AS cost_nanousd, t.calls - t.cost_nanousd_known AS cost_nanousd_unknown
FROM projection_session t JOIN session s ON s.id = t.session JOIN session root ON root.id = s.root
JOIN dims d ON d.id = t.dims JOIN source src ON src.id = d.source;
