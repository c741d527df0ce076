# SPDX-License-Identifier: MIT
"""kill -9 of gateway and collector at random moments under load: every event whose call had returned is
stored exactly once.

$TOLLGATE_KILL_ROUNDS: how many rounds (default 100, 10 under a sanitizer); $TOLLGATE_SEED repeats a run.
"""
import contextlib
import os
import random
import time

from emitters import RETURNED, check_projection, journal, load, shares, spool, spools
from harness import SANITIZED, Lab, wait_until

ROUNDS = int(os.environ.get("TOLLGATE_KILL_ROUNDS", 10 if SANITIZED else 100))
THREADS, EVENTS, RATE = 4, 40_000, 40_000


def verify(c, lives):
    """lives: {run: path of its journal}. Returns how many events had returned and how many are stored."""
    stored = dict(c.sql("SELECT span_id, count(*) FROM v_dispatch WHERE span_id IS NOT NULL GROUP BY span_id"))
    twice = [span for span, n in stored.items() if n != 1]
    assert not twice, "%d stored more than once: %s" % (len(twice), twice[:5])
    returned = 0
    for run, path in lives.items():
        marks, at = journal(path), 0
        for thread, n in enumerate(shares(EVENTS, THREADS)):
            done = marks[at:at + n].count(RETURNED)
            lost = [i for i in range(n) if marks[at + i] == RETURNED and stored.pop("%s-%d-%d" % (run, thread, i), 0) == 0]
            assert not lost, "%s thread %d: %d of %d lost, first %s" % (run, thread, len(lost), done, lost[:5])
            # The one call under way at the kill may have committed its event; no other one can have.
            stored.pop("%s-%d-%d" % (run, thread, done), 0)
            at, returned = at + n, returned + done
    assert not stored, "stored but never emitted: %s" % list(stored)[:5]
    return returned


def alive(lab, c, run, lives):
    path = lab.path("journal-%s" % run)
    p = load(lab, c, "gateway", run=run, threads=THREADS, events=EVENTS, rate=RATE, spool_mib=16, journal=path)
    wait_until("the gateway emits", lambda: not p.running or os.path.exists(path) and RETURNED in journal(path))
    lives[run] = path
    return p


def ship(lab, c, *options):
    return lab.run("tollgate-ship", "--endpoint", c.endpoint, "--spool-dir", spool(lab), *options)


def recognised(c):
    """Duplicates that this life of the collector has met, as far as it can still be asked."""
    with contextlib.suppress(OSError):
        return int(c.metric("tollgate_events_duplicate_total"))
    return 0


def test_kill_gateway_and_collector_at_random():
    seed = int(os.environ.get("TOLLGATE_SEED", random.randrange(2**32)))
    rng = random.Random(seed)
    lives, what = {}, {"gateway": 0, "collector": 0, "both": 0, "both and shipper": 0}
    duplicates = 0
    with Lab() as lab:
        c = lab.collector()
        try:
            for n in range(ROUNDS):
                gateway = alive(lab, c, "r%d" % n, lives)
                time.sleep(rng.random() * 0.4)  # the random moment, not a wait for something
                victim = rng.choice(list(what))
                what[victim] += 1
                if victim != "gateway":
                    duplicates += recognised(c)
                    c.kill()
                if victim.startswith("both"):
                    time.sleep(rng.random() * 0.05)
                gateway.kill()  # a later gateway with this source, or the shipper, takes what it leaves
                if victim == "both and shipper":
                    shipper = ship(lab, c)
                    c.start(ready=False)
                    time.sleep(rng.random() * 0.2)
                    shipper.kill()
                    duplicates += recognised(c)
                    c.kill()
                if victim != "gateway":
                    c.start(ready=rng.random() < 0.5)
            c.wait_ready()
            ship(lab, c, "--once").finish(120)
            assert spools(lab) == []
            returned = verify(c, lives)
            assert returned > ROUNDS * THREADS, returned
            assert c.usage()["totals"]["calls"] == c.stored()
            assert c.sql("PRAGMA integrity_check") == [("ok",)]
            duplicates += recognised(c)
            c.stop()
            check_projection(c)
            print("     %d rounds (%s), %d events returned, all stored once; %d duplicates recognised"
                  % (ROUNDS, ", ".join("%s %d" % kv for kv in what.items()), returned,
                     duplicates))
        except BaseException:
            print("     TOLLGATE_SEED=%d" % seed)
            raise


test_kill_gateway_and_collector_at_random.limit_s = 600
