# SPDX-License-Identifier: MIT
"""The measurement of alerts, for bench.py: from before the tg_dispatch_complete that crosses a threshold to the whole
request at the webhook, and the same way without a collector: one fdatasync and one POST by the same client library."""
import os
import subprocess
import time

import harness
from figures import bench, note, percentile
from govern import TURNS, beside
from receivers import Receiver

CROSSINGS = int(os.environ.get("TOLLGATE_BENCH_CROSSINGS", 200))
RATE = 10_000
WARM = 5  # connections and caches


def rounds(receiver, *args):
    """Milliseconds of each round: when bench_alert began, by its clock, to the request that it led to."""
    p = subprocess.Popen([harness.program("bench/bench_alert"), *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True)
    out = []
    try:
        for n in range(len(receiver.requests) + 1, len(receiver.requests) + WARM + CROSSINGS + 1):
            p.stdin.write("\n")
            p.stdin.flush()
            begun = int(p.stdout.readline())
            harness.wait_until("the webhook", lambda n=n: len(receiver.requests) >= n)
            out.append((receiver.requests[n - 1].at_ns - begun) / 1e6)
            # what follows the answer is over
            harness.wait_until("the answer", lambda n=n: receiver.requests[n - 1].status == 200)
    finally:
        p.stdin.close()
        p.wait()
    assert min(out) > 0, min(out)
    return out[WARM:]


def turn(rate):
    with harness.Lab(dir=harness.BUILD) as lab, Receiver(clock=time.monotonic_ns) as receiver:
        c = lab.collector(
            budgets=[{"name": "each", "per": "agent", "scope": {"agent": "alert-*"}, "limit": "1 calls", "window": "total",
                      "alerts": [100]}],
            alerts=[{"name": "bench", "webhook": {"url": receiver.url}, "kinds": ["threshold"], "group": "0s"}])
        with beside(lab, c, rate):
            took = rounds(receiver, "emit", c.endpoint, lab.path("spool"))
            limit = rounds(receiver, "post", receiver.url, lab.dir, len(receiver.requests[0].raw))
        assert c.sql("SELECT count(*) FROM message_out WHERE state = 2")[0][0] >= CROSSINGS
        return took, limit


def alert():
    for rate, name in ((0, "alert"), (RATE, "alert_%d" % RATE)):
        turns = [turn(rate) for _ in range(TURNS)]
        note("alert beside %d events/s: p99 %s ms" % (rate, "/".join("%.2f" % percentile(t[0], 99) for t in turns)))
        took, limit = sorted(turns, key=lambda t: percentile(t[0], 99))[len(turns) // 2]
        for p in (50, 99):
            value, least = percentile(took, p), percentile(limit, p)
            bench("%s_p%d" % (name, p), value, "ms", value / least, "fdatasync_and_post_p%d:%.3gms" % (p, least))
