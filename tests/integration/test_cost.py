# SPDX-License-Identifier: MIT
"""What calls cost by the collector's prices, wherever it is shown; and that calls without a price are told, never as
$0.00. The prices are written into the file, where no price list has a part in it, and the projections built anew."""
import contextlib
import csv
import io
import json
import re
import sqlite3
import time

from harness import Lab
from test_cli import cli_of
from test_stream import Viewer

TINY = 1234  # nano-dollars


def call(agent, session, n, **more):
    return dict({"kind": "dispatch", "agent_id": agent, "session_id": session, "provider": "nobody", "model": "m-" + agent,
                 "status": "ok", "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "span_id": "%016x" % n, "attempt": n}, **more)


def events():
    """big: two calls of $6; part: one of TINY, two without a price, of which one has a reported cost; told: two with
    reported costs only; none: nothing known; free: $0, which is known."""
    return [call("big", "s-big", 1), call("big", "s-big", 2, cost_reported_nanousd=9 * 10**9),
            call("part", "s-part", 3), call("part", "s-part", 4), call("part", "s-part", 5, cost_reported_nanousd=10**9),
            call("told", "s-told", 6, cost_reported_nanousd=2 * 10**9), call("told", "s-told", 7, cost_reported_nanousd=10**9),
            call("none", "s-none", 8), call("free", "s-free", 9)]


COSTS = {1: 6 * 10**9, 2: 6 * 10**9, 3: TINY, 9: 0}
# agent: cost, unpriced calls, reported cost
WANT = {"big": (12 * 10**9, 0, 9 * 10**9), "part": (TINY, 2, 10**9), "told": (None, 2, 3 * 10**9), "none": (None, 1, None),
        "free": (0, 0, None)}
ORDER = ["big", "part", "free"]  # downwards; then those that are not known


def priced(lab):
    """A collector that has the events, with these costs and no others."""
    c = lab.collector()
    c.post("/v1/events", events()).ok()
    c.stop()
    with contextlib.closing(sqlite3.connect(c.database)) as db, db:
        db.execute("UPDATE dispatch SET price = NULL, cost_nanousd = NULL")
        for n, cost in COSTS.items():
            assert db.execute("UPDATE dispatch SET price = ?, cost_nanousd = ? WHERE attempt = ?", (40 + n, cost, n)).rowcount == 1
    lab.run("tollgate", "rebuild", "--database", c.database).finish(60)
    c.start()
    return c


def sums(row):
    assert row["cost_nanousd_unknown"] == row["calls"] - sum(n in COSTS for n in numbers(row))
    return row["cost_nanousd"], row["cost_nanousd_unknown"], row["cost_reported_nanousd"]


def numbers(row):
    return [int(e["span_id"], 16) for e in events() if row["agent_id"] in (None, e["agent_id"])]


def test_usage_and_lists():
    with Lab() as lab:
        c = priced(lab)
        answer = c.usage(group_by="agent", order="-cost_nanousd")
        rows = answer["rows"]
        assert {r["agent_id"]: sums(r) for r in rows} == WANT
        assert [r["agent_id"] for r in rows][:3] == ORDER
        assert (answer["totals"]["cost_nanousd"], answer["totals"]["cost_nanousd_unknown"]) == (12 * 10**9 + TINY, 5)
        assert [r["agent_id"] for r in c.usage(group_by="agent", order="cost_nanousd")["rows"]][:3] == ORDER[::-1]
        text = c.get("/v1/usage", group_by="agent", format="csv").ok().text()
        rows = {r["agent_id"]: r for r in csv.DictReader(io.StringIO(text))}
        assert {k: (r["cost_nanousd"], r["cost_nanousd_unknown"]) for k, r in rows.items()} == {
            k: ("" if w[0] is None else str(w[0]), str(w[1])) for k, w in WANT.items()}
        assert {r["agent_id"]: sums(r) for r in c.get("/v1/agents").ok().json()["agents"]} == WANT
        models = c.get("/v1/models", order="-cost_nanousd").ok().json()["models"]
        assert [m["model"] for m in models][:3] == ["m-" + a for a in ORDER]
        assert {m["model"][2:]: m["cost_nanousd"] for m in models} == {k: w[0] for k, w in WANT.items()}


def test_sessions():
    with Lab() as lab:
        c = priced(lab)
        for _ in range(2):  # in memory; in the file
            for order, want in (("-cost", ["big", "part"]), ("-cost_reported", ["big", "told", "part"])):
                rows = c.get("/v1/sessions", order=order).ok().json()["sessions"]
                assert [r["agent_id"] for r in rows][:len(want)] == want, order
                assert {r["agent_id"]: sums(r) for r in rows} == WANT
            one = c.get("/v1/sessions/s-part").ok().json()
            assert sums(one["session"]) == WANT["part"]
            assert [e.get("cost_nanousd") for e in one["events"]] == [TINY, None, None]
            c.restart()


def test_events_in_every_format():
    with Lab() as lab:
        c = priced(lab)
        want = {"%016x" % n: (40 + n, cost) for n, cost in COSTS.items()}

        def told(rows):
            assert len(rows) == len(events())
            return {e["span_id"]: (e["price"], e["cost_nanousd"]) for e in rows if e.get("price") not in (None, "")}
        assert told(c.get("/v1/events").ok().json()["events"]) == want
        lines = c.get("/v1/events", format="ndjson").ok().text().splitlines()
        assert told([json.loads(line) for line in lines]) == want
        rows = list(csv.DictReader(io.StringIO(c.get("/v1/events", format="csv").ok().text())))
        assert told(rows) == {k: (str(a), str(b)) for k, (a, b) in want.items()}
        # An export can be posted again: what the collector adds is passed by.
        again = [dict(json.loads(line), span_id="%016x" % (100 + i), event_id=None) for i, line in enumerate(lines)]
        posted = c.post("/v1/events", again).ok().json()
        assert posted["stored"] == len(again) and all(not r.get("unknown") for r in posted["results"]), posted
        with Viewer(c, after="e0") as v:
            seen = [v.event()["data"] for _ in range(len(events()))]
        assert told(seen) == want


def test_for_people():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        assert "with a *" in cli.run("usage", "--help")
        lines = [re.split("  +", line) for line in cli.run("usage", "--by", "agent", "--order=-cost_nanousd").splitlines()]
        at = lines[0].index("COST")
        got = {line[0]: (line[at], line[-1] if "unpriced" in line[-1] else "") for line in lines[1:]}
        assert got == {"big": ("$12.00", ""), "part": ("$0.000001", "2 calls unpriced"), "told": ("$3.00*", "2 calls unpriced"),
                       "none": ("-", "1 call unpriced"), "free": ("$0.00", "")}
        for command, name in (("agents", 0), ("sessions", 1)):
            lines = [re.split("  +", line) for line in cli.run(command).splitlines()]
            at = lines[0].index("COST")
            assert {line[name]: (line[at], line[-1] if "unpriced" in line[-1] else "") for line in lines[1:]} == got, command
        assert "$3.00*, 2 calls unpriced" in cli.run("session", "s-told")
        assert "$12.00\n" in cli.run("session", "s-big").replace("sums", "\nsums")
        lines = [re.split("  +", line) for line in cli.run("events").splitlines()]
        at = lines[0].index("COST")
        assert {line[-1] + line[at] for line in lines[1:]} == {
            "s-big$6.00", "s-part$0.000001", "s-part-", "s-part$1.00*", "s-told$2.00*", "s-told$1.00*", "s-none-", "s-free$0.00"}
        now = int(time.time() * 1000) + 60000
        text = cli.run("usage", "--compare", "--from", str(now - 3600000), "--to", str(now), "--agent", "big")
        assert "$12.00  new" in text, text
