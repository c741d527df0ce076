# SPDX-License-Identifier: MIT
"""What `tollgate efficiency` and `tollgate risk` make of calls whose numbers can be counted by hand: ratios are over the
calls that told both, what is not known is a dash, and evidence stands in the order that the help tells."""
import contextlib
import json
import re
import sqlite3
import time

from harness import Lab
from test_cli import cli_of

PRICES = [{"match": {"model": "alpha"}, "input": 1, "output": 2},
          {"match": {"model": "gamma", "provider": "p1"}, "input": 100, "output": 100},
          {"match": {"model": "embed"}, "input": 0.5, "output": 0}]
NASTY = "evil\x1b[31m\x07\u009b2J"


def priced(lab):
    """A collector with these prices: JSON is YAML."""
    c = lab.collector(start=False)
    with open(c.config_path, "a", encoding="utf-8") as f:
        f.write("prices: %s\n" % json.dumps(PRICES))
    return c.start()


def call(model, prompt=None, completion=None, **more):
    event = {"kind": "dispatch", "agent_id": "a", "provider": "p", "model": model, "status": "ok", "prompt_tokens": prompt,
             "completion_tokens": completion}
    return {k: v for k, v in dict(event, **more).items() if v is not None}


CALLS = [
    # $0.002 and $0.006 for 6,000 tokens; a call that told nothing and one that was refused
    call("alpha", 1000, 500, cached_tokens=600, latency_ms=1000), call("alpha", 3000, 1500, cached_tokens=0, latency_ms=3000),
    call("alpha"), call("alpha", status="error", http_status=429, latency_ms=50),
    # no price: nobody knows what a million costs; only one of them told what was cached
    call("beta", 100, 10, cached_tokens=50), call("beta", 100, 10), call("beta", 100, 10),
    # a price at one provider only: $0.2 for 2,000 tokens there
    call("gamma", 1500, 500, provider="p1", latency_ms=4000), call("gamma", 9000, 1000, provider="p2"),
    # no price, but the gateway says what it paid: $0.01 for 1,000 tokens
    call("told", 900, 100, cost_reported_nanousd=10**7),
    # no completion, and none is charged: $0.001 for 2,000 tokens
    call("embed", 2000),
]


def pick(row, *names):
    return [row[n] for n in names]


COST = ("nanousd_per_million_tokens", "paid_nanousd", "paid_tokens", "paid_calls", "paid_as", "unpriced_calls")


def test_every_number_is_of_the_calls_that_told_both():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        c.post("/v1/events", CALLS).ok()
        told = json.loads(cli.run("efficiency", "--json"))
        rows = {r["model"]: r for r in told["rows"]}
        assert [r["model"] for r in told["rows"]][:3] == ["gamma", "alpha", "embed"] and len(rows) == 5
        assert pick(rows["alpha"], *COST) == [1333333333, 8000000, 6000, 2, "priced", 0]
        assert pick(rows["beta"], *COST) == [None, None, 0, 0, None, 3]
        assert pick(rows["gamma"], *COST) == [100 * 10**9, 200000000, 2000, 1, "priced", 1]
        assert pick(rows["told"], *COST) == [10 * 10**9, 10**7, 1000, 1, "reported", 1]
        assert pick(rows["embed"], *COST) == [500000000, 1000000, 2000, 1, "priced", 0]
        # What gateways report is not added to what is priced.
        assert pick(told["totals"], *COST) == [20900000000, 209000000, 10000, 4, "priced", 5]
        assert pick(rows["alpha"], "cache_hit_rate", "completion_tokens_per_s", "error_rate") == [0.15, 500.0, 0.25]
        assert pick(rows["beta"], "cache_hit_rate", "completion_tokens_per_s", "error_rate") == [None, None, 0]
        assert pick(rows["gamma"], "cache_hit_rate", "completion_tokens_per_s") == [None, 125.0]  # p2 told no latency
        by = json.loads(cli.run("efficiency", "--by", "provider,model", "--json"))
        ways = {(r["provider"], r["model"]): r for r in by["rows"]}
        assert ways["p1", "gamma"]["completion_tokens_per_s"] == 125.0 and ways["p2", "gamma"]["paid_as"] is None
        assert "previous" not in rows["alpha"] and told["parts_truncated"] is False


def test_people_read_it():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        c.post("/v1/events", CALLS).ok()
        lines = cli.run("efficiency").splitlines()
        table = [re.split("  +", line) for line in lines]
        assert table[0] == ["MODEL", "CALLS", "TOKENS", "COST", "$/M TOKENS", "CACHED", "P50", "P95", "TOK/S", "ERRORS"]
        rows = {r[0]: r[1:] for r in table[1:]}
        assert rows["gamma"][:4] == ["2", "12.0 k", "$0.20", "$100.00"] and rows["gamma"][-1] == "1 call unpriced"
        assert rows["alpha"][:5] == ["4", "6.0 k", "$0.01", "$1.33", "15 %"], rows
        assert rows["alpha"][7:] == ["500.0", "25 %", "1 without token counts"], rows
        assert rows["beta"][:5] == ["3", "330", "-", "-", "-"] and rows["beta"][-1] == "3 calls unpriced"
        assert rows["told"][:4] == ["1", "1.0 k", "$0.01*", "$10.00*"]
        assert len(lines) == 6, lines
        assert cli.run("efficiency", "--model", "alpha", "--limit", "1").count("\n") == 2
        assert "only the first 1 rows" in cli.run("efficiency", "--limit", "1")


def test_nothing_is_nothing():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        text = cli.run("efficiency")
        assert text.startswith("MODEL") and "\nno calls from 20" in text and "$0" not in text
        told = json.loads(cli.run("efficiency", "--compare", "--json"))
        assert told["rows"] == [] and pick(told["totals"], *COST) == [None, None, 0, 0, None, 0]
        c.post("/v1/events", [{"kind": "dispatch"}]).ok()
        row = cli.run("efficiency").splitlines()[1]
        assert re.split("  +", row) == ["(unknown)", "1", "-", "-", "-", "-", "-", "-", "-", "0 %", "no token counts"], row
        cli.run("efficiency", "--by", "colour", status=2)
        assert "group_by" in cli.err
        cli.run("efficiency", "--top", "3", status=2)


def test_it_is_compared_with_the_time_before():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        hour = 3600000
        now = int(time.time() * 1000) // 60000 * 60000
        before = dict(ts_ms=now - 3 * hour)
        c.post("/v1/events", [call("alpha", 1000, 0, ts_ms=now - hour, latency_ms=10), call("alpha", 1000, 1000, latency_ms=10, **before),
                              call("alpha", 0, 1000, **before), call("beta", 5, 5, **before), call("told", 1, 1, ts_ms=now - hour)]).ok()
        at = ["--from", str(now - 2 * hour), "--to", str(now), "--compare"]
        told = json.loads(cli.run("efficiency", "--json", *at))
        alpha = [r for r in told["rows"] if r["model"] == "alpha"][0]
        assert alpha["nanousd_per_million_tokens"] == 10**9
        assert pick(alpha["previous"], *COST) == [1666666667, 5000000, 3000, 2, "priced", 0]
        assert told["totals"]["previous"]["unpriced_calls"] == 1
        lines = cli.run("efficiency", *at).splitlines()
        head, row = re.split("  +", lines[0]), re.split("  +", lines[1])
        assert head[:8] == ["MODEL", "CALLS", "+/-", "TOKENS", "COST", "+/-", "$/M TOKENS", "+/-"]
        assert row[:8] == ["alpha", "1", "-50 %", "1.0 k", "$0.001000", "-80 %", "$1.00", "-40 %"], row
        assert re.split("  +", lines[2])[:8] == ["told", "1", "new", "2", "-", "-", "-", "-"], lines
        assert lines[3].startswith("+/- against 20")


def test_names_do_not_speak_to_the_terminal():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        c.post("/v1/events", [call("alpha", 1000, 0, agent_id=NASTY), call("alpha", 1000, 0)]).ok()
        for text in (cli.run("efficiency", "--by", "agent"), cli.run("efficiency", "--by", "agent", "--json"),
                     cli.on_a_terminal("efficiency", "--by", "agent")):
            assert "\x1b[31m" not in text and "\x07" not in text and "\u009b" not in text, repr(text)
        told = json.loads(cli.run("efficiency", "--by", "agent", "--json"))
        assert {r["agent_id"]: r["paid_nanousd"] for r in told["rows"]} == {NASTY: 10**6, "a": 10**6}


BUDGET = {"name": "by-agent", "per": "agent", "limit": "10000 tokens", "window": "total", "alerts": [50], "action": "block"}
ALERT = "INSERT INTO alert (kind, severity, mark, ts_ms, last_ms, count, ended_ms, title, subject, evidence) VALUES" \
        " (?, ?, ?, ?, ?, ?, ?, ?, ?, '{}')"


def alerted(c, *alerts):
    """Writes alerts as a watch does: kind, severity, agent, how often, seconds ago, ended, title."""
    c.stop()
    now = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(c.database)) as db, db:
        for i, (kind, severity, agent, count, ago_s, ended, title) in enumerate(alerts):
            ts_ms = now - ago_s * 1000
            db.execute(ALERT, (kind, severity, b"mark-%d" % i, ts_ms, ts_ms + 500, count, ts_ms + 900 if ended else None, title,
                               json.dumps({"agent": agent} if agent else {"source": "s"})))
    c.start()


def test_risk_is_evidence_in_a_stated_order():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        c.request("PUT", "/v1/budgets/by-agent", json.dumps(BUDGET)).ok()
        c.post("/v1/events", [
            # a warning at 50 %, and blocks nobody: the largest call is the one that costs most
            call("alpha", 4000, 0, agent_id="half", session_id="s-1"), call("beta", 2000, 0, agent_id="half"),
            call("beta", agent_id="half"), call("beta", status="blocked", agent_id="half"),
            # its budget is spent: two warnings and a critical one
            call("alpha", 20000, 0, agent_id="full"),
            # no alert: by the share of calls that failed
            call("alpha", status="error", http_status=402, agent_id="poor"), call("alpha", status="error", http_status=429, agent_id="poor"),
            call("alpha", status="timeout", agent_id="poor"), call("alpha", 10, 0, agent_id="poor"),
            call("alpha", 10, 0, agent_id="calm"), call("alpha", 10, 0, agent_id="calm"), call("alpha", 10, 0, agent_id="busy"),
            call("alpha", 10, 0, agent_id="busy"), call("alpha", 10, 0, agent_id="busy"), {"kind": "dispatch"}]).ok()
        cli.run("pause", "agent=poor", "--delay", "30s", "--reason", "too fast")
        cli.run("pause", "session=calm", "--reason", "a session is no agent")
        told = json.loads(cli.run("risk", "--json"))
        agents = {a["agent_id"]: a for a in told["agents"]}
        assert [a["agent_id"] for a in told["agents"]] == ["full", "half", "poor", "busy", "calm", None]
        full, half, poor, calm = agents["full"], agents["half"], agents["poor"], agents["calm"]
        by_kind = {k["kind"]: (k["severity"], k["alerts"], k["times"], k["open"]) for k in full["alert_kinds"]}
        assert by_kind == {"threshold": ("warning", 1, 1, 1), "overrun": ("critical", 1, 1, 1)}, by_kind
        assert full["alert_kinds"][0]["kind"] == "overrun" and full["alerts"]["critical"] == 1 and full["alerts"]["unacked"] == 2
        assert full["budgets"] == [{"budget": "by-agent", "unit": "tokens", "spent": 20000, "limit": 10000, "state": "block", "shadow": False}]
        assert pick(half, "calls", "blocked", "unpriced_calls", "untold_calls", "errors") == [4, 1, 1, 1, 0]
        assert pick(half["alerts"], "critical", "warning", "open") == [0, 1, 1]
        assert pick(half["largest"], "tokens", "cost_nanousd", "session_id", "model") == [4000, 4000000, "s-1", "alpha"]
        assert poor["looked_at"] == {"calls": 4, "http_402": 1, "http_429": 1} and poor["errors"] == 3 and poor["alert_kinds"] == []
        assert [(p["action"], p["delay_ms"]) for p in poor["pauses"]] == [("delay", 30000)] and calm["pauses"] == []
        assert told["looked_at"]["calls"] == 15 and told["looked_at"]["all"] is True and agents[None]["largest"] is None
        assert [a["agent_id"] for a in json.loads(cli.run("risk", "--json", "--limit", "2"))["agents"]] == ["full", "half"]
        assert [a["agent_id"] for a in json.loads(cli.run("risk", "--json", "--agent", "!full,poor", "--from", "-1h"))["agents"]] == \
            ["half", "busy", "calm", None]
        lines = cli.run("risk").splitlines()
        assert lines[0] == "full: 1 critical alert, 1 warning; 1 call, $0.02"
        assert re.match(r"  overrun       1 alert \(critical, 1 open, last 20.*Z\): budget by-agent \(full\): over its limit: ", lines[1])
        assert "  budget        by-agent: 20.0 k of 10,000 tokens (200 %): block" in lines
        at = lines.index("poor: 0 critical alerts, 0 warnings; 4 calls, $0.000010")
        assert lines[at + 1:at + 6] == [
            "  errors        3 calls of 4 (75 %) ended in an error or a timeout",
            "  402           1 call of 4 (25 %) were refused for want of payment",
            "  429           1 call of 4 (25 %) were refused as too many",
            "  budget        by-agent: 10 of 10,000 tokens (0.1 %): allow",
            "  paused        delay until it is resumed: too fast"], lines
        at = lines.index("half: 0 critical alerts, 1 warning; 4 calls, $0.004000")
        assert "  blocked       1 call of 4 (25 %) were stopped before they were made" in lines[at:]
        assert "  untold        1 call of 4 (25 %) ended well, and nobody told their tokens" in lines[at:]
        assert "  unpriced      1 call of 4 (25 %) have no price" in lines[at:]
        assert any(re.fullmatch(r"  largest call  \$0.004000, 4.0 k tokens, alpha, 20.*Z, session s-1", x) for x in lines[at:])
        text = cli.run("risk", "--limit", "1", "--calls", "2")
        assert "\nthere are 5 more (--limit)\n" in text and re.search(r"\n402, 429 and the largest call: of the newest 2 calls, since 20.*Z", text)


def test_risk_counts_alerts_by_kind():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        c.post("/v1/events", [call("alpha", 1000, 0, agent_id=NASTY), call("alpha", 1000, 0)]).ok()
        alerted(c, ("runaway", "warning", NASTY, 1384, 60, True, "older"), ("runaway", "critical", NASTY, 2, 30, False, "evil \x1b[2J \u009b title"),
                ("policy", "info", NASTY, 1, 20, True, "stopped"), ("unpriced", "warning", "gone", 1, 10, False, "who never called"),
                ("silent", "critical", None, 1, 5, False, "nobody's"), ("runaway", "critical", "a", 1, 9 * 86400, True, "long ago"))
        told = json.loads(cli.run("risk", "--json"))
        assert [(a["agent_id"], a["calls"]) for a in told["agents"]] == [(NASTY, 1), ("gone", 0), ("a", 1)]
        evil = told["agents"][0]
        assert evil["alerts"] == {"critical": 1, "warning": 1, "info": 1, "open": 1, "unacked": 3}
        assert [(k["kind"], k["severity"], k["alerts"], k["times"], k["open"]) for k in evil["alert_kinds"]] == \
            [("runaway", "critical", 2, 1386, 1), ("policy", "info", 1, 1, 0)]
        assert evil["alert_kinds"][0]["title"].startswith("evil ") and told["alerts_truncated"] is False
        assert json.loads(cli.run("risk", "--json", "--from", "-10d"))["agents"][1]["agent_id"] == "a"
        for text in (cli.run("risk"), cli.run("risk", "--json"), cli.on_a_terminal("risk")):
            assert "\x1b[31m" not in text.replace("\x1b[1;31m", "") and "\x1b[2J" not in text and "\u009b" not in text, repr(text)
            assert "1386" in text


def test_risk_of_nobody():
    with Lab() as lab:
        c = priced(lab)
        cli = cli_of(lab, c)
        assert cli.run("risk").startswith("no calls and no alerts about agents from 20")
        told = json.loads(cli.run("risk", "--json"))
        assert told["agents"] == [] and told["looked_at"] == {"calls": 0, "since_ms": None, "all": True}
        cli.run("risk", "--limit", "x", status=2)
        assert "--limit" in cli.err
        cli.run("risk", "--from", "yesterday", status=2)
        assert "from" in cli.err
