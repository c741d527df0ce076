# SPDX-License-Identifier: MIT
"""The forecast of a running daemon: a run that will pass its limit is told of before it does, and tollgate burn shows it;
a replay of a lifelike history is as far off as collector/govern/forecast.h says."""
import datetime
import json
import re
import subprocess
import time

from governing import wait_counted
from harness import SLOWER, Lab, patient, program, wait_until

DAY_MS = 86_400_000
SEED, PACE, DAYS = 1, 20, 28


class Cli:
    def __init__(self, lab, c):
        self.env = dict(lab.env, TOLLGATE_URL="http://127.0.0.1:%d" % c.port, COLUMNS="300")

    def run(self, *args, status=0):
        p = subprocess.run([program("tollgate"), *args], capture_output=True, text=True, env=self.env, timeout=120 * SLOWER)
        assert p.returncode == status, "%r: status %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
        self.err = p.stderr
        return p.stdout

    def json(self, *args):
        return json.loads(self.run(*args, "--json"))


def noon():
    """A zone in which it is about noon: a day of it is half over."""
    ahead = 12 - datetime.datetime.now(datetime.timezone.utc).hour
    return "Etc/GMT%+d" % -ahead if ahead else "UTC"


def put(c, name, **definition):
    answer = c.request("PUT", "/v1/budgets/" + name, json.dumps(definition), {"Content-Type": "application/json"})
    assert answer.status in (200, 201), answer


def calls(agent, count):
    return [{"kind": "dispatch", "agent_id": agent, "session_id": "s-" + agent, "model": "m", "status": "ok",
             "prompt_tokens": 10, "completion_tokens": 10} for _ in range(count)]


def alerts(c, kind):
    return c.sql("SELECT title, subject, evidence, severity FROM alert WHERE kind = ? ORDER BY id", kind)


@patient
def test_a_limit_that_will_be_passed_is_told_before():
    with Lab() as lab:
        c = lab.collector()
        cli = Cli(lab, c)
        put(c, "daily", limit="400 calls", window="day", timezone=noon(), per="agent", action="block", alerts=[100])
        put(c, "quiet", limit="400 calls", window="day", timezone=noon(), per="agent", forecast=False, alerts=[100])
        put(c, "ever", limit="1000 calls", window="total", alerts=[100])
        wait_counted(c)
        assert "no calls yet" in cli.run("burn")
        c.post("/v1/events", calls("steady", 20) + calls("other", 12)).ok()
        for _ in range(14):  # a steady run: at noon half of the day's calls should be left
            if alerts(c, "forecast"):
                break
            c.post("/v1/events", calls("steady", 20)).ok()
            try:
                wait_until("it is told", lambda: alerts(c, "forecast"), 1)
            except AssertionError:
                pass
        wait_until("it is told", lambda: alerts(c, "forecast"))
        told = alerts(c, "forecast")
        assert len(told) == 1 and alerts(c, "threshold") == [], told
        title, subject, evidence, severity = told[0]
        evidence = json.loads(evidence)
        assert json.loads(subject) == {"budget": "daily", "agent": "steady"} and severity == "warning"
        assert evidence["spent"] < evidence["limit"] == 400 < evidence["projected"], evidence
        assert evidence["basis"] == "rate" and evidence["exhausted_ms"] < evidence["window_end_ms"], evidence
        assert re.fullmatch(r"budget daily \(steady\): at its pace [\d,]+ calls of 400 calls by .*Z", title), title

        answer = c.get("/v1/forecast", budget="daily").ok().json()
        assert [f["key"] for f in answer["forecasts"]] == ["steady", "other"] and answer["accounts"] == 2
        steady, other = answer["forecasts"]
        assert steady["over"] and not other["over"] and other["projected"] < 400 and other["exhausted_ms"] is None
        assert answer["now_ms"] < steady["exhausted_ms"] < steady["window_end_ms"]
        every = c.get("/v1/forecast").ok().json()["forecasts"]  # those that run out first; what never does is last
        assert len(every) == 5 and every == sorted(every, key=lambda f: f["exhausted_ms"] or float("inf")), every
        assert len(c.get("/v1/forecast", limit=1).ok().json()["forecasts"]) == 1
        assert c.get("/v1/forecast", budget="none").status == 404
        assert c.get("/v1/forecast", limit="0").status == 400 and c.get("/v1/forecast", budgets="x").status == 400

        lines = [re.split("  +", line.strip()) for line in cli.run("burn", "daily").splitlines()]
        assert lines[0] == ["BUDGET", "KEY", "SPENT", "RATE/MIN", "RATE/H", "PROJECTED", "EXHAUSTED IN", "WINDOW ENDS"]
        assert lines[1][:2] == ["daily", "steady"] and lines[1][2].endswith(" of 400") and lines[1][7].endswith(")"), lines
        assert int(lines[1][5].replace(",", "")) > 400 and re.match(r"\d", lines[1][6]), lines
        assert lines[2][:2] == ["daily", "other"] and lines[2][6] == "-"
        assert cli.json("burn", "daily")["forecasts"][0]["key"] == "steady"
        cli.run("burn", "none", status=1)
        cli.run("burn", "--from", "-1d", status=2)

        c.restart()  # nobody is told twice
        c.post("/v1/events", calls("steady", 5) + calls("new", 300)).ok()
        wait_until("another agent is told of", lambda: len(alerts(c, "forecast")) == 2)
        assert [json.loads(a[1])["agent"] for a in alerts(c, "forecast")] == ["steady", "new"]


def monday_ms(weeks_ago):
    today = int(time.time() * 1000) // DAY_MS
    return (today - (today + 3) % 7 - 7 * weeks_ago) * DAY_MS  # 1970 began on a Thursday


def test_a_replay_has_the_stated_error():
    with Lab() as lab:
        c = lab.collector(time={"past_days": 40})
        cli = Cli(lab, c)
        begin = monday_ms(DAYS // 7)
        lines = subprocess.run([program("tools/history"), str(SEED), str(PACE), str(DAYS), str(begin)], capture_output=True,
                               check=True, timeout=60 * SLOWER).stdout.splitlines(keepends=True)
        for at in range(0, len(lines), 1000):
            c.post("/v1/events", b"".join(lines[at:at + 1000]), content_type="application/x-ndjson").ok()
        assert c.stored() == len(lines) > 10_000
        assert c.sql("SELECT count(*) FROM dispatch WHERE ts_ms BETWEEN ? AND ?", begin, begin + DAYS * DAY_MS)[0][0] == len(lines)
        put(c, "day", limit="5 usd", window="day", per="agent", unit="usd", action="alert")
        put(c, "week", limit="40 usd", window="week", per="agent", action="alert")
        put(c, "hour", limit="1 usd", window="hour", action="alert")
        put(c, "slide", limit="5 usd", window="sliding 5h", action="alert")
        wait_counted(c)
        database = c.sql("SELECT file FROM pragma_database_list WHERE name = 'main'")[0][0]
        when = ["--from", str(begin), "--to", str(begin + DAYS * DAY_MS)]
        told = cli.json("burn", "--replay", database, *when)
        assert told["calls"] == len(lines) and told["complete"] is True
        budgets = {b["budget"]: b for b in told["budgets"]}
        day, week, hour = budgets["day"], budgets["week"], budgets["hour"]
        assert budgets["slide"]["measured"] is False and budgets["slide"]["error"]["q50"] is None
        assert 120 <= day["windows"] <= 140 and day["windows_with_some_before"] >= day["windows"] - 10
        assert 15 <= week["windows"] <= 20 and hour["windows"] > 300
        # the stated medians, on weeks that are only four
        for budget, q25, q50, q75 in ((day, 0.16, 0.12, 0.05), (week, 0.25, 0.20, 0.12), (hour, 0.40, 0.30, 0.20)):
            error = budget["error"]
            assert error["q25"]["median"] <= q25 and error["q50"]["median"] <= q50 and error["q75"]["median"] <= q75, budget
            assert all(e["median"] <= e["p90"] for e in error.values()), budget
        assert day["alarms"]["right"] > 2 * day["alarms"]["wrong"] > 0 and day["alarms"]["right"] > 2 * day["alarms"]["missed"], day
        text = cli.run("burn", "--replay", database, *when)
        row = [line for line in text.splitlines() if line.startswith("day ")][0]
        assert re.search(r"\d+ % / \d+ %", row) and "%d" % day["windows"] in row, text
        assert "slide" in text and "not measured" in text
        assert cli.json("burn", "--replay", database, "--from", "-1m", "--to", "now")["calls"] == 0
        cli.run("burn", "--replay", lab.path("none.db"), status=1)
        cli.run("burn", "--replay", database, "--from", "soon", status=2)
        assert "soon" in cli.err
