-- 003_prices: what priced each call, and who changed what.

-- The prices that have been used. A row never changes: dispatch.price names it for good. source: "genai-prices
-- 0.1.8", or "operator". rates: all that decides a cost, dollars per million tokens as schema/prices.json
-- writes them. provider and model are the entry's, or the operator's patterns, '' for any; 0 in
-- valid_from_ms: ever since.
CREATE TABLE price (
    id            INTEGER PRIMARY KEY,
    provider      TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    valid_from_ms INTEGER NOT NULL,
    source        TEXT    NOT NULL,
    rates         TEXT    NOT NULL, -- JSON object, names sorted
    UNIQUE (provider, model, valid_from_ms, source, rates)
);

-- What people did that changes money: repricing, allowances, budgets.
CREATE TABLE audit (
    id     INTEGER PRIMARY KEY,
    ts_ms  INTEGER NOT NULL,
    author TEXT,
    what   TEXT    NOT NULL,
    detail TEXT    NOT NULL         -- JSON object
);
