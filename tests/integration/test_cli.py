# SPDX-License-Identifier: MIT
"""The command line against a running daemon."""
import contextlib
import csv
import http.server
import io
import json
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import harness
from harness import SLOWER, TOP, Lab, program, wait_until

ASKING = ("usage", "agents", "models", "sessions", "session", "events", "tail", "alerts", "status", "doctor", "budgets", "budget", "allow",
          "allowances", "pause", "resume", "pauses", "check", "audit", "reprice")
COMMANDS = ASKING + ("backup", "restore", "rebuild")
OPERAND = {"session": ["s-1"], "backup": ["x"], "restore": ["x"], "budget": ["explain", "b"], "allow": ["b", "+5usd"],
           "pause": ["agent=a"], "resume": ["agent=a"], "reprice": ["--from", "-1h"]}


class Cli:
    def __init__(self, lab, url):
        self.lab, self.env = lab, dict(lab.env, TOLLGATE_URL=url)

    def run(self, *args, status=0, quiet=True, **env):
        p = subprocess.run([program("tollgate"), *args], capture_output=True, text=True, env=dict(self.env, **env),
                           timeout=60 * SLOWER, stdin=subprocess.DEVNULL)
        assert status is None or p.returncode == status, "%r: status %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
        self.err = p.stderr
        if status == 0 and quiet:
            assert p.stderr == "", p.stderr
        return p.stdout

    def on_a_terminal(self, *args):
        ours, its = pty.openpty()
        with subprocess.Popen([program("tollgate"), *args], stdout=its, stderr=subprocess.PIPE, env=self.env,
                              stdin=subprocess.DEVNULL) as p:
            os.close(its)
            text = b""
            with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
                while piece := os.read(ours, 65536):
                    text += piece
            os.close(ours)
            assert p.wait(60 * SLOWER) == 0, p.stderr.read()
        return text.decode()


def cli_of(lab, c):
    return Cli(lab, "http://127.0.0.1:%d" % c.port)


def call(agent, **more):
    return dict({"kind": "dispatch", "agent_id": agent, "model": "m", "status": "ok", "prompt_tokens": 1000, "cached_tokens": 810,
                 "completion_tokens": 100, "latency_ms": 3000}, **more)


def test_usage_for_people():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        assert "no calls from" in cli.run("usage")
        events = [call("researcher", prompt_tokens=15118, cached_tokens=12245) for _ in range(1200)]
        events += [call("researcher", status="timeout") for _ in range(4)] + [call("coder", latency_ms=840) for _ in range(310)]
        events += [{"kind": "dispatch", "agent_id": "coder", "status": "error"} for _ in range(3)] + [{"kind": "dispatch"}]
        c.post("/v1/events", events).ok()
        assert cli.run("usage", "--by", "agent").splitlines() == [
            "AGENT       CALLS  PROMPT  CACHED  COMPLETION  P95 LATENCY  ERRORS",
            "researcher  1,204  18.1 M    81 %       120 k        3.0 s   0.3 %  1,204 calls unpriced",
            "coder         313   310 k    81 %%      31.0 k       %s   1.0 %%  3 without token counts, 313 calls unpriced" % p95(cli, "coder"),
            "(unknown)       1       -       -           -            -     0 %  no token counts, 1 call unpriced",
        ]
        lines = cli.run("usage", "--by=agent,status", "--bucket", "1d", "--limit", "2").splitlines()
        assert len(lines) == 4 and lines[0].startswith("FROM") and "AGENT" in lines[0] and "STATUS" in lines[0]
        assert "only the first 2 rows" in lines[3]
        c.post("/v1/events", call("coder", cost_reported_nanousd=12345678901)).ok()
        assert "$12.35*" in cli.run("usage", "--agent", "coder") and " COST " in cli.run("usage")


def p95(cli, agent):
    """As the collector tells it: a sketch is off by up to 3.1 %."""
    ms = json.loads(cli.run("usage", "--by", "agent", "--agent", agent, "--json"))["rows"][0]["latency_ms_p95"]
    assert abs(ms - 840) <= 840 / 32
    return "%d ms" % ms


def test_usage_compares_and_keeps_the_top():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        hour = 3600000
        now = int(time.time() * 1000) // 60000 * 60000
        events = [call(name, ts_ms=now - hour // 2 - 2 * hour * before, tags={"team": "x"}) for name, counts in
                  (("a", (9, 6)), ("b", (5, 5)), ("c", (2, 0)), ("d", (1, 0))) for before in (0, 1) for _ in range(counts[before])]
        c.post("/v1/events", events).ok()
        text = cli.run("usage", "--by", "agent", "--from", str(now - 2 * hour), "--to", str(now), "--top", "2", "--order=-calls", "--compare")
        lines = [re.split("  +", line) for line in text.splitlines()]
        assert lines[0][:5] == ["AGENT", "CALLS", "+/-", "PROMPT", "+/-"]
        assert [line[:5] for line in lines[1:4]] == [["a", "9", "+50 %", "9.0 k", "+50 %"], ["b", "5", "0 %", "5.0 k", "0 %"],
                                                     ["(other)", "3", "new", "3.0 k", "new"]]
        assert re.match(r"\+/- against 20\d\d-.*Z to 20\d\d-.*Z$", lines[4][0]) and len(lines) == 5
        assert json.loads(cli.run("usage", "--by", "agent", "--top", "1", "--json"))["rows"][1]["other"] is True
        rows = list(csv.DictReader(io.StringIO(cli.run("usage", "--by", "tag:team", "--tag", "team=x,y", "--agent", "!b", "--csv"))))
        assert [r["calls"] for r in rows] == ["18"]
        assert "no calls" in cli.run("usage", "--tag", "team=y")


def test_usage_by_the_calendar():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        start = int(time.time()) // 86400 * 86400000 - 2 * 86400000
        date = [time.strftime("%Y-%m-%d", time.gmtime(start / 1000 + 86400 * i)) for i in (0, 1)]
        c.post("/v1/events", [call("a", ts_ms=start + 1), call("b", ts_ms=start + 86400000 - 60000)]).ok()
        between = ("--from", str(start - 86400000), "--to", str(start + 2 * 86400000))
        lines = cli.run("usage", "--bucket", "day", *between).splitlines()
        assert lines[0].startswith("FROM  ") and [line.split()[0] for line in lines[1:]] == [date[0]]
        lines = cli.run("usage", "--bucket", "day", "--tz", "Asia/Kolkata", *between).splitlines()
        assert lines[0].startswith("FROM (Asia/Kolkata)") and [line.split()[0] for line in lines[1:]] == date
        lines = cli.run("usage", "--bucket", "hour", "--by", "agent", *between).splitlines()
        assert [line[:17] for line in lines[1:]] == [date[0] + " 00:00Z", date[0] + " 23:00Z"]
        lines = cli.run("usage", "--bucket", "15m", "--tz", "Asia/Kathmandu", *between).splitlines()
        assert [line[:16] for line in lines[1:]] == [date[0] + " 05:45", date[1] + " 05:30"]
        cli.run("usage", "--bucket", "day", "--tz", "Europe/Bonn", status=2)
        assert "Europe/Bonn" in cli.err


def test_what_is_not_known_is_not_compared():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        now, hour = int(time.time() * 1000) // 60000 * 60000, 3600000
        untold = {"kind": "dispatch", "model": "m", "status": "ok"}
        c.post("/v1/events", [call("a", ts_ms=now - 3 * hour), dict(untold, agent_id="a", ts_ms=now - hour),
                              call("b", ts_ms=now - hour), dict(untold, agent_id="b", ts_ms=now - 3 * hour),
                              call("d", ts_ms=now - hour)]).ok()
        text = cli.run("usage", "--by", "agent", "--from", str(now - 2 * hour), "--to", str(now), "--compare")
        lines = sorted(re.split("  +", line)[:5] for line in text.splitlines()[1:-1])
        assert lines == [["a", "1", "0 %", "-", "-"], ["b", "1", "0 %", "1.0 k", "-"],
                         ["d", "1", "new", "1.0 k", "new"]], lines


def test_a_cut_list_does_not_look_whole():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        c.post("/v1/events", [call("a%d" % i, session_id="s-%d" % i) for i in range(1001)]).ok()
        for args, rows in ((["usage", "--by", "session"], 1000), (["agents"], 1000), (["sessions"], 50)):
            assert len(cli.run(*args, "--csv", status=1).splitlines()) == 1 + rows
            assert cli.err.count("\n") == 1 and "--limit" in cli.err and ("--after" in cli.err) == (args == ["sessions"]), cli.err
            assert len(cli.run(*args, "--csv", "--limit", "7", quiet=False).splitlines()) == 8
            assert cli.err.count("\n") == 1 and "--limit" in cli.err
        assert len(cli.run("usage", "--by", "session", "--csv", "--limit", "1001").splitlines()) == 1002
        after = cli.err = ""
        seen = 0
        while not seen or cli.err:
            seen += len(cli.run("sessions", "--csv", "--limit", "400", *after, quiet=False).splitlines()) - 1
            after = ["--after", cli.err.split()[-1]] if cli.err else []
        assert seen == 1001


# -------------------------------------------------------------------- sessions
def post_sessions(c):
    """s/1 with two calls, a message and, beneath it, s/1/sub with a call; four others with one each."""
    t = int(time.time() * 1000) - 600000
    c.post("/v1/events", [
        call("boss", session_id="s/1", ts_ms=t, tool_used="bash", latency_ms=1500),
        call("helper", session_id="s/1/sub", parent_session_id="s/1", root_session_id="s/1", ts_ms=t + 20000, model="small"),
        call("boss", session_id="s/1", ts_ms=t + 61000, status="error", error_type="rate_limit", prompt_tokens=100, cached_tokens=0,
             completion_tokens=10),
        {"kind": "message_sent", "agent_id": "boss", "session_id": "s/1", "ts_ms": t + 62000, "outcome": "delivered", "surface": "telegram"},
    ] + [call("other%d" % i, session_id="o-%d" % i, ts_ms=t - 1000 * i, cost_reported_nanousd=2000000000) for i in range(4)]).ok()
    return t


def test_sessions():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        assert "no sessions" in cli.run("sessions")
        post_sessions(c)
        lines = [re.split("  +", line) for line in cli.run("sessions", "--order=-last").splitlines()]
        assert lines[0] == ["SESSION", "AGENT", "MODEL", "LAST", "DURATION", "CALLS", "TOKENS", "CACHED", "COST", "ERRORS", "MESSAGES"]
        assert [line[0] for line in lines[1:]] == ["s/1", "s/1/sub", "o-0", "o-1", "o-2", "o-3"]
        assert lines[1][1] == "boss" and lines[1][4:] == ["1 m 02 s", "2", "1.2 k", "74 %", "-", "50 %", "1", "2 calls unpriced"], lines[1]
        assert lines[2][-1] == "beneath s/1, 1 call unpriced" and lines[3][8] == "$2.00*"
        seen, after = [], []
        for _ in range(3):
            text = cli.run("sessions", "--limit", "2", "--order=-last", *after)
            seen += [line.split()[0] for line in text.splitlines()[1:3]]
            more = re.search(r"there are more \(--after (\S+)\)", text)
            after = ["--after", more[1]] if more else None
        assert seen == [line[0] for line in lines[1:]] and after is None
        assert len(cli.run("sessions", "--search", "S/1").splitlines()) == 3
        assert len(cli.run("sessions", "--agent", "other*").splitlines()) == 5
        assert [s["session_id"] for s in json.loads(cli.run("sessions", "--json", "--order", "last", "--limit", "1", quiet=False))["sessions"]] == ["o-3"]
        assert "--after" in cli.err and cli.err.count("\n") == 1
        assert [r["session_id"] for r in csv.DictReader(io.StringIO(cli.run("sessions", "--csv", "--agent", "boss")))] == ["s/1"]


def test_session_timeline():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        post_sessions(c)
        head, _, table = cli.run("session", "s/1").partition("\n\n")
        for want in (r"session +s/1\n", r"agent +boss, m \(unknown provider\)", r"source +http", "1 m 02 s", r"2 calls, 1 error, 1.2 k tokens \(74 %",
                     r"messages +1\n", r"sub-agents +1\n", r"all +3 calls"):
            assert re.search(want, head), (want, head)
        lines = [line for line in table.splitlines() if not line.endswith("(UTC)")]
        assert lines[0].split() == ["TIME", "OFFSET", "CALL", "TOKENS", "LATENCY", "STATUS", "TOOL"]
        for line, want in zip(lines[1:], (r"\+0 ms  m +1.0 k \+ 100  ██░{6} +1.5 s  ok +bash$", r"\+20.0 s  └ s/1/sub +1.1 k +.*1 call  helper$",
                                          r"\+1 m 01 s  m +100 \+ 10  █ +3.0 s  error +rate_limit$",
                                          r"\+1 m 02 s  message_sent +delivered  telegram$")):
            assert re.search(want, line), (want, line)
        assert len(lines) == 5
        tree = cli.run("session", "s/1", "--tree", LC_ALL="C").splitlines()
        assert re.search(r"  ` s/1/sub ", tree[-4]) and re.search(r"\+20.0 s    small +1.0 k \+ 100  #+\.* ", tree[-3]), tree
        assert all(len(line) <= 50 for line in cli.run("session", "s/1", COLUMNS="50").partition("\n\n")[2].splitlines())
        first = cli.run("session", "s/1", "--limit", "1")
        after = re.search(r"there are more \(--limit, --after (\S+)\)", first)[1]
        rest = cli.run("session", "s/1", "--after", after, "--limit", "10")
        assert "rate_limit" in rest and "rate_limit" not in first and "there are more" not in rest
        answer = json.loads(cli.run("session", "s/1", "--json"))
        assert [e["kind"] for e in answer["events"]] == ["dispatch", "dispatch", "message_sent"]
        assert "s/1" in cli.run("session", "--", "s/1")
        cli.run("session", "s-1", status=1)
        assert "s-1" in cli.err or "session" in cli.err


def test_a_long_session_is_fetched_in_pages():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        t = int(time.time() * 1000) - 5000000
        c.post("/v1/events", [call("a", session_id="long", ts_ms=t + i * 1000, latency_ms=i) for i in range(2300)]).ok()
        lines = [line for line in cli.run("session", "long", "--limit", "2200").splitlines() if "  m  " in line]
        assert len(lines) == 2200 and " 2.2 s  ok" in lines[-1]
        assert len([line for line in cli.run("session", "long").splitlines() if "  m  " in line]) == 500


def test_a_tree_tells_what_it_leaves_out():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        t = int(time.time() * 1000) - 600000
        c.post("/v1/events", [call("a", session_id="top", ts_ms=t)] +
               [call("b", session_id=sub, parent_session_id="top", root_session_id="top", ts_ms=t + 1000 * i)
                for sub, n in (("x", 3), ("y", 4), ("z", 2)) for i in range(1, n + 1)]).ok()
        assert "of 2 sub-agents only the first 2 events are shown" in cli.run("session", "top", "--tree", "--limit", "2")
        for args in (["--tree"], ["--limit", "2"], ["--tree", "--limit", "4"]):
            assert "only the first" not in cli.run("session", "top", *args)


def test_agents_and_models():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        assert "no calls from 20" in cli.run("agents") and "no calls from 20" in cli.run("models")
        c.post("/v1/events", [call("a", provider="p"), call("a", provider="p", model="n"), call("b", provider="p"), call("b", provider="p")]).ok()
        lines = [re.split("  +", line) for line in cli.run("agents", "--order=-calls").splitlines()]
        assert lines[0][:4] == ["AGENT", "CALLS", "PROMPT", "CACHED"] and lines[0][-2:] == ["MODELS", "LAST"]
        assert [(line[0], line[1], line[-3], line[-1]) for line in lines[1:]] == [
            ("a", "2", "2", "2 calls unpriced"), ("b", "2", "1", "2 calls unpriced")]
        lines = [re.split("  +", line) for line in cli.run("models", "--order=-calls").splitlines()]
        assert lines[0][:3] == ["PROVIDER", "MODEL", "CALLS"]
        assert [(*line[:3], line[-3]) for line in lines[1:]] == [("p", "m", "3", "2"), ("p", "n", "1", "1")]
        assert json.loads(cli.run("models", "--json", "--agent", "a"))["totals"]["calls"] == 2
        assert [r["agent_id"] for r in csv.DictReader(io.StringIO(cli.run("agents", "--csv", "--model", "n")))] == ["a"]


def test_usage_for_programs():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        c.post("/v1/events", [call("a"), call("b"), call("b", model="x,y")]).ok()
        answer = json.loads(cli.run("usage", "--by", "agent,model", "--json"))
        assert answer["group_by"] == ["agent_id", "model"] and answer["totals"]["calls"] == 3
        rows = list(csv.DictReader(io.StringIO(cli.run("usage", "--by", "agent,model", "--csv"))))
        assert [(r["agent_id"], r["model"], r["calls"]) for r in rows] == \
            [(r["agent_id"], r["model"], str(r["calls"])) for r in answer["rows"]]
        for option in (["--agent", "b"], ["--agent-id", "b"], ["--agent_id=b"]):
            assert json.loads(cli.run("usage", "--json", *option))["totals"]["calls"] == 2
        assert json.loads(cli.run("usage", "--json", "--model", "x\\,y"))["totals"]["calls"] == 1


def test_events():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        evil = "\x1b]0;evil\x07\u009b31m"
        c.post("/v1/events", [call(evil), call("b", status="error", error_type="rate_limit"), {"kind": "message_sent", "agent_id": "b"}]).ok()
        text = cli.run("events", "--kind", "all", "--order", "asc", "--source", "http")
        lines = text.splitlines()
        assert lines[0].split() == ["TIME", "KIND", "AGENT", "MODEL", "STATUS", "PROMPT", "COMPLETION", "COST", "LATENCY", "SESSION"]
        assert len(lines) == 4 and "error (rate_limit)" in lines[2] and "message_sent" in lines[3]
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), "control characters reach the terminal"
        for option in ("--json", "--csv"):
            shown = cli.on_a_terminal("events", "--kind", "all", option)
            assert "rate_limit" in shown and not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", shown), shown
        assert "\u009b" in cli.run("events", "--csv")  # into a file as it is
        assert "there are more" in cli.run("events", "--limit", "1")
        ndjson = [json.loads(line) for line in cli.run("events", "--json").splitlines()]
        assert [e["agent_id"] for e in ndjson] == ["b", evil]
        assert len(list(csv.DictReader(io.StringIO(cli.run("events", "--csv", "--status", "error"))))) == 1
        assert cli.run("events", "--json", "--event", ndjson[0]["event_id"]).count("\n") == 1


def test_a_broken_export_does_not_look_whole():
    with Lab() as lab:
        c = lab.collector()
        for _ in range(8):
            c.post("/v1/events", [call("a", call_id="x" * 250) for _ in range(5000)]).ok()
        export = lab.run("tollgate", "events", "--json", env={"TOLLGATE_URL": "http://127.0.0.1:%d" % c.port})
        export.popen.stdout.read(1000)  # it has begun, and cannot end: nobody reads on
        c.kill()
        assert export.wait() == 1 and "broke off" in export.stderr()
        assert export.out.count("\n") < 40000


def test_tail_follows_and_survives_a_restart():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", call("before")).ok()
        tail = lab.run("tollgate", "tail", "--json", env={"TOLLGATE_URL": "http://127.0.0.1:%d" % c.port})
        seen = []

        def lines():
            os.set_blocking(tail.popen.stdout.fileno(), False)
            seen.append(tail.popen.stdout.read() or b"")
            return [json.loads(line)["agent_id"] for line in b"".join(seen).splitlines(keepends=True) if line.endswith(b"\n")]

        wait_until("tail has its cursor", lambda: c.metric("tollgate_http_requests_total", route="/v1/events", status="200") >= 2)
        c.restart()  # while nothing has come yet
        c.post("/v1/events", call("one")).ok()
        wait_until("one", lambda: lines() == ["one"])
        c.kill()
        c.start()
        c.post("/v1/events", call("two")).ok()
        wait_until("two", lambda: lines() == ["one", "two"])
        c.post("/v1/events", call("K\xf6ln\u009b31m")).ok()
        wait_until("all of three", lambda: lines() == ["one", "two", "K\xf6ln\u009b31m"])
        assert b"".join(seen).isascii(), "a terminal obeys control characters"
        assert tail.running
        os.set_blocking(tail.popen.stdout.fileno(), True)
        tail.signal(signal.SIGINT)
        assert tail.wait() == 0
        assert tail.stderr().count("\n") <= 2, tail.stderr()  # once for each time it was gone


def test_tail_for_people():
    with Lab() as lab:
        c = lab.collector()
        tail = lab.run("tollgate", "tail", "--agent", "one", env={"TOLLGATE_URL": "http://127.0.0.1:%d" % c.port})
        wait_until("tail has its cursor", lambda: c.metric("tollgate_http_requests_total", route="/v1/events", status="200") >= 1)
        c.post("/v1/events", [call("other"), call("one")]).ok()
        line = tail.popen.stdout.readline().decode()
        assert re.match(r"\d{4}-\d\d-\d\d [\d:.]{12}  dispatch  one +m +ok +1.0 k +100 +- +3.0 s  -\n$", line), line
        tail.signal(signal.SIGTERM)
        assert tail.wait() == 0 and tail.stderr() == ""


def test_status():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        c.post("/v1/events", [call("a")] * 2 + [{"kind": "report", "body": {"dropped": {"full": 3, "evicted": 4}}}], source="gw").ok()
        text = cli.run("status")
        for line in (r"tollgated +\d+\.\d+\.\d+ at http://127.0.0.1:\d+", r"up +.*since \d{4}-", r"ready +yes", "events +4 stored since start",
                     r"queue +0 of [\d,]+ events", "rate +2 calls in the last minute", "database +.*events.db, .*iB, write-ahead log",
                     "lost +7 events, reported by emitters in 7 days, most by gw", re.escape(c.endpoint)):
            assert re.search(line, text), (line, text)


def test_doctor():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        text = cli.run("doctor", status=1)
        assert re.search("warn +traffic +no call in 24 h", text) and "fail" not in text
        c.post("/v1/events", call("a")).ok()
        text = cli.run("doctor")
        assert {line.split()[0] for line in text.splitlines()} == {"ok"}, text
        for want in (r"size +[\d.]+ [KM]iB: the log .*names .*rollups .*session totals ", r"wal +the write-ahead log has [\d.]+ .iB",
                     r"growth +less than an hour", r"retention +calls are kept for 90 d 00 h; (the log begins at 20.*Z, )?nothing was deleted",
                     r"commits +[\d,]+ since the start; 99 % took at most", r"queries +[\d,]+ since the start", r"sums +[\d,]+ events behind",
                     r"names +\d+ combinations of 10,000"):
            assert re.search(want, text), (want, text)
        answer = json.loads(cli.run("doctor", "--json"))
        assert answer["healthy"] and {x["verdict"] for x in answer["checks"]} == {"ok"}
        facts = answer["facts"]
        parts = [facts[k + "_bytes"] for k in ("log", "names", "rollup", "session", "session_index", "other", "free")]
        assert sum(parts) == facts["database_bytes"] > 0 and min(parts[:-1]) > 0
        c.post("/v1/events", {"kind": "report", "body": {"dropped": {"full": 1}}}, source="gw").ok()
        assert re.search("warn +emitters +1 events lost in 7 days, most by gw", cli.run("doctor", status=1))
        os.chmod(os.path.dirname(c.endpoint[6:]), 0o777)
        assert re.search("warn +socket .*chmod 700", cli.run("doctor", status=1))
        os.unlink(c.endpoint[6:])
        assert re.search("fail +socket .*restart tollgated", cli.run("doctor", status=1))
        assert json.loads(cli.run("doctor", "--json", status=1))["healthy"] is False


def test_losses_are_found_on_every_page():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        c.post("/v1/events", {"kind": "report", "body": {"dropped": {"full": 5}}}, source="silent").ok()
        c.post("/v1/events", [{"kind": "report", "body": {"dropped": {"full": 0}}}] * 1500, source="gw").ok()
        assert re.search("lost +5 events, reported by emitters in 7 days, most by silent", cli.run("status"))


class Half(http.server.BaseHTTPRequestHandler):
    """A collector that answers nothing but /version, and that with a name too long to be told whole."""
    def do_GET(self):
        self.server.token = self.headers["Authorization"]
        body = json.dumps({"version": "0", "endpoints": "tcp://" + "\xe9" * 600}).encode()
        self.send_response(200 if self.path == "/version" else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_doctor_does_not_take_silence_for_health():
    with Lab() as lab, http.server.HTTPServer(("127.0.0.1", 0), Half) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cli = Cli(lab, "http://127.0.0.1:%d" % server.server_port)
        token = "t" * 3000
        checks = {x["what"]: x for x in json.loads(cli.run("doctor", "--json", "--token", token, status=1))["checks"]}
        for what in ("store", "quarantine", "conflicts", "dates"):
            assert checks[what]["verdict"] == "warn" and "does not say" in checks[what]["text"], checks[what]
        assert checks["endpoint"]["text"] == "tcp://" + "\xe9" * 508
        assert server.token == "Bearer " + token
        server.shutdown()


def test_doctor_tells_how_the_file_grows():
    with Lab() as lab:
        c = lab.collector(retention={"dispatch": "forever"})
        cli = cli_of(lab, c)
        c.post("/v1/events", [call("a")] * 100).ok()
        c.stop()
        with contextlib.closing(sqlite3.connect(c.database)) as db, db:  # as if it had taken two days
            assert db.execute("UPDATE log_partition SET first_received_ms = first_received_ms - 2 * 86400000").rowcount == 1
        c.start()
        text = cli.run("doctor")
        assert re.search(r"ok +growth +[\d.]+ .iB a day \(as in the last 2 d 00 h\); the disk has .* left, enough for years", text), text
        assert "calls are kept for ever" in text
        c.stop()
        c.configure(retention={"dispatch": "30d"})
        c.start()
        text = cli.run("doctor")
        assert re.search(r"ok +growth .*; with this retention the file stops at about [\d.]+ .iB, which fits", text), text
        assert "calls are kept for 30 d 00 h" in text


@harness.patient
def test_doctor_finds_who_holds_the_log():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        c.post("/v1/events", call("a")).ok()
        with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % c.database, uri=True)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM dispatch").fetchone()[0] == 1
            batch = [call("a", call_id="x" * 250, trace_id="y" * 250) for _ in range(5500)]

            def text():
                c.post("/v1/events", batch).ok()
                return cli.run("doctor", status=None)
            want = r"wal +the write-ahead log has [\d.]+ .iB, because process %d \(\S+\) still reads what was there \d+ pages ago" % os.getpid()
            wait_until("the log has grown and who holds it is told", lambda: re.search(want, text()), 120)
            reader.execute("ROLLBACK")
        wait_until("it shrinks again", lambda: re.search(r"wal +the write-ahead log has [\d.]+ .iB; its file was", text()), 120)


def test_nobody_there():
    with Lab() as lab, socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        cli = Cli(lab, "http://127.0.0.1:%d" % s.getsockname()[1])
        for command in ASKING:
            out = cli.run(command, *OPERAND.get(command, []), status=1)
            said = out if command == "doctor" else cli.err
            assert said.count("\n") == 1 and cli.env["TOLLGATE_URL"] in said, (command, said)


def test_wrong_options_are_named():
    with Lab() as lab:
        c = lab.collector()
        cli = cli_of(lab, c)
        for args, named in (([], "no command"), (["usge"], "usge"), (["usage", "--form", "x"], "--form"), (["usage", "x"], "x"),
                            (["usage", "--by"], "--by"), (["usage", "--json=1"], "--json=1"), (["events", "-x"], "-x"),
                            (["usage", "--agent", "a", "--agent-id", "b"], "--agent-id"), (["status", "--agent", "a"], "--agent"),
                            (["usage", "--from", "yesterday"], "yesterday"), (["usage", "--by", "agnt"], "agnt"),
                            (["events", "--kind", "x"], "x"), (["tail", "--status", "fine"], "fine"), (["usage", "--tag", "x"], "--tag"),
                            (["usage", "--tag", "a=1", "--tag", "a=2"], "a"), (["usage", "--top", "x"], "x"), (["sessions", "--order", "size"], "size"),
                            (["session"], "session"), (["session", "a", "b"], "b"), (["session", "a", "--limit", "x"], "x"), (["backup"], "backup"),
                            (["backup", "a", "--wal-limit", "-1"], "-1"), (["rebuild", "all"], "all"), (["agents", "--from", "x"], "x"),
                            (["budget"], "budget"), (["budget", "explain"], "budget"), (["budget", "drop", "x"], "drop"),
                            (["budget", "set", "-"], "there is nothing here"), (["allow", "b"], "AMOUNT"), (["allow", "--end", "1", "b"], "--end"),
                            (["pause", "agent"], "agent"), (["pause", "=a"], "=a"), (["resume", "agent="], "agent="), (["check", "x"], "x"),
                            (["check", "--tag", "a"], "--tag"), (["audit", "x"], "x"), (["reprice"], "--from"), (["reprice", "--from", "soon"], "soon"), (["prices", "--at", "x"], "--at"),
                            (["alerts", "--kind", "x"], "x"), (["alerts", "ack"], "ack"), (["alerts", "1", "2"], "2"), (["alerts", "1", "--open"], "--open"),
                            (["alerts", "test", "a", "--kind", "x"], "--kind"), (["alerts", "--note", "x"], "--note"),
                            (["price"], "explain"), (["price", "explain"], "explain"), (["pauses", "--al"], "--al")):
            assert cli.run(*args, status=2) == ""
            assert cli.err.count("\n") == 1 and named in cli.err, (args, cli.err)
        for command in ("tail", "usage", "events"):
            cli.run(command, *["--tag=t%d=1" % i for i in range(49)], status=2)
            assert cli.err.count("\n") == 1 and "too many options" in cli.err


def test_help_and_token():
    with Lab() as lab:
        c = lab.collector(start=False, listen={"token": "s3cret"})
        c.start(ready=False)
        cli = cli_of(lab, c)
        cli.run("usage", "--unheard-of", status=2)
        assert "unknown option" in cli.err
        for command in COMMANDS:
            text = cli.run(command, "--help")
            assert text.startswith("usage: tollgate " + command) and "\n  tollgate %s" % command in text
            for option in set(re.findall(r"--[a-z-]+", text)) - {"--url", "--token", "--help"}:
                if (command, option) != ("tail", "--json"):  # which would go on
                    cli.run(command, option, *OPERAND.get(command, []), status=None)
                    assert "unknown option" not in cli.err, (command, option)
        assert cli.run("--help").startswith("usage: tollgate COMMAND") and cli.run("--version").startswith("tollgate 0.")
        cli.run("usage", status=1)
        assert "token" in cli.err
        cli.run("usage", "--token", "s3cret")
        cli.run("usage", TOLLGATE_TOKEN="s3cret")
        assert "token" in cli.run("doctor", "--token", "wrong", status=1)


def test_the_manuals_know_every_option_and_key():
    def manual(name):
        with open(os.path.join(TOP, "collector", "man", name), encoding="utf-8") as f:
            return f.read().replace("\\-", "-")

    with Lab() as lab:
        cli, page = Cli(lab, ""), manual("tollgate.1")
        for command in COMMANDS:
            assert re.search(r"^\.Cm (.* )?%s\b" % command, page, re.MULTILINE), command
            assert re.search(r"^\.It Cm (.* )?%s\b" % command, page, re.MULTILINE), command
            for option in set(re.findall(r"--[a-z-]+", cli.run(command, "--help"))):
                assert re.search(r"(Fl |\| ?|, )%s\b" % option[1:], page), option
        printed = lab.run("tollgated", "-n").finish()
        keys = re.findall(r"^ *([a-z_]+):", printed, re.MULTILINE)
        assert len(keys) > 15
        for key in keys:
            assert re.search(r"^\.(It Cm|Ss) (.* )?%s( |$)" % key, manual("tollgate.yaml.5"), re.MULTILINE), key
