# SPDX-License-Identifier: MIT
"""Random publishers against a model of schema/wire.md in thirty lines of Python: streams with repeats and gaps,
the same call told again, partial and final records, three granularities, crashes; sums must agree all the way.

$TOLLGATE_SEED repeats a run.
"""
import os
import random

import wire
from emitters import check_projection
from harness import SANITIZED, Dealer, Lab, Stream

STEPS = 150 if SANITIZED else 800
CALLS, STREAMS = 400, 4
FINEST_FIRST = {"call": 1, "run": 2, "turn": 3}


class Model:
    def __init__(self):
        self.records = {}  # id -> the record that stands
        self.conflicts = 0

    def take(self, event):
        old = self.records.get(event["event_id"])
        if old is None or (old["partial"] and not event["partial"]):
            self.records[event["event_id"]] = event
        elif not old["partial"] and not event["partial"] and usage(old) != usage(event):
            self.conflicts += 1

    def counted(self):
        finest = {}
        for r in self.records.values():
            if r["run_id"]:
                key = (r["session_id"], r["run_id"])
                finest[key] = min(finest.get(key, 9), FINEST_FIRST[r["granularity"]])
        return [r for r in self.records.values() if not r["run_id"] or
                FINEST_FIRST[r["granularity"]] == finest[r["session_id"], r["run_id"]]]

    def sums(self, by=None):
        out = {}
        for r in self.counted():
            s = out.setdefault(r[by] if by else None, dict.fromkeys(
                ("calls", "errors", "partial", "prompt_tokens", "prompt_tokens_unknown", "latency_ms"), 0))
            s["calls"] += 1
            s["errors"] += r["status"] in ("error", "timeout")
            s["partial"] += r["partial"]
            s["prompt_tokens"] += r["prompt_tokens"] or 0
            s["prompt_tokens_unknown"] += r["prompt_tokens"] is None
            s["latency_ms"] += r["latency_ms"]
        return out


def usage(r):
    return r["prompt_tokens"], r["status"], r["latency_ms"]


def tell(rng):
    """One telling of one of the calls: what names it is fixed, what it says is not."""
    i = rng.randrange(CALLS)
    session = "s-%d" % (i % 5) if i % 11 else None
    event = {"kind": "dispatch", "event_id": wire.event_id(session, "answer-%d" % i), "session_id": session,
             "agent_id": "a-%d" % (i % 3) if i % 7 else None, "run_id": "run-%d" % (i % 60) if i % 4 else None,
             "granularity": list(FINEST_FIRST)[i * 7 % 10 // 4], "response_id": "answer-%d" % i,
             "partial": int(rng.random() < 0.4), "status": "ok" if i % 9 else "timeout",
             "prompt_tokens": rng.choice((None, 0, i, i, i, 1000 + i)), "latency_ms": i}
    return event


def on_wire(rng, event):
    e = dict(event)
    if rng.random() < 0.3:
        del e["event_id"]  # the collector makes the same one from session and response
    if rng.random() < 0.5:
        return {k: v for k, v in e.items() if v is not None}
    for name, codes in wire.ENUMS.items():
        e[name] = codes.get(e.get(name), e.get(name))
    return wire.positions(e)


def compare(c, model):
    want, got = model.sums(), c.usage()["totals"]
    if not want:
        return
    check(want[None], got)
    for by in ("session_id", "agent_id"):
        rows = {r[by]: r for r in c.usage(group_by=by)["rows"]}
        want = model.sums(by)
        assert set(rows) == set(want), (by, rows.keys(), want.keys())
        for name, sums in want.items():
            check(sums, rows[name], name)


def check(want, got, name="totals"):
    for key, value in want.items():
        told = 0 if got[key] is None else got[key]
        assert told == value, "%s: %s: model %r, collector %r" % (name, key, value, got[key])


def step(rng, streams, sent, model):
    s = rng.choice(streams)
    events = [tell(rng) for _ in range(rng.randrange(1, 20))]
    frames = [on_wire(rng, e) for e in events]
    dice = rng.random()
    if dice < 0.1:  # a gap: nothing of it counts
        s.dealer.send(wire.batch(s.source, s.epoch, s.stream, 0, s.settled + 2, frames))
        r = s.dealer.reply()
        assert (r.status, r.settled) == (wire.GAP, s.settled), r
    elif dice < 0.25 and sent[s]:  # an old batch again, perhaps with new events behind the old ones
        first, old = rng.choice(sent[s])
        fresh = frames if first + len(old) == s.settled + 1 and rng.random() < 0.5 else []
        s.dealer.send(wire.batch(s.source, s.epoch, s.stream, 0, first, old + fresh))
        r = s.dealer.reply()
        assert r.status == wire.SETTLED and r.duplicates >= len(old), r
        if fresh:
            sent[s].append((s.settled + 1, fresh))
            s.settled = r.settled
            for e in events:
                model.take(e)
    else:
        first = s.settled + 1
        r = s.publish(frames)
        assert (r.status, r.settled) == (wire.SETTLED, first + len(frames) - 1), r
        sent[s].append((first, frames))
        for e in events:
            model.take(e)


def test_random_tellings_agree_with_the_model():
    seed = int(os.environ.get("TOLLGATE_SEED", random.randrange(2**32)))
    rng, model = random.Random(seed), Model()
    with Lab() as lab:
        c = lab.collector()
        streams = [Stream(Dealer(c.endpoint), "source-%d" % (n % 2), epoch=7, stream=n) for n in range(STREAMS)]
        sent, conflicts = {s: [] for s in streams}, 0
        try:
            for n in range(STEPS):
                step(rng, streams, sent, model)
                if n % 25 == 0:
                    compare(c, model)
                if rng.random() < 0.02:
                    conflicts += c.metric("tollgate_events_conflict_total")
                    c.kill() if rng.random() < 0.5 else c.stop()
                    c.start()
            compare(c, model)
            assert conflicts + c.metric("tollgate_events_conflict_total") == model.conflicts > 0, model.conflicts
            c.stop()
            check_projection(c)
        except BaseException:
            print("     TOLLGATE_SEED=%d" % seed)
            raise
        finally:
            for s in streams:
                s.dealer.close()
