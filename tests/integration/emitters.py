# SPDX-License-Identifier: MIT
"""Emitters for the tests: the load generator's processes, what they promise, and the comparison."""
import json
import os
import urllib.parse

import projections
from harness import wait_until

NUMBERS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "tool_calls",
           "latency_ms", "ttft_ms", "cost_reported_nanousd")
RETURNED = 1  # a journal's byte for an event whose call has returned


def spool(lab):
    return lab.path("spool")


def load(lab, c, source, *, run=None, threads=10, events=1000, wait_s=60, **options):
    """Starts a load generator; its finish() gives the JSON of what must be stored."""
    from harness import SLOWER
    args = ["--endpoint", c.endpoint, "--source", source, "--spool-dir", spool(lab), "--run", run or source,
            "--threads", threads, "--events", events, "--wait-ms", int(wait_s * 1000 * SLOWER)]
    for name, value in options.items():
        args += ["--" + name.replace("_", "-")] + ([] if value is True else [value])
    return lab.run("tools/load", *args)


def add(into, more):
    """Adds one block of sums to another; null and a number make the number."""
    for key, value in more.items():
        into[key] = value if into.get(key) is None else into[key] + (value or 0)
    return into


def total(promises, group=None):
    """What several load generators promise, together: the totals, or {name: sums} of a group."""
    if group is None:
        out = {}
        for p in promises:
            add(out, p["totals"])
        return out
    out = {}
    for p in promises:
        for name, sums in p[group].items():
            add(out.setdefault(name, {}), sums)
    return out


def compare(want, got, where):
    for key, value in want.items():
        assert got[key] == value, "%s: %s: expected %r, got %r" % (where, key, value, got[key])


def check_usage(c, promises, **query):
    """GET /v1/usage, whole and by agent and model, equals what the generators promise, exactly."""
    compare(total(promises), c.usage(**query)["totals"], "totals")
    for group, by in (("agents", "agent_id"), ("models", "model"), ("users", "user_id")):
        if group not in promises[0]:
            continue  # only a lifelike load has users
        answer, want = c.usage(group_by=by, limit=10000, **query), total(promises, group)
        rows = {r[by]: r for r in answer["rows"]}
        assert set(rows) == set(want), (by, sorted(rows, key=str), sorted(want))
        for name, sums in want.items():
            compare(sums, rows[name], "%s %s" % (by, name))


def check_projection(c):
    """After a clean end: rollups and sessions equal what the log adds up to, cell by cell."""
    projections.check(c)


def finish(process, seconds=120):
    return json.loads(process.finish(seconds))


def spools(lab):
    """Left-over and live spools; the pages of verdicts beside them stay."""
    try:
        return sorted(name for name in os.listdir(spool(lab)) if not name.endswith(".verdicts"))
    except FileNotFoundError:
        return []


def endpoint_path(c):
    return urllib.parse.urlparse(c.endpoint).path


def journal(path):
    with open(path, "rb") as f:
        return f.read()


def shares(events, threads):
    """How many of the events each thread of a load generator publishes, in the journal's order."""
    return [events // threads + (t < events % threads) for t in range(threads)]


def wait_stored(c, n, seconds=60):
    wait_until(lambda: "%d of %d stored" % (c.stored(), n), lambda: c.stored() >= n, seconds)
