-- 005_forecast: how accounts spend their windows, so that a forecast knows what is still to come.
--
-- No projection and not exact: it is learnt by looking (collector/govern/curve.h); what is not here is not known.
-- Only of windows of a day or longer, and not of single sessions. Rows not written for ten weeks go at the start.

CREATE TABLE forecast_curve (
    budget    INTEGER NOT NULL,
    key       BLOB    NOT NULL,
    start_ms  INTEGER NOT NULL,       -- the window that it was last looked at in
    body      TEXT    NOT NULL,       -- JSON: {"end_ms", "look_ms", "look", "whole", "windows", "mean": [16], "now": [16]}
    PRIMARY KEY (budget, key)
) WITHOUT ROWID;
