-- 002_governor: budgets, what was counted against them, reservations, raises and pauses.
--
-- Amounts are whole numbers in the budget's unit: nano-dollars, tokens or calls. Times are Unix
-- milliseconds. A cell is known by (budget, key, start): key is the values of the budget's `per`
-- (collector/govern/budget.h), start the instant at which the cell's window begins, or its piece of a
-- sliding one; 0 where the window has none. Nothing resets a cell.

-- One row for each way of counting: when scope, per, unit, window or time zone of a budget change, the
-- old row ends and a new one begins; a change of the rest stays in its row.
CREATE TABLE budget (
    id             INTEGER PRIMARY KEY,
    name           TEXT    NOT NULL,
    definition     TEXT    NOT NULL,          -- JSON
    origin         TEXT    NOT NULL,          -- file or api
    counts_from_ms INTEGER NOT NULL,          -- what is earlier does not count
    first_id       INTEGER NOT NULL,          -- rows of the log up to here were there before
    counted        INTEGER NOT NULL,          -- 1: those of them that count have been added
    since_ms       INTEGER NOT NULL,
    ended_ms       INTEGER                    -- NULL: in force
);
CREATE UNIQUE INDEX budget_in_force ON budget (name) WHERE ended_ms IS NULL;

-- What the dispatches that count came to: derived from the log up to the watermark 'ledger'.
CREATE TABLE projection_ledger (
    budget   INTEGER NOT NULL,
    key      BLOB    NOT NULL,
    start_ms INTEGER NOT NULL,
    amount   INTEGER NOT NULL,
    calls    INTEGER NOT NULL,
    unknown  INTEGER NOT NULL,                -- calls whose amount nobody knows
    PRIMARY KEY (budget, key, start_ms)
) WITHOUT ROWID;
INSERT INTO projection VALUES ('ledger', 0);

-- The part of it that came from rows which retention has taken: with the log it gives the whole again.
CREATE TABLE ledger_checkpoint (
    budget   INTEGER NOT NULL,
    key      BLOB    NOT NULL,
    start_ms INTEGER NOT NULL,
    amount   INTEGER NOT NULL,
    calls    INTEGER NOT NULL,
    unknown  INTEGER NOT NULL,
    PRIMARY KEY (budget, key, start_ms)
) WITHOUT ROWID;

-- Calls whose price was corrected while budgets were to keep what they had counted: what each is worth to them.
CREATE TABLE ledger_booked (
    id           INTEGER PRIMARY KEY,         -- of the dispatch
    cost_nanousd INTEGER                      -- NULL: unknown
);

CREATE TABLE reservation (
    nr            INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,    -- made by who asked; an event's reservation_id
    state         INTEGER NOT NULL,           -- 0 open, 1 settled by what was told, 2 settled by an event, 3 not called, 4 expired
    admitted_ms   INTEGER NOT NULL,           -- what comes of it counts in the windows of this time
    expires_ms    INTEGER NOT NULL,
    ended_ms      INTEGER,
    last_id       INTEGER NOT NULL DEFAULT 0, -- the latest row of the log that names it; 0: none
    tokens        INTEGER,                    -- reserved; NULL: unknown
    nanousd       INTEGER,
    settled_nanousd INTEGER,
    subject       TEXT    NOT NULL            -- JSON: who asked for what
);
CREATE INDEX reservation_open ON reservation (expires_ms) WHERE state = 0;
CREATE INDEX reservation_ended ON reservation (ended_ms) WHERE state <> 0;

-- What a reservation holds of a cell: reserved while it is open; what was told while it is settled so;
-- presumed spent where it has expired and the budget is strict. An event takes it away.
CREATE TABLE reservation_posting (
    budget      INTEGER NOT NULL,
    key         BLOB    NOT NULL,
    start_ms    INTEGER NOT NULL,
    reservation INTEGER NOT NULL,
    kind        INTEGER NOT NULL,             -- 0 reserved, 1 presumed, 2 told
    amount      INTEGER NOT NULL,
    PRIMARY KEY (budget, key, start_ms, reservation)
) WITHOUT ROWID;
CREATE INDEX reservation_posting_of ON reservation_posting (reservation);

-- A raise of a budget's limit with an end.
CREATE TABLE allowance (
    id       INTEGER PRIMARY KEY,
    budget   TEXT    NOT NULL,                -- its name: a raise outlives a change of the budget
    key      TEXT,                            -- as people write it; NULL: every cell
    amount   INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    ended_ms INTEGER,                         -- ended before its time
    author   TEXT    NOT NULL,
    reason   TEXT    NOT NULL
);

-- An immediate block of one agent, session, ... until it is resumed.
CREATE TABLE pause (
    id       INTEGER PRIMARY KEY,
    field    TEXT    NOT NULL,
    value    TEXT    NOT NULL,
    from_ms  INTEGER NOT NULL,
    ended_ms INTEGER,
    author   TEXT    NOT NULL,
    reason   TEXT    NOT NULL
);
CREATE UNIQUE INDEX pause_in_force ON pause (field, value) WHERE ended_ms IS NULL;

-- What operators are to hear of: once for each budget, cell and threshold.
CREATE TABLE alert (
    id        INTEGER PRIMARY KEY,
    ts_ms     INTEGER NOT NULL,
    kind      TEXT    NOT NULL,               -- threshold, overrun
    budget    INTEGER NOT NULL,
    key       BLOB    NOT NULL,
    start_ms  INTEGER NOT NULL,
    threshold INTEGER NOT NULL,               -- percent of the limit
    spent     INTEGER NOT NULL,
    allowed   INTEGER NOT NULL,
    UNIQUE (budget, key, start_ms, kind, threshold)
);

-- Readable names, for people who open the file (mode=ro).
CREATE VIEW v_ledger AS
SELECT b.name AS budget, b.id AS budget_id, CAST(l.key AS TEXT) AS key, l.start_ms, l.amount, l.calls, l.unknown,
       ifnull((SELECT sum(p.amount) FROM reservation_posting p WHERE p.budget = l.budget AND p.key = l.key
               AND p.start_ms = l.start_ms AND p.kind = 0), 0) AS reserved
FROM projection_ledger l JOIN budget b ON b.id = l.budget;
