# SPDX-License-Identifier: MIT
"""Histories of a gateway, made from a seed: a calm day, and the loops that people have reported. Each is a list of
events for POST /v1/events in the order of time.

The calm day is a busy one: six agents, 24 hours with a day curve, turns of 1 to 40 calls at 20 to 40 calls a minute
with parallel tool calls, several sessions of one agent at once, sub-agents to depth 2, a session of five and a half
hours, heartbeats every ten minutes, contexts that grow and are compacted in stages, isolated errors, single 429s, and
two turns that the gateway gives up after the ten tries it makes against a 429. Nothing in it is a loop.
"""
import random

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
AGENTS = {  # model, turns a day, sessions at once, calls of a turn in the mean
    "main": ("claude-sonnet-4-5", 130, 2, 5),
    "coder": ("claude-sonnet-4-5", 230, 4, 22),
    "researcher": ("gpt-5.1", 150, 3, 16),
    "reviewer": ("claude-haiku-4-5", 120, 2, 12),
    "support": ("gpt-5-mini", 1100, 6, 4),
    "ops": ("gemini-2.5-flash", 160, 2, 6),
}
CURVE = [1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 18, 13, 17, 19, 18, 16, 12, 8, 6, 5, 4, 3, 2]  # by hour
CONTEXT_FULL = 160_000
ERRORS = (("overloaded", 529), ("http_500", 500), ("timeout", None), ("terminated", None))


class Gateway:
    """Writes calls down. Times are Unix milliseconds."""

    def __init__(self, seed, start_ms):
        self.random = random.Random(seed)
        self.start_ms = start_ms
        self.events = []

    def call(self, at, agent, session, model, prompt=None, completion=None, tools=None, status="ok", error=None, http=None, **more):
        e = {"kind": "dispatch", "ts_ms": int(at), "agent_id": agent, "session_id": session, "model": model,
             "provider": model.split("-")[0], "status": status, "trigger": "user", "span_id": "%016x" % self.random.getrandbits(64),
             "latency_ms": self.random.randrange(700, 4000)}
        for key, value in (("prompt_tokens", prompt), ("completion_tokens", completion), ("tool_calls", tools),
                           ("error_type", error), ("http_status", http if http else 200 if status == "ok" else None)):
            if value is not None:
                e[key] = value
        e.update(more)
        self.events.append(e)

    def done(self):
        return sorted(self.events, key=lambda e: e["ts_ms"])


# ------------------------------------------------------------------------ calm
class Session:
    def __init__(self, g, agent, name, **names):
        self.g, self.agent, self.name, self.names = g, agent, name, names
        self.model, self.context, self.children = AGENTS[agent][0], 9_000 + g.random.randrange(4000), 0

    def one(self, at, **more):
        r = self.g.random
        tools = r.choices((0, 1, 2, 3, 5, 8), (10, 62, 15, 8, 4, 1))[0]
        grown = int(r.lognormvariate(7.2, 0.9)) + 700 * tools
        self.context += min(grown, 40_000)
        self.g.call(at, self.agent, self.name, self.model, prompt=self.context, completion=int(r.lognormvariate(5.3, 0.8)),
                    cached_tokens=int(self.context * 0.85), tools=tools, **dict(self.names, **more))

    def fail(self, at, error, http, **more):
        status = "timeout" if error == "timeout" else "error"
        self.g.call(at, self.agent, self.name, self.model, status=status, error=error, http=http, **dict(self.names, **more))

    def compact(self, at):
        """In three stages, as the gateway does it. The time when it is done."""
        for stage in range(3):
            at += self.g.random.randrange(9_000, 25_000)
            self.g.call(at, self.agent, self.name, self.model, prompt=self.context // 2, completion=2_500,
                        **dict(self.names, trigger="compaction"))
        self.context = 18_000
        return at

    def turn(self, at, calls):
        """A user asks; the time when it is answered."""
        r, g = self.g.random, self.g
        pace = r.uniform(1_500, 3_000)  # 20 to 40 calls a minute
        for i in range(calls):
            at += r.uniform(0.5, 1.5) * pace
            if r.random() < 0.012:  # an isolated error: tried again, and well
                self.fail(at, *r.choice(ERRORS))
                at += r.randrange(800, 9_000)
            elif r.random() < 0.004:  # a single 429, or two
                for _ in range(r.randrange(1, 3)):
                    self.fail(at, "http_429", 429)
                    at += r.randrange(2_000, 20_000)
            self.one(at)
            if self.context > CONTEXT_FULL:
                at = self.compact(at)
            if self.agent in ("coder", "researcher") and calls > 12 and i == 8 and len(self.names) < 2:
                self.spawn(at, r.randrange(1, 4))
        return at

    def spawn(self, at, count, depth=1):
        """Sub-agents at once, to depth 2."""
        r = self.g.random
        for _ in range(count):
            self.children += 1
            kid = Session(self.g, self.agent, "%s:sub%d" % (self.name, self.children), trigger="subagent",
                          parent_session_id=self.name, root_session_id=self.names.get("root_session_id", self.name))
            end = kid.turn(at + r.randrange(3_000), r.randrange(3, 14))
            if depth < 2 and r.random() < 0.3:
                kid.spawn(end, 1, depth + 1)


def calm_day(start_ms, seed=1):
    g = Gateway(seed, start_ms)
    r = g.random
    for agent, (_, turns, at_once, mean) in AGENTS.items():
        free = [(start_ms, None)] * at_once
        marks = sorted(start_ms + r.choices(range(24), CURVE)[0] * HOUR + r.randrange(HOUR) for _ in range(turns))
        for n, at in enumerate(marks):
            i = min(range(at_once), key=lambda k: free[k][0])
            busy, session = free[i]
            at = max(at, busy + 2_000)
            if at > start_ms + DAY - 20 * MINUTE:
                break
            if session is None or r.random() < (0.5 if agent == "support" else 0.12):
                session = Session(g, agent, "%s-%d" % (agent, n))
            calls = max(1, min(40, int(r.expovariate(1 / mean)) + 1))
            free[i] = (session.turn(at, calls), session)
    # Somebody works with one session from 9:00 to 14:30, never away for a quarter of an hour.
    long = Session(g, "coder", "coder-long")
    at = start_ms + 9 * HOUR
    while at < start_ms + 14 * HOUR + 20 * MINUTE:
        at = long.turn(at, r.randrange(4, 18)) + r.randrange(MINUTE, 12 * MINUTE)
    # The clock asks.
    heart = Session(g, "main", "main-heart", trigger="heartbeat")
    for minute in range(0, 24 * 60, 10):
        heart.context = 6_000
        heart.one(start_ms + minute * MINUTE + r.randrange(5_000))
    # The gateway gives a turn up after ten tries in 138 s.
    for n, hour in enumerate((11, 16)):
        tired = Session(g, "researcher", "researcher-limited-%d" % n)
        at = tired.turn(start_ms + hour * HOUR, 3)
        for i in range(10):
            at += 138_000 / 10
            tired.fail(at, "http_429", 429)
        tired.turn(at + 10 * MINUTE, 6)
    return g.done()


# ----------------------------------------------------------------------- loops
def _begin(g, agent, session, calls=12):
    """A session as it always was, until then: the time, 75 s later."""
    s = Session(g, agent, session)
    return s, s.turn(g.start_ms, calls) + 75_000


def retry_storm(start_ms, seed=2):
    """One timeout, then 1,384 calls in 60 s that all break off; nobody knows their tokens."""
    g = Gateway(seed, start_ms)
    s, at = _begin(g, "main", "storm")
    s.fail(at, "timeout", None)
    for i in range(1384):
        s.fail(at + 1 + i * 60_000 / 1384, "connection_reset", None, trigger="retry")
    return g.done()


def payment_retries(start_ms, seed=3):
    """5,206 runs against HTTP 402 over six hours."""
    g = Gateway(seed, start_ms)
    s, at = _begin(g, "main", "unpaid")
    for i in range(5206):
        s.fail(at + i * 6 * HOUR / 5206, "billing", 402, trigger="cron", run_id="run-%d" % i)
    return g.done()


def tool_loop(start_ms, seed=4):
    """The same tools again and again, each call a success, at the pace of a busy session: 30 minutes."""
    g = Gateway(seed, start_ms)
    s, at = _begin(g, "coder", "tools")
    end = at + 30 * MINUTE
    while at < end:
        at += g.random.uniform(1_400, 2_000)
        s.context += 60
        g.call(at, "coder", "tools", s.model, prompt=s.context, completion=90, tools=5)
    return g.done()


def compaction_loop(start_ms, seed=5):
    """The context overflows, is compacted, and overflows again: two hours."""
    g = Gateway(seed, start_ms)
    s, at = _begin(g, "researcher", "full")
    end = at + 2 * HOUR
    while at < end:
        at += g.random.randrange(1_000, 3_000)
        s.fail(at, "context_length_exceeded", 400)
        at += g.random.randrange(20_000, 45_000)
        g.call(at, "researcher", "full", s.model, prompt=150_000, completion=3_000, trigger="compaction")
    return g.done()


def agent_chain(start_ms, seed=6):
    """A sub-agent whose work is to start one: twelve of them."""
    g = Gateway(seed, start_ms)
    s, at = _begin(g, "ops", "chain")
    parent = "chain"
    for depth in range(1, 13):
        name = "chain:%d" % depth
        kid = Session(g, "ops", name, trigger="subagent", parent_session_id=parent, root_session_id="chain")
        at = kid.turn(at + 2_000, 2)
        parent = name
    return g.done()


def endless_session(start_ms, seed=7):
    """An agent that talks to itself through a day, a call every 90 s."""
    g = Gateway(seed, start_ms)
    s, at = _begin(g, "support", "endless")
    for i in range(12 * 40):
        s.context = 20_000
        s.one(at + i * 90_000)
    return g.done()


def one_giant(start_ms, seed=8):
    """Short calls, and one into which somebody has put everything."""
    g = Gateway(seed, start_ms)
    s, at = _begin(g, "reviewer", "giant", calls=0)
    for i in range(40):
        at += 5_000
        g.call(at, "reviewer", "giant", s.model, prompt=3_000 + 40 * i, completion=200)
    g.call(at + 5_000, "reviewer", "giant", s.model, prompt=180_000, completion=300)
    return g.done()


HISTORIES = {
    "a calm day": calm_day,
    "1,384 calls in 60 s after one timeout": retry_storm,
    "5,206 calls against HTTP 402 in six hours": payment_retries,
    "a tool loop": tool_loop,
    "a compaction loop": compaction_loop,
    "sub-agents that start sub-agents": agent_chain,
    "a session without an end": endless_session,
    "one giant call": one_giant,
}


def peak(events, key):
    """The most calls within a minute of one value of a field."""
    most, window = 0, {}
    for e in events:
        if e.get("status") == "blocked":
            continue
        w = window.setdefault(e.get(key), [])
        w.append(e["ts_ms"])
        while w[0] <= e["ts_ms"] - MINUTE:
            w.pop(0)
        most = max(most, len(w))
    return most


if __name__ == "__main__":
    for title, make in HISTORIES.items():
        es = make(1_795_132_800_000)
        print("%-45s %6d calls, %d sessions, at most %d a minute of a session, %d of an agent, %.1f h" % (
            title, len(es), len({e["session_id"] for e in es}), peak(es, "session_id"), peak(es, "agent_id"),
            (es[-1]["ts_ms"] - es[0]["ts_ms"]) / HOUR))
