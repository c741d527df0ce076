# SPDX-License-Identifier: MIT
"""Hostile peers: whatever comes over the socket, memory stays flat and good peers are exact."""
import os
import random
import re
import socket
import threading

import wire
import harness
from harness import SANITIZED, Dealer, Lab, Stream, closed_by_peer, raw_connect, wait_until

FRAMES = 20_000 if SANITIZED else 100_000
FLAT_KIB = 24 * 1024  # growth that still counts as flat: caches that fill, pages that a queue touched
ZMTP_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01"


class GoodPeer:
    """Publishes while something else happens, then says what must be there."""

    def __init__(self, c, name="good"):
        self.c, self.name, self.n, self.error = c, name, 0, None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            with Dealer(self.c.endpoint) as d:
                s = Stream(d, self.name)
                while not self.stop.is_set() or self.n == 0:
                    r = s.publish([{"kind": 1, "session_id": self.name, "prompt_tokens": 7, "span_id": str(self.n + i)}
                                   for i in range(20)])
                    assert r.status == wire.SETTLED and r.duplicates == 0, r
                    self.n += 20
                    assert s.settled == self.n, (s.settled, self.n)
                    self.stop.wait(0.002)
        except Exception as e:
            self.error = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stop.set()
        self.thread.join()
        if kind is None:
            if self.error:
                raise self.error
            t = self.c.usage(source=self.name)["totals"]
            assert (t["calls"], t["prompt_tokens"]) == (self.n, 7 * self.n), (t, self.n)


def hostile_frames(rng):
    """An endless variety."""
    good = wire.pack([1, 1, "hostile", 9, 9, 0, 1, [[1, None, None, "s" * 40, None, None, "agent"]] * 5])
    deep = b"\x91" * 10_000
    heads = [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
             b"\xc9\xff\xff\xff\xff\x01", b"\x98\x01\x01\xa1x\x05\x00\x00\x01\xdd\xff\xff\xff\xff"]
    n = 0
    while True:
        n += 1
        kind = rng.randrange(8)
        if kind == 0:
            yield good[:rng.randrange(len(good))]
        elif kind == 1:
            at = rng.randrange(len(good))
            yield good[:at] + bytes([rng.randrange(256)]) + good[at + 1:]
        elif kind == 2:
            yield rng.choice(heads) + rng.randbytes(rng.randrange(64))
        elif kind == 3 and n % 50 == 0:
            yield wire.pack([1, 1, "hostile", n, 0, 0, 1, wire.Raw(deep)])
        elif kind == 4:
            yield rng.randbytes(rng.randrange(1, 300))
        elif kind == 5:  # another stream each time
            yield wire.pack([1, 1, "hostile", rng.randrange(2**63), rng.randrange(2**32), 0, 1, [[99], {"kind": "x"}]])
        elif kind == 6:  # a gap
            yield wire.pack([1, 1, "hostile", 77, 1, 0, rng.randrange(2, 2**62), [[1]]])
        else:
            yield wire.pack([1, 1, "h" * rng.randrange(300), rng.choice([-1, "x", None, 2**63, 4]), 0, 0, 1, [[1]]])


def flood(c, frames, count, peers=4):
    dealers = [Dealer(c.endpoint, sndhwm=100) for _ in range(peers)]
    try:
        for n in range(count):
            d = dealers[n % peers]
            d.send(next(frames))
            if n % 64 == 0:  # replies are taken now and then, or not at all: the first peer never reads
                for d in dealers[1:]:
                    drain(d)
    finally:
        for d in dealers:
            d.close()


def drain(d):
    try:
        while True:
            d.recv(0)
    except TimeoutError:
        pass


def received(c):
    return c.metric("tollgate_frames_received_total")


def settle(c, frames):
    """Waits until the collector has looked at that many frames."""
    wait_until(lambda: "%d of %d frames seen" % (received(c), frames), lambda: received(c) >= frames, 60)


def test_memory_is_flat_over_hostile_frames():
    rng = random.Random(11)
    frames = hostile_frames(rng)
    with Lab() as lab:
        c = lab.collector()
        with GoodPeer(c):
            seen = received(c)
            flood(c, frames, FRAMES // 4)  # caches and pools reach their size
            wait_until("the flood is looked at", lambda: received(c) > seen + FRAMES // 8)
            warm = c.process.rss_kib()
            flood(c, frames, FRAMES)
            wait_until("the flood is looked at", lambda: received(c) > seen + FRAMES // 2)
            grown = c.process.rss_kib() - warm
        counted = {n: c.metric("tollgate_%s_total" % n) for n in
                   ("frames_unreadable", "batches_gap", "events_quarantined")}
        assert all(counted.values()), counted
        if not SANITIZED:  # the sanitizers keep freed memory for a while
            assert grown < FLAT_KIB, "%d KiB more after %d frames" % (grown, FRAMES)
        print("     %d frames, memory %+d KiB (from %d), %s" % (FRAMES, grown, warm, counted))
        assert c.get("/readyz").status == 200


def test_frames_that_are_too_large():
    with Lab() as lab:
        c = lab.collector()
        with GoodPeer(c):
            for size in (2**20 + 1, 8 * 2**20, 64 * 2**20):
                with Dealer(c.endpoint) as d:
                    d.send(wire.pack([1, 1, "big", 1, 0, 0, 1, [wire.Raw(b"\xc6" + size.to_bytes(4, "big") + bytes(size))]]))
                    try:
                        r = d.reply(1)  # cut off without a word, or refused
                        assert r.status == wire.REFUSED, r
                    except TimeoutError:
                        pass
        assert c.sql("SELECT count(*) FROM source WHERE name = 'big'")[0][0] == 0
        assert c.process.rss_kib() < 300 * 1024 or SANITIZED


def test_a_batch_of_the_largest_size_is_taken():
    with Lab() as lab:
        c = lab.collector()
        events = [[1, None, None, "s" * 100]] * 8192
        with Dealer(c.endpoint) as d:
            s = Stream(d, "large")
            frame = s.frame(events)
            assert 2**19 < len(frame) < 2**20
            assert s.publish(events).settled == 8192
        assert c.usage(source="large")["totals"]["calls"] == 8192


def test_messages_of_several_frames():
    """The wire knows one frame a message; more are refused without confusion about who said what."""
    with Lab() as lab:
        c = lab.collector()
        with GoodPeer(c), Dealer(c.endpoint) as d:
            good = wire.batch("parts", 5, 0, 0, 1, [[1]])
            d.send(b"", good)
            d.send(good, good, good)
            d.send(*[b"x"] * 200)
            d.send(wire.batch("parts", 6, 0, 0, 1, [[1]]))
            while d.reply().epoch != 6:
                pass
        assert c.get("/readyz").status == 200


def foreign_protocols(rng):
    return {
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20,
        "TLS": bytes.fromhex("1603010200010001fc0303") + rng.randbytes(500),
        "random": rng.randbytes(5000), "zeros": bytes(5000), "0xff": b"\xff" * 5000,
        "old ZMTP": b"\x01\x00" + b"\x05\x00hello",
        "unknown mechanism": ZMTP_GREETING[:10] + b"\x7f\x03\x00" + b"NOSUCH".ljust(20, b"\0") + bytes(32),
        "giant frame": b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32) +
                       b"\x02" + (2**62).to_bytes(8, "big") + b"x" * 1000,
        "giant command": b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32) +
                         b"\x06" + (2**40).to_bytes(8, "big") + b"x" * 1000,
    }


@harness.patient
def test_other_protocols_on_the_socket():
    """On both kinds of endpoint."""
    rng = random.Random(5)
    with Lab() as lab:
        c = lab.collector(listen={"events": ["ipc://" + lab.path("c", "events.sock"), "tcp://127.0.0.1:*"]})
        tcp = re.search(r"tcp://127\.0\.0\.1:\d+", c.stderr())[0]
        with GoodPeer(c):
            for endpoint in (c.endpoint, tcp):
                for name, data in foreign_protocols(rng).items():
                    for _ in range(5):
                        speak(endpoint, name, data)
        with Dealer(tcp) as d:
            assert Stream(d, "by-tcp").publish([[1]]).settled == 1
        assert c.get("/readyz").status == 200


def speak(endpoint, name, data):
    """Says data and hears the end: a peer that talks nonsense is cut off."""
    with raw_connect(endpoint) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it was cut off already
        assert closed_by_peer(s), name


def test_connections_that_say_nothing():
    """Half greetings and silence, 100 of each, do not hinder anybody; closed, they leave no descriptor."""
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as d:
            Stream(d, "first").publish([[1]])
        before = descriptors(c)
        idle = []
        try:
            for i in range(200):
                s = raw_connect(c.endpoint)
                if i % 2:
                    s.sendall(ZMTP_GREETING)
                idle.append(s)
            with GoodPeer(c) as good:
                wait_until("the good peer goes on", lambda: good.n > 500 or good.error)
        finally:
            for s in idle:
                s.close()
        wait_until(lambda: "descriptors: %d, before %d" % (descriptors(c), before), lambda: descriptors(c) <= before + 2)


def descriptors(c):
    return len(os.listdir("/proc/%d/fd" % c.pid))


def test_a_peer_that_never_reads_its_replies():
    with Lab() as lab:
        c = lab.collector()
        with GoodPeer(c), Dealer(c.endpoint, rcvhwm=1) as deaf:
            n = 20_000 if not SANITIZED else 2_000
            for i in range(n):
                deaf.send(wire.batch("deaf", 1, 0, i, i + 1, [[1]]))
            wait_until("all of it is stored", lambda: c.usage(source="deaf")["totals"]["calls"] == n, 60)


def test_two_publishers_of_one_stream():
    """Two that claim the same source, epoch and stream: each event that was settled is there once."""
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as a, Dealer(c.endpoint) as b:
            one, two = Stream(a, "same"), Stream(b, "same")
            for i in range(50):
                r = one.publish([{"kind": 1, "span_id": "x%d" % i}])
                assert r.settled == i + 1
                r = two.publish([{"kind": 1, "span_id": "x%d" % i}])
                assert (r.status, r.duplicates, r.settled) == (wire.SETTLED, 1, i + 1), r
        assert c.usage(source="same")["totals"]["calls"] == 50


def test_gap_and_repeat():
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as d:
            d.send(wire.batch("gaps", 1, 0, 0, 4, [[1]]))
            r = d.reply()
            assert (r.status, r.settled) == (wire.GAP, 0), r
            d.send(wire.batch("gaps", 1, 0, 0, 1, [[1]] * 3))
            assert d.reply().settled == 3
            d.send(wire.batch("gaps", 1, 0, 0, 2, [[1]] * 4))
            r = d.reply()
            assert (r.status, r.settled, r.duplicates) == (wire.SETTLED, 5, 2), r
            d.send(wire.batch("gaps", 1, 0, 9, 10, [[1]]))  # base: 6 to 9 were given up
            r = d.reply()
            assert (r.status, r.settled) == (wire.SETTLED, 10), r
        assert c.usage(source="gaps")["totals"]["calls"] == 6
        c.kill()
        c.start()
        with Dealer(c.endpoint) as d:  # the watermark survived
            d.send(wire.batch("gaps", 1, 0, 0, 10, [[1]] * 2))
            r = d.reply()
            assert (r.status, r.settled, r.duplicates) == (wire.SETTLED, 11, 1), r
        assert c.usage(source="gaps")["totals"]["calls"] == 7
