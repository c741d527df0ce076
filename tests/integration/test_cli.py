# SPDX-License-Identifier: MIT
"""The command line against a running daemon."""
import csv
import io
import json
import os
import re
import signal
import socket
import subprocess

from harness import SLOWER, TOP, Lab, program, wait_until

COMMANDS = ("usage", "events", "tail", "status", "doctor")


class Cli:
    def __init__(self, lab, url):
        self.lab, self.env = lab, dict(lab.env, TOLLGATE_URL=url)

    def run(self, *args, status=0, **env):
        p = subprocess.run([program("tollgate"), *args], capture_output=True, text=True, env=dict(self.env, **env),
                           timeout=60 * SLOWER, stdin=subprocess.DEVNULL)
        assert status is None or p.returncode == status, "%r: status %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
        self.err = p.stderr
        if status == 0:
            assert p.stderr == "", p.stderr
        return p.stdout


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
            "AGENT       CALLS  PROMPT  CACHED  COMPLETION  AVG LATENCY  ERRORS",
            "researcher  1,204  18.1 M    81 %       120 k        3.0 s   0.3 %",
            "coder         313   310 k    81 %      31.0 k       840 ms   1.0 %  3 without token counts",
            "(unknown)       1       -       -           -            -     0 %  no token counts",
        ]
        lines = cli.run("usage", "--by=agent,status", "--bucket", "1d", "--limit", "2").splitlines()
        assert len(lines) == 4 and lines[0].startswith("FROM") and "AGENT" in lines[0] and "STATUS" in lines[0]
        assert "only the first 2 rows" in lines[3]
        c.post("/v1/events", call("coder", cost_reported_nanousd=12345678901)).ok()
        assert "$12.35" in cli.run("usage", "--agent", "coder") and "REPORTED COST" in cli.run("usage")


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
        assert lines[0].split() == ["TIME", "KIND", "AGENT", "MODEL", "STATUS", "PROMPT", "COMPLETION", "LATENCY", "SESSION"]
        assert len(lines) == 4 and "error (rate_limit)" in lines[2] and "message_sent" in lines[3]
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), "control characters reach the terminal"
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
        assert re.match(r"\d{4}-\d\d-\d\d [\d:.]{12}  dispatch  one +m +ok +1.0 k +100 +3.0 s  -\n$", line), line
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
        text = cli.run("doctor")
        assert re.search("warn +traffic +no call in 24 h", text) and "fail" not in text
        c.post("/v1/events", call("a")).ok()
        text = cli.run("doctor")
        assert {line.split()[0] for line in text.splitlines()} == {"ok"}, text
        c.post("/v1/events", {"kind": "report", "body": {"dropped": {"full": 1}}}, source="gw").ok()
        assert re.search("warn +emitters +1 events lost in 7 days, most by gw", cli.run("doctor"))
        os.chmod(os.path.dirname(c.endpoint[6:]), 0o777)
        assert re.search("warn +socket .*chmod 700", cli.run("doctor"))
        os.unlink(c.endpoint[6:])
        assert re.search("fail +socket .*restart tollgated", cli.run("doctor", status=1))


def test_nobody_there():
    with Lab() as lab, socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        cli = Cli(lab, "http://127.0.0.1:%d" % s.getsockname()[1])
        for command in COMMANDS:
            out = cli.run(command, status=1)
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
                            (["events", "--kind", "x"], "x"), (["tail", "--status", "fine"], "fine")):
            assert cli.run(*args, status=2) == ""
            assert cli.err.count("\n") == 1 and named in cli.err, (args, cli.err)


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
                    cli.run(command, option, status=None)
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
            assert ".Cm %s\n" % command in page
            for option in set(re.findall(r"--[a-z-]+", cli.run(command, "--help"))):
                assert re.search(r"(Fl |\| ?|, )%s\b" % option[1:], page), option
        printed = lab.run("tollgated", "-n").finish()
        keys = re.findall(r"^ *([a-z_]+):", printed, re.MULTILINE)
        assert len(keys) > 15
        for key in keys:
            assert re.search(r"^\.(It Cm|Ss) %s$" % key, manual("tollgate.yaml.5"), re.MULTILINE), key
