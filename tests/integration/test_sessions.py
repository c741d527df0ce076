# SPDX-License-Identifier: MIT
"""Sessions, agents and models over HTTP: what an answer says is what a recount of the events says, whether the
projections have been flushed or not."""
import csv
import io
import json
import random
import threading
import urllib.parse

from harness import Lab, wait_until


def session(c, name, **query):
    return c.get("/v1/sessions/" + urllib.parse.quote(name, safe=""), **query)


def flushed(c):
    """What is stored is in all projections."""
    return c.sql("SELECT min(watermark) >= (SELECT max(id) FROM dispatch) FROM projection")[0][0]


def recount(events):
    """{session_id: numbers} of dispatches as they were posted."""
    out = {}
    for e in events:
        s = out.setdefault(e["session_id"], {"calls": 0, "errors": 0, "messages": 0, "tokens": None, "prompt_tokens": None,
                                             "first_ms": e["ts_ms"], "last_ms": e["ts_ms"]})
        s["first_ms"], s["last_ms"] = min(s["first_ms"], e["ts_ms"]), max(s["last_ms"], e["ts_ms"])
        if e["kind"] != "dispatch":
            s["messages"] += 1
            continue
        s["calls"] += 1
        s["errors"] += e.get("status") in ("error", "timeout")
        s["tokens"] = (s["tokens"] or 0) + e["prompt_tokens"] + e["completion_tokens"]
        s["prompt_tokens"] = (s["prompt_tokens"] or 0) + e["prompt_tokens"]
    return out


def traffic(n, now_ms, rng, names=40):
    out = []
    for i in range(n):
        name = "s-%02d" % rng.randrange(names)
        if rng.random() < 0.1:
            out.append({"kind": "message_received", "session_id": name, "agent_id": "a", "ts_ms": now_ms - rng.randrange(100000)})
        else:
            out.append({"kind": "dispatch", "session_id": name, "agent_id": "agent-%d" % rng.randrange(3), "model": "m-%d" % rng.randrange(3),
                        "provider": "p", "status": rng.choice(["ok", "error", "timeout"]), "prompt_tokens": rng.randrange(1000),
                        "completion_tokens": rng.randrange(100), "ts_ms": now_ms - rng.randrange(100000)})
    return out


def pages(c, **query):
    """All sessions, page by page."""
    out = []
    while True:
        page = c.get("/v1/sessions", **query).ok().json()
        out += page["sessions"]
        if not page["next"]:
            return out
        query["after"] = page["next"]


KEYS = {"last": lambda s: s["last_ms"], "first": lambda s: s["first_ms"], "tokens": lambda s: s["tokens"] or 0, "calls": lambda s: s["calls"],
        "errors": lambda s: s["errors"]}


def test_lists_are_what_a_recount_says():
    rng = random.Random(7)
    with Lab() as lab:
        c = lab.collector()
        now, posted = c.get("/version").json()["now_ms"], []
        for _ in range(12):  # some of it flushed, some not
            batch = traffic(60, now, rng)
            c.post("/v1/events", batch).ok()
            posted += batch
            want = recount(posted)
            for order, key in KEYS.items():
                for sign in ("", "-"):
                    got = pages(c, order=sign + order, limit=rng.randrange(3, 50))
                    assert sorted(s["session_id"] for s in got) == sorted(want)
                    keys = [key(s) for s in got]
                    assert keys == sorted(keys, reverse=sign == "-"), (order, sign)
                    for s in got:
                        for name, value in want[s["session_id"]].items():
                            assert s[name] == value, (s["session_id"], name, s[name], value)
        wait_until("the flush", lambda: flushed(c))
        assert {s["session_id"]: s["calls"] for s in pages(c)} == {n: w["calls"] for n, w in want.items()}
        lines = c.get("/v1/sessions", format="ndjson").ok().text().splitlines()
        rows = list(csv.DictReader(io.StringIO(c.get("/v1/sessions", format="csv").ok().text())))
        objects = c.get("/v1/sessions").ok().json()["sessions"]
        assert [json.loads(line) for line in lines] == objects
        assert [{k: "" if v is None else str(v) for k, v in o.items()} for o in objects] == rows


def test_filters_and_searches():
    with Lab() as lab:
        c = lab.collector()
        now = c.get("/version").json()["now_ms"]
        for i in range(30):
            c.post("/v1/events", {"kind": "dispatch", "session_id": "Chat-%02d" % i, "agent_id": "agent-%d" % (i % 3), "ts_ms": now - i * 60000,
                                  "tags": {"team": "t%d" % (i % 2)}, "prompt_tokens": 1}).ok()

        def names(**query):
            return [s["session_id"] for s in pages(c, **query)]

        everything = ["Chat-%02d" % i for i in range(30)]
        for _ in range(2):
            assert names() == everything and names(order="last") == everything[::-1]
            assert names(agent="agent-1") == everything[1::3]
            assert names(agent="!agent-1") == [n for i, n in enumerate(everything) if i % 3 != 1]
            assert names(**{"tag:team": "t1"}) == everything[1::2]
            assert names(search="hAT-1") == everything[10:20] and names(search="nothing") == []
            assert names(session="Chat-05,Chat-07,no") == ["Chat-05", "Chat-07"] and names(session="Chat-2*") == everything[20:]
            assert names(root_session="Chat-05") == ["Chat-05"]
            assert names(**{"from": now - 5 * 60000}) == everything[:6] and names(to=now - 25 * 60000) == everything[26:]
            assert names(**{"from": now - 20 * 60000, "to": now - 10 * 60000, "agent": "agent-0"}) == ["Chat-12", "Chat-15", "Chat-18"]
            wait_until("the flush", lambda: flushed(c))
        refused = c.get("/v1/sessions", order="-last", after=c.get("/v1/sessions", order="-tokens", limit=3).json()["next"])
        assert refused.status == 400 and refused.json()["parameter"] == "after"


def test_pages_hold_still_while_sessions_come():
    """A cursor goes on behind the sessions that were shown: those that did nothing meanwhile come once each."""
    with Lab() as lab:
        c = lab.collector()
        now, stop = c.get("/version").json()["now_ms"], threading.Event()
        c.post("/v1/events", [{"kind": "dispatch", "session_id": "old-%03d" % i, "ts_ms": now - 1000 - i, "prompt_tokens": i} for i in range(500)]).ok()

        def load():
            for n in range(100000):
                if stop.is_set():
                    return
                c.post("/v1/events", [{"kind": "dispatch", "session_id": "new-%d" % (n * 10 + i), "prompt_tokens": 1} for i in range(10)]).ok()

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for order in ("-last", "-tokens", "-first"):
                seen = [s["session_id"] for s in pages(c, order=order, limit=37, to=now)]
                old = [n for n in seen if n.startswith("old")]
                assert sorted(old) == ["old-%03d" % i for i in range(500)], (order, len(old))
        finally:
            stop.set()
            thread.join()


def test_one_session_is_complete_at_once_and_later():
    names = ["s-1", "with/slash", "space and %", "ünïcödé", "a?b#c&d=e", "x" * 255, "..", "agent:main:telegram:42"]
    with Lab() as lab:
        c = lab.collector()
        for name in names:
            c.post("/v1/events", [{"kind": "dispatch", "session_id": name, "span_id": "%s-%d" % (name[:5], i), "prompt_tokens": 2} for i in range(25)] +
                   [{"kind": "message_sent", "session_id": name, "message_id": "m"}, {"kind": "report", "body": {}}]).ok()
        for _ in range(2):
            for name in names:
                answer = session(c, name, limit=7).ok().json()
                assert answer["session"]["session_id"] == name and answer["session"]["calls"] == 25 and answer["session"]["messages"] == 1
                assert answer["session"]["prompt_tokens"] == 50 and answer["beneath"] == [] and answer["tree"]["calls"] == 25
                events, seen = answer["events"], 7
                while answer["next"]:
                    answer = session(c, name, limit=7, after=answer["next"]).ok().json()
                    events += answer["events"]
                assert [e.get("span_id") for e in events] == ["%s-%d" % (name[:5], i) for i in range(25)] + [None]
                assert events == [e for e in c.get("/v1/events", order="asc", kind="all", limit=1000).json()["events"] if e.get("session_id") == name]
            wait_until("the flush", lambda: flushed(c))
        for name in ("nobody", "s-", "s-11", "%"):
            missing = session(c, name)
            assert missing.status == 404 and missing.headers["Content-Type"] == "application/problem+json", name
        for query in ({"limit": 0}, {"after": "x"}, {"agent": "a"}):
            assert session(c, "s-1", **query).status == 400


def test_what_a_final_record_replaces_counts_once():
    with Lab() as lab:
        c = lab.collector()
        for when in ("before", "after"):  # the flush
            call = {"kind": "dispatch", "session_id": when, "response_id": "r", "prompt_tokens": 5, "ts_ms": c.get("/version").json()["now_ms"]}
            c.post("/v1/events", dict(call, partial=1)).ok()
            assert session(c, when).json()["session"]["partial"] == 1  # and so it is remembered
            if when == "after":
                wait_until("the flush", lambda: flushed(c))
            c.post("/v1/events", dict(call, prompt_tokens=9)).ok()
            for _ in range(2):
                answer = session(c, when).ok().json()
                got = answer["session"]
                assert (got["calls"], got["partial"], got["tokens"], got["prompt_tokens"]) == (1, 0, 9, 9), got
                assert [e["prompt_tokens"] for e in answer["events"]] == [9]
                listed = [s for s in pages(c, order="-tokens") if s["session_id"] == when]
                assert [(s["calls"], s["tokens"]) for s in listed] == [(1, 9)]
                wait_until("the flush", lambda: flushed(c))


def test_sub_agents_stand_beneath():
    with Lab() as lab:
        c = lab.collector()

        def call(name, parent=None, root=None, **more):
            e = dict({"kind": "dispatch", "session_id": name, "prompt_tokens": 10, "agent_id": "a"}, **more)
            if parent:
                e["parent_session_id"] = parent
            if root:
                e["root_session_id"] = root
            return e

        c.post("/v1/events", [call("top"), call("top", status="error"), call("a", "top", "top"), call("b", "a", "top"), call("c", "b", "top"),
                              call("other", "top", "top"), call("loop", "loop", "top"), call("away")]).ok()
        for _ in range(2):
            answer = session(c, "top").ok().json()
            depths = {s["session_id"]: s["depth"] for s in answer["beneath"]}
            assert depths == {"a": 1, "other": 1, "loop": 1, "b": 2, "c": 3}, depths
            assert answer["session"]["calls"] == 2 and answer["tree"]["calls"] == 7 and answer["tree"]["prompt_tokens"] == 70
            assert abs(answer["tree"]["error_rate"] - 1 / 7) < 1e-9 and not answer["truncated"]
            middle = session(c, "a").ok().json()
            assert {s["session_id"]: s["depth"] for s in middle["beneath"]} == {"b": 1, "c": 2} and middle["tree"]["calls"] == 3
            assert session(c, "c").ok().json()["beneath"] == []
            calls = c.get("/v1/events", root_session="top", order="asc", format="ndjson").ok().text().splitlines()
            assert len(calls) == 7
            wait_until("the flush", lambda: flushed(c))


def test_one_gateways_part_of_a_session():
    with Lab() as lab:
        c = lab.collector()
        for source, calls in (("gw-1", 3), ("gw-2", 5)):
            c.post("/v1/events", [{"kind": "dispatch", "session_id": "main", "prompt_tokens": 1} for _ in range(calls)], source=source).ok()
        assert session(c, "main").json()["session"]["calls"] == 8
        for source, calls in (("gw-1", 3), ("gw-2", 5)):
            answer = session(c, "main", source=source).ok().json()
            assert answer["session"]["calls"] == answer["tree"]["calls"] == len(answer["events"]) == calls
            assert {e["source"] for e in answer["events"]} == {source}
        assert session(c, "main", source="gw-3").status == 404


def test_agents_and_models():
    with Lab() as lab:
        c = lab.collector()
        now = c.get("/version").json()["now_ms"]
        calls = [("a", "p", "m1", 1), ("a", "p", "m2", 2), ("a", "q", "m1", 30), ("b", "p", "m1", 700), (None, "p", "m1", 4), ("b", None, None, 1500)]
        c.post("/v1/events", [{k: v for k, v in {"kind": "dispatch", "agent_id": a, "provider": p, "model": m, "ts_ms": now - age * 60000,
                                                 "prompt_tokens": 5, "latency_ms": 100}.items() if v is not None} for a, p, m, age in calls]).ok()

        def minute(age):
            return (now - age * 60000) // 60000 * 60000

        for _ in range(2):
            answer = c.get("/v1/agents", **{"from": now - 3 * 86400000}).ok().json()
            got = {r["agent_id"]: (r["calls"], r["models"], r["last_ms"]) for r in answer["agents"]}
            assert got == {"a": (3, 3, minute(1)), "b": (2, 1, minute(700)), None: (1, 1, minute(4))}, got
            assert answer["totals"]["calls"] == 6 and answer["totals"]["prompt_tokens"] == 30 and not answer["truncated"]
            answer = c.get("/v1/models", **{"from": now - 3 * 86400000, "order": "calls"}).ok().json()
            rows = [(r["provider"], r["model"], r["calls"], r["agents"], r["last_ms"]) for r in answer["models"]]
            assert sorted(rows, key=str) == sorted([("p", "m1", 3, 2, minute(1)), ("p", "m2", 1, 1, minute(2)), ("q", "m1", 1, 1, minute(30)),
                                                    (None, None, 1, 1, minute(1500))], key=str), rows
            assert [r[2] for r in rows] == sorted(r[2] for r in rows)
            recent = c.get("/v1/agents").ok().json()  # the last day
            assert {r["agent_id"]: r["models"] for r in recent["agents"]} == {"a": 3, "b": 1, None: 1} and recent["totals"]["calls"] == 5
            only = c.get("/v1/agents", model="m1", provider="p", limit=1, order="-calls").ok().json()
            assert len(only["agents"]) == 1 and only["truncated"] and only["totals"]["calls"] == 3
            rows = list(csv.DictReader(io.StringIO(c.get("/v1/models", format="csv").ok().text())))
            assert {(r["model"], r["agents"]) for r in rows} == {("m1", "2"), ("m2", "1"), ("m1", "1")}
            wait_until("the flush", lambda: flushed(c))


def test_a_deadline_ends_a_long_look():
    with Lab() as lab:
        c = lab.collector(limits={"query_ms": 10})
        names = iter(range(10**9))

        def late():
            c.post("/v1/events", [{"kind": "dispatch", "session_id": "session-%d" % next(names)} for _ in range(5000)])
            answer = c.get("/v1/sessions", search="nothing")
            return answer.status != 200 and answer

        problem = wait_until("a search that takes too long", late, seconds=120)
        assert problem.status == 504 and problem.json()["status"] == 504, problem
        assert problem.headers["Content-Type"] == "application/problem+json" and c.get("/healthz").status == 200
