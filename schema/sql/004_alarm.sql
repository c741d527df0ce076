-- 004_alarm: what operators are to hear of, how far they have been told, and pauses that end by themselves.
--
-- An alert is written in the transaction in which its reason came; it is the outbox. A message is a group of
-- alerts for one destination; it is made, tried and ended in transactions of their own, so that a kill at any
-- instant repeats a message at most, under the same name.

CREATE TABLE alert_new (
    id          INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL,             -- threshold, forecast, ... (collector/alarm/alert.h)
    severity    TEXT    NOT NULL,             -- info, warning, critical
    mark        BLOB    NOT NULL,             -- what makes it one, within its kind
    ts_ms       INTEGER NOT NULL,
    last_ms     INTEGER NOT NULL,             -- when the reason was last seen
    count       INTEGER NOT NULL,             -- how often
    until_ms    INTEGER,                      -- of what ends with a window: its end
    ended_ms    INTEGER,                      -- the reason is gone; NULL: it is there
    title       TEXT    NOT NULL,             -- a sentence
    subject     TEXT    NOT NULL,             -- JSON: whom it is about: {"agent": ..., "budget": ..., ...}
    evidence    TEXT    NOT NULL,             -- JSON: the numbers
    acked_ms    INTEGER,
    acked_by    TEXT,
    acked_note  TEXT
);
-- A threshold and an overrun of before keep their marks: nobody is told twice.
INSERT INTO alert_new (id, kind, severity, mark, ts_ms, last_ms, count, title, subject, evidence)
SELECT a.id, a.kind, 'warning', CAST(a.budget || '/' || hex(a.key) || '/' || a.start_ms || '/' || a.threshold AS BLOB),
       a.ts_ms, a.ts_ms, 1, 'budget ' || ifnull(b.name, '') || ': ' || a.kind || ' ' || a.threshold || ' %',
       json_object('budget', b.name), json_object('spent', a.spent, 'limit', a.allowed, 'percent', a.threshold)
FROM alert a LEFT JOIN budget b ON b.id = a.budget;
DROP TABLE alert;
ALTER TABLE alert_new RENAME TO alert;
-- What ends with a window is told once in it, whatever clocks do.
CREATE UNIQUE INDEX alert_open ON alert (kind, mark) WHERE ended_ms IS NULL OR until_ms IS NOT NULL;
CREATE INDEX alert_until ON alert (until_ms) WHERE ended_ms IS NULL AND until_ms IS NOT NULL;
CREATE INDEX alert_by_time ON alert (ts_ms);
-- What people ask for first is little of what a year leaves.
CREATE INDEX alert_going_on ON alert (ts_ms) WHERE ended_ms IS NULL;
CREATE INDEX alert_unacked ON alert (ts_ms) WHERE acked_ms IS NULL;

-- Alerts up to here have been given to messages, or were not for it. A destination that is new begins at the
-- newest alert.
CREATE TABLE destination (
    name  TEXT    PRIMARY KEY,
    upto  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE message_out (
    id          INTEGER PRIMARY KEY,
    key         TEXT    NOT NULL,             -- the idempotency key: 32 hex digits
    destination TEXT    NOT NULL,
    state       INTEGER NOT NULL,             -- 0 gathers, 1 is being told (what is in it stays), 2 told, 3 given up
    made_ms     INTEGER NOT NULL,
    due_ms      INTEGER NOT NULL,             -- not before
    began_ms    INTEGER,                      -- when it was frozen, for the first attempt
    attempts    INTEGER NOT NULL,             -- that have ended
    ended_ms    INTEGER,
    error       TEXT                          -- of the last attempt
);
CREATE INDEX message_out_open ON message_out (destination, due_ms) WHERE state < 2;
CREATE INDEX message_out_begun ON message_out (destination, began_ms);

CREATE TABLE message_alert (
    alert   INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (alert, message)
) WITHOUT ROWID;
CREATE INDEX message_alert_of ON message_alert (message);

-- A pause may end by itself, and delay instead of block; a runaway rule makes such ones.
ALTER TABLE pause ADD COLUMN until_ms INTEGER;    -- NULL: until it is resumed
ALTER TABLE pause ADD COLUMN delay_ms INTEGER;    -- NULL: it blocks
ALTER TABLE pause ADD COLUMN rule     TEXT;       -- NULL: a person made it
ALTER TABLE pause ADD COLUMN alert    INTEGER;
DROP INDEX pause_in_force;
CREATE UNIQUE INDEX pause_in_force ON pause (field, value, ifnull(rule, '')) WHERE ended_ms IS NULL;
