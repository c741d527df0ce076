# SPDX-License-Identifier: MIT
"""Runaways: histories replayed by `tollgate runaway replay`, and loops that run into a collector.

    python3 -B tests/integration/test_runaway.py      prints the README's table of what each rule catches
"""
import json
import os
import subprocess
import sys
import time

import histories
from harness import SLOWER, Lab, program, wait_until

DAY_MS = 86_400_000
POST = 5000  # events


def tollgate(lab, *args, status=0):
    p = subprocess.run([program("tollgate"), *map(str, args)], capture_output=True, text=True, env=lab.env,
                       timeout=60 * SLOWER)
    assert p.returncode == status, "%r: status %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
    return p.stdout if status == 0 else p.stderr


def post(c, events):
    for i in range(0, len(events), POST):
        lines = "\n".join(json.dumps(e) for e in events[i:i + POST])
        answer = c.post("/v1/events", lines, "application/x-ndjson").ok().json()
        assert answer["stored"] == len(events[i:i + POST]), answer


def replayed(lab):
    """Each history on a day of its own in one real collector: what the default rules say of it. {title: (events,
    {(rule, look): its first finding with times and subjects}, what --json says)}"""
    c = lab.collector(time={"past_days": 60})
    today = int(time.time() * 1000) // DAY_MS * DAY_MS
    made, out = {}, {}
    for n, (title, make) in enumerate(histories.HISTORIES.items()):
        start = today - (2 * len(histories.HISTORIES) - 2 * n) * DAY_MS
        made[title] = start, make(start)
        post(c, made[title][1])
    assert c.stored() == sum(len(events) for _, events in made.values())
    # History is no storm of now: nobody is told of it while it comes in.
    assert c.sql("SELECT count(*) FROM alert WHERE kind='runaway'") == [(0,)]
    for title, (start, events) in made.items():
        said = json.loads(tollgate(lab, "runaway", "replay", c.database, "--from", start, "--to", start + 2 * DAY_MS, "--json"))
        assert said["calls"] == len(events), (title, said["calls"], len(events))
        rules = {(r["rule"], r["look"]): dict(r["first"], times=r["times"], subjects=r["subjects"]) for r in said["rules"]}
        out[title] = events, rules, said
    return c, out


def expect(rules, title, **first):
    """Of these rules, each at its narrowest look, the first finding came with that call; no others were broken."""
    got = {rule: f["calls"] for (rule, look), f in rules.items()}
    assert got == first, "%s: %r, not %r" % (title, got, first)


def test_histories_are_recognised_and_a_calm_day_is_not():
    with Lab() as lab:
        c, out = replayed(lab)
        events, rules, _ = out["a calm day"]
        assert len(events) >= 20000 and len({e["agent_id"] for e in events}) == 6
        assert histories.peak(events, "session_id") >= 30 and histories.peak(events, "agent_id") >= 100
        assert rules == {}, rules

        def check(title, **first):
            expect(out[title][1], title, **first)
            return out[title][1]
        storm = check("1,384 calls in 60 s after one timeout", calls_per_minute=121, identical_errors=11)
        assert storm["identical_errors", "session"]["times"] == 1
        took = storm["identical_errors", "session"]
        assert took["last_ms"] - took["first_ms"] < 1000, took
        unpaid = check("5,206 calls against HTTP 402 in six hours", payment_retries=11, identical_errors=11)
        assert unpaid["payment_retries", "session"]["times"] == 36  # each ten minutes, as long as it lasts
        assert "billing, HTTP 402" in unpaid["payment_retries", "session"]["text"]
        tools = check("a tool loop", tool_calls_per_minute=tool_calls(out["a tool loop"]))
        assert tools["tool_calls_per_minute", "session"]["value"] > 120
        full = check("a compaction loop", compaction_loop=6)
        assert full["compaction_loop", "session"]["name"] == "full"
        deep = check("sub-agents that start sub-agents", subagent_depth=depth_calls(out["sub-agents that start sub-agents"]))
        assert deep["subagent_depth", "root_session"]["value"] == 6
        assert deep["subagent_depth", "root_session"]["name"] == "chain"
        endless = check("a session without an end", session_duration=endless_calls(out["a session without an end"]))
        assert endless["session_duration", "session"]["value"] == 361
        giant = check("one giant call", outlier_call=41)
        assert giant["outlier_call", "session"]["value"] > 20

        # The same in words, with rules of one's own.
        path = lab.path("rules.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("runaway:\n  - rule: calls_per_minute\n    limit: { session: 30, agent: 100 }\n    scope: { agent: coder }\n"
                    "  - { rule: identical_errors, on: false }\n")
        text = tollgate(lab, "runaway", "replay", c.database, "-c", path, "--from", "-60d", "--verbose")
        assert "identical_errors" not in text and " calls within " in text, text
        said = json.loads(tollgate(lab, "runaway", "replay", c.database, "-c", path, "--from", "-60d", "--json"))
        assert sorted(r["look"] for r in said["rules"] if r["rule"] == "calls_per_minute") == ["agent", "session"]
        firsts = {r["look"]: r["first"] for r in said["rules"] if r["rule"] == "calls_per_minute"}
        assert firsts["agent"]["name"] == "coder" and firsts["agent"]["calls"] == 101, firsts
        assert tollgate(lab, "runaway", "replay", c.database, "--from", "-60d", "--to", "-50d").endswith(" 0 calls, 0 findings.\n")
        assert "wants" not in tollgate(lab, "runaway", "replay", c.database, "--from", "soon", status=2)


def window_calls(case, rule, look):
    """By a recount: the calls of the minute (of buckets) that broke a rule; the session is the only one."""
    events, rules, _ = case
    f = rules[rule, look]
    return sum(1 for e in events if e["ts_ms"] <= f["last_ms"] and e["ts_ms"] >= f["first_ms"] and e["session_id"] == f["name"])


def tool_calls(case):
    n = window_calls(case, "tool_calls_per_minute", "session")
    f = case[1]["tool_calls_per_minute", "session"]
    sums = sum(e.get("tool_calls", 0) for e in case[0] if f["first_ms"] <= e["ts_ms"] <= f["last_ms"])
    assert sums == f["value"] and n < 45, (sums, f)
    return n


def depth_calls(case):
    """The first call of the sixth below the root is the one that breaks it."""
    events, rules, _ = case
    f = rules["subagent_depth", "root_session"]
    first = min(e["ts_ms"] for e in events if e["session_id"] == "chain:6")
    assert f["last_ms"] == first, (f, first)
    return f["calls"]


def endless_calls(case):
    return window_calls(case, "session_duration", "session")


# ------------------------------------------------------------------------ live
def storm(c, session, count, agent="looper", **more):
    now = int(time.time() * 1000)
    return c.post("/v1/events", [dict({"kind": "dispatch", "agent_id": agent, "session_id": session, "model": "m",
                                       "status": "error", "error_type": "overloaded", "http_status": 529,
                                       "ts_ms": now - (count - i)}, **more) for i in range(count)]).ok().json()


def verdict(c, session, agent="looper"):
    return c.post("/v1/check", {"agent_id": agent, "session_id": session, "model": "m"}).ok().json()


def alerts(c):
    """[(title, ended, evidence)]"""
    return [(title, ended is not None, json.loads(evidence), severity, count) for title, ended, evidence, severity, count in
            c.sql("SELECT title, ended_ms, evidence, severity, count FROM alert WHERE kind='runaway' ORDER BY id")]


def pauses(c, **query):
    return c.get("/v1/pauses", **query).ok().json()["pauses"]


def test_a_storm_is_blocked_and_ends():
    rules = [{"rule": "calls_per_minute", "limit": {"session": 50}, "action": "block", "cooldown": "3s", "severity": "critical",
              "scope": {"agent": "looper"}},
             {"rule": "calls_per_minute", "limit": {"session": 50}, "action": "block", "cooldown": "until resumed",
              "scope": {"agent": "sticky"}},
             {"rule": "calls_per_minute", "limit": {"agent": 50}, "action": "delay", "delay": "7s", "scope": {"agent": "slow"}},
             {"rule": "identical_errors", "on": False}]
    with Lab() as lab:
        c = lab.collector(runaway=rules)
        storm(c, "calm", 50)
        assert verdict(c, "calm")["action"] == "allow"
        storm(c, "wild", 51)
        v = verdict(c, "wild")
        assert (v["action"], v["kind"]) == ("block", "pause"), v
        assert "51 calls within 1 s, where 50 a minute are the limit" in v["text"], v
        assert v["opens_ms"] is not None and verdict(c, "calm")["action"] == "allow"
        p, = pauses(c)
        assert (p["field"], p["value"], p["rule"], p["author"], p["action"]) == \
            ("session", "wild", "calls_per_minute", "tollgated", "block"), p
        assert p["until_ms"] - p["from_ms"] == 3000, p
        (title, ended, evidence, severity, count), = alerts(c)
        assert title.startswith("session wild: 51 calls") and not ended and severity == "critical" and count == 1, title
        assert (evidence["rule"], evidence["look"], evidence["name"], evidence["value"], evidence["limit"], evidence["calls"],
                evidence["action"], evidence["cooldown_ms"], evidence["last_error"], evidence["last_error_http_status"],
                evidence["example_session"]) == \
            ("calls_per_minute", "session", "wild", 51, 50, 51, "block", 3000, "overloaded", 529, "wild"), evidence
        assert c.sql("SELECT agent_id FROM dispatch e JOIN dims d ON d.id = e.dims WHERE e.id=?", evidence["example_event"]) == [("looper",)]
        assert json.loads(c.sql("SELECT subject FROM alert WHERE kind='runaway'")[0][0]) == {"agent": "looper", "session": "wild"}
        # The calls that are blocked are none, and do not hold it.
        storm(c, "wild", 200, status="blocked")
        wait_until("the pause ends by itself", lambda: verdict(c, "wild")["action"] == "allow")
        assert pauses(c) == [] and [a[1] for a in alerts(c)] == [True]
        # What was seen has been forgotten: it takes as many again.
        storm(c, "wild", 50)
        assert verdict(c, "wild")["action"] == "allow" and len(alerts(c)) == 1
        storm(c, "wild", 1)
        assert verdict(c, "wild")["action"] == "block" and len(alerts(c)) == 2

        # One that somebody resumes; a restart in between changes nothing.
        storm(c, "kept", 51, agent="sticky")
        assert verdict(c, "kept", "sticky")["opens_ms"] is None
        c.restart()
        assert verdict(c, "kept", "sticky")["action"] == "block"
        tollgate(lab, "resume", "session=kept", "--url", "http://127.0.0.1:%d" % c.port)
        assert verdict(c, "kept", "sticky")["action"] == "allow"
        assert [a[1] for a in alerts(c) if "kept" in a[0]] == [True]
        storm(c, "kept", 50, agent="sticky")
        assert verdict(c, "kept", "sticky")["action"] == "allow"

        # A delay, of an agent whose sessions are calm each for itself.
        for i in range(6):
            storm(c, "slow-%d" % i, 9, agent="slow")
        v = verdict(c, "another", "slow")
        assert (v["action"], v["kind"], v["delay_ms"]) == ("delay", "pause", 7000), v

        # A HUP brings other rules.
        c.configure(runaway=[{"rule": "identical_errors", "limit": {"session": 3}, "action": "block"}])
        c.process.signal(1)
        wait_until("the other rules hold", lambda: storm(c, "hup-%d" % time.monotonic_ns(), 4) and
                   any(p["rule"] == "identical_errors" for p in pauses(c)))


def test_a_restart_in_a_storm_goes_on_counting():
    rules = [{"rule": "identical_errors", "limit": {"session": 30}, "action": "block", "cooldown": "until resumed"},
             {"rule": "calls_per_minute", "on": False}]
    with Lab() as lab:
        c = lab.collector(runaway=rules)
        storm(c, "half", 25)
        c.kill()
        c.start()
        storm(c, "half", 5)
        assert verdict(c, "half")["action"] == "allow"
        storm(c, "half", 1)
        assert verdict(c, "half")["action"] == "block"
        (title, _, evidence, _, _), = alerts(c)
        assert "31 calls in a row ended in the same error (overloaded, HTTP 529)" in title and evidence["value"] == 31


def test_alerts_without_a_pause_count_up_and_end():
    with Lab() as lab:
        c = lab.collector(runaway=[{"rule": "identical_errors", "limit": {"session": 3}, "cooldown": "1s"},
                                   {"rule": "calls_per_minute", "on": False}])

        def counted():
            storm(c, "again", 2)
            return alerts(c)[0][4] >= 3
        storm(c, "again", 4)
        wait_until("it is told again after its cool-down", counted)
        assert len(alerts(c)) == 1 and pauses(c) == [] and verdict(c, "again")["action"] == "allow"
        assert c.sql("SELECT count(*) FROM alert WHERE kind='runaway' AND ended_ms IS NULL") == [(1,)]
        # Told late: an alert, but nothing is held for what is over.
        c.configure(runaway=[{"rule": "identical_errors", "limit": {"session": 3}, "action": "block"}])
        c.restart()
        old = int(time.time() * 1000) - 20 * 60_000
        c.post("/v1/events", [{"kind": "dispatch", "agent_id": "a", "session_id": "late", "status": "error", "error_type": "x",
                               "ts_ms": old + i} for i in range(10)]).ok()
        said = [a for a in alerts(c) if "late" in a[0]]
        assert len(said) == 1 and said[0][2]["action"] == "alert: it was over when it was told", said
        assert pauses(c) == []


def test_rules_are_listed_and_wrong_ones_refused():
    with Lab() as lab:
        listed = json.loads(tollgate(lab, "runaway", "--json"))
        assert len(listed) == 10 and all(r["default"] and r["action"] == "alert" for r in listed)
        path = lab.path("wrong.yaml")
        for text, named in (("runaway: [{rule: calls_per_minute, limit: none}]", "limit"), ("runaway: [{rule: loops}]", "rule"),
                            ("runaway: [{rule: outlier_call, look: agent}]", "look")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            assert ": %s: " % named in tollgate(lab, "runaway", "-c", path, status=2), text
            p = lab.run("tollgated", "-n", "-c", path)
            assert p.wait() != 0 and "wrong.yaml:1: runaway[0]" in p.stderr() and ": %s: " % named in p.stderr(), p.stderr()
        with open(path, "w", encoding="utf-8") as f:
            f.write("runaway:\n  - rule: calls_per_minute\n    limit: 77\n    look: agent\n    action: block\n")
        printed = lab.run("tollgated", "-n", "-c", path).finish()
        with open(path, "w", encoding="utf-8") as f:
            f.write(printed)
        rule = json.loads(tollgate(lab, "runaway", "-c", path, "--json"))[0]
        assert (rule["limit"], rule["action"], rule["default"]) == ({"agent": 77}, "block", False), rule


# ------------------------------------------------------------------- the table
def print_table():
    with Lab() as lab:
        _, out = replayed(lab)
        print("| History | Calls | Rule | Look | Caught with call | After |\n|---|---:|---|---|---:|---:|")
        for title, (events, rules, _) in out.items():
            name, calls = title, "{:,}".format(len(events))
            for (rule, look), f in rules.items():
                ms = f["last_ms"] - f["first_ms"]
                after = "%.1f s" % (ms / 1000) if ms < 120_000 else "%d min" % (ms / 60_000)
                print("| %s | %s | `%s` | %s | %d | %s |" % (name, calls, rule, look.replace("_", " "), f["calls"], after))
                name = calls = ""
            if not rules:
                print("| %s | %s | none | | | |" % (name, calls))


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    print_table()
    sys.exit(0)
