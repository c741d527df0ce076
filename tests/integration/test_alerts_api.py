# SPDX-License-Identifier: MIT
"""Alerts over HTTP and on the command line, raised by thresholds that real calls cross."""
import csv
import fcntl
import http.client
import http.server
import io
import itertools
import json
import os
import re
import signal
import sqlite3
import struct
import subprocess
import termios
import threading

from governing import put_budget, wait_counted
from harness import SLOWER, Dealer, Lab, Stream, program, wait_until
from test_stream import Viewer, opened

BUDGETS = "threshold,overrun"  # other alerts come too, of models without a price and so on


def call(agent, calls=1, **more):
    return [dict({"kind": "dispatch", "agent_id": agent, "session_id": "s-" + agent, "model": "m", "status": "ok",
                  "prompt_tokens": 10, "completion_tokens": 10}, **more) for _ in range(calls)]


def alerts(c, **query):
    return c.get("/v1/alerts", **dict({"kind": BUDGETS}, **query)).ok().json()["alerts"]


def titles(found):
    return [a["title"].partition(": ")[2].partition(":")[0] for a in found]


def budget(c):
    put_budget(c, "by-agent", "10 calls", scope={"agent": ["loud*", "calm", "quiet*"]}, per="agent", alerts=[50, 100])
    wait_counted(c)


def crossed(lab, **config):
    """A collector and five alerts: 50 %, 100 % and the overrun of `loud`, 50 % of `calm` and of `quiet, one`."""
    c = lab.collector(**config)
    budget(c)
    c.post("/v1/events", call("loud", 12) + call("calm", 5) + call("quiet, one", 6) + call("coder", 20)).ok()
    wait_until("the alerts", lambda: len(alerts(c)) == 5)
    return c


def cross(c, agent, calls=5):
    """Half of an agent's budget: one alert more; its id."""
    before = len(alerts(c, agent=agent))
    c.post("/v1/events", call(agent, calls)).ok()
    wait_until("the alert of " + agent, lambda: len(alerts(c, agent=agent)) > before)
    return alerts(c, agent=agent)[0]["id"]


def test_alerts_are_listed():
    with Lab() as lab:
        c = crossed(lab)
        page = c.get("/v1/alerts", kind=BUDGETS).ok().json()
        found = page["alerts"]
        assert page["unacked"] == 5 and page["next"] is None
        assert sorted(titles(found)) == ["100 % reached", "50 % reached", "50 % reached", "50 % reached", "over its limit"]
        assert [(a["ts_ms"], a["id"]) for a in found] == sorted(((a["ts_ms"], a["id"]) for a in found), reverse=True)
        over, = (a for a in found if a["kind"] == "overrun")
        assert over["severity"] == "critical" and over["subject"] == {"budget": "by-agent", "agent": "loud"}
        assert (over["evidence"]["spent"], over["evidence"]["limit"], over["evidence"]["unit"]) == (11, 10, "calls")
        assert over["ended_ms"] is over["acked_ms"] is over["acked_by"] is over["acked_note"] is None and over["deliveries"] == []
        assert over == c.get("/v1/alerts/%d" % over["id"]).ok().json()
        lines = c.get("/v1/alerts", kind=BUDGETS, format="ndjson").ok().text().splitlines()
        assert [json.loads(line) for line in lines] == found
        rows = list(csv.DictReader(io.StringIO(c.get("/v1/alerts", kind=BUDGETS, format="csv").ok().text())))
        assert [(int(r["id"]), json.loads(r["subject"]), r["acked_ms"]) for r in rows] == [(a["id"], a["subject"], "") for a in found]


def test_alerts_are_chosen():
    with Lab() as lab:
        c = crossed(lab)
        every = alerts(c)
        first, last = min(a["ts_ms"] for a in every), max(a["ts_ms"] for a in every)
        for query, n in (({"agent": "loud"}, 3), ({"agent_id": "loud"}, 3), ({"agent": "loud,calm"}, 4), ({"agent": "quiet\\, one"}, 1),
                         ({"agent": "!loud"}, 2), ({"agent": "q*"}, 1), ({"agent": ""}, 0), ({"kind": "overrun"}, 1),
                         ({"severity": "critical"}, 2), ({"severity": "warning"}, 5), ({"budget": "by-*"}, 5), ({"budget": "other"}, 0),
                         ({"session": "s-loud"}, 0), ({"source": ""}, 5), ({"state": "open"}, 5), ({"state": "ended"}, 0), ({"state": "acked"}, 0),
                         ({"state": "open,unacked"}, 5), ({"from": last + 1}, 0), ({"to": first}, 0), ({"from": first, "to": last + 1}, 5),
                         ({"tag:team": "x"}, 0), ({"limit": 2}, 2), ({"kind": "runaway"}, 0)):
            found = alerts(c, **query)
            assert len(found) == n, (query, found)
            assert found == [a for a in every if a in found], query
            if "limit" not in query:
                assert c.get("/v1/alerts", **dict({"kind": BUDGETS}, **query)).json()["unacked"] == n
        seen, after = [], {}
        for _ in range(5):
            page = c.get("/v1/alerts", kind=BUDGETS, limit=1, order="asc", **after).ok().json()
            seen += page["alerts"]
            after = {"after": page["next"]}
        assert seen == every[::-1] and page["next"] is None and page["unacked"] is None
        assert c.get("/v1/alerts", limit=1).headers["Tollgate-Next"]


def test_wrong_questions_are_told_what_is_wrong():
    with Lab() as lab:
        c = crossed(lab)
        for name, value, expected in (("kind", "overrun,nonsense", "threshold, overrun"), ("kind", "", "threshold"), ("kind", "overrun,", "threshold"),
                                      ("severity", "fatal", "critical"), ("severity", "", "info"), ("state", "gone", "unacked"), ("state", "open,", "ended"),
                                      ("from", "yesterday", "RFC 3339"), ("to", "-1y", "RFC 3339"), ("limit", "0", "1 to 1000"), ("limit", "1001", "1 to 1000"),
                                      ("after", "e7", "next"), ("after", "a1", "next"), ("order", "up", "asc or desc"), ("format", "xml", "ndjson"),
                                      ("budget", ",".join("b%d" % i for i in range(65)), "64"), ("trigger", "x", "heartbeat")):
            refused = c.get("/v1/alerts", **{name: value})
            problem = refused.json()
            assert refused.status == 400 and problem["parameter"] == name and expected in problem["expected"], (name, problem)
            assert value.startswith(problem["value"]), problem
        assert c.get("/v1/alerts", severty="x").json()["detail"].endswith("did you mean severity?")
        for path in ("999999", "0", "-1", "x", "1x", "99999999999999999999", "%2e", "1/2"):
            refused = c.get("/v1/alerts/" + path)
            assert refused.status == 404 and refused.headers["Content-Type"] == "application/problem+json", path
        for headers, query in (({"Last-Event-ID": "e7"}, {}), ({}, {"after": "-1"}), ({}, {"after": "1.5"}), ({}, {"kind": "x"})):
            assert c.get("/v1/alerts/stream", headers=headers, **query).status == 400


def test_alerts_are_acknowledged():
    with Lab() as lab:
        c = crossed(lab)
        ids = [a["id"] for a in alerts(c)]
        ack = "/v1/alerts/%d/ack" % ids[0]
        first = c.request("POST", ack, {"author": "ann", "note": "limit \u00e4ndern"}).ok().json()
        assert first["id"] == ids[0] and first["acked_by"] == "ann" and first["note"] == "limit \u00e4ndern"
        assert c.request("POST", ack, {"author": "bob"}).ok().json() == first  # whoever comes first
        one = c.get("/v1/alerts/%d" % ids[0]).ok().json()
        assert (one["acked_ms"], one["acked_by"], one["acked_note"]) == (first["acked_ms"], "ann", "limit \u00e4ndern")
        assert c.request("POST", "/v1/alerts/%d/ack" % ids[1], headers={"Tollgate-Author": "header"}).ok().json()["acked_by"] == "header"
        assert [a["id"] for a in alerts(c, state="acked")] == ids[:2] and [a["id"] for a in alerts(c, state="unacked,open")] == ids[2:]
        assert c.get("/v1/alerts", kind=BUDGETS, limit=1).json()["unacked"] == 3
        assert c.request("POST", "/v1/alerts/999999/ack", {}).status == 404 and c.request("POST", "/v1/alerts/x/ack", {}).status == 404
        for body, field in (({"note": "x" * 501}, "note"), ({"note": 5}, "note"), ({"nte": "x"}, "nte"), ({"author": "x" * 300}, "author")):
            refused = c.request("POST", "/v1/alerts/%d/ack" % ids[2], body)
            assert refused.status == 400 and refused.json()["field"] == field, refused
        c.restart()
        assert c.get("/v1/alerts/%d" % ids[0]).ok().json() == one
        assert sorted(r["author"] for r in c.get("/v1/audit").ok().json()["audit"] if r["what"] == "acknowledged") == ["ann", "header"]


def test_deliveries_are_shown():
    """What the notifier would have written, written here while nobody else does."""
    with Lab() as lab:
        c = crossed(lab)
        id = alerts(c)[0]["id"]
        c.stop()
        db = sqlite3.connect(c.database)
        db.executescript("INSERT INTO message_out (id, key, destination, state, made_ms, due_ms, attempts, ended_ms, error)"
                         " VALUES (1, 'k', 'slack', 3, 1, 100, 9, 50, 'HTTP 500 \x9b31m'), (2, 'k', 'mail', 0, 1, 200, 0, NULL, NULL);"
                         "INSERT INTO message_alert VALUES (%d, 1), (%d, 2)" % (id, id))
        db.execute("UPDATE message_out SET ended_ms = strftime('%s') * 1000 WHERE state = 3")
        db.commit()
        db.close()
        c.start()
        mail, slack = c.get("/v1/alerts/%d" % id).ok().json()["deliveries"]
        assert mail == {"destination": "mail", "state": "gathers", "attempts": 0, "due_ms": 200, "ended_ms": None, "error": None}
        assert (slack["destination"], slack["state"], slack["attempts"], slack["due_ms"]) == ("slack", "given_up", 9, None)
        cli = Cli(lab, c)
        text = cli.run("alerts", str(id))
        assert re.search(r"slack +given up +9 +\S+ \S+Z +HTTP 500 \?31m", text) and "\x9b" not in text, text
        assert re.search("warn +alerts +1 message was given up", cli.run("doctor", status=1))


# --------------------------------------------------------------------- the stream
def stream(c, **query):
    return Viewer(c, path="/v1/alerts/stream", **dict({"kind": BUDGETS}, **query))


def test_alerts_come_as_they_are_raised():
    with Lab() as lab:
        c = crossed(lab)
        with stream(c) as every, stream(c, severity="critical", agent="loud*") as grave:
            place = every.next()
            assert place["retry"] and int(place["id"]) >= alerts(c)[0]["id"] and grave.next()
            id = cross(c, "loud-2", 11)
            got = [every.event() for _ in range(3)]
            assert [e["event"] for e in got] == ["alert"] * 3 and [e["id"] for e in got] == [str(e["data"]["id"]) for e in got]
            assert [e["data"] for e in got] == alerts(c, agent="loud-2", order="asc") and got[-1]["data"]["id"] == id
            assert [grave.event()["data"]["kind"] for _ in range(2)] == ["threshold", "overrun"]
        with stream(c, after="0") as v:  # all there are
            assert [v.event()["data"] for _ in range(8)] == alerts(c, order="asc")
        with stream(c, after="999999") as v:  # from beyond the end is from the end
            v.next()
            cross(c, "quiet-2")
            assert v.event()["data"]["subject"]["agent"] == "quiet-2"
        assert c.request("HEAD", "/v1/alerts/stream").ok().headers["Content-Type"] == "text/event-stream"


def test_a_stream_resumes_after_a_kill():
    with Lab() as lab:
        c = lab.collector()
        budget(c)
        cross(c, "loud")
        with stream(c) as v:
            v.next()
            cross(c, "loud-1")
            assert v.event()["data"]["subject"]["agent"] == "loud-1"
            seen = v.last_id
            cross(c, "loud-2")
            c.kill()
            try:
                while v.answer.read(1):
                    pass
            except (http.client.HTTPException, ConnectionError):
                pass
        c.start()
        with stream(c, headers={"Last-Event-ID": seen}, after="0") as v:  # the header goes first
            cross(c, "loud-3")
            assert [v.event()["data"]["subject"]["agent"] for _ in range(2)] == ["loud-2", "loud-3"]
        with stream(c, headers={"Last-Event-ID": "end"}) as v:
            v.next()
            cross(c, "loud-4")
            assert v.event()["data"]["subject"]["agent"] == "loud-4"


def test_viewers_of_alerts_delay_nobody():
    """Fifty who read nothing, while alerts are raised: not one query is refused, and all that comes is stored."""
    with Lab() as lab:
        c = lab.collector(limits={"http_connections": 10})
        budget(c)
        viewers = [opened(c, "/v1/alerts/stream") for _ in range(50)]
        wait_until("50 viewers", lambda: c.metric("tollgate_http_streams") == 50)
        done, failures = threading.Event(), []

        def publish():
            try:
                with Dealer(c.endpoint) as dealer:
                    load = Stream(dealer, "load")
                    for i in range(40):
                        load.publish([[1, None, None, "s-%d" % (k % 50), None, None, "loud-%d" % (i * 10 + k % 10)] for k in range(500)])
                    assert load.settled == 40 * 500
            except Exception as e:
                failures.append(e)
            done.set()

        thread = threading.Thread(target=publish)
        thread.start()
        answers = 0
        while not done.is_set():
            for path in ("/v1/usage", "/v1/alerts", "/v1/alerts/stream?after=x", "/healthz"):
                assert c.get(path).status == (400 if "?" in path else 200), path
                answers += 1
        thread.join()
        assert not failures, failures[0]
        assert answers > 0 and c.usage()["totals"]["calls"] == 20000
        wait_until("their alerts", lambda: c.sql("SELECT count(*) FROM alert WHERE kind = 'overrun'") == [(400,)])
        assert c.metric("tollgate_http_streams") == 50  # they are still there
        with stream(c, kind="overrun", after="0") as v:
            assert len({v.event()["id"] for _ in range(400)}) == 400
        for s in viewers:
            s.close()
        wait_until("their end", lambda: c.metric("tollgate_http_streams") == 0)


def test_streams_of_alerts_are_among_the_live_ones():
    with Lab() as lab:
        c = lab.collector(limits={"streams": 2})
        viewers = [opened(c, "/v1/alerts/stream"), opened(c, "/v1/stream")]
        wait_until("2 viewers", lambda: c.metric("tollgate_http_streams") == 2)
        for path in ("/v1/alerts/stream", "/v1/stream"):
            refused = c.get(path)
            assert refused.status == 503 and refused.headers["Retry-After"]
        for s in viewers:
            s.close()
        wait_until("their end", lambda: c.metric("tollgate_http_streams") == 0)
        with stream(c) as v:
            v.next()
            c.stop()


# --------------------------------------------------------------- the command line
class Cli:
    def __init__(self, lab, c):
        self.env = dict(lab.env, TOLLGATE_URL="http://127.0.0.1:%d" % c.port, USER="ann")

    def run(self, *args, status=0, **env):
        p = subprocess.run([program("tollgate"), *args], capture_output=True, text=True, env=dict(self.env, **env), timeout=60 * SLOWER,
                           stdin=subprocess.DEVNULL)
        assert p.returncode == status, "%r: status %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
        self.err = p.stderr
        return p.stdout

    def on_a_terminal(self, columns, *args):
        ours, its = os.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with subprocess.Popen([program("tollgate"), *args], stdout=its, env=dict(self.env, NO_COLOR=""), stdin=subprocess.DEVNULL) as p:
            os.close(its)
            text = b""
            try:
                while piece := os.read(ours, 65536):
                    text += piece
            except OSError:  # EIO: nobody has the other end any more
                pass
            os.close(ours)
            assert p.wait(60 * SLOWER) == 0
        return text.decode().replace("\r\n", "\n")


def test_a_list_for_people():
    with Lab() as lab:
        c = crossed(lab)
        cli = Cli(lab, c)
        lines = cli.run("alerts", "--kind", BUDGETS).splitlines()
        assert lines[0].split() == ["ID", "TIME", "SEVERITY", "KIND", "TITLE", "COUNT", "STATE"] and len(lines) == 7
        assert lines[-1] == "5 not acknowledged"
        assert re.match(r" *\d+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  \w+ +threshold  budget by-agent \(.*\): \d+ % reached: .* +1  open$", lines[1])
        assert cli.run("alerts", "--agent", "nobody") == "no alerts\n" and cli.err == ""
        assert cli.run("alerts", "--kind", BUDGETS, "--limit", "2").splitlines()[-2].startswith("there are more (--after a")
        text = cli.on_a_terminal(90, "alerts", "--kind", BUDGETS)
        assert "\033[31mcritical\033[0m" in text and "\033[33mwarning\033[0m" in text
        plain = re.sub("\033\\[[0-9;]*m", "", text).splitlines()
        assert max(map(len, plain)) <= 90 and sum("…" in line for line in plain) == 5, plain
        assert len(json.loads(cli.run("alerts", "--kind", BUDGETS, "--json"))["alerts"]) == 5
        assert len(cli.run("alerts", "--kind", BUDGETS, "--csv").splitlines()) == 6
        status = cli.run("status")
        n = c.get("/v1/alerts", state="open", limit=1).json()["unacked"]
        assert re.search(r"^alerts +%d open and not acknowledged, 2 critical" % n, status, re.MULTILINE), status


def test_one_for_people():
    with Lab() as lab:
        c = crossed(lab)
        id, = (a["id"] for a in alerts(c, kind="overrun"))
        cli = Cli(lab, c)
        text = cli.run("alerts", str(id))
        assert text.startswith("alert %d: budget by-agent (loud): over its limit: 11 calls of 10 calls spent\n" % id)
        for line in (r"kind +overrun", r"severity +critical", r"raised +\S+ \S+Z \(.* ago\)", "acknowledged +no", "  agent +loud", "  budget +by-agent",
                     "  spent +11 calls", "  limit +10 calls", "  unknown calls +0", "told +nobody"):
            assert re.search("^%s$" % line, text, re.MULTILINE), (line, text)
        assert json.loads(cli.run("alerts", str(id), "--json"))["id"] == id
        cli.run("alerts", "999999", status=1)
        assert "there is no alert 999999" in cli.err
        strange = "calm\x1b[31m\u009b32m\n"
        put_budget(c, "strange", "2 calls", scope={"agent": "calm*"}, per="agent", alerts=[50])
        wait_counted(c)
        c.post("/v1/events", call(strange, 3)).ok()
        wait_until("its alert", lambda: alerts(c, budget="strange", agent=strange.replace("\n", "*")))
        id = alerts(c, budget="strange")[0]["id"]
        for text in (cli.run("alerts"), cli.run("alerts", str(id)), cli.on_a_terminal(100, "alerts", str(id), "--json")):
            plain = re.sub("\033\\[[0-9;]*m", "", text) if "--json" in text else text
            assert "\x1b" not in plain and "\u009b" not in plain, text


def test_acknowledging():
    with Lab() as lab:
        c = crossed(lab)
        ids = [str(a["id"]) for a in alerts(c, order="asc")]
        cli = Cli(lab, c)
        told = cli.run("alerts", "ack", *ids[:2], "--note", "the release").splitlines()
        assert len(told) == 2 and re.match(r"alert %s is acknowledged by ann@\S+, \d{4}-.*Z$" % ids[0], told[0]), told
        assert re.search("acknowledged +.* by ann@.*: the release\n", cli.run("alerts", ids[0]))
        told = cli.run("alerts", "ack", "999999", ids[2], "--author", "bob", status=1)
        assert ids[2] in told and "bob" in told and "there is no alert 999999" in cli.err
        assert json.loads(cli.run("alerts", "ack", ids[2], "--json"))["acked_by"] == "bob"
        lines = cli.run("alerts", "--kind", BUDGETS, "--unacked", "--open").splitlines()
        assert len(lines) == 4 and lines[-1] == "2 not acknowledged"
        assert sum(line.endswith("acked") for line in cli.run("alerts").splitlines()) == 3


def test_testing_tells_who_could_not_be_told():
    """A collector that answers what it is told to: which destinations there are is not the matter here."""
    class Handler(http.server.BaseHTTPRequestHandler):
        answer, asked = (200, {}), []

        def do_POST(self):
            self.asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            status, body = self.answer
            body = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    good = {"destination": "slack", "type": "webhook", "ok": True, "ms": 84, "error": None}
    bad = {"destination": "mail", "type": "email", "ok": False, "ms": 5003, "error": "refused\x1b[31m"}
    with Lab() as lab, http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cli = Cli(lab, type("There", (), {"port": server.server_port}))
        Handler.answer = 200, {"results": [good]}
        assert re.search(r"\nslack +webhook +ok +84 ms$", cli.run("alerts", "test", "slack").rstrip())
        assert Handler.asked.pop() == ("/v1/alerts/test", {"destination": "slack"})
        Handler.answer = 200, {"results": [good, bad]}
        text = cli.run("alerts", "test", status=1)
        assert re.search(r"\nmail +email +failed +5003 ms +refused\?\[31m\n", text) and "slack" in text, text
        assert Handler.asked.pop() == ("/v1/alerts/test", {})
        assert json.loads(cli.run("alerts", "test", "--json", status=1)) == {"results": [good, bad]}
        Handler.answer = 200, {"results": []}
        assert cli.run("alerts", "test", status=1) == "" and "no destination is configured" in cli.err
        Handler.answer = 404, {"detail": "there is no destination of this name"}
        assert cli.run("alerts", "test", "x", status=1) == "" and "no destination of this name" in cli.err
        server.shutdown()


def follow(lab, c, *args):
    """A process that follows, and what it has said so far."""
    p = lab.run("tollgate", "alerts", "--follow", "--kind", BUDGETS, *args, env={"TOLLGATE_URL": "http://127.0.0.1:%d" % c.port})
    os.set_blocking(p.popen.stdout.fileno(), False)
    said = []

    def lines():
        said.append(p.popen.stdout.read() or b"")
        return [line.decode().rstrip("\n") for line in b"".join(said).splitlines(keepends=True) if line.endswith(b"\n")]
    return p, lines


def finish(p, *signals):
    os.set_blocking(p.popen.stdout.fileno(), True)
    for s in signals:
        p.signal(s)
    return p.wait()


def test_following_misses_nothing_and_repeats_nothing():
    with Lab() as lab:
        c = lab.collector()
        budget(c)
        cross(c, "loud")  # before its time
        p, lines = follow(lab, c, "--json")
        wait_until("it follows", lambda: c.metric("tollgate_http_streams") == 1)
        wanted = []
        agents = ("loud-%d" % i for i in itertools.count())

        def one_more():
            wanted.append(cross(c, next(agents)))
            wait_until("alert %d" % wanted[-1], lambda: [json.loads(line)["id"] for line in lines()] == wanted)

        one_more()
        c.restart()
        one_more()
        wanted.append(cross(c, next(agents)))
        c.kill()  # it may have been told, or not
        c.start()
        one_more()
        c.stop()
        c.start()
        one_more()
        found = [json.loads(line) for line in lines()]
        assert found == [a for a in alerts(c, order="asc") if a["id"] in wanted] and len(found) == 5
        assert p.running and finish(p, signal.SIGINT) == 0
        assert p.stderr().count("\n") <= 3 and "gone; waiting" in p.stderr(), p.stderr()  # once for each time


def test_following_for_people():
    with Lab() as lab:
        c = lab.collector()
        budget(c)
        p, lines = follow(lab, c, "--agent", "calm")
        wait_until("it follows", lambda: c.metric("tollgate_http_streams") == 1)
        cross(c, "loud")
        cross(c, "calm")
        wait_until("the line", lambda: len(lines()) == 1)
        assert re.match(r"\d{4}-\d\d-\d\d [\d:]{8}Z  warning   threshold  #\d+ budget by-agent \(calm\): 50 % reached: ", lines()[0]), lines()
        assert finish(p, signal.SIGTERM) == 0 and p.stderr() == ""
        p, lines = follow(lab, c, "--agent", "calm", "--limit", "5")
        assert finish(p) == 2 and "limit" in p.stderr()
