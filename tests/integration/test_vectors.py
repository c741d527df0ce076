# SPDX-License-Identifier: MIT
"""The golden vectors against a real collector: what they say is stored, and refused what must be."""
import json
import os
import subprocess
import sys

import wire
from harness import TOP, Dealer, Lab, Stream

VECTORS = os.path.join(TOP, "schema", "vectors")
MISDATED = 8  # bit of dispatch.state


def load(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as f:
        return json.load(f)


def test_vectors_are_current():
    made = subprocess.run([sys.executable, os.path.join(TOP, "tests", "publisher", "make_vectors.py"), "--check"],
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr


def shown(c):
    """All events as GET /v1/events shows them, in order of arrival, less the collector's own."""
    text = c.get("/v1/events", kind="all", order="asc", format="ndjson", **{"from": 0, "to": 253402300799999}).ok().text()
    return [e for e in map(json.loads, text.splitlines()) if e["source"] not in ("tollgate", "tollgated")]


def check_event(name, want, got, misdated):
    for field in set(want) | set(got):
        if field in ("id", "seq", "ts", "received_ms", "source", "cursor", "epoch", "received", "state", "price", "cost_nanousd") or \
                field == "ts_ms" and ("ts_ms" not in want or misdated) or \
                field == "event_id" and "event_id" not in want:
            continue
        assert want.get(field) == got.get(field), "%s: %s: expected %r, got %r" % (name, field, want.get(field), got.get(field))


def test_batches_are_stored_as_they_say():
    batches = load("batch.json")["batches"]
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as d:
            for b in batches:
                d.send(bytes.fromhex(b["hex"]))
                r, head = d.reply(), b["batch"]
                assert (r.epoch, r.stream, r.status) == (head["epoch"], head["stream"], wire.SETTLED), (b["name"], r)
                assert r.settled == head["first_seq"] + len(b["events"]) - 1 and r.duplicates == 0, (b["name"], r)
        got = [e for e in shown(c) if e["source"] in {b["batch"]["source"] for b in batches}]
        want = [(b["name"], b["batch"]["source"], e) for b in batches for e in b["events"]]
        # A time far from now is replaced by the time of arrival: that is another test's business.
        misdated = c.sql("SELECT count(*) FROM dispatch WHERE state & ?", MISDATED)[0][0] > 0
        assert len(got) == len(want), (len(got), len(want))
        for (name, source, event), row in zip(want, got):
            assert row["source"] == source, (name, row)
            check_event(name, event, row, misdated)


def outcome(d, good, frame):
    """What becomes of a frame: the reply that comes before that to a good batch sent after it."""
    d.send(frame)
    d.send(good.frame([[1]]))
    seen = "dropped"
    while True:
        r = d.reply()
        if r.epoch == good.epoch:
            assert r.status == wire.SETTLED, r
            good.settled = r.settled
            return seen
        assert seen == "dropped", "two replies to one frame"
        seen = "refused" if r.status == wire.REFUSED else "quarantined" if r.settled == 1 else repr(r)


def test_frames_that_must_be_refused():
    frames = load("reject.json")["frames"]
    with Lab() as lab:
        c = lab.collector()
        before = {n: c.metric("tollgate_%s_total" % n) for n in ("frames_unreadable", "batches_refused", "events_quarantined")}
        with Dealer(c.endpoint) as d:
            good = Stream(d, "good", epoch=1)
            wrong = [(f["name"], f["outcome"], got) for f in frames
                     for got in [outcome(d, good, bytes.fromhex(f["hex"]))] if got != f["outcome"]]
        assert not wrong, wrong
        want = {n: sum(f["outcome"] == o for f in frames) for n, o in
                (("frames_unreadable", "dropped"), ("batches_refused", "refused"), ("events_quarantined", "quarantined"))}
        assert {n: c.metric("tollgate_%s_total" % n) - before[n] for n in want} == want
        assert c.usage(source="good")["totals"]["calls"] == len(frames)
        assert c.sql("SELECT count(*) FROM quarantine")[0][0] == want["events_quarantined"]


def test_poison_events_inside_good_batches():
    events = load("reject.json")["events"]
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as d:
            s = Stream(d, "mixed")
            for e in events:
                raw = wire.Raw(bytes.fromhex(e["hex"]))
                r = s.publish([[1, None, None, "before"], raw, [1, None, None, "after"]])
                assert r.status == wire.SETTLED and s.settled % 3 == 0, (e["name"], r)
                stored, bad = c.stored(), c.sql("SELECT sum(events) FROM quarantine")[0][0]
                assert bad == s.settled // 3 and stored - s.settled // 3 * 2 in (0, 1), (e["name"], stored, bad)
        kept = [row[0].hex() for row in c.sql("SELECT bytes FROM quarantine ORDER BY id")]
        assert kept == [e["hex"] for e in events], "quarantine keeps what came"
        assert all(row[0] for row in c.sql("SELECT reason FROM quarantine"))
        assert c.metric("tollgate_events_quarantined_total") == len(events)
        assert c.usage(source="mixed", group_by="session_id")["totals"]["calls"] == 2 * len(events)
