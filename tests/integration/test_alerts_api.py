# SPDX-License-Identifier: MIT
"""Alerts over HTTP and on the command line, raised by thresholds that real calls cross."""
import csv
import io
import json

from governing import put_budget, wait_counted
from harness import Lab, wait_until


def call(agent, calls=1, **more):
    return [dict({"kind": "dispatch", "agent_id": agent, "session_id": "s-" + agent, "model": "m", "status": "ok",
                  "prompt_tokens": 10, "completion_tokens": 10}, **more) for _ in range(calls)]


def alerts(c, **query):
    return c.get("/v1/alerts", **query).ok().json()["alerts"]


def crossed(lab, **config):
    """A collector and the alerts of three agents: 50 %, 100 % and the overrun of `loud`, 50 % of the others."""
    c = lab.collector(**config)
    put_budget(c, "by-agent", "10 calls", scope={"agent": ["loud", "calm", "quiet*"]}, per="agent", alerts=[50, 100])
    wait_counted(c)
    c.post("/v1/events", call("loud", 12) + call("calm", 5) + call("quiet, one", 6) + call("coder", 20)).ok()
    wait_until("the alerts", lambda: len(alerts(c)) >= 5)
    return c


def test_alerts_are_listed():
    with Lab() as lab:
        c = crossed(lab)
        page = c.get("/v1/alerts").ok().json()
        found = page["alerts"]
        print(json.dumps(page, indent=1))
