# SPDX-License-Identifier: MIT
"""Alerts from the call that crosses a limit to whoever is told: webhooks, mail, commands, kills and crowds."""
import email
import email.policy
import itertools
import json
import os
import re
import signal
import socket
import threading

import receivers
from emitters import load
from harness import SANITIZED, Dealer, Lab, Stream, wait_until
from receivers import SECRET, AdnanhWebhook, MailServer, Receiver, certificate, server_context
from test_disk_full import fill, in_namespace, small_disk

_epochs = itertools.count(1)


def hook(receiver, **more):
    return dict({"name": "hook", "webhook": {"url": receiver.url}, "kinds": ["threshold"]}, **more)


def crossing(lab, *destinations, **config):
    """A collector in which each agent's first call passes its budget: all of them at 100 %."""
    return lab.collector(budgets=[{"name": "each", "per": "agent", "limit": "1 calls", "window": "total", "alerts": [100]}],
                         alerts=list(destinations), **config)


def cross(c, *agents):
    """Stored, and their alerts with them, when this returns."""
    with Dealer(c.endpoint) as d:
        s = Stream(d, "gateway", epoch=next(_epochs))
        for first in range(0, len(agents), 5000):
            s.publish([[1, None, None, "s", None, None, a] for a in agents[first:first + 5000]])


def alerts(c):
    return c.sql("SELECT id, json_extract(subject, '$.agent') FROM alert WHERE kind = 'threshold' ORDER BY id")


def check_once(c, receiver):
    """Each alert was taken once, or again under the same key."""
    seen = {}
    for r in receiver.taken():
        assert r.key == r.body["key"]
        for alert in r.body["alerts"]:
            assert seen.setdefault(alert["id"], r.key) == r.key, "alert %d in two messages" % alert["id"]
    assert sorted(seen) == [i for i, _ in alerts(c)]


def wait_all_told(c, seconds=60):
    """All that there is has been routed, and nothing is open."""
    wait_until("everything is told", lambda: c.sql(
        "SELECT NOT EXISTS (SELECT 1 FROM message_out WHERE state < 2) AND NOT EXISTS"
        " (SELECT 1 FROM destination WHERE upto < (SELECT max(id) FROM alert))")[0][0], seconds)


def last_error(c, name):
    return (c.sql("SELECT error FROM message_out WHERE destination = ? AND error IS NOT NULL ORDER BY id DESC LIMIT 1", name) or
            [("",)])[0][0]


def test_a_webhook_hears_of_it_signed():
    with Lab() as lab, Receiver() as r:
        c = crossing(lab, hook(r, webhook={"url": r.url, "secret": SECRET, "headers": {"X-Team": "core"}}, group="0s"),
                     alarm={"link": "https://toll.example.org"})
        cross(c, "researcher")
        got, = r.wait()
        assert receivers.is_signed(got) and not receivers.is_signed(got, "another")
        assert got.headers["Content-Type"] == "application/json" and got.headers["User-Agent"].startswith("tollgate/")
        assert got.headers["X-Team"] == "core" and len(got.key) == 32
        alert, = got.body["alerts"]
        (number, agent), = alerts(c)
        assert (alert["id"], alert["subject"]["agent"], alert["kind"]) == (number, agent, "threshold") and agent == "researcher"
        assert alert["link"] == "https://toll.example.org/v1/alerts/%d" % number
        wait_all_told(c)
        assert c.metric("tollgate_notifications_total", destination="hook", result="told") == 1
        assert c.metric("tollgate_notifications_total") == 1 and c.metric("tollgate_notifications_waiting") == 0
        c.restart()
        cross(c, "researcher")  # over its limit now, but not over this threshold again
        cross(c, "coder")
        assert [a["subject"]["agent"] for a in r.wait(2)[1].body["alerts"]] == ["coder"]
        assert SECRET not in c.stderr() and r.url not in c.stderr()


def test_an_answer_gives_no_secret_away():
    with Lab() as lab, Receiver() as r:
        r.status, r.echoes = 404, True
        c = crossing(lab, hook(r, name="path", webhook={"url": r.url + "/T0ken-of-the-hook"}),
                     hook(r, name="header", webhook={"url": r.url, "headers": {"A": "Bearer an0ther-token"}}))
        cross(c, "researcher")
        for name in ("path", "header"):
            wait_until("an answer", lambda n=name: "it answered 404" in last_error(c, n))
        told = c.post("/v1/alerts/test", {}).ok().text() + c.stderr() + last_error(c, "path") + last_error(c, "header")
        assert "oken" not in told and "not shown" in told, told


def test_a_stranger_finds_the_signature_right():
    with Lab() as lab:
        w = AdnanhWebhook(lab, SECRET)
        c = crossing(lab, {"name": "right", "webhook": {"url": w.url, "secret": SECRET}, "kinds": ["threshold"]},
                     {"name": "wrong", "webhook": {"url": w.url, "secret": "another"}, "kinds": ["threshold"]})
        cross(c, "researcher")
        wait_until("one is taken", w.keys)
        wait_until("the other is not", lambda: last_error(c, "wrong"))
        assert "evaluating hook rules" in last_error(c, "wrong"), last_error(c, "wrong")
        assert w.keys() == [k for k, in c.sql("SELECT key FROM message_out WHERE destination = 'right'")]


def test_a_certificate_must_be_right():
    with Lab() as lab:
        good, other = certificate(lab, "good"), certificate(lab, "other")
        with Receiver(server_context(*good)) as r:
            c = crossing(lab, hook(r, name="right", webhook={"url": r.url, "ca_file": good[0]}),
                         hook(r, name="wrong", webhook={"url": r.url, "ca_file": other[0]}), hook(r, name="unknown"))
            cross(c, "researcher")
            r.wait()
            for name in ("wrong", "unknown"):
                wait_until(name, lambda n=name: "certificate" in last_error(c, n))
            assert [x.body["destination"] for x in r.requests] == ["right"]


def test_mail_needs_encryption_and_a_password():
    with Lab() as lab:
        good, other = certificate(lab, "good"), certificate(lab, "other")
        server = MailServer(lab, *good, "toll", "p4ss")

        def mail(name, **more):
            return {"name": name, "kinds": ["threshold"],
                    "email": dict({"server": "smtp://localhost:%d" % server.port, "from": "toll@example.org",
                                   "to": ["ops@example.org", "nobody@example.org"], "user": "toll", "password": "p4ss",
                                   "tls": "required", "ca_file": good[0]}, **more)}

        c = crossing(lab, mail("right"), mail("no-ca", ca_file=other[0]), mail("stranger", password="wrong"),
                     mail("open", tls="none"))
        cross(c, "researcher")
        wait_until("a mail", server.read)
        for name, why in (("no-ca", "certificate"), ("stranger", "535"), ("open", "530")):
            wait_until(lambda n=name: "%s: %s" % (n, last_error(c, n)), lambda n=name, w=why: w in last_error(c, n))
        got, = server.read()
        assert (got["from"], got["to"], got["tls"]) == ("toll@example.org", ["ops@example.org"], True), got
        m = email.message_from_string(got["text"], policy=email.policy.default)
        assert "researcher" in m["Subject"] and not m.defects, got["text"]
        key, = c.sql("SELECT key FROM message_out WHERE destination = 'right'")[0]
        assert key in m["Message-ID"]
        wait_until("the right one is told", lambda: c.sql("SELECT state FROM message_out WHERE destination = 'right'") == [(2,)])
        assert "p4ss" not in c.stderr()


def test_mail_to_this_machine_takes_what_is_offered():
    with Lab() as lab:
        server = MailServer(lab, *certificate(lab, "unknown"), "toll", "p4ss")
        c = crossing(lab, {"email": {"server": "smtp://localhost:%d" % server.port, "from": "toll@example.org",
                                     "to": "ops@example.org", "user": "toll", "password": "p4ss"}, "kinds": ["threshold"]})
        cross(c, "researcher")
        wait_until(lambda: "a mail; %s" % last_error(c, "email"), server.read)
        assert server.read()[0]["tls"]
        wait_all_told(c)


def take_mail_and_never_say_bye(s, mails):
    """An SMTP server that is silent after QUIT."""
    while True:
        connection, _ = s.accept()
        connection.sendall(b"220 here\r\n")
        lines = connection.makefile("rb")
        for line in lines:
            if line == b"QUIT\r\n":
                break
            connection.sendall(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 fine\r\n")
            if line == b"DATA\r\n":
                mails.append(list(iter(lines.readline, b".\r\n")))
                connection.sendall(b"250 taken\r\n")
        _silent.append((connection, lines))


_silent = []


def test_a_mail_server_that_never_says_bye_delays_nobody():
    mails = []
    with Lab() as lab, Receiver() as r, socket.create_server(("127.0.0.1", 0)) as s:
        threading.Thread(target=take_mail_and_never_say_bye, args=(s, mails), daemon=True).start()
        c = crossing(lab, hook(r, group="0s"), {"email": {"server": "smtp://127.0.0.1:%d" % s.getsockname()[1], "to": "a@b.example",
                                                          "from": "t@b.example"}, "kinds": ["threshold"], "group": "0s"})
        for n in range(1, 4):
            cross(c, "agent-%d" % n)
            r.wait(n)
            wait_until("a mail", lambda count=n: len(mails) == count)
        wait_all_told(c)
        assert len(mails) == 3 and len(alerts(c)) == 3


def test_a_command_is_run():
    with Lab() as lab:
        script, out = lab.path("page.sh"), lab.path("page.json")
        with open(script, "w", encoding="utf-8") as f:
            f.write('#!/bin/sh\n[ "$1" = "--urgent now" ] || exit 1\ncat >%s.new\necho $TOLLGATE_ALERT_COUNT '
                    '$TOLLGATE_ALERT_KIND >>%s.new\nmv %s.new %s\n' % (out, out, out, out))
        os.chmod(script, 0o700)
        c = crossing(lab, {"command": [script, "--urgent now"], "kinds": ["threshold"]})
        cross(c, "researcher")
        wait_until("it has run", lambda: os.path.exists(out))
        with open(out, encoding="utf-8") as f:
            body, rest = json.JSONDecoder().raw_decode(f.read())[0], "1 threshold"
            f.seek(0)
            assert f.read().endswith(rest + "\n")
        assert body["alerts"][0]["subject"]["agent"] == "researcher"
        wait_all_told(c)


def test_a_test_alert_goes_to_whom_it_should():
    with Lab() as lab, Receiver() as one, Receiver() as two:
        c = crossing(lab, hook(one, name="one"), hook(two, name="two"))
        two.status = 410
        answer = c.post("/v1/alerts/test", {"destination": "one"}).ok().json()
        assert [(r["destination"], r["type"], r["ok"], r["error"]) for r in answer["results"]] == [("one", "webhook", True, None)]
        assert [a["kind"] for a in one.requests[0].body["alerts"]] == ["test"] and not two.requests
        results = {r["destination"]: r for r in c.post("/v1/alerts/test", {}).ok().json()["results"]}
        assert results["one"]["ok"] and not results["two"]["ok"] and "410" in results["two"]["error"], results
        unknown = c.post("/v1/alerts/test", {"destination": "three"})
        assert unknown.status == 404 and unknown.json()["detail"] == 'there is no destination "three"', unknown
        assert c.sql("SELECT count(*) FROM message_out") == [(0,)]
        p = lab.run("tollgate", "--url", "http://127.0.0.1:%d" % c.port, "alerts", "test", "one")
        assert re.search("one +webhook +ok", p.finish())


def test_doctor_names_a_destination_that_cannot_be_told():
    with Lab() as lab, Receiver() as r:
        c = crossing(lab, hook(r))
        doctor = lambda: lab.run("tollgate", "--url", "http://127.0.0.1:%d" % c.port, "doctor")  # noqa: E731
        r.status = 401
        cross(c, "a")
        wait_until("it has failed", lambda: "401" in last_error(c, "hook"))
        assert re.search("warn +alerts +hook cannot be told: it answered 401; try `tollgate alerts test`", doctor().finish(status=1))
        r.status = 200
        c.process.signal(signal.SIGHUP)
        wait_all_told(c)
        assert re.search("ok +alerts ", doctor().finish())


def test_hup_changes_the_destinations():
    with Lab() as lab, Receiver() as one, Receiver() as two:
        c = crossing(lab, hook(one, name="one"))
        one.status = 503
        cross(c, "a")
        one.wait(taken=False)
        c.configure(alerts=[hook(two, name="two")])
        c.process.signal(signal.SIGHUP)
        wait_until("given up", lambda: "not in the configuration" in last_error(c, "one"))
        cross(c, "b")
        got, = two.wait()
        assert [a["subject"]["agent"] for a in got.body["alerts"]] == ["b"]
        assert len(one.requests) == 1
        c.configure(alerts=None)
        c.process.signal(signal.SIGHUP)
        wait_until("no destination", lambda: c.sql("SELECT count(*) FROM destination") == [(0,)])


def test_a_kill_between_commit_and_delivery():
    with Lab() as lab, Receiver() as r:
        c = crossing(lab, hook(r, group="0s"), alarm={"link": "https://tollgate.example.org"})
        r.open.clear()  # it takes the request and does not answer
        cross(c, "held")
        first, = r.wait(taken=False)
        c.kill()
        r.status = 503
        r.open.set()
        wait_until("the connection's end", lambda: first.status is not None)
        r.status = 200
        c.start()
        second, = r.wait()
        assert second.key == first.key and second.raw == first.raw, (first.raw, second.raw)
        r.open.clear()  # the same with an orderly end
        cross(c, "held again")
        third = r.wait(3, taken=False)[2]
        c.stop()
        r.open.set()
        c.start()
        assert r.wait(4, taken=False)[3].key == third.key != first.key
        for i in range(5):  # at any moment
            cross(c, *("round-%d-%d" % (i, n) for n in range(20)))
            c.kill()
            c.start()
        wait_all_told(c)
        check_once(c, r)
        assert len(alerts(c)) == 102


@in_namespace
def test_an_outage_of_the_store_is_told_while_it_lasts():
    with Lab() as lab, small_disk(lab) as disk, Receiver() as r:
        c = lab.collector(database={"path": os.path.join(disk, "events.db")}, alerts=[hook(r, kinds=["store"], group="0s")])
        filler = fill(disk, 4096)
        load(lab, c, "patient", events=100_000, wait_s=200, spool_mib=128)
        told, = r.wait(1, 60)
        assert c.metric("tollgate_store_writable") == 0
        alert, = told.body["alerts"]
        assert (alert["kind"], alert["severity"], alert["link"]) == ("store", "critical", None), alert
        os.unlink(filler)
        after = r.wait(2, 60)[1]  # the writer's own, by the outbox
        assert [a["kind"] for a in after.body["alerts"]] == ["store"] and after.key != told.key
        assert after.ids == [i for i, in c.sql("SELECT id FROM alert WHERE kind = 'store'")]


def test_ten_thousand_at_once():
    agents = 1000 if SANITIZED else 10_000
    with Lab() as lab, Receiver() as r:
        c = crossing(lab, hook(r, group="1s"))
        cross(c, "warm")
        r.wait()
        before, most, done = c.process.rss_kib(), [0], threading.Event()

        def watch():
            while not done.wait(0.02):
                most[0] = max(most[0], c.process.rss_kib())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            cross(c, *("agent-%d" % i for i in range(agents)))
            wait_all_told(c, 120)
        finally:
            done.set()
            watcher.join()
        check_once(c, r)
        messages = r.taken()
        assert len(alerts(c)) == agents + 1
        assert len({x.key for x in messages}) == len(messages) <= agents / 500 + 5, [len(x.ids) for x in messages]
        assert all(len(x.ids) <= 500 for x in messages)
        print("%d alerts in %d messages of %d to %d bytes; resident %d KiB before, %d KiB at most" % (
            agents, len(messages), min(len(x.raw) for x in messages), max(len(x.raw) for x in messages), before, most[0]))
        assert SANITIZED or most[0] - before < 48 * 1024, most[0] - before
