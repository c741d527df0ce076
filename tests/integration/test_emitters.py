# SPDX-License-Identifier: MIT
"""The whole path with real emitters: counts and sums are exact, whatever the collector does meanwhile."""
import os
import signal
import threading

from emitters import check_usage, endpoint_path, finish, load, spools, wait_stored
from harness import SANITIZED, Lab, wait_until

MILLION = 100_000 if SANITIZED else 1_000_000


def settled(promise, events):
    stats = promise["stats"]
    assert promise["totals"]["calls"] == events and promise["dropped"] == 0, promise
    assert stats["settled"] >= events and stats["pending"] == 0 and stats["spool_in_memory"] == 0, stats


def emitted(p):
    """Waits until every call of a load generator has returned."""
    wait_until("every event is emitted", lambda: "load: emitted" in p.stderr() or not p.running)


def test_two_emitters_of_ten_threads_a_million_events():
    with Lab() as lab:
        c = lab.collector()
        both = [load(lab, c, source, events=MILLION // 2, seed=seed, agents=12, wait_s=240)
                for seed, source in enumerate(("gateway-a", "gateway-b"))]
        promises = [finish(p, 280) for p in both]
        for p in promises:
            settled(p, MILLION // 2)
        check_usage(c, promises)
        for source, p in zip(("gateway-a", "gateway-b"), promises):
            check_usage(c, [p], source=source)
        assert c.sql("SELECT count(*), count(DISTINCT span_id) FROM dispatch") == [(MILLION,) * 2]
        assert spools(lab) == [], "a clean end leaves no spool"
        if MILLION == 1_000_000:
            assert c.metric("tollgate_checkpoints_total") > 0
            assert os.path.getsize(c.database + "-wal") < 160 << 20, "the write-ahead log is bounded"
        before = c.usage(group_by="agent_id,status,surface")
        c.restart()
        after = c.usage(group_by="agent_id,status,surface")
        assert (before["totals"], before["rows"]) == (after["totals"], after["rows"]), "a restart changes nothing"


def test_collector_comes_late():
    with Lab() as lab:
        c = lab.collector(start=False)
        p = load(lab, c, "early", events=20_000)
        emitted(p)  # before there is anybody to take it
        c.start()
        promise = finish(p)
        settled(promise, 20_000)
        check_usage(c, [promise], source="early")


def test_collector_never_comes():
    with Lab() as lab:
        c = lab.collector(start=False)
        p = load(lab, c, "alone", events=5_000, wait_s=0.3)
        assert p.wait() == 1, "not everything was acknowledged"
        assert '"pending": 0' not in p.out and '"emitted": 5000' in p.out, p.out
        assert len(spools(lab)) == 1, "what nobody took stays"
        c.start()
        nothing = finish(load(lab, c, "alone", run="later", events=1, threads=1))
        wait_stored(c, 5001)
        wait_until("the left-over spool is gone", lambda: spools(lab) == [] or _once(lab, c))
        assert c.usage(source="alone")["totals"]["calls"] == 5001
        assert nothing["totals"]["calls"] == 1


def _once(lab, c):
    """tollgate-ship takes what is left when the next emitter ended before it had adopted all."""
    lab.run("tollgate-ship", "--endpoint", c.endpoint, "--spool-dir", lab.path("spool"), "--once").finish()
    return spools(lab) == []


def test_ship_takes_what_a_dead_gateway_left():
    with Lab() as lab:
        c = lab.collector(start=False)
        load(lab, c, "dead", events=3_000, wait_s=0.2).wait()
        assert len(spools(lab)) == 1
        c.start()
        lab.run("tollgate-ship", "--endpoint", c.endpoint, "--spool-dir", lab.path("spool"), "--once").finish()
        assert spools(lab) == []
        assert c.usage(source="dead")["totals"]["calls"] == 3_000


def test_collector_restarts_under_load():
    with Lab() as lab:
        c = lab.collector()
        p = load(lab, c, "steady", events=60_000, rate=20_000, wait_s=120)
        for _ in range(4):
            seen = c.stored()
            wait_until("more is stored", lambda: c.stored() > seen + 1000 or not p.running)
            c.restart()
        promise = finish(p)
        settled(promise, 60_000)
        check_usage(c, [promise], source="steady")


def test_collector_is_killed_under_load():
    with Lab() as lab:
        c = lab.collector()
        p = load(lab, c, "steady", events=60_000, rate=20_000, wait_s=120)
        for _ in range(4):
            seen = c.stored()
            wait_until("more is stored", lambda: c.stored() > seen + 1000 or not p.running)
            c.kill()
            c.start()
        promise = finish(p)
        settled(promise, 60_000)
        check_usage(c, [promise], source="steady")


def test_collector_is_wedged():
    """A collector that is stopped but still connected: the host goes on, nothing is lost or doubled."""
    with Lab() as lab:
        c = lab.collector()
        p = load(lab, c, "patient", events=30_000, rate=30_000, wait_s=120)
        wait_stored(c, 1)
        c.process.signal(signal.SIGSTOP)
        emitted(p)  # every call has returned although nobody acknowledges: only the receipt is waited for
        assert p.running
        c.process.signal(signal.SIGCONT)
        promise = finish(p)
        settled(promise, 30_000)
        check_usage(c, [promise], source="patient")


def test_socket_is_made_anew_for_an_emitter_that_waits():
    """The ipc socket's file vanishes with the collector and comes back: the emitter finds the new one."""
    with Lab() as lab:
        c = lab.collector()
        p = load(lab, c, "finder", events=20_000, rate=10_000, wait_s=120)
        wait_stored(c, 1000)
        c.stop()
        if os.path.exists(endpoint_path(c)):
            os.unlink(endpoint_path(c))
        c.start()
        promise = finish(p)
        settled(promise, 20_000)
        check_usage(c, [promise], source="finder")


def test_a_process_of_its_own_sends():
    """The gateway only writes its spool (and needs no libzmq); tollgate-ship sends, and may die meanwhile."""
    with Lab() as lab:
        c = lab.collector()
        p = load(lab, c, "quiet", events=60_000, rate=30_000, wait_s=120, spool_only=True)
        for _ in range(4):
            ship = lab.run("tollgate-ship", "--endpoint", c.endpoint, "--spool-dir", lab.path("spool"))
            seen = c.stored()
            wait_until("the shipper sends", lambda: c.stored() > seen + 1000 or not p.running)
            ship.kill()
        ship = lab.run("tollgate-ship", "--endpoint", c.endpoint, "--spool-dir", lab.path("spool"))
        promise = finish(p)
        settled(promise, 60_000)
        check_usage(c, [promise], source="quiet")
        ship.signal(signal.SIGTERM)
        ship.finish()


class Reader(threading.Thread):
    """Asks again and again until told to stop; an assertion that fails is raised by join()."""

    def __init__(self, ask):
        super().__init__(daemon=True)
        self.ask, self.asked, self.error, self.over = ask, 0, None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.ask()
                self.asked += 1
        except Exception as e:
            self.error = e

    def end(self):
        self.over.set()
        self.join(60)
        if self.error:
            raise self.error
        assert self.asked > 0


def test_answers_agree_with_themselves_under_load():
    """While events pour in: rows add up to the totals of their answer, totals never shrink, buckets and groups tell
    the same, and who follows by cursor sees every event exactly once."""
    with Lab() as lab:
        c = lab.collector()
        followed, after, latest = [], {}, threading.local()

        def sums():
            by = c.usage(group_by="agent_id", bucket="1d", source="busy")
            for key in ("calls", "prompt_tokens", "latency_ms_unknown"):
                assert sum(r[key] or 0 for r in by["rows"]) == (by["totals"][key] or 0), by
            before, latest.calls = getattr(latest, "calls", 0), by["totals"]["calls"]
            assert latest.calls >= before, (before, latest.calls)

        def follow():
            page = c.get("/v1/events", order="asc", limit=1000, wait="1s", source="busy", **after).ok().json()
            followed.extend(e["event_id"] for e in page["events"])
            after["after"] = page["next"]

        readers = [Reader(sums), Reader(sums), Reader(follow)]
        promise = finish(load(lab, c, "busy", events=50_000, rate=15_000, threads=4, wait_s=120))
        wait_until("the follower has all", lambda: len(followed) >= 50_000 or readers[2].error)
        for r in readers:
            r.end()
        check_usage(c, [promise], source="busy")
        assert len(followed) == len(set(followed)) == 50_000, (len(followed), len(set(followed)))
