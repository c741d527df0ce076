# SPDX-License-Identifier: MIT
"""What is old goes while the collector runs: the file stops growing, sums stay, and nobody waits for it."""
import signal
import time

import harness
from harness import Dealer, Lab, Stream, wait_until

BATCH = 1000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
AGES = ("dispatch", "message", "report", "quarantine", "session")


def events(first, count, ts_ms, session="s-%d", tokens=3):
    """Every tenth one is a message; the texts make a row of some 200 bytes."""
    out = []
    for n in range(first, first + count):
        head = [16 if n % 10 == 0 else 1, None, ts_ms, session % (n // 20), None, None, "agent-%d" % (n % 5), None,
                "provider", "model-%d" % (n % 3)] + [None] * 9
        tail = [None, "m-%d" % n] if n % 10 == 0 else \
            ["run-%032d" % n, None, "response-%032d" % n, "trace-%032d" % n, None, None, None, None, tokens, 2, 5]
        out.append(head + tail)
    return out


def publish(stream, first, count, ts_ms, **kw):
    """Publishes in batches; returns how long the slowest one took to be settled, in seconds."""
    slowest = 0
    for at in range(first, first + count, BATCH):
        begun = time.monotonic()
        stream.publish(events(at, min(BATCH, first + count - at), ts_ms, **kw))
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


def now_ms():
    return int(time.time() * 1000)


def pages(c):
    return c.sql("PRAGMA page_count")[0][0]


def oldest(c, table="dispatch"):
    return c.sql("SELECT ifnull(min(id), 1 << 62) FROM %s" % table)[0][0]


def calls(count):
    return count - count // 10


def test_the_file_stops_growing_and_sums_stay():
    """Rounds of events come and go: once two rounds have gone the file is as large as it gets."""
    rounds, size = 12, 10_000
    sizes, slowest = [], []
    with Lab() as lab:
        c = lab.collector(retention={kind: "3s" for kind in AGES})
        # Old enough to be folded at once; across midnight, so that there are two days.
        ts_ms = now_ms() // DAY_MS * DAY_MS - 2 * DAY_MS
        with Dealer(c.endpoint) as dealer:
            stream = Stream(dealer, "source")
            for n in range(rounds):
                last = c.sql("SELECT ifnull(max(id), 0) FROM (SELECT max(id) AS id FROM dispatch UNION ALL"
                             " SELECT max(watermark) FROM projection)")[0][0]
                slowest.append(publish(stream, n * size, size, ts_ms - HOUR_MS + n % 2 * 2 * HOUR_MS))
                wait_until("the round before has gone", lambda: oldest(c) > last and oldest(c, "message") > last, 120)
                sizes.append(pages(c))
        assert max(sizes) <= max(sizes[:4]) * 1.25, sizes
        assert pages(c) * 8192 < 6 * size * 250, "the file holds far more than is kept: %r" % sizes
        everything = calls(rounds * size)
        wait_until("all is folded", lambda: c.sql("SELECT sum(calls) FROM v_usage_day")[0][0] == everything, 60)
        # Sums: by day from the day rows, and by day and model over HTTP.
        assert c.sql("SELECT sum(calls), sum(prompt_tokens), sum(total_tokens), count(DISTINCT date) FROM v_usage_day") == \
            [(everything, 3 * everything, 5 * everything, 2)]
        answer = c.usage(group_by="model", bucket="1d")
        assert answer["totals"]["calls"] == everything and answer["totals"]["prompt_tokens"] == 3 * everything
        assert len(answer["rows"]) == 6
        quarter = c.usage(**{"from": ts_ms - HOUR_MS, "to": ts_ms - HOUR_MS + HOUR_MS // 4})
        assert quarter["totals"]["calls"] == calls(rounds * size // 2)
        # What is gone is gone, visibly; nothing else is.
        wait_until("the last round has gone", lambda: c.stored() == 0, 120)
        page = c.get("/v1/events", **{"from": 0}).ok().json()
        assert page["events"] == []
        wait_until("sessions have gone", lambda: c.sql("SELECT count(*) FROM projection_session")[0][0] <= 1, 120)
        assert c.sql("SELECT count(*) FROM session")[0][0] <= 2
        assert c.sql("SELECT count(*) FROM log_partition")[0][0] <= 2
        assert c.metric("tollgate_retention_deleted_rows_total", kind="dispatch") == everything
        assert c.metric("tollgate_retention_deleted_rows_total", kind="message") == rounds * size // 10
        # And a session that comes again begins anew.
        with Dealer(c.endpoint) as dealer:
            Stream(dealer, "source", epoch=2).publish(events(1_000_001, 5, now_ms(), session="s-0%.0s"))
            wait_until("its totals", lambda: c.sql("SELECT calls FROM v_session WHERE session_id = 's-0'") == [(5,)])
        assert c.sql("PRAGMA integrity_check") == [("ok",)]
        c.stop()
        assert lab.run("tollgate", "rebuild", "--check", "--database", c.database).finish(60)
        print("     pages after each round: %s; slowest batch of each: %s ms"
              % (sizes, ["%.0f" % (s * 1000) for s in slowest]))


@harness.patient
def test_a_hup_changes_what_is_kept():
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as dealer:
            publish(Stream(dealer, "source"), 0, 2000, now_ms() - DAY_MS)
        wait_until("all is in the projections", lambda: c.sql("SELECT min(watermark) FROM projection")[0][0] >= 2000)
        before = c.usage()["totals"]["calls"]
        c.configure(retention={"dispatch": "1s"}, limits={"query_ms": 5000})
        c.process.signal(signal.SIGHUP)
        wait_until("dispatches have gone", lambda: c.stored() == 0, 150)
        assert c.sql("SELECT count(*) FROM message") == [(200,)]
        assert c.usage(bucket="1d")["totals"]["calls"] == before == 1800
        told = [line for line in c.stderr().splitlines() if "needs_restart" in line]
        assert told and all("limits.query_ms" in line and "retention" not in line for line in told), c.stderr()
        assert c.sql("SELECT count(*) FROM projection_session")[0][0] == 100
        c.configure(retention={"dispatch": "soon"})
        c.process.signal(signal.SIGHUP)
        wait_until("the error is told", lambda: "retention.dispatch" in c.stderr() and "soon" in c.stderr())


@harness.patient
def test_minutes_go_and_quarters_stay():
    with Lab() as lab:
        c = lab.collector(retention={"minute": "1h"})
        start = now_ms() // DAY_MS * DAY_MS - DAY_MS
        hour = {"from": start, "to": start + HOUR_MS, "bucket": "15m"}
        with Dealer(c.endpoint) as dealer:
            stream = Stream(dealer, "source")
            for minute in list(range(40)) + [600]:  # what is after them makes that they have been folded
                stream.publish(events(minute * 100, 100, start + minute * 60_000))
        gone = "SELECT value FROM projection_setting WHERE name='minute_dropped_before'"
        wait_until("minutes have gone", lambda: [row for row in c.sql(gone) if row[0] * 60_000 >= start + 45 * 60_000]
                   and c.sql("SELECT count(*) FROM projection_minute WHERE start_minute < ?", start // 60_000 + 60) == [(0,)], 60)
        assert [r["calls"] for r in c.usage(**hour)["rows"]] == [1350, 1350, 900]
        # A late event for one of them is in its quarter and day at once, and once.
        with Dealer(c.endpoint) as dealer:
            Stream(dealer, "source", epoch=2).publish(events(1_000_001, 1, start))
        assert c.usage(**hour)["rows"][0]["calls"] == 1351
        wait_until("it is in the day", lambda: c.sql("SELECT sum(calls) FROM v_usage_day") == [(41 * 90 + 1,)], 60)
        assert c.usage(**hour)["rows"][0]["calls"] == 1351
        assert c.usage(**{"from": start, "to": start + DAY_MS})["totals"]["calls"] == 41 * 90 + 1
        # What can only be told by minutes is refused, not told wrongly.
        refused = c.get("/v1/usage", **{"from": start + 60_000, "to": start + 5 * 60_000, "bucket": "1m"})
        assert refused.status == 422 and "kept" in refused.text(), refused


def test_kill_while_it_deletes():
    """kill -9 at any moment between two slices leaves nothing half gone."""
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as dealer:
            publish(Stream(dealer, "source"), 0, 40_000, now_ms() - 3 * DAY_MS)
        c.stop()
        ids = {table: [row[0] for row in c.sql("SELECT id FROM %s ORDER BY id" % table)] for table in ("dispatch", "message")}
        assert [len(i) for i in ids.values()] == [36_000, 4000]
        c.configure(retention={kind: "1s" for kind in AGES})
        for n in range(6):
            c.start()
            if c.stored() < 36_000:
                time.sleep(0.02 * n)  # the random moment, not a wait for something
            c.kill()
            assert c.sql("PRAGMA integrity_check") == [("ok",)]
            for table, all_ids in ids.items():
                through = c.sql("SELECT through_id FROM log_dropped WHERE kind=?", table)[0][0]
                assert [row[0] for row in c.sql("SELECT id FROM %s ORDER BY id" % table)] == \
                    [i for i in all_ids if i > through], (table, through)
        c.start()
        wait_until("all has gone", lambda: c.stored() == 0, 120)
        assert c.usage(bucket="1d")["totals"]["calls"] == 36_000
        # Their calls are not told as those of no session, once the sessions have gone.
        wait_until("sessions have gone", lambda: c.sql("SELECT count(*) FROM projection_session")[0][0] <= 1, 60)
        refused = c.get("/v1/usage", **{"from": "-20d", "group_by": "session"})
        assert refused.status == 422 and "kept" in refused.text(), refused.text()
        c.stop()
        lab.run("tollgate", "rebuild", "--check", "--database", c.database).finish(60)
