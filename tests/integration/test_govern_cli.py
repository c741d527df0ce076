# SPDX-License-Identifier: MIT
"""The commands that govern, against a running daemon: budgets, allowances, pauses, verdicts, and the audit of all."""
import json
import os
import re
import subprocess

from harness import SLOWER, Lab, program, wait_until

FILE_BUDGET = {"name": "by-agent", "scope": {"agent": "research*"}, "per": "agent", "limit": "1000 tokens", "window": "total",
               "alerts": [50], "action": "block"}
TEAM = """\
budgets:
  - name: team
    scope: { tag.team: [search, ads] }
    limit: 10 calls
    window: total
    action: block
  - name: models
    scope: { model: { not: ["cheap-*"] } }
    limit: 5 usd
    window: day
    timezone: Europe/Berlin
    shadow: true
"""


class Cli:
    def __init__(self, lab, c):
        self.env = dict(lab.env, TOLLGATE_URL="http://127.0.0.1:%d" % c.port, USER="ann")

    def run(self, *args, status=0, stdin=None):
        p = subprocess.run([program("tollgate"), *args], capture_output=True, text=True, env=self.env, timeout=60 * SLOWER,
                           input=stdin or "")
        assert p.returncode == status, "%r: status %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
        self.err = p.stderr
        assert (p.stderr == "") == (status in (0, 3)) and p.stderr.count("\n") <= 1, p.stderr
        return p.stdout

    def json(self, *args, status=0):
        return json.loads(self.run(*args, "--json", status=status))


def call(agent, tokens, **more):
    return dict({"kind": "dispatch", "agent_id": agent, "session_id": "s-" + agent, "model": "m", "status": "ok",
                 "prompt_tokens": tokens - 10, "completion_tokens": 10}, **more)


def collector_of(lab):
    """The harness's little YAML has no lists of maps, but JSON is YAML."""
    c = lab.collector(start=False)
    with open(c.config_path, "a", encoding="utf-8") as f:
        f.write("budgets: %s\n" % json.dumps([FILE_BUDGET]))
    configure = c.configure

    def keep(**config):
        configure(**config)
        with open(c.config_path, "a", encoding="utf-8") as f:
            f.write("budgets: %s\n" % json.dumps([FILE_BUDGET]))
    c.configure = keep
    return c.start()


def rows(text):
    """The cells of a table, by column."""
    lines = text.split("\n\n")[0].splitlines()
    return [re.split("  +", line.strip()) for line in lines]


def test_budgets_are_shown_and_explained():
    with Lab() as lab:
        c = collector_of(lab)
        cli = Cli(lab, c)
        assert "by-agent" in cli.run("budgets") and "(nobody yet)" in cli.run("budgets")
        c.post("/v1/events", [call("researcher", 400), call("research-2", 600), call("coder", 5000), call("researcher", 100),
                              {"kind": "dispatch", "agent_id": "researcher", "session_id": "s-x"}]).ok()
        table = rows(cli.run("budgets"))
        assert table[0][:6] == ["BUDGET", "KEY", "SPENT", "RESERVED", "LEFT", "LIMIT"]
        assert [r[:6] for r in table[1:]] == [["by-agent", "research-2", "600", "0", "400", "1,000 tokens"],
                                              ["by-agent", "researcher", "500", "0", "500", "1,000 tokens"]]
        assert "60 %" in " ".join(table[1]) and "1 call of unknown size" in " ".join(table[2])
        cell = cli.json("budgets", "by-agent")["budgets"][0]["cells"][1]
        assert (cell["key"], cell["spent"], cell["calls"], cell["unknown_calls"], cell["left"]) == ("researcher", 500, 3, 1, 500)
        told = cli.json("budget", "explain", "by-agent", "--key", "researcher")
        assert [call["amount"] for call in told["calls"]] == [None, 100, 400] and told["cell"] == cell
        assert told["listed"] == {"calls": 3, "amount": 500, "unknown_calls": 1} and told["truncated"] is False
        text = cli.run("budget", "explain", "by-agent", "--key", "researcher", "--limit", "2").splitlines()
        assert text[0].split() == ["TIME", "SESSION", "AGENT", "MODEL", "KEY", "AMOUNT"] and text[1].endswith("unknown")
        assert text[3] == "listed: 2 calls, 100 tokens; 1 of them unknown; there are more (--limit)"
        assert text[4].startswith("spent: 500 tokens of 1,000 tokens, reserved: 0 tokens, state: ")
        cli.run("budget", "explain", "none", status=1)
        assert "no budget" in cli.err


def test_budgets_are_set_and_deleted():
    with Lab() as lab:
        c = collector_of(lab)
        cli = Cli(lab, c)
        assert cli.run("budget", "set", "-", stdin=TEAM) == "budget team is new\nbudget models is new\n"
        path = os.path.join(lab.dir, "team.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"name": "team", "scope": {"tag.team": ["search", "ads"]}, "limit": "20 calls", "window": "total"}, f)
        assert cli.run("budget", "set", path) == "budget team is changed\n"
        told = {b["name"]: b for b in cli.json("budgets")["budgets"]}
        assert sorted(told) == ["by-agent", "models", "team"] and told["team"]["limit"] == 20
        assert told["by-agent"]["origin"] == "file" and told["models"]["definition"]["shadow"] is True
        assert told["models"]["definition"]["scope"] in ({"model": {"not": ["cheap-*"]}}, {"model": {"not": "cheap-*"}})
        for text, named in (("{name: team}", "limit"), ("{name: team, limit: 5, window: day}", "limit"), ("{limit: 5 usd}", "name"),
                            ("{name: x, limit: 5 usd, window: fortnight}", "fortnight"),
                            ("{name: x, limit: 5 usd, window: day, scpe: {}}", "scpe")):
            cli.run("budget", "set", "-", stdin=text, status=2)
            assert named in cli.err, (text, cli.err)
        cli.run("budget", "set", "-", stdin=json.dumps(FILE_BUDGET), status=1)
        cli.run("budget", "delete", "by-agent", status=1)
        assert cli.run("budget", "delete", "team") == "budget team is deleted\n"
        cli.run("budget", "delete", "team", status=1)
        c.restart()
        assert sorted(b["name"] for b in cli.json("budgets")["budgets"]) == ["by-agent", "models"]
        what = [(r["author"].split("@")[0], r["what"]) for r in cli.json("audit")["audit"]]
        assert len(what) >= 4 and all(author == "ann" for author, _ in what[:4]), what


def test_an_allowance_lets_it_go_on():
    with Lab() as lab:
        c = collector_of(lab)
        cli = Cli(lab, c)
        c.post("/v1/events", [call("researcher", 1000)]).ok()
        text = cli.run("check", "--agent", "researcher", status=3)
        assert text.startswith("block by budget by-agent\n") and "1,000 tokens of 1,000 tokens" in text
        assert cli.json("check", "--agent", "researcher", status=3)["action"] == "block"
        assert cli.run("check", "--agent", "coder").startswith("allow")
        cli.run("allow", "by-agent", "+5usd", "--for", "1h", "--reason", "x", status=2)
        assert "tokens" in cli.err
        cli.run("allow", "by-agent", "+5", "--for", "soon", "--reason", "x", status=2)
        cli.run("allow", "by-agent", "+5", "--for", "1h", status=2)
        assert "reason" in cli.err
        cli.run("allow", "nothing", "+5usd", "--for", "1h", "--reason", "x", status=1)
        told = cli.json("allow", "by-agent", "+1k tokens", "--for", "2h", "--reason", "the release", "--key", "researcher")
        assert (told["budget"], told["key"], told["amount"], told["unit"]) == ("by-agent", "researcher", 1000, "tokens")
        cli.run("check", "--agent", "researcher")
        assert cli.json("budgets", "by-agent")["budgets"][0]["cells"][0]["limit"] == 2000
        assert "the release" in cli.run("budgets") and "1,000 tokens" in cli.run("allowances")
        assert cli.run("allow", "--end", str(told["id"])) == "allowance %d has ended\n" % told["id"]
        cli.run("check", "--agent", "researcher", status=3)
        assert cli.run("allowances") == "no allowances\n" and "ended" in cli.run("allowances", "--all")
        cli.run("allow", "--end", "999999", status=1)


def test_a_pause_stops_at_once():
    with Lab() as lab:
        c = collector_of(lab)
        cli = Cli(lab, c)
        assert cli.run("pauses") == "nobody is paused\n"
        assert cli.run("pause", "agent=coder", "--reason", "loops since 9:40", "--author", "bob") == "agent coder is paused\n"
        text = cli.run("check", "--agent", "coder", "--model", "m", status=3)
        assert text.startswith("block by pause") and "loops since 9:40" in text
        assert cli.run("check", "--agent", "coder-2").startswith("allow")
        assert "bob" in cli.run("pauses") and "coder" in cli.run("budgets")
        cli.run("pause", "agnt=coder", "--reason", "x", status=2)
        cli.run("pause", "agent=coder", status=2)
        c.restart()
        cli.run("check", "--agent", "coder", status=3)
        assert cli.run("resume", "agent=coder") == "agent coder may go on\n"
        assert cli.run("check", "--agent", "coder").startswith("allow")
        cli.run("resume", "agent=coder", status=1)
        assert [r["author"] for r in cli.json("audit", "--limit", "2")["audit"]][1] == "bob"


def test_a_pause_ends_by_itself():
    with Lab() as lab:
        c = collector_of(lab)
        cli = Cli(lab, c)
        text = cli.run("pause", "agent=coder", "--for", "30m", "--reason", "cool down")
        assert re.fullmatch(r"agent coder is paused until \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\n", text), text
        held = cli.json("pause", "agent=coder", "--for", "1h", "--delay", "30s", "--reason", "x")  # prolongs, does not soften
        assert (held["action"], held["delay_ms"]) == ("block", None) and held["until_ms"] >= held["from_ms"] + 3600_000, held
        told = cli.json("check", "--agent", "coder", status=3)
        assert told["action"] == "block" and told["opens_ms"] == held["until_ms"], told
        assert cli.run("pause", "agent=slow", "--delay", "30s", "--reason", "slowly") == "agent slow has to wait 30.0 s before each call\n"
        assert cli.run("check", "--agent", "slow", status=3).startswith("delay by pause")
        table = rows(cli.run("pauses"))
        assert table[0] == ["PAUSE", "FIELD", "VALUE", "ACTION", "SINCE", "UNTIL", "RULE", "AUTHOR", "REASON"]
        by_value = {r[2]: r for r in table[1:]}
        assert by_value["slow"][3] == "delay 30.0 s" and by_value["slow"][5] == "it is resumed", table
        assert by_value["coder"][3] == "block" and "Z (in " in by_value["coder"][5], table
        assert cli.run("resume", "agent=coder") == "agent coder may go on\n"
        shut = cli.json("pause", "agent=coder", "--for", "2s", "--reason", "cool down")
        assert shut["until_ms"] == shut["from_ms"] + 2000 and shut["rule"] is None and shut["ended_ms"] is None
        row = lambda: [p for p in c.get("/v1/pauses", all="true").ok().json()["pauses"] if p["id"] == shut["id"]][0]  # noqa: E731
        wait_until("the pause ends, and nobody asks", lambda: row()["ended_ms"] is not None)
        assert row()["ended_ms"] == shut["until_ms"]
        assert cli.run("check", "--agent", "coder").startswith("allow")
        ended = [r for r in cli.json("audit")["audit"] if r["what"] == "pause_ended"]
        assert [(r["author"], r["detail"]["value"]) for r in ended] == [("tollgated", "coder")], ended
        for args, named in ((["--for", "soon"], "for"), (["--for", "500ms"], "for"), (["--delay", "2h"], "delay"), (["--for", "400d"], "for")):
            cli.run("pause", "agent=coder", "--reason", "x", *args, status=2)
            assert named in cli.err, cli.err


def test_an_allowance_ends_with_its_budget():
    with Lab() as lab:
        c = collector_of(lab)
        cli = Cli(lab, c)
        cli.run("budget", "set", "-", stdin="{name: short, limit: 5 usd, window: day}")
        cli.run("allow", "short", "+5usd", "--for", "2h", "--reason", "x")
        assert cli.json("budgets", "short")["budgets"][0]["cells"][0]["limit"] == 10 * 10 ** 9
        cli.run("budget", "set", "-", stdin="{name: short, limit: 5 usd, window: week}")  # the same budget, changed
        assert cli.json("budgets", "short")["budgets"][0]["cells"][0]["limit"] == 10 * 10 ** 9
        cli.run("budget", "delete", "short")
        cli.run("budget", "set", "-", stdin="{name: short, limit: 5 usd, window: day}")
        assert cli.json("budgets", "short")["budgets"][0]["cells"][0]["limit"] == 5 * 10 ** 9
