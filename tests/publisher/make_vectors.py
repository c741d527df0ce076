#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes schema/vectors/*.json from schema/wire.md by the tests' own wire (tests/integration/wire.py).

    make_vectors.py [--check]     --check: compare with the files instead, 1 if they differ
"""
import json
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "..", "schema", "vectors")
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import wire  # noqa: E402
from wire import Float, Float32, Map, Raw, pack  # noqa: E402

TS = 1795132800123
NUMBER_MAX, COST_MAX, TS_MAX = 10**12, 10**13, 253402300799999
NEST_MAX = 8


# ------------------------------------------------------------------ event ids
def ids():
    words = [("s-42", "msg_01XFDUDYJgAACzvnptvVoYEL", None), ("s-42", None, "00f067aa0ba902b7"),
             ("s-42", "msg_01XFDUDYJgAACzvnptvVoYEL", "00f067aa0ba902b7"), (None, "chatcmpl-1", None),
             ("", "chatcmpl-1", None), ("s-42", "", "00f067aa0ba902b7"), (None, None, "1"),
             ("agent:main:Müller", "réponse-€", None), ("会话-7", None, "Ω"), ("🙂" * 63, "🙂" * 63, None),
             ("s" * 255, "r" * 255, None), ("s" * 255, None, "p"), (None, "r" * 255, None), ("a\tb\"c\\d", "x/y z", None)]
    # Every length of the hashed text modulo its 16-byte block, several blocks long.
    words += [("", "0123456789abcdefghijklmnopqrstuvwxyzABCD"[:n], None) for n in range(1, 41)]
    words += [("0123456789abcdefghijklmnopqrstuvwxyzABCD"[:n], None, "z") for n in range(1, 41)]
    out = []
    for session, response, span in words:
        names = (("session_id", session), ("response_id", response), ("span_id", span))
        item = {k: v for k, v in names if v is not None}
        item["event_id"] = wire.event_id(session, response, span).hex()
        out.append(item)
    return {"about": "event_id of a dispatch with these strings (a missing one is unknown)", "ids": out}


# -------------------------------------------------------------------- batches
def full_dispatch(n):
    e = {"kind": "dispatch", "ts_ms": TS}
    for i, name in enumerate(n for n in wire.DISPATCH if n not in ("kind", "event_id", "ts_ms", "tags")):
        if name in wire.ENUMS:
            continue
        e[name] = "%s-%d" % (name.replace("_id", ""), i) if wire.DISPATCH.index(name) < 26 else 1000 + i
    e.update(trigger="subagent", granularity="call", status="error", tags={"team": "blue", "env": "prod"},
             http_status=529, partial=1, cost_reported_nanousd=12345678901, attempt=2)
    e["response_id"] = "msg_%d" % n  # another event in each batch
    e["event_id"] = wire.event_id(e["session_id"], e["response_id"]).hex()
    return e


def full_message(n):
    return {"kind": "message_sent", "event_id": "019f000000011223344556677889900%x" % n, "ts_ms": TS + 1,
            "session_id": "s-42", "parent_session_id": "s-41", "root_session_id": "s-1", "agent_id": "researcher",
            "user_id": "ann", "provider": "anthropic", "model": "claude-sonnet-4-5", "requested_model": "sonnet",
            "surface": "webchat", "channel": "web", "lane": "main", "trigger": "user", "granularity": "turn",
            "status": "ok", "error_type": "none", "tags": {"team": "blue"}, "run_id": "run-1", "message_id": "m-1",
            "outcome": "delivered", "bytes": 4096, "latency_ms": 12}


def report(n):
    return {"kind": "report", "event_id": "019f00000002ffeeddccbbaa9988770%x" % n, "ts_ms": TS + 2,
            "body": {"version": "0.1.0", "gateway": "example", "pid": 4242, "emitted": 1000, "settled": 990,
                     "dropped": {"full": 3, "evicted": 0}, "counters": {"hook.message_sent/telegram": 17},
                     "spool_bytes": 67108864}}


def on_wire(e, enum_names=False):
    """The values of a readable event as the wire has them."""
    out = dict(e)
    if "event_id" in out:
        out["event_id"] = bytes.fromhex(out["event_id"])
    if not enum_names:
        for name, codes in wire.ENUMS.items():
            if name in out:
                out[name] = codes[out[name]]
    return out


def as_array(e, **kw):
    return wire.positions(on_wire(e, **kw))


def random_event(rng, kind):
    names = wire.DISPATCH if kind == "dispatch" else wire.MESSAGE
    texts = wire.DISPATCH[3:14] + wire.DISPATCH[17:18] + (names[19:26] if kind == "dispatch" else names[19:21])
    e = {"kind": kind, "event_id": rng.randbytes(16).hex(), "ts_ms": TS + rng.randrange(10**6)}
    for name in names[3:]:
        if rng.random() < 0.4:
            continue
        if name == "tags":
            e[name] = {"t%d" % i: "v" * rng.choice((0, 1, 31, 32, 255)) for i in range(rng.randrange(1, 17))}
        elif name in wire.ENUMS:
            e[name] = rng.choice(list(wire.ENUMS[name]))
        elif name in texts:
            e[name] = rng.choice("aé€🙂") * rng.choice((1, 7, 31, 32, 63))
            e[name] = e[name][:255]
        elif name == "http_status":
            e[name] = rng.choice((0, 200, 429, 999))
        elif name == "partial":
            e[name] = rng.randrange(2)
        else:
            e[name] = rng.choice((0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, NUMBER_MAX))
    return e


def batches():
    out = []

    def add(name, form, events, wires, source="vectors", epoch=81985529216486895, stream=0, base=0, first_seq=1,
            after=()):
        frame = pack([1, 1, source, epoch, stream, base, first_seq, wires, *after])
        out.append({"name": name, "form": form,
                    "batch": {"source": source, "epoch": epoch, "stream": stream, "base": base, "first_seq": first_seq},
                    "events": events, "hex": frame.hex()})

    def every(n):
        return [full_dispatch(n), full_message(n), report(n)]

    add("every field, array form", "array", every(0), [as_array(e) for e in every(0)])
    add("every field, map form", "map", every(1), [on_wire(e, enum_names=True) for e in every(1)], stream=1)
    add("array form with the names of enumerations", "array", every(2)[:2],
        [as_array(e, enum_names=True) for e in every(2)[:2]], stream=2)
    add("map form with the numbers of enumerations, event_id as hex digits", "map", every(3)[:2],
        [dict(on_wire(e), event_id=e["event_id"]) for e in every(3)[:2]], stream=3)

    kinds = [{"kind": k} for k in wire.KINDS if k != "report"]
    add("nothing but the kind, each kind", "mixed", kinds * 2,
        [as_array(e) for e in kinds] + [on_wire(e, enum_names=True) for e in kinds], stream=4)
    add("nothing but the kind: nil in every other position", "array", kinds[:2],
        [[1] + [None] * 39, [16] + [None] * 23], stream=5)
    empty = dict.fromkeys(wire.DISPATCH[3:14] + wire.DISPATCH[17:18] + wire.DISPATCH[19:26], "")
    add("empty strings, 0 enumerations and an empty map of tags are unknown", "mixed", [{"kind": "dispatch"}] * 2,
        [wire.positions(dict(empty, kind=1, trigger=0, granularity=0, status=0, tags={})),
         dict(empty, kind=1, trigger=0, granularity=0, status=0, tags={}, event_id=None, ts_ms=None)], stream=6)

    zero = dict({"kind": "dispatch"}, **dict.fromkeys(wire.DISPATCH[26:], 0))
    add("0 is known", "mixed", [zero] * 2, [as_array(zero), on_wire(zero)], stream=7)
    top = dict({"kind": "dispatch", "ts_ms": TS}, **dict.fromkeys(wire.DISPATCH[26:], NUMBER_MAX))
    top.update(http_status=999, partial=1, cost_reported_nanousd=COST_MAX)
    told = {"kind": "report", "ts_ms": TS, "body": {"emitted": 2**63 - 1}}
    add("the largest numbers", "array", [top, told], [as_array(top), as_array(told)], epoch=2**63 - 1,
        stream=2**32 - 1)

    whole = {"kind": "dispatch", "ts_ms": TS, "prompt_tokens": 1200, "completion_tokens": NUMBER_MAX, "latency_ms": 840,
             "partial": 1}
    add("whole floats and a bool", "mixed", [whole] * 2,
        [wire.positions({"kind": 1, "ts_ms": Float(TS), "prompt_tokens": Float32(1200),
                         "completion_tokens": Float(NUMBER_MAX), "latency_ms": Float(840), "partial": True}),
         {"kind": 1, "ts_ms": Float(TS), "prompt_tokens": Float(1200), "completion_tokens": Float(NUMBER_MAX),
          "latency_ms": Float32(840), "partial": True}], stream=8)
    wide = {"kind": "dispatch", "ts_ms": TS, "session_id": "s", "prompt_tokens": 5, "tags": {"a": "b"}}
    long_form = [Raw(b"\xce\0\0\0\1"), None, TS, Raw(b"\xdb\0\0\0\1s")] + [None] * 14 + \
        [Raw(b"\xdf\0\0\0\1" + b"\xda\0\1a" + b"\xd9\1b")] + [None] * 8 + [Raw(b"\xd3" + bytes(7) + b"\5")]
    add("numbers, strings and maps in longer forms than they need; a positive number as a signed one", "array", [wide],
        [Raw(b"\xdd" + len(long_form).to_bytes(4, "big") + b"".join(map(pack, long_form)))], stream=9)

    text = {"kind": "dispatch", "session_id": "Sitzung-Ü-会话-🙂", "agent_id": "a" * 255, "model": "é" * 127,
            "tags": {"t%02d" % i: "v" * 255 for i in range(16)}}
    add("UTF-8, strings of 255 bytes, 16 tags", "mixed", [text] * 2, [as_array(text), on_wire(text)], stream=10)

    mended = {"kind": "dispatch", "session_id": "a\ufffdb", "model": "\ufffd", "latency_ms": 7, "tags": {"k\ufffd": "v"}}
    broken = {"kind": 1, "session_id": Raw(b"\xa3a\xffb"), "model": Raw(b"\xa1\x80"), "latency_ms": 7,
              "tags": Raw(b"\x81\xa2k\xfe\xa1v")}
    add("strings that are not UTF-8", "mixed", [mended] * 3,
        [wire.positions(broken), broken, wire.positions(broken) + [None] * 4 + ["l" * 700, Raw(b"\xda\2\0" + b"\xff" * 512)]],
        stream=16)

    plain = {"kind": "dispatch", "session_id": "s", "latency_ms": 7}
    msg = {"kind": "agent_end", "session_id": "s", "outcome": "failed"}
    rep = {"kind": "report", "ts_ms": TS, "body": {"emitted": 1}}
    add("fields of a later version: after the known ones, of any type", "mixed", [plain, msg, rep, plain, msg, rep],
        [as_array(plain) + [None] * (40 - len(as_array(plain))) + [1, "x", [1, {"y": -2.5}], None, b"\0\1"],
         as_array(msg) + [None, None, -7, {"k": [1, 2]}], as_array(rep) + ["later", 2],
         dict(on_wire(plain), later="x", nested={"a": [1, -2, 1.5]}), dict(on_wire(msg), later=None),
         dict(on_wire(rep), later=[1])], stream=11)
    add("elements of a later version after the batch's own", "array", [plain], [as_array(plain)], stream=12,
        after=(None, {"zone": "Europe/Berlin"}, 7))

    many = [{"kind": "dispatch", "ts_ms": TS + i, "session_id": "s-%d" % (i % 3), "prompt_tokens": i} for i in range(20)]
    add("many events, base and first_seq within the stream", "array", many, [as_array(e) for e in many], stream=13,
        base=41, first_seq=42)
    add("a source of 255 bytes", "array", [plain], [as_array(plain)], source="ü" * 127 + "x", stream=0)

    rng = random.Random(7)

    def draw():
        return [random_event(rng, rng.choice(["dispatch", "dispatch", "message_received", "agent_end"])) for _ in range(12)]

    some = draw()
    add("random fields, array form", "array", some, [as_array(e) for e in some], stream=14)
    some = draw()
    add("random fields, map form, names in any order", "map", some,
        [Map(rng.sample(list(on_wire(e).items()), len(e))) for e in some], stream=15)
    return out


def replies():
    out = []
    for name, v, after in [
            ("settled", (81985529216486895, 0, 1000, 0, 0, 0, None), ()),
            ("settled, all duplicates", (2**63 - 1, 2**32 - 1, 2**40, 0, 8192, 0, None), ()),
            ("gap", (1, 0, 0, 1, 0, 0, None), ()), ("busy", (1, 0, 17, 2, 0, 1500, "disk full"), ()),
            ("refused", (1, 0, 17, 3, 0, 0, "an event is not an array or a map"), ()),
            ("a later version's elements", (1, 0, 17, 0, 1, 0, None), (["x"], 7))]:
        keys = ("epoch", "stream", "settled", "status", "duplicates", "retry_after_ms", "text")
        out.append({"name": name, "reply": dict(zip(keys, v)), "hex": pack([1, 2, *v, *after]).hex()})
    return out


# -------------------------------------------------------------------- rejects
def reject_frames():
    good = [1, None, TS, "s"]
    epochs = iter(range(1000, 2000))  # another stream for each frame, so that none is a repeat

    def ok():
        return [1, 1, "vectors", next(epochs), 0, 0, 1, [good]]

    def but(at, v):
        batch = ok()
        batch[at] = v
        return pack(batch)

    deep = b"\x91" * 10000 + b"\xc0"
    frames = [
        ("nothing", b"", "dropped"), ("one byte that MessagePack never uses", b"\xc1", "dropped"),
        ("nil", pack(None), "dropped"), ("a number", pack(7), "dropped"),
        ("text", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "dropped"), ("a map", pack({"version": 1}), "dropped"),
        ("an empty array", pack([]), "dropped"), ("7 elements", pack(ok()[:7]), "dropped"),
        ("a header that claims 4 billion elements", b"\xdd\xff\xff\xff\xff", "dropped"),
        ("a map header that claims 4 billion pairs", b"\xdf\xff\xff\xff\xff", "dropped"),
        ("nested 10,000 deep", deep, "dropped"), ("type 2 (a reply)", but(1, 2), "dropped"),
        ("type is a string", but(1, "batch"), "dropped"), ("version is a string", but(0, "1"), "dropped"),
        ("source is a number", but(2, 7), "dropped"), ("source is nil", but(2, None), "dropped"),
        ("source is empty", but(2, ""), "dropped"), ("source of 256 bytes", but(2, "x" * 256), "dropped"),
        ("source is not UTF-8", but(2, Raw(b"\xa2\xc3\x28")), "dropped"),
        ("epoch is negative", but(3, -1), "dropped"), ("epoch of 2^63", but(3, 2**63), "dropped"),
        ("epoch is a string", but(3, "5"), "dropped"), ("stream of 2^32", but(4, 2**32), "dropped"),
        ("stream is negative", but(4, -1), "dropped"), ("base is negative", but(5, -1), "dropped"),
        ("base is a string", but(5, "0"), "dropped"), ("first_seq is nil", but(6, None), "dropped"),
        ("first_seq is a float that is not whole", but(6, Float(1.5)), "dropped"),
        ("first_seq is 0", but(6, 0), "refused"), ("version 0", but(0, 0), "refused"), ("version 2", but(0, 2), "refused"),
        ("events is nil", but(7, None), "refused"), ("events is a map", but(7, {}), "refused"),
        ("no event", but(7, []), "refused"), ("8193 events", but(7, [[1]] * 8193), "refused"),
        ("events claims 4 billion", but(7, Raw(b"\xdd\xff\xff\xff\xff")), "refused"),
        ("an event nested 10,000 deep", but(7, Raw(deep)), "quarantined"),
        ("an event nested one deeper than allowed", but(7, [[1] + [None] * 39 + [nest(NEST_MAX)]]), "quarantined"),
        ("an event holds a byte that MessagePack never uses", but(7, [Raw(b"\x92\x01\xc1")]), "quarantined"),
        ("an event's map claims 4 billion pairs", but(7, [Raw(b"\xdf\xff\xff\xff\xff\x01\x02")]), "quarantined"),
        ("a string that claims 4 GiB", but(7, [Raw(b"\x92\x01\xdb\xff\xff\xff\xff")]), "quarantined"),
        ("an ext that claims 4 GiB", but(7, [Raw(b"\x92\x01\xc9\xff\xff\xff\xff\x01")]), "quarantined"),
    ]
    size, events_at = len(pack(ok())), len(pack(ok()[:7])) + 1  # where the first event begins
    frames += [("cut after %d of %d bytes" % (n, size), pack(ok())[:n],
                "quarantined" if n > events_at else "refused" if n >= events_at - 1 else "dropped")
               for n in range(1, size)]
    return [{"name": n, "outcome": o, "hex": f.hex()} for n, f, o in frames]


def nest(depth):
    return [nest(depth - 1)] if depth > 0 else 1


def reject_events():
    def d(**kw):
        return wire.positions(dict({"kind": 1}, **kw))

    pairs17 = {"t%d" % i: "v" for i in range(17)}
    bad = [
        ("event is a number", 7), ("event is a string", "dispatch"), ("event is nil", None),
        ("an empty array", []), ("an empty map", {}), ("no kind", {"session_id": "s"}), ("kind is nil", [None, None, TS]),
        ("kind is 0", [0]), ("kind is unknown", [99]), ("kind's name is unknown", {"kind": "dispach"}),
        ("kind is negative", [-1]), ("kind is a map", [{}]),
        ("event_id of 15 bytes", d(event_id=b"x" * 15)), ("event_id of 17 bytes", d(event_id=b"x" * 17)),
        ("event_id is empty", d(event_id=b"")), ("event_id is a number", d(event_id=7)),
        ("event_id of 31 hex digits", {"kind": 1, "event_id": "0" * 31}),
        ("event_id with a letter that is no hex digit", {"kind": 1, "event_id": "g" * 32}),
        ("ts_ms is negative", d(ts_ms=-1)), ("ts_ms is text", d(ts_ms="2026-11-20T00:00:00Z")),
        ("session_id is a number", d(session_id=42)), ("session_id is binary", d(session_id=b"s-42")),
        ("session_id of 256 bytes", d(session_id="s" * 256)), ("agent_id of 256 bytes", d(agent_id="a" * 256)),
        ("agent_id is an array", d(agent_id=["a"])), ("error_type of 3,000 bytes", d(error_type="e" * 3000)),
        ("run_id is a bool", d(run_id=True)), ("run_id of 256 bytes", d(run_id="r" * 256)),
        ("trigger is negative", d(trigger=-1)), ("status is a map", d(status={})),
        ("tags is a string", d(tags="a=b")), ("tags is an array", d(tags=["a", "b"])), ("17 tags", d(tags=pairs17)),
        ("a tag's value is a number", d(tags={"a": 1})), ("a tag's name is a number", d(tags={1: "a"})),
        ("a tag's value of 256 bytes", d(tags={"a": "v" * 256})), ("tags that hold a map", d(tags={"a": {"b": "c"}})),
        ("prompt_tokens is negative", d(prompt_tokens=-1)), ("prompt_tokens of 2^63", d(prompt_tokens=2**63)),
        ("prompt_tokens of 10^12+1", d(prompt_tokens=NUMBER_MAX + 1)), ("ts_ms of the year 10000", d(ts_ms=TS_MAX + 1)),
        ("cost_reported_nanousd of 10^13+1", d(cost_reported_nanousd=COST_MAX + 1)),
        ("an unknown trigger", d(trigger=99)), ("an unknown trigger's name", d(trigger="whim")),
        ("an unknown status", d(status=6)), ("an unknown granularity's name", d(granularity="day")),
        ("event_id is an empty string", d(event_id="")),
        ("prompt_tokens of 1.5", d(prompt_tokens=Float(1.5))), ("prompt_tokens is not a number", d(prompt_tokens=Float("nan"))),
        ("prompt_tokens is infinite", d(prompt_tokens=Float("inf"))), ("prompt_tokens as a float of 2^53", d(prompt_tokens=Float(2**53))),
        ("prompt_tokens is negative, a float", d(prompt_tokens=Float(-3))), ("prompt_tokens is text", d(prompt_tokens="1200")),
        ("prompt_tokens is true", d(prompt_tokens=True)), ("http_status of 1000", d(http_status=1000)), ("partial of 2", d(partial=2)),
        ("partial is text", d(partial="yes")), ("cost_reported_nanousd of 2^64-1", d(cost_reported_nanousd=2**64 - 1)),
        ("a name that is a number", {"kind": 1, 7: 1}), ("a name that is a map", Map([("kind", 1), ({}, 1)])),
        ("message: outcome is an array", [18] + [None] * 20 + [[1]]), ("message: bytes is negative", [18] + [None] * 21 + [-1]),
        ("report without a body", [2, None, TS]), ("report: body is a string", [2, None, TS, "x"]),
        ("report: body is an array", [2, None, TS, [1]]), ("report: body holds an array", [2, None, TS, {"a": [1]}]),
        ("report: body nested too deep", [2, None, TS, {"a": {"b": {"c": 1}}}]),
        ("report: body over 16 KiB", [2, None, TS, {"k%d" % i: "v" * 250 for i in range(70)}]),
        ("report: a name is a number", [2, None, TS, {1: 1}]),
    ]
    return [{"name": n, "hex": pack(e).hex()} for n, e in bad]


FILES = {
    "event_id.json": ids,
    "batch.json": lambda: {"about": "batches and replies: bytes, and what they say", "batches": batches(),
                           "replies": replies()},
    "reject.json": lambda: {
        "about": "frames that get no reply (dropped) or status 3 (refused), or whose one event is quarantined; events "
                 "that are quarantined while the rest of their batch is stored",
        "frames": reject_frames(), "events": reject_events()},
}


def lines(v, indent=0):
    """JSON with one list item a line, so that a difference can be read."""
    pad = " " * indent
    if isinstance(v, dict) and indent == 0:
        return "{\n" + ",\n".join(" %s: %s" % (json.dumps(k), lines(x, 1)) for k, x in v.items()) + "\n}\n"
    if isinstance(v, list):
        return "[\n" + ",\n".join(pad + " " + json.dumps(x, ensure_ascii=False) for x in v) + "\n" + pad + "]"
    return json.dumps(v, ensure_ascii=False)


def main():
    if not wire.murmur3_is_right():
        sys.exit("wire.py: MurmurHash3 does not pass its own verification")
    differ = 0
    for name, make in FILES.items():
        path, text = os.path.join(VECTORS, name), lines(make())
        if "--check" in sys.argv[1:]:
            with open(path, encoding="utf-8") as f:
                if f.read() != text:
                    print("%s differs from what make_vectors.py writes" % name)
                    differ = 1
            continue
        os.makedirs(VECTORS, exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    return differ


if __name__ == "__main__":
    sys.exit(main())
