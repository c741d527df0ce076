# SPDX-License-Identifier: MIT
"""Live streams: every event once and in order, whatever the viewer does; and nobody waits for viewers."""
import http.client
import json
import socket
import threading
import time

import harness
from harness import SLOWER, Dealer, Lab, Stream, wait_until


class Viewer:
    """One live stream; next() gives its blocks as dictionaries."""

    def __init__(self, c, headers=None, timeout=60, path="/v1/stream", **query):
        self.conn = http.client.HTTPConnection("127.0.0.1", c.port, timeout=timeout * SLOWER)
        path += ("?" + "&".join("%s=%s" % kv for kv in query.items()) if query else "")
        self.conn.request("GET", path, headers=headers or {})
        self.answer = self.conn.getresponse()
        self.last_id = None

    def next(self):
        block = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            assert line or block, "the stream ended"
            if not line:
                self.last_id = block.get("id", self.last_id)
                return block
            name, _, value = line.partition(": ")
            block[name or "comment"] = value

    def event(self):
        """The next one that is an event."""
        while True:
            block = self.next()
            if "data" in block:
                return dict(block, data=json.loads(block["data"]))

    def take(self, n):
        return [self.event()["data"]["span_id"] for _ in range(n)]

    def close(self):
        self.answer.close()
        self.conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def events(first, n, **more):
    return [dict({"kind": "dispatch", "span_id": "span-%d" % i, "agent_id": "agent-%d" % (i % 3)}, **more) for i in range(first, first + n)]


def spans(first, n):
    return ["span-%d" % i for i in range(first, first + n)]


def post(c, batch):
    for i in range(0, len(batch), 5000):
        c.post("/v1/events", batch[i:i + 5000]).ok()


def test_events_come_as_they_are_committed():
    with Lab() as lab:
        c = lab.collector()
        post(c, events(0, 10))  # before its time
        with Viewer(c) as v:
            assert v.answer.headers["Content-Type"] == "text/event-stream"
            first = v.next()
            assert first["retry"] and first["id"] and "data" not in first
            post(c, events(10, 3))
            got = [v.event() for _ in range(3)]
            assert [e["data"]["span_id"] for e in got] == spans(10, 3) and {e["event"] for e in got} == {"dispatch"}
            page = c.get("/v1/events", order="asc", after=first["id"]).ok().json()
            assert [e["data"] for e in got] == page["events"] and got[-1]["id"] == page["next"]
            post(c, events(13, 3000))  # more than a page
            assert v.take(3000) == spans(13, 3000)


def test_filters_and_kinds():
    with Lab() as lab:
        c = lab.collector()
        with Viewer(c, kind="all") as everything, Viewer(c, agent="agent-1,nobody") as agent, Viewer(c, session="s-7") as one, \
                Viewer(c, kind="message_sent") as sent:
            batch = events(0, 9) + [{"kind": "message_sent", "message_id": "m"}, {"kind": "message_received"}, {"kind": "report", "body": {"x": 1}}]
            post(c, batch + events(9, 1, session_id="s-7") + events(10, 1, session_id="s-8") + events(11, 5, session_id="s-7"))
            got = [everything.event() for _ in range(19)]
            assert [e["event"] for e in got] == ["dispatch"] * 9 + ["message"] * 2 + ["report"] + ["dispatch"] * 7
            assert [e["data"]["kind"] for e in got[9:12]] == ["message_sent", "message_received", "report"]
            assert agent.take(5) == ["span-1", "span-4", "span-7", "span-10", "span-13"]
            assert one.take(6) == ["span-9"] + spans(11, 5)
            assert sent.event()["data"]["message_id"] == "m"


def test_resumes_where_it_was():
    with Lab() as lab:
        c = lab.collector()
        post(c, events(0, 100))
        with Viewer(c, after="e0") as v:
            assert v.take(40) == spans(0, 40)
            seen = v.last_id
        with Viewer(c, headers={"Last-Event-ID": seen}, after="e1") as v:  # the header goes first
            assert v.take(30) == spans(40, 30)
            seen = v.last_id
            c.kill()
            try:
                while v.answer.read(1):
                    pass
            except (http.client.HTTPException, ConnectionError):
                pass
        c.start()
        with Viewer(c, after=seen) as v:
            post(c, events(100, 5))
            assert v.take(35) == spans(70, 35)
        with Viewer(c) as v:  # who has seen nothing has a place, too
            place = v.next()["id"]
        post(c, events(105, 2))
        with Viewer(c, headers={"Last-Event-ID": place}) as v:
            assert v.take(2) == spans(105, 2)
        for headers, query in (({"Last-Event-ID": "7"}, {}), ({}, {"after": "A1.1"})):
            refused = c.get("/v1/stream", headers=headers, **query)
            assert refused.status == 400 and refused.json()["value"] in ("7", "A1.1"), refused


def test_a_slow_viewer_stays_behind_and_misses_nothing():
    with Lab() as lab:
        c = lab.collector()
        n = 20000
        with Viewer(c, timeout=120) as slow, Viewer(c, timeout=120) as quick:
            slow.next()
            for i in range(0, n, 5000):  # far more than a socket holds
                post(c, events(i, 5000, call_id="x" * 200))
            assert quick.take(n) == spans(0, n)
            assert slow.take(n) == spans(0, n)


def opened(c, path="/v1/stream"):
    """A viewer that will not read: its socket, which holds little."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(60 * SLOWER)
    s.connect(("127.0.0.1", c.port))
    s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    assert s.recv(12) == b"HTTP/1.1 200"
    return s


def test_viewers_that_do_not_read_delay_nobody():
    with Lab() as lab:
        c = lab.collector(limits={"http_connections": 10})
        viewers = [opened(c) for _ in range(100)]
        wait_until("100 viewers", lambda: c.metric("tollgate_http_streams") == 100)
        done, failures = threading.Event(), []

        def publish():
            try:
                with Dealer(c.endpoint) as dealer:
                    stream = Stream(dealer, "load")
                    for i in range(60):  # all that is stored is acknowledged, viewers or not
                        stream.publish([[1, None, None, "s-%d" % (k % 50)] + [None] * 16 + ["x" * 200] for k in range(500)])
                    assert stream.settled == 60 * 500
            except Exception as e:
                failures.append(e)
            done.set()

        thread = threading.Thread(target=publish)
        thread.start()
        answers = 0
        while not done.is_set():  # not one is refused, though connections are few
            for path in ("/v1/usage", "/v1/events", "/v1/sessions", "/healthz"):
                assert c.get(path).status == 200, path
                answers += 1
        thread.join()
        assert not failures, failures[0]
        assert answers > 0 and c.usage(group_by="session")["totals"]["calls"] == 30000
        assert c.metric("tollgate_http_streams") == 100  # they are still there
        for s in viewers:
            s.close()
        wait_until("their end", lambda: c.metric("tollgate_http_streams") == 0)
        assert c.metric("tollgate_http_answers_cut_total") == 0  # it is how a stream ends


def test_too_many_viewers_are_told_so():
    with Lab() as lab:
        c = lab.collector(limits={"streams": 3, "http_connections": 4})
        viewers = [opened(c) for _ in range(3)]
        wait_until("3 viewers", lambda: c.metric("tollgate_http_streams") == 3)
        refused = c.get("/v1/stream")
        assert refused.status == 503 and refused.headers["Retry-After"] and "3" in refused.json()["detail"]
        for _ in range(20):
            assert c.get("/healthz").status == 200 and c.get("/v1/stream", kind="all").status == 503
        viewers.pop().close()
        wait_until("a place", lambda: c.metric("tollgate_http_streams") == 2)
        for _ in range(20):  # neither what is refused nor a HEAD keeps one
            assert c.get("/v1/stream", kind="nonsense").status == 400
            assert c.request("HEAD", "/v1/stream").status == 200
        with Viewer(c) as v:
            post(c, events(0, 1))
            assert v.take(1) == ["span-0"]
        for s in viewers:
            s.close()


@harness.patient
def test_a_silent_stream_says_that_it_lives():
    with Lab() as lab:
        c = lab.collector()
        with Viewer(c, agent="nobody") as v:
            place = v.next()["id"]
            post(c, events(0, 50))
            begun = time.monotonic()
            alive = v.next()
            assert alive["comment"] == "alive" and time.monotonic() - begun > 5
            assert alive["id"] != place  # what was not for it is behind it


def test_what_retention_took_is_told():
    with Lab() as lab:
        c = lab.collector(retention={kind: "2s" for kind in ("dispatch", "message", "report", "session")})
        post(c, events(0, 100) + [{"kind": "message_sent", "message_id": "m"}])
        place = c.get("/v1/events", order="asc", kind="all", limit=10).ok().json()["next"]

        fresh = iter(range(1000, 1 << 30))

        def more():  # what is newest stays until something follows
            post(c, events(next(fresh), 1))
            return c.sql("SELECT ifnull(min(id), 1 << 40) FROM dispatch")[0][0] > 105

        wait_until("their end", more, seconds=60)
        with Viewer(c, kind="all", after=place) as v:
            gaps = {}
            newest = next(fresh)
            post(c, events(newest, 1))
            block = v.event()
            while block["event"] == "gap":
                gaps[block["data"]["kind"]] = block["data"]
                block = v.event()
            assert gaps["dispatch"]["first"] == "e%x" % (int(place[1:], 16) + 1), gaps
            last, seen = int(gaps["dispatch"]["last"][1:], 16), int(block["id"][1:], 16)
            assert 101 < last < seen and set(gaps) <= {"dispatch", "message", "report"}
            while block["event"] == "gap" or block["data"]["span_id"] != "span-%d" % newest:
                block = v.event()
        with Viewer(c) as v:  # who begins now has missed nothing
            post(c, events(5000, 1))
            assert v.event()["data"]["span_id"] == "span-5000"


def test_a_stop_ends_streams():
    with Lab() as lab:
        c = lab.collector()
        stuck = [opened(c) for _ in range(5)]
        with Viewer(c) as v:
            v.next()
            post(c, events(0, 5000, call_id="x" * 250))
            c.stop()
            try:
                while v.answer.readline():
                    pass
            except (http.client.HTTPException, ConnectionError):
                pass
        for s in stuck:
            s.close()
