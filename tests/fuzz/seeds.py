#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""seeds.py DIRECTORY: the fuzzers' first inputs, made from the golden vectors and a few texts."""
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
import wire  # noqa: E402

FRAME_MAX = 4096  # longer inputs only slow the fuzzer down
CONFIGS = ["", "database: /tmp/x.db\n", "log: {level: debug}\n", "a: [1, 2\n", "---\n- 1\n- 2\n", "&a [*a]\n",
           "http: {listen: '127.0.0.1:7448', token: x}\ningest: {endpoints: ['ipc:///tmp/x']}\n", "a: 1\na: 2\n",
           "\t\n", "? {a: b}\n: c\n", "a: !!binary aGk=\n", "x: &y {z: *y}\n",
           "budgets:\n  - name: a\n    scope: { agent: \"re*\", tag.team: {not: [x, 7]} }\n    per: [agent, tag.x]\n"
           "    limit: $1,000.50\n    window: sliding 5h\n    alerts: [50, 80]\n    action: delay\n    delay: 30s\n",
           "budgets: [{name: b, limit: 1.5m tokens, window: session, action: downgrade, use: {lane: l}, strict: true,"
           " on_error: closed, counts_from: 2026-11-01, shadow: false}, {name: c, limit: 7, unit: calls, window: month,"
           " timezone: Asia/Kathmandu}]\nrollups: {zone: Asia/Tokyo}\n",
           "policies: [{name: p, scope: {lane: [a, \"\"]}, allow_models: [\"gpt-*\", \"a\\u2028\"], deny_models: x}]\n",
           "prices: &p [{a: &x [1, 0.10, \"\\x85\"], b: *x, ~: {}}, {}, {\"\\ufeff: #\": - }]\n",
           "runaway:\n  - {rule: calls_per_minute, limit: 200, scope: {agent: \"x*\"}, action: block, cooldown: until resumed}\n"
           "  - {rule: session_duration, limit: {session: 6h, agent: 2d}, action: delay, delay: 5s}\n  - {rule: outlier_call, on: false}\n",
           "estimate: {prompt_tokens: 1}\nreservations: {ttl: 90s, open: 7}\n",
           "alerts:\n  - slack: { url: https://x.example/a?b }\n  - { name: b, command: [/bin/a, \"7\", 7], group: 0 }\n"
           "  - email: { to: a@b, from: c@d, server: \"smtp://localhost:25\", tls: none }\n    kinds: { not: [policy] }\n"
           "    quiet: { from: \"22:00\", to: \"07:00\", days: [mon] }\n    scope: { agent: \"c*\" }\n    budgets: d*\n"]
DESTINATIONS = [{"slack": {"url": "https://x.example/a"}}, {"discord": {"url_env": "FUZZ"}, "severity": "info"},
                {"teams": {"url": "http://[::1]:9/x"}, "kinds": ["runaway"], "group": "0s", "timeout": "1s"},
                {"pagerduty": {"routing_key": "k"}, "kinds": {"not": "policy"}, "give_up_after": "7d"},
                {"webhook": {"url": "http://localhost/", "secret": "s", "headers": {"X-A": "b"}, "ca_file": "/x"},
                 "scope": {"agent": "c*", "tag.team": {"not": ["a", ""]}}, "budgets": ["d*"]},
                {"email": {"to": ["a@b", "c@d"], "from": "e@f", "server": "smtps://g:465", "user": "u", "password": "p"},
                 "quiet": {"from": "22:00", "to": "07:00", "timezone": "America/New_York", "days": ["fri"], "critical": True}},
                {"name": "n", "command": ["/bin/x", "", 5], "quiet": {"from": "00:00", "to": "24:00", "days": ["mon", "sun"]}}]
ALERTS = [{"title": "<!channel> @everyone \r\nBcc: a@b \u202e \u6f22 [x](y)", "subject": {"agent": "a", "budget": "d"},
           "evidence": {"spent": 1, "limit": 2, "unit": "usd", "window_start_ms": 1795215600000, "a_ms": 350, "b": [1]}},
          {"title": "", "subject": {}, "evidence": {"unit": "calls within 60 s", "value": 121, "timezone": "Asia/Kathmandu"}}]


def vectors(name):
    with open(os.path.join(TOP, "schema", "vectors", name), encoding="utf-8") as f:
        return json.load(f)


def put(folder, n, data):
    os.makedirs(folder, exist_ok=True)
    if len(data) <= FRAME_MAX:
        with open(os.path.join(folder, "%04d" % n), "wb") as f:
            f.write(data)


def leb128(n):
    return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + leb128(n >> 7)


def slab(cells, columns):
    """A packed slab (collector/base/slab.h) of columns that are bytes already."""
    head = bytes([1]) + leb128(cells) + leb128(len(columns)) + b"".join(leb128(len(c)) for c in columns)
    return head + b"".join(columns)


def slabs():
    zero, known = b"\x00", b"\x01"
    sketch = b"\x03" + leb128(700) + b"\x01\x01\xff\x01" + leb128(1100) + b"\x02" + b"\x01\x05\x80\x01"
    yield slab(0, [])
    yield slab(0, [b""] + [zero] * 24 + [b""] * 2)
    yield slab(1, [b"\x07", b"\x02\x05"])
    yield slab(2, [b"\x01" + leb128(300), b"\x03\x02\x2c\x01\x01\x00", zero] + [b"\x02\x05" + leb128(1 << 40)] * 11 +
               [known] * 11 + [sketch, b""])
    yield slab(2, [b"\x01\x01", b"\x03\x08" + b"\xff" * 16, zero] + [zero] * 22 + [b"", sketch])
    yield slab(2, [b"\x01\x01", b"\x02\x01\x01"] + [zero] * 23 + [b"\x00\x00", sketch, b"unknown"])


def messages():
    """What a collector says about verdicts and reservations, and a page of them."""
    block = [0, 4, "day", [[0, 0, ["a"]], [1, 1, ["t*", "\\*"]]], 5000, "Enough.", None, None, None, 5, 10, 1]
    tag = [0, 2, "team", [[10, 0, ["bl*"], "team"]], None, "Use less.", "small", "slow", None, -1, 1 << 40, 2]
    guard = [1, 3, "g", [[9, 0, ["cron"]]], None, "", None, None, 250]
    for entries in ([], [block], [block, tag, guard], [guard, [0, 1, "all", []], [7, 9, "new", [[11, 0, []]]]], None):
        yield wire.pack([1, 4, 7, 30000, 0, entries])
    yield wire.pack([1, 4, 7, 30000, 1, [tag]])
    yield wire.pack([1, 6, "id", 0, 1, "day", "text", 5, "m", "l", None, 1, 2, 1, 600000, 123])
    yield wire.pack([1, 8, "id", 0, 5])
    yield wire.pack([1, 10, "id", 3, None])
    body = b"".join(wire.pack(e) for e in (block, tag))
    first = len(wire.pack(block))
    rows = struct.pack("<IIIBBBBq", 0, first, 0, 0, 4, 255, 0, 5000) + struct.pack(
        "<IIIBBBBq", first, len(body) - first, 0, 0, 2, 255, 0, -1) + bytes(48)
    head = struct.pack("<7Q", 2, 7, 1030000, 1000000, 0, 0, 1 << 62 | 2 << 32 | len(body))
    yield head.ljust(128, b"\0") + rows + body


def inquiries():
    """Hello, admission, settlement, renewal: whole, short, and with what is not allowed."""
    subject = ["s", "r", "agent", "u", "openai", "gpt-5", "l", "f", "c", 1, {"team": "x", "": "\u00e9"}]
    yield [1, 3, "source", 7, 0]
    yield [1, 5, "id", 600000, 1000, 500] + subject
    yield [1, 5, b"id", None, None, None]
    yield [1, 5, "id", 2**40, -1, 1.5] + ["x" * 256] * 9 + [9, {}]
    yield [1, 7, "id", 1, 100, 50, 150, 10, 5, 1, 20, 1000000]
    yield [1, 7, "id", 0]
    yield [1, 9, "x" * 64, 60000, "newer"]


def main(where):
    good, bad = vectors("batch.json"), vectors("reject.json")
    frames = [bytes.fromhex(v["hex"]) for v in good["batches"] + bad["frames"]]
    frames += [wire.batch("s", 1, 0, 0, 1, [wire.Raw(bytes.fromhex(v["hex"]))]) for v in bad["events"]]
    for n, frame in enumerate(frames):
        put(os.path.join(where, "decode"), n, frame)
    for n, question in enumerate(inquiries()):
        put(os.path.join(where, "inquiry"), n, wire.pack(question))
    posts = [json.dumps(e, ensure_ascii=False) for b in good["batches"] for e in b["events"]]
    posts += ["[" + ",".join(posts[:3]) + "]", "\n".join(posts[:3]), "[]", "", "{}", "nul", '{"kind":"dispatch",}',
              "[" * 3000, '{"kind":"dispatch","prompt_tokens":1e400}', '{"kind":1,"kind":16}',
              '{"kind":"dispatch","session_id":"\\ud800\\u0000"}', '{"kind":"dispatch","prompt_tokens":-0.0}']
    for n, text in enumerate(posts):
        put(os.path.join(where, "post"), n, text.encode())
    shipped = os.path.join(TOP, "collector", "daemon", "tollgate.yaml")
    if os.path.exists(shipped):
        with open(shipped, encoding="utf-8") as f:
            CONFIGS.append(f.read())
    for n, text in enumerate(CONFIGS):
        put(os.path.join(where, "config"), n, text.encode())
    pairs = [json.dumps(d) + json.dumps(a) for d in DESTINATIONS for a in ALERTS]
    for n, text in enumerate(pairs):
        put(os.path.join(where, "destination"), n, text.encode())
    for n, data in enumerate(slabs()):
        put(os.path.join(where, "slab"), n, data)
    for n, data in enumerate(messages()):
        put(os.path.join(where, "verdict"), n, data)


if __name__ == "__main__":
    main(sys.argv[1])
