# SPDX-License-Identifier: MIT
"""Admissions by many processes at once, and with processes and disks that fail between: never more than the limit is
granted, nothing that was granted or settled is lost, and the ledger equals a recount."""
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import wire
from asker import admit_frame
from governing import (BY_EVENT, EXPIRED, OPEN, RELEASED, RESERVED, TOLD, ask_all, call_cost, check_ledger, committed, gateway,
                       granted, overruns, put_budget, wait_counted, wait_state)
from harness import SANITIZED, SLOWER, Dealer, Lab, wait_until
from test_disk_full import fill, in_namespace, on_small_disk, small_disk

ROUNDS = int(os.environ.get("TOLLGATE_ADMIT_ROUNDS", 5 if SANITIZED else 50))
KILLS = int(os.environ.get("TOLLGATE_KILL_ROUNDS", 5 if SANITIZED else 20))
GATEWAYS = 4
TG_BUSY = 9
FLAT_KIB = 24 * 1024


# ------------------------------------------------------------------ many at once
def ask_in_rounds(how):
    """Fresh budgets each round, one daemon, the same processes."""
    with Lab() as lab:
        c = lab.collector()
        gateways = [gateway(lab, c, how, "gateway-%d" % i) for i in range(GATEWAYS)]
        begun = time.monotonic()
        for n in range(ROUNDS):
            put_budget(c, "three-%d" % n, "3 calls")
            put_budget(c, "fifty-%d" % n, "5 usd")
            got = granted(ask_all(gateways, "three-%d" % n, "t%d" % n, 50, 50))
            assert len(got) == len(set(got)) == 3, (n, got)
            got = granted(ask_all(gateways, "fifty-%d" % n, "f%d" % n, 25, 25))
            assert len(got) == len(set(got)) == 50, (n, len(got))
            assert (committed(c, "three-%d" % n), committed(c, "fifty-%d" % n)) == (3, 5 * 10**9), n
        print("     %s: %d rounds of 300 admissions by %d processes, %.1f s" % (how, ROUNDS, GATEWAYS, time.monotonic() - begun))
        assert overruns(c) == 0
        for g in gateways:
            g.leave() if how == "library" else g.kill()
        wait_counted(c)
        c.stop()
        states = check_ledger(c)
        assert len(states) == 53 * ROUNDS and set(states.values()) == {OPEN}


def test_exactly_so_many_through_the_library():
    ask_in_rounds("library")


def test_exactly_so_many_through_a_stranger():
    ask_in_rounds("wire")


def test_exactly_so_many_over_http():
    ask_in_rounds("http")


def test_all_ways_at_once_with_a_budget_for_all():
    """Every call counts in three budgets; the narrowest decides, and what is denied holds nothing in any."""
    with Lab() as lab:
        c = lab.collector()
        put_budget(c, "wide", "16000 tokens", scope={})
        put_budget(c, "narrow", "3 calls", scope={}, per="agent")
        put_budget(c, "money", "100 usd", scope={}, window="day")
        gateways = [gateway(lab, c, how) for how in ("library", "wire", "http", "library")]
        got = granted(ask_all(gateways, "one", "a", 30, 10))
        assert len(got) == 3, got
        got = granted(ask_all(gateways, "two", "b", 30, 10))
        assert len(got) == 1, "of 16,000 tokens three calls hold 12,000: %r" % got
        assert [committed(c, name) for name in ("wide", "narrow", "money")] == [16000, 4, 4 * RESERVED]
        wait_counted(c)
        c.stop()
        check_ledger(c)


# ----------------------------------------------------------------- kill -9
def while_killed(c, rng, what, most_s=0.05):
    """what(), with a kill -9 of the collector at a random moment of it, and a new start. Children of a thread die
    with it, so it is what() that has a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(what)
        time.sleep(rng.random() * most_s)  # the random moment, not a wait for something
        c.kill()
        c.start()
        return result.result()


def settle_thirds(gateways, name, answers):
    """Told, given back, told by an event, a third each. Returns what they come to, in nano-dollars."""
    cost = 0
    for g, a in zip(gateways, answers):
        for k, rid in enumerate(a["granted"]):
            if k % 3 == 0:
                g.ok("settle", rid, 1000, k)
                cost += call_cost(1000, k)
            elif k % 3 == 1:
                g.ok("release", rid)
            else:
                g.ok("dispatch", name, rid, 700, k)
                cost += call_cost(700, k)
        g.ok("flush", 60000 * SLOWER)
    return cost


def round_with_kills(c, gateways, rng, n):
    """One budget of fifty calls' worth: asked for, asked for again, settled, with a kill in each step."""
    name = "fifty-%d" % n
    put_budget(c, name, "5 usd")
    first = while_killed(c, rng, lambda: ask_all(gateways, name, "k%d" % n, 25, 25))
    got = granted(first)
    assert len(got) == len(set(got)) == 50, (n, len(got))
    assert committed(c, name) == 5 * 10**9
    again = while_killed(c, rng, lambda: ask_all(gateways, name, "k%d" % n, 25, 25))
    assert again == first, "whoever asks again gets the same answer"
    return while_killed(c, rng, lambda: settle_thirds(gateways, name, first))


def test_kill_the_collector():
    seed = int(os.environ.get("TOLLGATE_SEED", random.randrange(2**32)))
    rng = random.Random(seed)
    costs = []
    with Lab() as lab:
        try:
            c = lab.collector()
            gateways = [gateway(lab, c, source="gateway-%d" % i) for i in range(GATEWAYS)]
            for n in range(KILLS):
                costs.append(round_with_kills(c, gateways, rng, n))
            for n, cost in enumerate(costs):  # what is settled is spent, and what is left is free again, to the cent
                room = (5 * 10**9 - cost) // RESERVED
                got = granted(ask_all(gateways, "fifty-%d" % n, "m%d" % n, 25, 5))
                assert len(got) == room, (n, cost, len(got), room)
            for g in gateways:
                g.leave()
            wait_counted(c)
            c.stop()
            states = list(check_ledger(c).values())
            assert all(states.count(s) for s in (OPEN, TOLD, BY_EVENT, RELEASED)), states
            assert c.sql("PRAGMA integrity_check") == [("ok",)]
            # What was told or has come, and nothing else, is what each budget has spent.
            for n, cost in enumerate(costs):
                held = c.sql("SELECT count(*) FROM reservation r JOIN reservation_posting p ON p.reservation = r.nr"
                             " JOIN budget b ON b.id = p.budget WHERE b.name = ? AND r.state = 0", "fifty-%d" % n)[0][0]
                assert committed(c, "fifty-%d" % n) == cost + held * RESERVED <= 5 * 10**9, n
            print("     %d rounds, 3 kills each, %d reservations, %d of them settled" % (
                KILLS, len(states), len(states) - states.count(OPEN)))
        except BaseException:
            print("     TOLLGATE_SEED=%d" % seed)
            raise


test_kill_the_collector.limit_s = 600


def test_kill_an_emitter():
    """Between admission and event: a strict budget presumes it spent when its time is up, another frees it."""
    with Lab() as lab:
        c = lab.collector()
        put_budget(c, "strict", "10 calls", strict=True)
        put_budget(c, "loose", "10 calls")
        doomed = gateway(lab, c, ttl_ms=1500)
        got = {name: granted([doomed.do("ask", name, name + "-", 10, 10)]) for name in ("strict", "loose")}
        assert [len(v) for v in got.values()] == [10, 10]
        # Of one the event is on its way: its call has returned.
        doomed.ok("dispatch", "strict", got["strict"][0], 1000, 500)
        doomed.kill()
        heir = gateway(lab, c)  # of the same source: takes what the dead one left
        wait_state(c, got["strict"][0], BY_EVENT)
        for name in got:
            assert granted([heir.do("ask", name, "early-", 1, 1)]) == [], "%s is full" % name
        c.kill()  # the time runs on while nobody is there
        c.start()
        for rid in got["strict"][1:] + got["loose"]:
            wait_state(c, rid, EXPIRED)
        assert granted([heir.do("ask", "strict", "late-", 4, 4)]) == [], "presumed spent"
        assert len(granted([heir.do("ask", "loose", "free-", 20, 20)])) == 10
        # Who asks for it again is told that it is over, and does not get it twice.
        assert heir.do("ask", "strict", "strict-", 10, 2)["over"] == 10
        # The events come after all: what they say counts, once.
        for rid in got["strict"][1:6] + got["loose"][:2]:
            heir.ok("dispatch", rid.split("-")[0], rid, 1000, 500)
        heir.ok("flush", 30000 * SLOWER)
        for rid in got["strict"][1:6]:
            wait_state(c, rid, BY_EVENT)
        heir.ok("release", got["strict"][6])  # it was never made: one call fits again
        assert len(granted([heir.do("ask", "strict", "last-", 4, 4)])) == 1
        assert overruns(c) == 0, "12 of 10 loose calls are reserved or spent, not more than 10 spent"
        heir.leave()
        wait_counted(c)
        c.stop()
        check_ledger(c)
        assert (committed(c, "strict"), committed(c, "loose")) == (10, 12)


# ---------------------------------------------------------------------- disk
@in_namespace
def test_no_room_on_the_disk():
    """Who asks is told to ask again, nothing is half done, and the same ids are granted when there is room."""
    with Lab() as lab, small_disk(lab) as disk:
        c = on_small_disk(lab, disk)
        put_budget(c, "fifty", "5 usd")
        gateways = [gateway(lab, c, how) for how in ("library", "wire", "http")]
        first = granted(ask_all(gateways, "fifty", "before", 5, 5))
        assert len(first) == 15
        filler = fill(disk, 0)
        busy, known = [], set(first)

        def refused():  # the write-ahead log has some room of its own
            n = len(busy)
            answers = ask_all(gateways, "other", "full%d" % n, 20, 20)
            busy.append(answers)
            for a in answers:
                assert a["wrong"] == a["over"] == a["unreachable"] == a["denied"] == 0, answers
                known.update(a["granted"])
            return all(a["busy"] == 20 for a in answers)
        wait_until("every admission is told to wait", refused)
        assert c.get("/readyz").status == 503
        assert gateways[0].do("settle", first[0], 1000, 0) == {"err": TG_BUSY}
        assert gateways[0].do("renew", first[0], 60000) == {"err": TG_BUSY}
        assert {r[0] for r in c.sql("SELECT id FROM reservation")} == known, "what was not granted is not there"
        os.unlink(filler)
        wait_until("/readyz says yes", lambda: c.get("/readyz").status == 200, 60)
        last = ask_all(gateways, "other", "full%d" % (len(busy) - 1), 20, 20)
        assert len(granted(last)) == 60
        assert len(granted(ask_all(gateways, "fifty", "after", 15, 5))) == 35, "15 of 50 were taken before"
        gateways[0].ok("settle", first[0], 1000, 0)
        gateways[0].leave()
        wait_counted(c)
        c.stop()
        check_ledger(c)
        assert committed(c, "fifty") == 49 * RESERVED + call_cost(1000, 0)


# ------------------------------------------------------------------- hostile
def hostile_questions(rng):
    """Hellos, admissions, settlements and renewals, bent and broken."""
    subject = ["s", "r", "agent", "u", "p", "m", "l", "f", "c", 1, {"team": "x"}]
    good = [wire.pack([1, 3, "hostile", 7, 0]), wire.pack([1, 5, "id", 1000, 10, 10] + subject),
            wire.pack([1, 7, "id", 1, 1, 2, 3, 0, 0, 0, 0, 5]), wire.pack([1, 9, "id", 1000])]
    huge = [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
    odd = [None, -1, 2**63, 1.5, "", "x" * 300, b"\xff" * 64, [], {}, [[]] * 40, {"a": {"b": 1}}, "\0", True,
           wire.Raw(b"\x91" * 5000 + b"\xc0"), wire.Raw(b"\xa4\xff\xfe\xc0\x80")]
    while True:
        kind, form = rng.choice((3, 5, 7, 9)), rng.randrange(6)
        frame = good[(kind - 3) // 2]
        if form == 0:
            yield frame[:rng.randrange(len(frame))]
        elif form == 1:
            at = rng.randrange(len(frame))
            yield frame[:at] + bytes([rng.randrange(256)]) + frame[at + 1:]
        elif form == 2:  # a count that nobody sent
            yield b"\xdd\xff\xff\xff\xff\x01" + bytes([kind]) + rng.randbytes(rng.randrange(80))
        elif form == 3:
            parts = wire.unpack(frame)
            at = rng.randrange(2, len(parts))
            parts[at] = rng.choice(odd + [wire.Raw(h) for h in huge])
            yield wire.pack(parts)
        elif form == 4:
            yield wire.pack([1, kind, "id%d" % rng.randrange(50)] + [rng.choice(odd) for _ in range(rng.randrange(20))])
        else:
            yield b"\x92\x01" + bytes([kind]) + rng.randbytes(rng.randrange(200))


def test_hostile_questions():
    frames, rng = 5_000 if SANITIZED else 60_000, random.Random(7)
    with Lab() as lab:
        c = lab.collector()
        put_budget(c, "each", "7 calls", scope={}, per="agent")
        good = gateway(lab, c)
        base, slowest, asked = 0, 0.0, 0
        questions = hostile_questions(rng)
        peers = [Dealer(c.endpoint) for _ in range(4)]
        for n in range(frames):
            peers[n % 4].send(next(questions))
            if n % 1000 == 999:
                begun = time.monotonic()
                assert len(granted([good.do("ask", "agent-%d" % n, "g%d-" % n, 10, 5)])) == 7
                slowest, asked = max(slowest, time.monotonic() - begun), asked + 10
                for p in peers:
                    p.close()
                peers = [Dealer(c.endpoint) for _ in range(4)]
            if n == frames // 4:
                base = c.process.rss_kib()
        grown = c.process.rss_kib() - base
        assert c.metric("tollgate_frames_unreadable_total") > frames / 10
        assert SANITIZED or grown < FLAT_KIB, "memory grew by %d KiB" % grown
        assert slowest < 5 * SLOWER, "an honest question took %.1f s" % slowest
        # A question that can be answered but breaks a rule is answered so.
        for frame, status in ((admit_frame("", "a"), None), (admit_frame("x" * 65, "a"), None), (admit_frame(b"\xff", "a"), None),
                              (admit_frame("ok", wire.Raw(b"\xa2a\xff")), 5), (admit_frame("ok", "a" * 256), 5),
                              (admit_frame("ok2", "a", ttl_ms=2**40), 5), (admit_frame("ok3", "a", prompt=-1), 5),
                              (wire.pack([1, 7, "nobody", 1]), 1), (wire.pack([1, 9, "nobody", 5000]), 1),
                              (wire.pack([1, 7, "nobody", 2]), 5)):
            peers[0].send(frame)
            if status is not None:
                answer = wire.unpack(peers[0].recv())
                while answer[1] == 4 or answer[2] not in ("ok", "ok2", "ok3", "nobody"):
                    answer = wire.unpack(peers[0].recv())
                assert answer[3] == status, (frame, answer)
        print("     %d frames; %d honest questions meanwhile, ten took %.0f ms at most; memory +%d KiB" % (
            frames, asked, slowest * 1000, grown))
        good.leave()
        wait_counted(c)
        c.stop()
        check_ledger(c)
