# SPDX-License-Identifier: MIT
"""tollgated as a process: configuration, signals, a clean end, one writer a file."""
import json
import os
import re
import signal
import stat

import wire
from emitters import check_projection, check_usage, finish, load
from harness import TOP, Dealer, Lab, Stream, wait_until


def test_print_back_reads_to_the_same():
    with Lab() as lab:
        c = lab.collector(start=False, log={"level": "warn"}, limits={"query_ms": 1234, "queue_events": 4321},
                          time={"past_days": 7})
        printed = lab.run("tollgated", "-n", "-c", c.config_path).finish()
        for word in (c.endpoint, "query_ms: 1234", "queue_events: 4321", "past_days: 7", "level: warn"):
            assert word in printed.replace('"', ""), (word, printed)
        again = lab.path("again.yaml")
        with open(again, "w", encoding="utf-8") as f:
            f.write(printed)
        assert lab.run("tollgated", "-n", "-c", again).finish() == printed
        defaults = lab.run("tollgated", "-n").finish()
        with open(again, "w", encoding="utf-8") as f:
            f.write(defaults)
        assert lab.run("tollgated", "-n", "-c", again).finish() == defaults
        assert lab.dir in defaults, "the defaults lie under the user's own directories"


BUDGETS = [{"name": "daily-research", "scope": {"agent": "research*"}, "per": "agent", "limit": "5 usd", "window": "day",
            "timezone": "Europe/Berlin", "alerts": [50, 80], "action": "block"},
           {"name": "softly", "scope": {"agent": ["research*"], "lane": {"not": "batch"}}, "per": ["agent", "model"],
            "limit": "$10.00", "window": "day", "timezone": "Europe/Berlin", "action": "downgrade",
            "use": {"model": "small"}}]


def test_budgets_print_back_with_their_contradictions():
    with Lab() as lab:
        c = lab.collector(start=False, budgets=BUDGETS, policies=[{"name": "lanes", "allow_lanes": ["main", "batch"]}],
                          prices=[{"match": {"model": "local/*"}, "free": True}])
        p = lab.run("tollgated", "-n", "-c", c.config_path)
        printed = p.finish()
        for line in ('  - name: daily-research', '    scope: {agent: "research*"}', '    limit: "$5.00"',
                     '    timezone: "Europe/Berlin"', '    use: {model: small}', '    allow_lanes: [batch, main]',
                     '  - match: {model: "local/*"}', '    free: true'):
            assert line + "\n" in printed, (line, printed)
        assert p.stderr() == ("tollgated: budget daily-research blocks at $5.00, so budget softly, which downgrades at "
                              "$10.00, never acts\n"), p.stderr()
        again = lab.path("again.yaml")
        with open(again, "w", encoding="utf-8") as f:
            f.write(printed)
        assert lab.run("tollgated", "-n", "-c", again).finish() == printed


def test_the_manuals_examples_are_taken():
    with open(os.path.join(TOP, "collector", "man", "tollgate.yaml.5"), encoding="utf-8") as f:
        examples = re.findall(r"^\.Bd -literal.*\n((?:(?!\.Ed).*\n)+)", f.read(), re.MULTILINE)
    assert len(examples) >= 2 and any("budgets:" in e for e in examples), examples
    with Lab() as lab:
        path = lab.path("example.yaml")
        for example in examples:
            named = re.findall(r"\b[A-Z]+_[A-Z]+\b", example)  # variables of the environment
            env = {n: "https://example.org/x" if n.endswith("_URL") else "secret" for n in named + ["TOLLGATE_TOKEN"]}
            with open(path, "w", encoding="utf-8") as f:
                f.write(("alerts:\n" if example.startswith("  - ") else "") + example)
            lab.run("tollgated", "-n", "-c", path, env=env).finish()


WRONG = [
    ("lisen:\n  http: 127.0.0.1:0\n", 1, ["lisen", "listen"]),
    ("listen:\n  htp: 127.0.0.1:0\n", 2, ["htp", "http"]),
    ("limits:\n  query_ms: soon\n", 2, ["limits.query_ms", "soon", "whole number"]),
    ("limits:\n  query_ms: -5\n", 2, ["limits.query_ms", "-5"]),
    ("log:\n  level: loud\n", 2, ["log.level", "loud", "debug"]),
    ("listen:\n  events: tcp://0.0.0.0:7447\n", 2, ["listen.events", "tcp://0.0.0.0:7447"]),
    ("listen:\n\n\n  http: nonsense\n", 4, ["listen.http", "nonsense"]),
    ("database:\n  path: relative.db\n", 2, ["database.path", "relative.db", "absolute"]),
    ("listen: [1, 2\n", None, []), ("\tx: 1\n", None, []), ("- 1\n- 2\n", 1, []),
    ("log:\n  level: info\nlog:\n  level: warn\n", 3, []),
    ("budgets:\n  - name: a\n    limit: 5 eur\n    window: day\n", 3, ["budgets[0] a: limit", "5 eur", "5 usd"]),
    ("policies:\n  - name: p\n    deny_models: x\n  - name: p\n    deny_models: y\n", 4, ["policies[1] p", "line 2"]),
]


def test_wrong_configuration_names_its_place():
    with Lab() as lab:
        path = lab.path("wrong.yaml")
        for text, line, words in WRONG:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            for check in (["-n"], []):
                p = lab.run("tollgated", *check, "-c", path)
                p.finish(status=2)
                said = p.stderr().strip()
                assert "\n" not in said and "wrong.yaml" in said, (text, said)
                assert line is None or ":%d:" % line in said, (text, said)
                assert all(w in said for w in words), (text, said)
        lab.run("tollgated", "-c", lab.path("absent.yaml")).finish(status=2)
        lab.run("tollgated", "--nonsense").finish(status=2)
        assert "usage" in lab.run("tollgated", "--help").finish()


def test_term_drains_what_has_come():
    """What had been received when TERM came is committed and answered, or kept by its publisher: exact after
    the next start, and the end is clean."""
    with Lab() as lab:
        c = lab.collector()
        p = load(lab, c, "draining", events=40_000, rate=40_000, wait_s=120)
        for _ in range(3):
            seen = c.stored()
            wait_until("more is stored", lambda: c.stored() > seen or not p.running)
            c.stop()
            assert "event=stopped" in c.stderr(), c.stderr()
            assert not os.path.exists(c.database + "-wal") or os.path.getsize(c.database + "-wal") == 0
            c.start()
        promise = finish(p)
        check_usage(c, [promise], source="draining")


def test_interrupt_ends_it_too():
    with Lab() as lab:
        c = lab.collector()
        c.process.signal(signal.SIGINT)
        c.process.finish()


def test_hup_reads_the_file_again():
    with Lab() as lab:
        c = lab.collector(log={"level": "info"})

        def reloaded(words, count):
            c.process.signal(signal.SIGHUP)
            wait_until(lambda: "a reload: " + c.stderr(), lambda: c.stderr().count("event=reload") == count)
            line = [line for line in c.stderr().splitlines() if "event=reload" in line][-1]
            assert all(w in line for w in words), line

        c.configure(log={"level": "debug"})
        reloaded(["debug"], 1)
        c.configure(limits={"queue_events": 5000})
        reloaded(["needs_restart", "limits.queue_events"], 2)
        c.configure(budgets=BUDGETS, prices=[{"match": {"model": "x"}, "free": True}])
        reloaded(["needs_restart", "limits.queue_events"], 3)
        assert "prices" not in c.stderr().splitlines()[-1], c.stderr()
        wait_until("the budgets are there", lambda: len(c.get("/v1/budgets").json()["budgets"]) == len(BUDGETS))
        c.configure(budgets=BUDGETS[:1] * 2)
        reloaded(["level=error", "budgets[1] daily-research: name", "nothing changed"], 4)
        os.rename(c.config_path, c.config_path + ".whole")
        with open(c.config_path, "w", encoding="utf-8") as f:
            f.write("# about to be written\n")
        reloaded(["level=error", "the file is empty", "nothing changed"], 5)
        assert len(c.get("/v1/budgets").json()["budgets"]) == len(BUDGETS)
        os.rename(c.config_path + ".whole", c.config_path)
        c.configure(budgets=[])
        with open(c.config_path, "a", encoding="utf-8") as f:
            f.write("nonsense: 1\n")
        reloaded(["level=error", "nonsense"], 6)
        with Dealer(c.endpoint) as d:
            assert Stream(d, "after").publish([[1]]).settled == 1


def test_two_collectors_on_one_file():
    with Lab() as lab:
        c = lab.collector()
        other = lab.collector(name="d", start=False, database={"path": c.database})
        p = lab.run("tollgated", "-c", other.config_path)
        assert p.wait() not in (0, None)
        assert "events.db" in p.stderr() and len(p.stderr().strip().splitlines()) == 1, p.stderr()
        with Dealer(c.endpoint) as d:
            assert Stream(d, "first").publish([[1]]).settled == 1


def test_a_newer_file_is_refused():
    import sqlite3
    with Lab() as lab:
        c = lab.collector()
        c.stop()
        db = sqlite3.connect(c.database)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA user_version=%d" % (version + 1))
        db.commit()
        db.close()
        p = lab.run("tollgated", "-c", c.config_path)
        assert p.wait() not in (0, None)
        assert "newer" in p.stderr() and c.database in p.stderr(), p.stderr()


def test_a_file_that_is_no_database():
    with Lab() as lab:
        c = lab.collector(start=False)
        for content in (b"this is not a database, but a diary" * 100, b"SQLite format 3\0" + bytes(4000)):
            with open(c.database, "wb") as f:
                f.write(content)
            p = lab.run("tollgated", "-c", c.config_path)
            assert p.wait() not in (0, None)
            assert c.database in p.stderr(), p.stderr()
            with open(c.database, "rb") as f:
                assert f.read() == content, "somebody else's file is left alone"


def test_files_are_the_users_own():
    with Lab() as lab:
        c = lab.collector()
        for path in (c.database, c.endpoint[6:], lab.path("c")):
            assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0, (path, oct(os.stat(path).st_mode))
        os.chmod(lab.path("c"), 0o777)
        c.kill()
        p = lab.run("tollgated", "-c", c.config_path)
        assert p.wait() not in (0, None), "anybody could put a socket of his own there"
        os.chmod(lab.path("c"), 0o700)


def test_nothing_but_defaults():
    """Without a file: the socket in the runtime directory, the database in the state directory."""
    with Lab() as lab:
        config = lab.run("tollgated", "-n").finish()
        assert lab.path("run", "tollgate", "events.sock") in config and lab.path("state", "tollgate") in config, config


def test_ready_means_an_event_went_the_whole_way():
    with Lab() as lab:
        c = lab.collector()
        assert c.sql("SELECT count(*) FROM report")[0][0] >= 1
        assert c.usage()["totals"]["calls"] == 0, "the self-test is not a call"
        assert c.get("/healthz").status == 200
        version = c.get("/version").ok().json()
        assert "version" in version, version


def test_http_and_wire_are_one_log():
    """The same call by HTTP and over the wire is one row."""
    with Lab() as lab:
        c = lab.collector()
        event = {"kind": "dispatch", "session_id": "s-1", "response_id": "msg_1", "prompt_tokens": 10}
        with Dealer(c.endpoint) as d:
            s = Stream(d, "wire")
            s.publish([event])
            answer = c.post("/v1/events", event, source="http").json()
            assert answer["duplicates"] == 1 and answer["stored"] == 0, answer
            answer = c.post("/v1/events", dict(event, response_id="msg_2")).json()
            assert answer["stored"] == 1 and answer["results"][0]["event_id"] == wire.event_id("s-1", "msg_2").hex(), answer
            r = s.publish([dict(event, response_id="msg_2")])
            assert r.duplicates == 1, r
            c.restart()
        with Dealer(c.endpoint) as d:  # recent ids survive a restart
            r = Stream(d, "wire", epoch=2).publish([event])
            assert r.duplicates == 1, r
        assert c.usage()["totals"]["calls"] == 2
        rows = [json.loads(line) for line in c.get("/v1/events", format="ndjson", order="asc").ok().text().splitlines()]
        assert [r["response_id"] for r in rows] == ["msg_1", "msg_2"]


def test_ids_are_remembered_far_back():
    """An id is recognised among the last 250,000 events, after a crash too."""
    def calls(first, n):
        return [[1, wire.murmur3_x64_128(b"%d" % i), None, "s"] for i in range(first, first + n)]

    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as d:
            s = Stream(d, "x")
            for first in range(0, 240_000, 8_000):
                assert s.publish(calls(first, 8_000)).duplicates == 0
            assert Stream(d, "again").publish(calls(0, 3)).duplicates == 3
        c.kill()
        c.start()
        with Dealer(c.endpoint) as d:
            s = Stream(d, "once more")
            assert s.publish(calls(0, 3)).duplicates == 3
            assert s.publish(calls(239_999, 3)).duplicates == 1
        assert c.stored() == 240_002
        c.stop()
        check_projection(c)


def test_partial_final_conflict():
    with Lab() as lab:
        c = lab.collector()
        call = {"kind": 1, "session_id": "s", "response_id": "r", "prompt_tokens": 5, "partial": 1}
        with Dealer(c.endpoint) as d:
            s = Stream(d, "x")
            s.publish([call])
            t = c.usage()["totals"]
            assert (t["calls"], t["partial"], t["prompt_tokens"]) == (1, 1, 5), t
            s.publish([dict(call, partial=0, prompt_tokens=50)])
            t = c.usage()["totals"]
            assert (t["calls"], t["partial"], t["prompt_tokens"]) == (1, 0, 50), t
            s.publish([dict(call, partial=0, prompt_tokens=70)])  # a second final one says something else
            s.publish([dict(call, partial=1, prompt_tokens=1)])  # a late partial one
            t = c.usage()["totals"]
            assert (t["calls"], t["prompt_tokens"]) == (1, 50), t
            assert c.metric("tollgate_events_conflict_total") == 1
            assert c.metric("tollgate_events_replaced_total") == 1
        c.kill()
        c.start()
        t = c.usage()["totals"]
        assert (t["calls"], t["partial"], t["prompt_tokens"]) == (1, 0, 50), t
        c.stop()
        check_projection(c)


def test_granularity_counts_once():
    """The same run told call by call and as a sum: the finest told counts."""
    with Lab() as lab:
        c = lab.collector()
        run = {"kind": 1, "session_id": "s", "run_id": "run-1"}
        with Dealer(c.endpoint) as d:
            s = Stream(d, "x")
            s.publish([dict(run, granularity="run", prompt_tokens=30, span_id="sum")])
            assert c.usage()["totals"]["prompt_tokens"] == 30
            s.publish([dict(run, granularity="call", prompt_tokens=n, span_id="c%d" % n) for n in (10, 20)])
            t = c.usage()["totals"]
            assert (t["calls"], t["prompt_tokens"]) == (2, 30), t
            s.publish([dict(run, granularity="turn", prompt_tokens=30, span_id="late")])
            t = c.usage()["totals"]
            assert (t["calls"], t["prompt_tokens"]) == (2, 30), t
        c.kill()
        c.start()
        assert c.usage()["totals"] == t
        c.stop()
        check_projection(c)


def test_times_out_of_range_are_flagged():
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as d:
            Stream(d, "x").publish([{"kind": 1, "ts_ms": ts, "span_id": str(ts)} for ts in (1, 4102444800000)])
        assert c.metric("tollgate_events_misdated_total") == 2
        totals = c.get("/v1/usage", **{"from": "-1h"}).ok().json()["totals"]
        assert totals["calls"] == 2, "stored at their time of arrival"
