# SPDX-License-Identifier: MIT
"""Verdicts from the call that crosses a limit to tg_check in another process: what shuts, what opens, and what holds
when the collector is gone or has more to say than it sends."""
import time

import wire
from governing import ALLOW, BLOCK, call_cost, gateway, put_budget
import harness
from harness import SLOWER, Dealer, Lab, Stream, wait_until

VALID_S = 30  # how long verdicts hold without a word from the collector
ENTRIES_MAX, BYTES_MAX = 4096, 1024 * 1024
VERDICT, GUARD = 0, 1


def verdicts(c, version=0):
    """What the collector answers to a hello: version, valid_ms, overflow, entries; and the frame's length."""
    with Dealer(c.endpoint) as d:
        d.send(wire.pack([1, 3, "stranger", 1, version]))
        frame = d.recv(most=4 * BYTES_MAX)
        answer = wire.unpack(frame)
        assert answer[:2] == [1, 4], answer[:3]
        return answer[2:6] + [len(frame)]


def allow(c, name, amount, seconds):
    c.post("/v1/allowances", {"budget": name, "amount": amount, "for_ms": int(seconds * 1000), "reason": "test"}).ok()


def test_a_limit_shuts_and_an_allowance_opens():
    with Lab() as lab:
        c = lab.collector()
        put_budget(c, "tight", "1 usd", alerts=[50])
        spender, asker = gateway(lab, c, source="spender"), gateway(lab, c, source="asker")
        asker.wait_for("tight", ALLOW)
        spender.ok("dispatch", "tight", "-", 10_000, 15_000)  # $0.10 + $0.45
        warned = asker.wait_for("tight", 1)
        assert (warned["budget"], warned["spent"], warned["limit"]) == ("tight", call_cost(10_000, 15_000), 10**9), warned
        spender.ok("dispatch", "tight", "-", 10_000, 15_000)
        shut = asker.wait_for("tight", BLOCK)
        assert (shut["spent"], shut["limit"], shut["unit"]) == (2 * call_cost(10_000, 15_000), 10**9, 1), shut
        assert "tight" in shut["message"] and "$1.10" in shut["message"] and "$1.00" in shut["message"], shut
        assert asker.do("check", "somebody-else")["action"] == ALLOW
        allow(c, "tight", "5 usd", 3600)
        asker.wait_for("tight", ALLOW)
        spender.ok("dispatch", "tight", "-", 100_000, 150_000)  # and that is spent too: six and a half
        assert asker.wait_for("tight", BLOCK)["limit"] == 6 * 10**9
        # An allowance that ends shuts by itself.
        allow(c, "tight", "100 usd", 2 * SLOWER)
        asker.wait_for("tight", ALLOW)
        assert asker.wait_for("tight", BLOCK)["limit"] == 6 * 10**9
        # A pause is a block at once, and its end too.
        c.post("/v1/pauses", {"field": "agent", "value": "runaway*", "reason": "test"}).ok()
        paused = asker.wait_for("runaway*", BLOCK)
        assert paused["budget"] == "pause" and "runaway*" in paused["message"], paused
        assert asker.do("check", "runaway-7")["action"] == ALLOW, "a value is no pattern"
        c.request("DELETE", "/v1/pauses?field=agent&value=runaway*").ok()
        asker.wait_for("runaway*", ALLOW)
        # A reservation that fills a budget shuts it for whoever checks, and opens it again when it is given back.
        put_budget(c, "one", "1 calls")
        assert len(spender.do("ask", "one", "one-", 1, 1)["granted"]) == 1
        asker.wait_for("one", BLOCK)
        spender.ok("release", "one-0")
        asker.wait_for("one", ALLOW)
        spender.leave()
        asker.leave()


@harness.patient
def test_a_window_that_ends_opens_by_itself():
    """The entry says when, and holds no longer even if nobody tells that it is over."""
    with Lab() as lab:
        c = lab.collector()
        put_budget(c, "minute", "1 calls", window="sliding 1m")
        spender, asker = gateway(lab, c, source="spender"), gateway(lab, c, source="asker")
        asker.wait_for("minute", ALLOW)
        spender.ok("dispatch", "minute", "-", 1, 1)
        shut = asker.wait_for("minute", BLOCK)
        assert 55_000 < shut["opens_in_ms"] <= 62_000, shut
        begun = time.monotonic()
        # Somebody who was never told anything else but the first word: a list in the hand of a stranger.
        _, _, overflow, entries, _ = verdicts(c)
        assert overflow == 0 and [e[2] for e in entries] == ["minute"] and 0 < entries[0][4] <= 62_000, entries
        while asker.do("wait", "minute", ALLOW, 0, 1000)["action"] == BLOCK:
            assert time.monotonic() - begun < 65
        took = time.monotonic() - begun
        assert abs(took * 1000 - shut["opens_in_ms"]) < 1500 * SLOWER, (took, shut)
        wait_until("the collector says so too", lambda: verdicts(c)[3] == [])
        assert len(spender.do("ask", "minute", "m-", 1, 1)["granted"]) == 1


@harness.patient
def test_a_collector_that_is_gone():
    """What it said holds for half a minute; then the guards do, until it is back."""
    with Lab() as lab:
        c = lab.collector()
        put_budget(c, "closed", "1 calls", on_error="closed")
        put_budget(c, "open", "1 calls", on_error="open")
        spender, asker = gateway(lab, c, source="spender"), gateway(lab, c, source="asker")
        for name in ("closed", "open"):
            asker.wait_for(name, ALLOW)
        spender.ok("dispatch", "open", "-", 1, 1)
        asker.wait_for("open", BLOCK)
        c.kill()
        begun = time.monotonic()
        assert asker.do("check", "open")["action"] == BLOCK and asker.do("check", "closed")["action"] == ALLOW
        guarded = asker.wait_for("closed", BLOCK, stale=1, seconds=VALID_S + 5)
        took = time.monotonic() - begun
        assert 5 < took < VALID_S + 2 * SLOWER, "verdicts held for %.1f s" % took
        assert guarded["budget"] == "closed" and "cannot be asked" in guarded["message"], guarded
        asker.wait_for("open", ALLOW, stale=1, seconds=2)
        assert asker.do("check", "nobody's")["action"] == ALLOW
        # One that never met a collector knows the guards from the file beside the spool.
        late = gateway(lab, c, source="asker")
        v = late.do("check", "closed")
        assert (v["action"], v["stale"]) == (BLOCK, 1), v
        c.start()
        asker.wait_for("open", BLOCK)
        asker.wait_for("closed", ALLOW)
        late.wait_for("closed", ALLOW)
        print("     verdicts were stale after %.1f s" % took)


# ------------------------------------------------------------------ overflow
def spend_each(c, names):
    """One call of each agent."""
    with Dealer(c.endpoint) as d:
        s = Stream(d, "spenders")
        for at in range(0, len(names), 500):
            assert s.publish([{"kind": 1, "agent_id": name} for name in names[at:at + 500]]).status == wire.SETTLED


def overflow_of(lab, names, others_in_list):
    c = lab.collector()
    put_budget(c, "each", "1 calls", scope={"agent": "many-*"}, per="agent", on_error="closed")
    asker = gateway(lab, c)
    asker.wait_for("many-new", ALLOW)
    spend_each(c, names)
    wait_until("there are too many entries", lambda: verdicts(c)[2] == 1)
    version, valid_ms, overflow, entries, length = verdicts(c)
    assert length <= BYTES_MAX and len(entries) <= ENTRIES_MAX and valid_ms > 0, (length, len(entries))
    assert [e[2] for e in entries if e[0] == GUARD] == ["each"], "guards find room first"
    shut = [e for e in entries if e[0] == VERDICT]
    assert len(shut) >= others_in_list and all(e[1] == BLOCK for e in shut)
    known = {e[3][0][2][0] for e in shut}
    assert known < set(names)
    # Who is in it is blocked by a word; who is not is in doubt, and the guard holds; others go on.
    assert asker.wait_for(sorted(known)[0], BLOCK)["spent"] == 1
    left_out = sorted(set(names) - known)[0]
    assert "cannot be asked" in asker.wait_for(left_out, BLOCK, stale=1)["message"]
    asker.wait_for("many-new", BLOCK, stale=1)
    asker.wait_for("other", ALLOW, stale=1)
    # Nothing that was said is repeated to who has it, and it ends when there is less to say.
    assert verdicts(c, version)[3] is None
    c.request("DELETE", "/v1/budgets/each").ok()
    asker.wait_for(left_out, ALLOW)
    assert verdicts(c)[2:4] == [0, []]
    asker.leave()
    return len(entries), length


def test_more_blocked_accounts_than_are_sent():
    with Lab() as lab:
        names = ["many-%d" % i for i in range(ENTRIES_MAX + 200)]
        print("     %d entries, %d bytes" % overflow_of(lab, names, 4000))


def test_longer_names_than_are_sent():
    """The bytes run out before the entries do."""
    with Lab() as lab:
        names = ["many-%s-%d" % ("x" * 240, i) for i in range(3000)]
        print("     %d entries, %d bytes" % overflow_of(lab, names, 500))
