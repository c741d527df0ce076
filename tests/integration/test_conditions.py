# SPDX-License-Identifier: MIT
"""What a real collector raises by itself: publishers that are missed, calls without a price or without tokens,
events that cannot be understood, losses; once each, over restarts and kills."""
import json
import signal

import wire
from emitters import load
from harness import SLOWER, Dealer, Lab, patient, wait_until

SILENT_S = 2 * SLOWER


def alerts(c, kind, **where):
    """Rows as maps, the oldest first."""
    rows = c.sql("SELECT id, CAST(mark AS TEXT), count, ended_ms, severity, title, subject, evidence FROM alert "
                 "WHERE kind = ? ORDER BY id", kind)
    out = [dict(zip(("id", "mark", "count", "ended_ms", "severity", "title"), r), subject=json.loads(r[6]),
                evidence=json.loads(r[7])) for r in rows]
    return [a for a in out if all(a["subject"].get(k) == v for k, v in where.items())]


def still(found):
    return [a for a in found if a["ended_ms"] is None]


def dispatch(i, **fields):
    named = dict({"kind": 1, "event_id": bytes([i] * 16), "session_id": "s-42", "agent_id": "a", "provider": "nobody",
                  "model": "model-without-a-price", "status": 1, "prompt_tokens": 10, "completion_tokens": 5}, **fields)
    return [named.get(name) for name in wire.DISPATCH]


def idle_gateway(lab, c, source):
    """A living emitter that has nothing to do."""
    before = c.stored()
    p = load(lab, c, source, run="%s-%d" % (source, len(lab.processes)), threads=1, events=10, idle_ms=600_000,
             report_ms=100 * SLOWER)
    wait_until("%s has sent" % source, lambda: c.stored() == before + 10)
    return p


@patient
def test_a_killed_emitter_is_missed_and_heard_again():
    with Lab() as lab:
        c = lab.collector(alarm={"silent_after": "%ds" % SILENT_S})
        first, other = idle_gateway(lab, c, "gateway-1"), idle_gateway(lab, c, "gateway-2")
        first.kill()
        wait_until("gateway-1 is missed", lambda: still(alerts(c, "silent")))
        a, = alerts(c, "silent")
        assert (a["mark"], a["severity"], a["subject"]) == ("gateway-1", "critical", {"source": "gateway-1"}), a
        assert "gateway-1 is not heard any more" in a["title"], a
        assert a["evidence"]["sends_reports"] and a["evidence"]["silent_ms"] >= SILENT_S * 1000, a
        assert c.metric("tollgate_alerts_total", kind="silent") == 1, c.metrics()

        c.restart()  # which changes nothing of it
        idle_gateway(lab, c, "gateway-1")
        wait_until("gateway-1 is heard", lambda: not still(alerts(c, "silent", source="gateway-1")))
        other.kill()
        wait_until("gateway-2 is missed", lambda: still(alerts(c, "silent", source="gateway-2")))
        assert len(alerts(c, "silent", source="gateway-1")) == 1, alerts(c, "silent")
        assert c.metric("tollgate_alerts_total", kind="silent") == 1, "of this life of the collector"


@patient
def test_who_closed_in_order_is_not_missed():
    with Lab() as lab:
        c = lab.collector(alarm={"silent_after": "%ds" % SILENT_S})
        ship = lab.run("tollgate-ship", "--endpoint", c.endpoint, "--spool-dir", lab.path("spool"))
        for source, how in (("tidy", {}), ("shipped", {"spool_only": True})):
            load(lab, c, source, threads=1, events=10, report_ms=100, **how).finish()
            wait_until("%s has left" % source, lambda: [1 for body, in c.sql(
                "SELECT body FROM v_report WHERE source = ?", source) if json.loads(body).get("closed") == 1])
        ship.kill()
        idle_gateway(lab, c, "untidy").kill()
        wait_until("the other one is missed", lambda: still(alerts(c, "silent")))
        assert [a["mark"] for a in alerts(c, "silent")] == ["untidy"], alerts(c, "silent")


@patient
def test_who_died_while_the_collector_was_away_is_missed():
    with Lab() as lab:
        c = lab.collector(alarm={"silent_after": "%ds" % SILENT_S})
        p = idle_gateway(lab, c, "gateway-1")
        c.kill()
        p.kill()
        c.start()
        wait_until("it is missed", lambda: still(alerts(c, "silent")))
        lab.run("tollgate-ship", "--endpoint", c.endpoint, "--spool-dir", lab.path("spool"), "--once").finish()
        wait_until("its last words are heard", lambda: not still(alerts(c, "silent")))
        body, = c.sql("SELECT body FROM v_report ORDER BY id DESC LIMIT 1")
        assert json.loads(body[0])["left_over"] == 1 and "closed" not in json.loads(body[0]), body
        wait_until("and it is missed again", lambda: still(alerts(c, "silent")))
        assert len(alerts(c, "silent")) == 2, alerts(c, "silent")


def test_calls_without_a_price_or_tokens():
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as d:
            d.send(wire.batch("me", 1, 1, 0, 1, [dispatch(1), dispatch(2), dispatch(
                3, prompt_tokens=None, completion_tokens=None)]))
            assert d.reply().settled == 3
        first = c.sql("SELECT min(id) FROM dispatch")[0][0]
        a, = alerts(c, "unpriced")
        assert (a["count"], a["severity"], a["subject"]) == \
            (1, "warning", {"provider": "nobody", "model": "model-without-a-price"}), a
        assert a["evidence"]["example_session"] == "s-42" and a["evidence"]["example_event"] == first, a
        a, = alerts(c, "unknown_usage")
        assert a["subject"]["source"] == "me" and a["evidence"]["example_event"] == first + 2, a
        c.restart()  # writes what was counted
        with Dealer(c.endpoint) as d:
            d.send(wire.batch("me", 1, 1, 3, 4, [dispatch(4), dispatch(5, model="another-one")]))
            assert d.reply().settled == 5
        c.stop()
        assert [a["count"] for a in alerts(c, "unpriced")] == [3, 1], alerts(c, "unpriced")
        assert not [a for a in alerts(c, "unpriced") + alerts(c, "unknown_usage") if a["ended_ms"]]


def test_what_cannot_be_understood():
    with Lab() as lab:
        c = lab.collector()
        for life in (1, 2):  # a kill in between
            with Dealer(c.endpoint) as d:
                d.send(wire.batch("garbled", life, 1, 0, 1, [[1, b"too short"], dispatch(10 * life), "no event"]))
                assert d.reply().settled == 3
            a, = alerts(c, "quarantine")
            assert a["subject"] == {"source": "garbled"} and a["ended_ms"] is None, a
            assert a["evidence"]["last_fault"] and a["evidence"]["quarantined_events"] >= 1, a
            if life == 1:
                c.process.signal(signal.SIGKILL)
                c.process.wait()
                c.start()
        c.stop()
        a, = alerts(c, "quarantine")
        assert a["count"] >= 2 and a["evidence"]["quarantined_events"] >= 2, a


def test_losses_are_told():
    with Lab() as lab:
        c = lab.collector()
        with Dealer(c.endpoint) as d:
            d.send(wire.batch("leaky", 1, 0, 0, 1, [[2, None, None, {"dropped": {"full": 5}}]]))
            assert d.reply().settled == 1
            d.send(wire.batch("leaky", 1, 0, 1, 2, [[2, None, None, {"dropped": {"full": 12}}]]))
            assert d.reply().settled == 2
        c.stop()
        a, = alerts(c, "losses")
        assert (a["count"], a["subject"], a["title"]) == \
            (2, {"source": "leaky"}, "publisher leaky lost 5 events: full"), a
        assert a["evidence"] == {"reason": "full", "lost_events": 12}, a


def test_calls_that_a_policy_stops():
    with Lab() as lab:
        c = lab.collector(policies=[{"name": "no-toys", "scope": {"agent": "researcher"}, "deny_models": ["toy*"]}])
        for i in range(3):
            answer = c.post("/v1/admit", {"id": "r-%d" % i, "agent_id": "researcher", "model": "toy-1"}).ok().json()
            assert (answer["status"], answer["budget"] or answer["kind"]) == ("denied", "no-toys"), answer
        assert c.post("/v1/admit", {"id": "r-9", "agent_id": "coder", "model": "toy-1"}).ok().json()["status"] == "granted"
        c.stop()
        a, = alerts(c, "policy")
        assert (a["count"], a["severity"], a["subject"]) == (3, "info", {"agent": "researcher", "policy": "no-toys"}), a
        assert a["title"].startswith("policy no-toys stopped a call of researcher: "), a
        assert a["evidence"]["example_model"] == "toy-1", a
