-- 001_spine: the event log, its dictionaries, and the first projection.
--
-- The log (dispatch, message, report) is append-only, in order of arrival: id is one sequence over
-- all three. Only dispatch.state of an old row ever changes. Everything named projection_* is
-- derived from the log up to projection.watermark and can be rebuilt from it.
-- Times are Unix milliseconds; NULL means unknown, which is not 0; money is nano-dollars.

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

CREATE TABLE session (
    id                INTEGER PRIMARY KEY,
    key               BLOB    NOT NULL UNIQUE, -- hash of the three names
    session_id        TEXT,
    parent_session_id TEXT,
    root_session_id   TEXT
);

-- A combination: every low-cardinality name of an event, stored once.
CREATE TABLE dims (
    id              INTEGER PRIMARY KEY,
    key             BLOB    NOT NULL UNIQUE, -- hash of source and the names
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

CREATE TABLE dispatch (
    id                    INTEGER PRIMARY KEY,
    ts_ms                 INTEGER NOT NULL,
    received_after_ms     INTEGER NOT NULL,   -- received at ts_ms + this
    state                 INTEGER NOT NULL,   -- 0 counts; 1 replaced by a final record; 2 told at a finer granularity; + 8: time out of range
    dims                  INTEGER NOT NULL,
    session               INTEGER,
    event_id              BLOB    NOT NULL,
    run_id                TEXT,
    call_id               TEXT,
    response_id           TEXT,
    trace_id              TEXT,
    span_id               TEXT,
    reservation_id        TEXT,
    tool_used             TEXT,
    attempt               INTEGER,
    prompt_tokens         INTEGER,
    completion_tokens     INTEGER,
    total_tokens          INTEGER,
    cached_tokens         INTEGER,
    cache_write_tokens    INTEGER,
    cache_write_1h_tokens INTEGER,
    reasoning_tokens      INTEGER,
    tool_calls            INTEGER,
    latency_ms            INTEGER,
    ttft_ms               INTEGER,
    http_status           INTEGER,
    partial               INTEGER,
    cost_reported_nanousd INTEGER
);

CREATE TABLE message (
    id                INTEGER PRIMARY KEY,
    ts_ms             INTEGER NOT NULL,
    received_after_ms INTEGER NOT NULL,
    kind              INTEGER NOT NULL,
    dims              INTEGER NOT NULL,
    session           INTEGER,
    event_id          BLOB    NOT NULL,
    run_id            TEXT,
    message_id        TEXT,
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

CREATE TABLE projection (
    name      TEXT PRIMARY KEY,
    watermark INTEGER NOT NULL                -- id of the last event of the log that is in it
) WITHOUT ROWID;
INSERT INTO projection VALUES ('minute', 0);

-- Where in the log a minute's events are.
CREATE TABLE projection_minute_range (
    minute   INTEGER PRIMARY KEY,             -- ts_ms / 60000
    first_id INTEGER NOT NULL,
    last_id  INTEGER NOT NULL
);

-- Sums of the dispatches that count, by minute and combination. x_known says how many of the calls told x.
CREATE TABLE projection_minute (
    minute                      INTEGER NOT NULL,
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
    PRIMARY KEY (minute, dims)
) WITHOUT ROWID;

-- Readable names, for people who open the file (mode=ro).
CREATE VIEW v_dispatch AS
SELECT e.id, e.ts_ms, e.ts_ms + e.received_after_ms AS received_ms, e.state, lower(hex(e.event_id)) AS event_id,
       src.name AS source, s.session_id, s.parent_session_id, s.root_session_id,
       d.agent_id, d.user_id, d.provider, d.model, d.requested_model, d.surface, d.channel, d.lane,
       CASE d."trigger" WHEN 1 THEN 'user' WHEN 2 THEN 'heartbeat' WHEN 3 THEN 'cron' WHEN 4 THEN 'subagent'
            WHEN 5 THEN 'compaction' WHEN 6 THEN 'retry' WHEN 7 THEN 'plugin' END AS "trigger",
       CASE d.granularity WHEN 1 THEN 'call' WHEN 2 THEN 'run' WHEN 3 THEN 'turn' END AS granularity,
       CASE d.status WHEN 1 THEN 'ok' WHEN 2 THEN 'error' WHEN 3 THEN 'timeout' WHEN 4 THEN 'aborted'
            WHEN 5 THEN 'blocked' END AS status,
       d.error_type, d.tags, e.run_id, e.call_id, e.response_id, e.trace_id, e.span_id, e.reservation_id,
       e.tool_used, e.attempt, e.prompt_tokens, e.completion_tokens, e.total_tokens, e.cached_tokens,
       e.cache_write_tokens, e.cache_write_1h_tokens, e.reasoning_tokens, e.tool_calls, e.latency_ms,
       e.ttft_ms, e.http_status, e.partial, e.cost_reported_nanousd
FROM dispatch e JOIN dims d ON d.id = e.dims JOIN source src ON src.id = d.source
LEFT JOIN session s ON s.id = e.session;

CREATE VIEW v_message AS
SELECT e.id, e.ts_ms, e.ts_ms + e.received_after_ms AS received_ms, lower(hex(e.event_id)) AS event_id,
       CASE e.kind WHEN 16 THEN 'message_received' WHEN 17 THEN 'message_sending' WHEN 18 THEN 'message_sent'
            WHEN 19 THEN 'agent_end' WHEN 20 THEN 'before_agent_finalize' END AS kind,
       src.name AS source, s.session_id, s.parent_session_id, s.root_session_id,
       d.agent_id, d.user_id, d.surface, d.channel, d.error_type, d.tags, e.run_id, e.message_id,
       CASE e.outcome WHEN 1 THEN 'delivered' WHEN 2 THEN 'failed' WHEN 3 THEN 'rewritten'
            WHEN 4 THEN 'cancelled' WHEN 5 THEN 'observed' END AS outcome,
       e.bytes, e.latency_ms
FROM message e JOIN dims d ON d.id = e.dims JOIN source src ON src.id = d.source
LEFT JOIN session s ON s.id = e.session;

CREATE VIEW v_report AS
SELECT e.id, e.ts_ms, e.ts_ms + e.received_after_ms AS received_ms, lower(hex(e.event_id)) AS event_id,
       src.name AS source, e.epoch, e.body
FROM report e JOIN source src ON src.id = e.source;
