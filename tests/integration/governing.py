# SPDX-License-Identifier: MIT
"""Budgets and reservations for the tests: gateways that ask, the budgets they ask against, and the ledger counted
again from the log in Python, by the words of collector/writer/ledger.h and schema/sql/002_governor.sql."""
import json
import os
import subprocess
import sys

from harness import SLOWER, TOP, Process, program, wait_until

PROMPT, MOST = 1000, 3000  # tokens of every request of admit.c and asker.py, which is of gpt-4-turbo
PROMPT_COST, COST = 10_000, 30_000  # nano-dollars of a token
RESERVED = PROMPT * PROMPT_COST + MOST * COST  # what such a call may come to: $0.10
ALLOW, WARN, BLOCK = 0, 1, 4
ANSWER_S = 120


class Gateway(Process):
    """A process that asks: tests/tools/admit.c, or asker.py, which knows less."""

    def __init__(self, lab, *args):
        super().__init__(lab, [str(a) for a in args], stdin=subprocess.PIPE)

    def order(self, *words):
        self.popen.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.popen.stdin.flush()

    def answer(self):
        line = self.popen.stdout.readline()
        assert line, "%s ended: %s" % (self.name, self.stderr())
        return json.loads(line)

    def do(self, *words):
        self.order(*words)
        return self.answer()

    def ok(self, *words):
        answer = self.do(*words)
        assert answer == {"err": 0}, (words, answer)

    def wait_for(self, agent, action, stale=0, seconds=20):
        """tg_check says so in time; the verdict."""
        v = self.do("wait", agent, action, stale, int(seconds * 1000 * SLOWER))
        assert (v["action"], v["stale"]) == (action, stale), (agent, v)
        return v

    def leave(self):
        """To its end, with everything settled."""
        self.popen.stdin.close()
        self.popen.stdin = None
        return self.finish(60)

    def kill(self):
        super().kill()
        if self.popen.stdin:
            self.popen.stdin.close()
            self.popen.stdin = None


def gateway(lab, c, how="library", source="gateway", ttl_ms=0):
    """how: the library, or a stranger: `wire` from the specification alone, `http`."""
    if how == "library":
        return Gateway(lab, program("tools/admit"), c.endpoint, source, lab.path("spool"), ttl_ms)
    where = c.port if how == "http" else c.endpoint
    return Gateway(lab, sys.executable, "-B", os.path.join(TOP, "tests", "integration", "asker.py"), how, where)


def ask_all(gateways, agent, prefix, count, threads):
    """Each asks for count reservations with names of its own, all at once: their answers, in order."""
    for i, g in enumerate(gateways):
        g.order("ask", agent, "%s-%d-" % (prefix, i), count, threads)
    return [g.answer() for g in gateways]


def counted(answer):
    return dict(answer, granted=len(answer["granted"]))


def granted(answers):
    """The ids that were granted; everybody else was denied."""
    for a in answers:
        assert a["over"] == a["busy"] == a["unreachable"] == a["wrong"] == 0, [counted(a) for a in answers]
    return [rid for a in answers for rid in a["granted"]]


def call_cost(prompt, completion):
    return prompt * PROMPT_COST + completion * COST


def put_budget(c, name, limit, **more):
    """For the calls of the agent of this name, for ever, unless told otherwise."""
    definition = dict({"limit": limit, "window": "total", "scope": {"agent": name}, "alerts": [100]}, **more)
    answer = c.request("PUT", "/v1/budgets/" + name, json.dumps(definition), {"Content-Type": "application/json"})
    assert answer.status in (200, 201), answer


def wait_counted(c, seconds=20):
    """The past of every budget has been counted."""
    wait_until("the budgets' past is counted", lambda: c.sql(
        "SELECT count(*) FROM budget WHERE ended_ms IS NULL AND counted = 0") == [(0,)], seconds)


def overruns(c):
    return c.sql("SELECT count(*) FROM alert WHERE kind = 'overrun'")[0][0]


# ---------------------------------------------------------------------- recount
PER = {"agent": "agent_id", "session": "session_id", "user": "user_id", "model": "model", "provider": "provider"}
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
RESERVATION_STATES = OPEN, TOLD, BY_EVENT, RELEASED, EXPIRED = range(5)


def leb128(n):
    return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + leb128(n >> 7)


def key_of(per, call):
    """The values of `per`, each after its length + 1; 0: unknown."""
    out = b""
    for field in per:
        value = call[PER[field]]
        out += b"\0" if value is None else leb128(len(value.encode()) + 1) + value.encode()
    return out


def start_of(window, ms):
    """In UTC."""
    if window == "total":
        return 0
    if window.startswith("sliding "):
        minutes = {"m": 1, "h": 60, "d": 1440}[window[-1]] * int(window[8:-1])
        return ms - ms % (minutes * 1000)  # a sixtieth
    return ms - ms % {"hour": HOUR_MS, "day": DAY_MS}[window]


def holds(scope, call):
    """Patterns without signs only."""
    for field, wanted in (scope or {}).items():
        wanted = wanted if isinstance(wanted, list) else [wanted]
        if (call[PER[field]] or "") not in wanted:
            return False
    return True


def worth(unit, call):
    """(amount, is unknown)"""
    if unit == "calls":
        return 1, 0
    if unit == "tokens":
        parts = [call["prompt_tokens"], call["completion_tokens"]]
        if call["total_tokens"] is not None:
            return call["total_tokens"], 0
        return sum(p or 0 for p in parts), int(None in parts)
    usd = call["cost_nanousd"] if call["cost_nanousd"] is not None else call["cost_reported_nanousd"]
    return usd or 0, int(usd is None)


CALL = ("id", "ts_ms", "session_id", "agent_id", "user_id", "provider", "model", "prompt_tokens", "completion_tokens",
        "total_tokens", "cost_nanousd", "cost_reported_nanousd", "reservation_id")


def budgets_of(c):
    rows = c.sql("SELECT id, definition, counts_from_ms, counted FROM budget WHERE ended_ms IS NULL")
    assert all(r[3] for r in rows), "a budget's past has not been counted"
    return [(r[0], json.loads(r[1]), r[2]) for r in rows]


def per_of(definition):
    per = definition.get("per") or []
    return per if isinstance(per, list) else [per]


def unit_of(definition):
    return definition.get("unit") or {"usd": "usd", "tokens": "tokens", "calls": "calls"}[definition["limit"].split()[-1]]


def recount(c):
    """{(budget, key, start): [amount, calls, unknown]}"""
    admitted = dict(c.sql("SELECT id, admitted_ms FROM reservation"))
    calls = [dict(zip(CALL, row)) for row in c.sql(
        "SELECT %s FROM v_dispatch WHERE state & 7 = 0 AND ifnull(status, '') <> 'blocked'" % ", ".join(CALL))]
    cells = {}
    for number, definition, counts_from in budgets_of(c):
        for call in calls:
            at = admitted.get(call["reservation_id"], call["ts_ms"])
            if at < counts_from or not holds(definition.get("scope"), call):
                continue
            cell = cells.setdefault((number, key_of(per_of(definition), call), start_of(definition["window"], at)), [0, 0, 0])
            amount, unknown = worth(unit_of(definition), call)
            cell[0] += amount
            cell[1] += 1
            cell[2] += unknown
    return cells


def check_reservations(c):
    """What each holds follows from its state, in every budget that is in force."""
    strict = {number: d.get("strict", False) for number, d, _ in budgets_of(c)}
    unit = {number: unit_of(d) for number, d, _ in budgets_of(c)}
    states = {}
    for nr, state, tokens, nanousd in c.sql("SELECT nr, state, tokens, nanousd FROM reservation"):
        states[nr] = state
        held = [p for p in c.sql("SELECT budget, kind, amount FROM reservation_posting WHERE reservation = ?", nr)
                if p[0] in strict]
        whole = {"calls": 1, "tokens": tokens, "usd": nanousd}
        if state in (BY_EVENT, RELEASED):
            assert held == [], (nr, state, held)
        for number, kind, amount in held:
            if state == OPEN:
                assert (kind, amount) == (0, whole[unit[number]]), (nr, kind, amount)
            elif state == EXPIRED:
                assert (kind, amount) == ((1, whole[unit[number]]) if strict[number] else (0, 0)), (nr, kind, amount)
            else:
                assert kind == 2, (nr, kind)
    return states


def check_ledger(c):
    """After a clean end: the ledger's projection equals the recount, exactly; what reservations hold is in order."""
    kept = {(b, bytes(k), s): [a, n, u] for b, k, s, a, n, u in c.sql(
        "SELECT budget, key, start_ms, amount, calls, unknown FROM projection_ledger WHERE budget IN"
        " (SELECT id FROM budget WHERE ended_ms IS NULL)")}
    kept = {cell: v for cell, v in kept.items() if v != [0, 0, 0]}
    wanted = recount(c)
    assert kept == wanted, "projection %r, recount %r" % ({k: v for k, v in kept.items() if wanted.get(k) != v},
                                                        {k: v for k, v in wanted.items() if kept.get(k) != v})
    return check_reservations(c)


def committed(c, name):
    """What a budget without `per` has spent and reserved, in the file."""
    return c.sql("SELECT (SELECT ifnull(sum(amount), 0) FROM projection_ledger WHERE budget = b.id) +"
                 " (SELECT ifnull(sum(amount), 0) FROM reservation_posting WHERE budget = b.id)"
                 " FROM budget b WHERE name = ? AND ended_ms IS NULL", name)[0][0]


def wait_state(c, rid, state, seconds=30):
    def reached():
        return c.sql("SELECT state FROM reservation WHERE id = ?", rid) == [(state,)]
    wait_until(lambda: "reservation %s is %s, not %d" % (rid, c.sql("SELECT state FROM reservation WHERE id = ?", rid), state),
               reached, seconds)
