# SPDX-License-Identifier: MIT
"""What the projections in a collector's file must say, counted again from the log, by the format's description
(collector/base/slab.h, schema/sql) and nothing of the collector's own code."""

SUMMED = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_write_tokens",
          "cache_write_1h_tokens", "reasoning_tokens", "tool_calls", "latency_ms", "ttft_ms", "cost_reported_nanousd", "cost_nanousd")
# How the log tells them: total_tokens less the two others where both are known.
LOGGED = [n if n != "total_tokens" else "total_tokens + ifnull(prompt_tokens + completion_tokens, 0)" for n in SUMMED]
ZERO, CALLS_ALL, PLAIN, FIXED, CALLS_SOME = range(5)


def leb128(data, at):
    """The number at a place, and the place behind it."""
    n = shift = 0
    while True:
        byte = data[at]
        at += 1
        n |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return n, at


def numbers(data):
    out, at = [], 0
    while at < len(data):
        n, at = leb128(data, at)
        out.append(n)
    return out


def slab(body):
    """The cells of a slab: {dims: (calls, partial, sums..., knowns...)}."""
    assert body[0] == 1, "version %d" % body[0]
    cells, at = leb128(body, 1)
    count, at = leb128(body, at)
    lengths = []
    for _ in range(count):
        n, at = leb128(body, at)
        lengths.append(n)
    columns = []
    for n in lengths:
        columns.append(body[at:at + n])
        at += n
    assert at == len(body)
    dims, last = [], 0
    for n in numbers(columns[0]):
        last += n
        dims.append(last)
    assert len(dims) == cells

    def column(data, calls):
        mode = data[0]
        if mode == FIXED:
            w = data[1]
            return [int.from_bytes(data[2 + i * w:2 + (i + 1) * w], "little") for i in range(cells)]
        if mode == CALLS_SOME:
            assert len(data) == 1 + (cells + 7) // 8
            return [n * (data[1 + i // 8] >> i % 8 & 1) for i, n in enumerate(calls)]
        return {ZERO: [0] * cells, CALLS_ALL: calls, PLAIN: numbers(data[1:])}[mode]

    calls = column(columns[1], None)
    rest = [column(c, calls) for c in columns[2:3 + 2 * len(SUMMED)]]
    return {d: (calls[i], *(c[i] for c in rest)) for i, d in enumerate(dims)}


def counted():
    """SQL: what a group of dispatches adds up to, in the order of slab()'s numbers."""
    return ", ".join(["count(*)", "CAST(total(partial) AS INTEGER)"]
                     + ["CAST(total(%s) AS INTEGER)" % n for n in LOGGED]
                     + ["count(%s)" % n for n in LOGGED])


def same(want, got, what):
    differ = sorted(k for k in want.keys() | got.keys() if want.get(k) != got.get(k))
    assert not differ, "%s: %d differ, as %r: expected %r, got %r" % (
        what, len(differ), differ[0], want.get(differ[0]), got.get(differ[0]))


def check_minutes(c):
    log = {(r[0], r[1]): r[2:] for r in c.sql(
        "SELECT ts_ms / 60000, d.rollup, %s FROM dispatch e JOIN dims d ON d.id = e.dims WHERE state & 7 = 0"
        " GROUP BY 1, 2" % counted())}
    got = {(minute, dims): cell for minute, body in c.sql("SELECT start_minute, body FROM projection_minute")
           for dims, cell in slab(body).items()}
    same(log, got, "minutes")


def check_sessions(c):
    log = {r[0]: r[1:] for r in c.sql("SELECT session, %s FROM dispatch WHERE state & 7 = 0 AND session > 0 GROUP BY 1"
                                      % counted())}
    got = {r[0]: r[1:] for r in c.sql("SELECT session, calls, partial, %s, %s FROM projection_session WHERE calls > 0" % (
        ", ".join(SUMMED), ", ".join(n + "_known" for n in SUMMED)))}
    same(log, got, "sessions")
    both = " FROM (SELECT id, ts_ms, session FROM dispatch UNION ALL SELECT id, ts_ms, session FROM message) WHERE session > 0"
    log = {r[0]: r[1:] for r in c.sql("SELECT session, min(id), max(id), min(ts_ms), max(ts_ms)" + both + " GROUP BY 1")}
    got = {r[0]: r[1:] for r in c.sql("SELECT session, first_id, last_id, first_ms, last_ms FROM projection_session")}
    same(log, got, "sessions' spans")
    index = {}
    for span, session, ids in c.sql("SELECT * FROM projection_session_slice"):
        at = span
        for distance in numbers(ids):
            at += distance
            assert at not in index, "id %d stands twice in the session index" % at
            index[at] = session
    same(dict(c.sql("SELECT id, session" + both)), index, "session index")


def check(c):
    """After a clean end: all of the log is in the projections, cell by cell."""
    newest = c.sql("SELECT max((SELECT ifnull(max(id), 0) FROM dispatch), (SELECT ifnull(max(id), 0) FROM message),"
                   " (SELECT ifnull(max(id), 0) FROM report))")[0][0]
    for name, watermark in c.sql("SELECT * FROM projection"):
        assert watermark >= newest, (name, watermark, newest)
    check_minutes(c)
    check_sessions(c)
