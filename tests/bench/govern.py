# SPDX-License-Identifier: MIT
"""The measurements of the governor, for bench.py: admit, verdict, ingest_budgets."""
import contextlib
import os
import subprocess
import time

import emitters
import harness
from figures import bench, note, percentile
from governing import put_budget

ROWS = int(os.environ.get("TOLLGATE_BENCH_ROWS", 2_000_000))
TURNS = int(os.environ.get("TOLLGATE_BENCH_TURNS", 3))
ASKED = int(os.environ.get("TOLLGATE_BENCH_ASKED", 500))
RATE, BURST_MS = 10_000, 5
AGENTS, USERS, CALLS, BUDGETS = 900, 1000, 100, 1000


def ask(lab, c, what):
    """Milliseconds, of each round."""
    out = subprocess.run([harness.program("bench/bench_admit"), c.endpoint, lab.path("spool"), what, str(ASKED)],
                         capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    took = [int(line) / 1000 for line in out.stdout.split()]
    assert len(took) == ASKED, len(took)
    return took


@contextlib.contextmanager
def beside(lab, c, rate):
    """rate events a second come in meanwhile; what really came is noted."""
    if rate == 0:
        yield
        return
    p = emitters.load(lab, c, "beside", lifelike=True, agents=50, events=rate * 3600, rate=rate, burst_ms=BURST_MS, threads=1)
    harness.wait_until("the first of them", lambda: c.metric("tollgate_events_stored_total") > rate)
    before, begun = c.metric("tollgate_events_stored_total"), time.monotonic()
    try:
        yield
        came = (c.metric("tollgate_events_stored_total") - before) / (time.monotonic() - begun)
    finally:
        p.kill()
    note("%.0f events/s came in meanwhile, load average %.1f" % (came, os.getloadavg()[0]))
    assert came > rate * 0.9, "the collector did not keep up: %.0f of %d events/s" % (came, rate)


def in_turns(fdatasync_ms, what, rate):
    """(milliseconds of the rounds, of an fdatasync of 4 KiB in the same folder right after) of the turn with the middle p99."""
    turns = []
    for _ in range(TURNS):
        with harness.Lab(dir=harness.BUILD) as lab:
            c = lab.collector()
            put_budget(c, "bench", "1000000 usd")
            put_budget(c, "verdict", "1 calls", scope={"agent": "verdict-*"}, per="agent")
            with beside(lab, c, rate):
                turns.append((ask(lab, c, what), fdatasync_ms(lab.dir)))
    note("%s beside %d events/s: p99 %s ms" % (what, rate, "/".join("%.2f" % percentile(t[0], 99) for t in turns)))
    return sorted(turns, key=lambda t: percentile(t[0], 99))[len(turns) // 2]


def print_percentiles(name, took, sync):
    for p in (50, 99):
        value, limit = percentile(took, p), percentile(sync, p)
        bench("%s_p%d" % (name, p), value, "ms", value / limit, "fdatasync_p%d:%.3gms" % (p, limit))


def admit(fdatasync_ms):
    print_percentiles("admit", *in_turns(fdatasync_ms, "admit", RATE))


def verdict(fdatasync_ms):
    print_percentiles("verdict", *in_turns(fdatasync_ms, "verdict", 0))
    print_percentiles("verdict_%d" % RATE, *in_turns(fdatasync_ms, "verdict", RATE))


# -------------------------------------------------------------- ingest_budgets
def agents_of(said):
    return sorted(said["agents"])


def thousand(agents):
    """What an operator with many agents has: most for one agent each, some for each agent, each model, each user."""
    windows = ("day", "month", "sliding 5h")
    for i, window in enumerate(windows):
        yield {"name": "each-agent-%d" % i, "per": "agent", "limit": "1000000 usd", "window": window}
    for i, window in enumerate(windows[:2]):
        yield {"name": "each-model-%d" % i, "per": "model", "limit": "1000b tokens", "window": window}
    yield {"name": "each-user", "per": "user", "limit": "1000000 usd", "window": "day"}
    for i in range(BUDGETS - 6):
        yield {"name": "agent-%d" % i, "scope": {"agent": agents[i % len(agents)]}, "limit": "1000000 usd",
               "window": windows[i % 3]}


def ingest_once(budgets):
    with harness.Lab(dir=harness.BUILD) as lab:
        c = lab.collector(budgets=budgets)
        assert c.sql("SELECT count(*) FROM budget") == [(len(budgets),)]
        said = emitters.finish(emitters.load(lab, c, "bench", lifelike=True, agents=AGENTS, users=USERS, events=ROWS,
                                             sessions=max(1, ROWS // CALLS), threads=min(2, os.cpu_count()), wait_s=600,
                                             spool_mib=128), 900)
        emitters.check_usage(c, [said], source="bench")
        c.stop()
        counted = c.sql("SELECT sum(calls) FROM projection_ledger")[0][0]
        assert (counted or 0) >= 6 * said["totals"]["calls"] * bool(budgets) * 0.9, counted
        note("%d budgets: %.0f events/s, each counted in %.1f of them" % (
            len(budgets), ROWS / said["settled_s"], (counted or 0) / ROWS))
        return ROWS / said["settled_s"], said


def ingest_budgets():
    _, said = ingest_once([])  # which agents there are; and everything is warm
    budgets = list(thousand(agents_of(said)))
    turns = [(ingest_once([])[0], ingest_once(budgets)[0]) for _ in range(TURNS)]
    without, governed = max(t[0] for t in turns), max(t[1] for t in turns)
    bench("ingest_budgets", governed, "events/s", governed / without, "without_budgets:%.0f" % without)
