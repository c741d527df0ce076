# SPDX-License-Identifier: MIT
"""HTTP and ZeroMQ ingest side by side, and what a body of events may look like."""
import json
import os
import subprocess
import threading

import harness
from emitters import finish, load
from harness import Lab


def lines(n, **more):
    return "".join(json.dumps(dict({"kind": "dispatch", "agent_id": "a"}, **more)) + "\n" for _ in range(n)).encode()


def post(c, body, kind="application/x-ndjson"):
    return c.post("/v1/events", body, kind)


def test_derived_numbers_are_not_taken_from_senders():
    with Lab() as lab:
        c = lab.collector()
        assert post(c, lines(3, total_tokens=5, price=1, cost_nanousd=7)).ok()
        totals = c.usage()["totals"]
        assert (totals["calls"], totals["total_tokens"]) == (3, 15)
        assert (totals["cost_nanousd"], totals["cost_nanousd_unknown"]) == (None, 3)
        assert c.sql("SELECT count(*) FROM dispatch WHERE price IS NULL AND cost_nanousd IS NULL") == [(3,)]


def test_posts_that_fill_the_queue_do_not_stop_zeromq():
    with Lab() as lab:
        c = lab.collector(limits={"queue_events": 64})
        stop = threading.Event()

        def client():
            while not stop.is_set():
                post(c, lines(200))

        clients = [threading.Thread(target=client) for _ in range(4)]
        for t in clients:
            t.start()
        said = finish(load(lab, c, "gateway", events=20_000, threads=2), 120)
        stop.set()
        for t in clients:
            t.join()
        assert said["stats"]["pending"] == 0
        assert c.usage(source="gateway")["totals"]["calls"] == 20_000


def test_the_largest_number_of_lines():
    with Lab() as lab:
        c = lab.collector()
        assert post(c, lines(8192) + b"\n\n").ok().json()["stored"] == 8192
        assert post(c, lines(8193)).status == 413


def test_a_broken_array_is_not_half_stored():
    with Lab() as lab:
        c = lab.collector()
        body = b'[\n{"kind":"dispatch"},\n{"kind":"dispatch"},\n]'
        for kind in ("application/json", ""):
            answer = post(c, body, kind)
            assert answer.status == 400 and "line 4" in answer.json()["detail"], answer.text()
        assert c.usage()["totals"]["calls"] == 0


def test_a_fault_that_quotes_foreign_text_is_still_an_answer():
    with Lab() as lab:
        c = lab.collector()
        for n in range(150, 180):  # the message is cut at any byte of a character
            for body in (b'{"x' + b"y" * (n % 3) + "\u00fc".encode() * n, b'{}\n{"x"' + "\u20ac".encode() * n):
                answer = post(c, body, "").json()
                assert answer.get("detail") and all(r["detail"] for r in answer.get("results", [])), answer


def test_time_in_words_stands_for_a_missing_number():
    with Lab() as lab:
        c = lab.collector()
        ts = c.sql("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 hour')")[0][0]
        assert post(c, lines(1, ts=ts, ts_ms=None)).ok()
        assert c.sql("SELECT received_after_ms / 1000 > 3500 FROM dispatch") == [(1,)]


def test_costs_at_the_limit_do_not_turn_round():
    with Lab() as lab:
        c = lab.collector()
        assert post(c, lines(8000, cost_reported_nanousd=10**13)).ok()
        assert c.usage()["totals"]["cost_reported_nanousd"] == 8000 * 10**13
        assert post(c, lines(1, cost_reported_nanousd=10**13 + 1)).status == 400


def test_a_second_collector_leaves_the_socket_alone():
    with Lab() as lab:
        c = lab.collector()
        config = lab.path("second.yaml")
        with open(config, "w", encoding="ascii") as f:
            f.write('listen: {events: "%s", http: off}\ndatabase: {path: %s}\n' % (c.endpoint, lab.path("second.db")))
        p = subprocess.run([harness.program("tollgated"), "-c", config], capture_output=True, text=True, timeout=60, check=False)
        assert p.returncode == 1 and "in use by another tollgated" in p.stderr, p.stderr
        finish(load(lab, c, "gateway", events=100, threads=1), 60)
        assert os.path.exists(c.endpoint[len("ipc://"):])
