# SPDX-License-Identifier: MIT
"""tollgate ledger verify and tollgate budgets simulate: what a running daemon has counted is what its log says, a
wrong number is found, and other budgets are tried on the stored calls."""
import contextlib
import json
import os
import re
import sqlite3
import subprocess

from harness import SLOWER, Lab, program, wait_until

USD = 10**9
BUDGETS = {
    "daily": {"limit": "5 usd", "window": "day", "per": "agent", "counts_from": "window"},
    "team": {"limit": "1m tokens", "window": "sliding 5h", "scope": {"agent": ["a*", "b*"]}, "action": "alert"},
    "all": {"limit": "1000 calls", "window": "total", "shadow": True},
}
TRIED = """\
listen: { http: off }
budgets:
  - name: tight
    scope: { agent: "a*" }
    per: agent
    limit: 1 usd
    window: total
    alerts: [50, 80]
  - name: soft
    limit: 6 calls
    window: total
    action: downgrade
    use: { model: small }
  - name: dark
    scope: { agent: beta }
    limit: 1 calls
    window: total
    shadow: true
  - name: never
    limit: 1000 usd
    window: day
    timezone: Europe/Berlin
"""


class Cli:
    def __init__(self, lab, c):
        self.env, self.c = lab.env, c

    def run(self, *args, status=0):
        p = subprocess.run([program("tollgate"), *args, "--database", self.c.database], capture_output=True, text=True,
                           env=self.env, timeout=120 * SLOWER)
        assert p.returncode == status, "%r: status %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
        self.err = p.stderr
        assert (p.stderr == "") == (status == 0) and p.stderr.count("\n") <= 1, p.stderr
        return p.stdout

    def verify(self, status=0):
        return json.loads(self.run("ledger", "verify", "--json", status=status))


def put(c, method, path, body):
    return c.request(method, path, json.dumps(body), {"Content-Type": "application/json"}).ok().json()


def call(agent, n, usd=None, **more):
    cost = {} if usd is None else {"cost_reported_nanousd": int(usd * USD)}
    return dict({"kind": "dispatch", "agent_id": agent, "session_id": "s-" + agent, "model": "m-unpriced", "status": "ok",
                 "span_id": "%016x" % n, "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}, **cost, **more)


def governed(lab):
    """A collector with budgets, and 30 calls of three agents; every tenth has no cost."""
    c = lab.collector()
    for name, definition in BUDGETS.items():
        put(c, "PUT", "/v1/budgets/" + name, dict(definition, author="ann"))
    send(c, 1, 30)
    return c


def send(c, first, last):
    c.post("/v1/events", [call(["alpha", "beta", "gamma"][n % 3], n, None if n % 10 == 0 else 0.25)
                          for n in range(first, last + 1)]).ok()


def ask(c, sql):
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % c.database, uri=True)) as db:
        return db.execute(sql).fetchone()[0]


def flushed(c, rows):
    wait_until("the ledger is flushed", lambda: ask(c, "SELECT watermark FROM projection WHERE name='ledger'") >= rows
               and ask(c, "SELECT min(counted) FROM budget") == 1)


def test_a_running_ledger_is_what_its_log_says():
    with Lab() as lab:
        c = governed(lab)
        cli = Cli(lab, c)
        flushed(c, 30)
        r = cli.verify()
        assert (r["budgets"], r["counting"], r["differences"]) == (3, 0, 0), r
        assert r["calls"] == 30 + 20 + 30 and r["cells"] >= 5, r
        assert "no difference" in cli.run("ledger", "verify")
        c.kill()
        c.start()
        send(c, 31, 60)
        flushed(c, 60)
        assert cli.verify()["calls"] == 160
        assert ask(c, "SELECT sum(amount) FROM projection_ledger JOIN budget ON id=budget WHERE name='daily'") == 54 * USD // 4


def test_reservations_are_verified():
    with Lab() as lab:
        c = governed(lab)
        cli = Cli(lab, c)
        for n in range(4):
            put(c, "POST", "/v1/admit", {"id": "r-%d" % n, "agent_id": "alpha", "model": "m-unpriced", "prompt_tokens": 10,
                                         "max_tokens": 10})
        put(c, "POST", "/v1/settle", {"id": "r-1", "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
        c.post("/v1/events", [call("alpha", 99, 0.5, reservation_id="r-2")]).ok()
        flushed(c, 31)
        r = cli.verify()
        assert r["reservations"] == 4 and r["postings"] == 9 and r["differences"] == 0, r
        c.stop()
        with contextlib.closing(sqlite3.connect(c.database)) as db, db:
            db.execute("UPDATE reservation_posting SET amount = amount + 1 WHERE reservation = 1 AND kind = 0 AND amount = 20")
            db.execute("UPDATE reservation SET state = 3 WHERE id = 'r-3'")
        r = cli.verify(status=1)
        assert r["differences"] == 4, r
        assert {d["reservation"] for d in r["difference"]} == {"r-0", "r-3"}, r
        assert "reserved another amount" in cli.run("ledger", "verify", status=1)


def test_each_wrong_number_is_named():
    with Lab() as lab:
        c = governed(lab)
        cli = Cli(lab, c)
        flushed(c, 30)
        c.stop()
        with contextlib.closing(sqlite3.connect(c.database)) as db, db:
            db.execute("UPDATE projection_ledger SET amount = amount + 1 WHERE budget = (SELECT id FROM budget WHERE"
                       " name = 'daily') AND CAST(key AS TEXT) LIKE '%beta'")
            db.execute("DELETE FROM projection_ledger WHERE budget = (SELECT id FROM budget WHERE name = 'all')")
        r = cli.verify(status=1)
        found = {d["budget"]: d for d in r["difference"]}
        assert r["differences"] == 2 and set(found) == {"daily", "all"}, r
        daily = found["daily"]
        assert daily["key"] == "beta" and daily["is"]["amount"] == daily["should_be"]["amount"] + 1, daily
        assert found["all"]["is"] == {"amount": 0, "calls": 0, "unknown_calls": 0}
        assert found["all"]["should_be"]["calls"] == 30
        text = cli.run("ledger", "verify", status=1)
        assert re.search(r"differs: budget daily, beta, from .*Z: is \$2\.250000001 in 10 calls", text), text
        assert "differs from the log in 2 places" in cli.err


def test_retention_keeps_the_ledger_exact():
    with Lab() as lab:
        c = lab.collector(retention={"dispatch": "2s", "message": "2s", "session": "2s"})
        for name, definition in BUDGETS.items():
            put(c, "PUT", "/v1/budgets/" + name, dict(definition, author="ann"))
        cli, sent = Cli(lab, c), 0
        while ask(c, "SELECT ifnull(sum(calls), 0) FROM ledger_checkpoint") < 100:
            send(c, sent + 1, sent + 30)
            sent += 30
            r = cli.verify()
            assert r["differences"] == 0, r
        flushed(c, sent)
        assert cli.verify()["calls"] == sent // 3 * 8
        assert ask(c, "SELECT calls FROM projection_ledger JOIN budget ON id=budget WHERE name='all'") == sent
        assert ask(c, "SELECT count(*) FROM dispatch") < sent


def tried(lab):
    path = lab.path("tried.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(TRIED)
    return path


def test_budgets_are_tried_on_the_stored_calls():
    with Lab() as lab:
        c = lab.collector()
        cli = Cli(lab, c)
        for n in range(8):
            c.post("/v1/events", [call("alpha", n, 0.25)]).ok()
        c.post("/v1/events", [call("beta", 8, 3), call("beta", 9)]).ok()
        r = json.loads(cli.run("budgets", "simulate", tried(lab), "--from", "-1h", "--json", "--verbose"))
        tight, soft, dark, never = r["budgets"]
        assert r["all"] == {"calls": 10, "amount": 5 * USD, "unknown_calls": 1} and r["complete"], r
        assert r["blocked"] == {"calls": 4, "amount": USD, "unknown_calls": 0}, r
        assert r["shadow"] == {"calls": 1, "amount": 0, "unknown_calls": 1}, r
        account, = tight["accounts"]
        assert account["key"] == "alpha" and account["held"]["calls"] == 4, account
        assert [(t["percent"], t["times"]) for t in account["thresholds"]] == [(50, 1), (80, 1)], account
        assert [(p["calls"], p["amount"], p["until_ms"]) for p in account["periods"]] == [(4, USD, None)], account
        assert soft["held"]["calls"] == 0 and soft["times_at_limit"] == 1, soft  # 4 of alpha and 2 of beta were made
        assert dark["held"]["calls"] == 1 and never["accounts"] == [], (dark, never)
        assert ("tight", "alpha", 50) in {(x["budget"], x["key"], x["percent"]) for x in r["crossings"]}
        text = cli.run("budgets", "simulate", tried(lab), "--from", "-1h")
        assert "would have saved $1.00 of $5.00" in text and "of 10 calls 4 would not have been made" in text, text
        assert re.search(r"tight +alpha +block +1 +20.*Z +for good +4 +\$1\.00 +50 % 20", text), text
        assert "(nothing reached)" in text
        text = cli.run("budgets", "simulate", tried(lab), "--verbose")
        assert "tight (alpha) reached 50 %: $0.50" in text and "tight (alpha) at its limit: 4 calls of $1.00 blocked" in text, text
        assert json.loads(cli.run("budgets", "simulate", tried(lab), "--from", "-2h", "--to", "-1h", "--json"))["all"]["calls"] == 0
        assert ask(c, "SELECT count(*) FROM budget") == 0


def test_what_is_wrong_is_said():
    with Lab() as lab:
        c = lab.collector()
        cli = Cli(lab, c)
        path = lab.path("wrong.yaml")
        for text, said in (("budgets: [{name: a, limit: 5 usd, window: fortnight}]", "window"), ("budgets: []", "1 to"),
                           ("budgets: [", "wrong.yaml"), ("[{name: a, limit: 1 usd, window: day}, {name: a, limit: 2 usd, window: day}]", "twice")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            cli.run("budgets", "simulate", path, status=2)
            assert said in cli.err, cli.err
        cli.run("budgets", "simulate", lab.path("none.yaml"), status=1)
        cli.run("budgets", "simulate", tried(lab), "--from", "soon", status=2)
        assert "--from" in cli.err
        cli.run("budgets", "simulate", tried(lab), "--from", "-1h", "--to", "-2h", status=2)
        cli.run("ledger", "forget", status=2)
        assert os.path.exists(c.database)


def test_a_corrected_price_changes_budgets_only_when_asked():
    old, new = ([{"match": {"model": "house"}, "input": rate, "output": rate}] for rate in (1, 3))
    with Lab() as lab:
        c = lab.collector(prices=old)
        cli = Cli(lab, c)
        c.request("PUT", "/v1/budgets/all", {"limit": "10 usd", "window": "total", "author": "ann"}).ok()
        c.post("/v1/events", [call("alpha", n, model="house", prompt_tokens=1000, completion_tokens=0, total_tokens=1000)
                              for n in range(40)]).ok()

        def spent():
            return c.get("/v1/budgets/all").ok().json()["budgets"][0]["cells"][0]["spent"]

        def reprice(*words):
            p = subprocess.run([program("tollgate"), "reprice", "--from", "-1d", "--author", "ann", "--json", *words], capture_output=True,
                               text=True, env=dict(lab.env, TOLLGATE_URL="http://127.0.0.1:%d" % c.port), timeout=60 * SLOWER)
            assert p.returncode == 0, p.stderr
            return json.loads(p.stdout)

        assert spent() == 40 * USD // 1000
        c.configure(prices=new)
        c.restart()
        assert reprice()["new_nanousd"] == 40 * 3 * USD // 1000
        assert spent() == 40 * USD // 1000  # what has been decided stays decided
        flushed(c, 40)
        assert cli.verify()["differences"] == 0
        c.kill()
        c.start()
        assert spent() == 40 * USD // 1000 and cli.verify()["differences"] == 0
        assert reprice("--budgets")["changed"] == 0 and spent() == 40 * 3 * USD // 1000  # nothing new, but asked for now
        flushed(c, 40)
        assert cli.verify()["differences"] == 0 and ask(c, "SELECT count(*) FROM ledger_booked") == 0
        c.configure(prices=old)
        c.restart()
        assert reprice("--budgets")["new_nanousd"] == 40 * USD // 1000
        assert spent() == 40 * USD // 1000
        flushed(c, 40)
        assert cli.verify()["differences"] == 0
