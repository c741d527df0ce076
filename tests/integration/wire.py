# SPDX-License-Identifier: MIT
"""The wire of schema/wire.md in Python: a MessagePack packer and reader, and event ids.

Written from the specification and MessagePack's own, not from this project's C code: the tests'
second opinion. Float, Raw and Forced let a test say exactly which bytes it wants.
"""
import struct

KINDS = {"dispatch": 1, "report": 2, "message_received": 16, "message_sending": 17, "message_sent": 18,
         "agent_end": 19, "before_agent_finalize": 20}
HEAD = ["kind", "event_id", "ts_ms", "session_id", "parent_session_id", "root_session_id", "agent_id", "user_id",
        "provider", "model", "requested_model", "surface", "channel", "lane", "trigger", "granularity", "status",
        "error_type", "tags"]
DISPATCH = HEAD + ["run_id", "call_id", "response_id", "trace_id", "span_id", "reservation_id", "tool_used", "attempt",
                   "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_write_tokens",
                   "cache_write_1h_tokens", "reasoning_tokens", "tool_calls", "latency_ms", "ttft_ms", "http_status",
                   "partial", "cost_reported_nanousd"]
MESSAGE = HEAD + ["run_id", "message_id", "outcome", "bytes", "latency_ms"]
REPORT = ["kind", "event_id", "ts_ms", "body"]
ENUMS = {
    "kind": KINDS,
    "trigger": {n: i + 1 for i, n in enumerate("user heartbeat cron subagent compaction retry plugin".split())},
    "granularity": {"call": 1, "run": 2, "turn": 3},
    "status": {n: i + 1 for i, n in enumerate("ok error timeout aborted blocked".split())},
    "outcome": {n: i + 1 for i, n in enumerate("delivered failed rewritten cancelled observed".split())},
}
SETTLED, GAP, BUSY, REFUSED = 0, 1, 2, 3


class Float(float):
    """Packed as a 64-bit float."""


class Float32(float):
    """Packed as a 32-bit float."""


class Raw(bytes):
    """Bytes that are put into the message as they are."""


class Map(list):
    """A map as a list of pairs: any keys, any order, repeats allowed."""


def _head(n, fix, fix_max, codes):
    if n <= fix_max:
        return bytes([fix | n])
    for code, form, limit in codes:
        if n <= limit:
            return bytes([code]) + struct.pack(form, n)
    raise ValueError(n)


def _pack_int(v):
    if 0 <= v < 128:
        return bytes([v])
    if -32 <= v < 0:
        return struct.pack(">b", v)
    if v > 0:
        for code, form, limit in ((0xcc, ">B", 0xff), (0xcd, ">H", 0xffff), (0xce, ">I", 2**32 - 1),
                                  (0xcf, ">Q", 2**64 - 1)):
            if v <= limit:
                return bytes([code]) + struct.pack(form, v)
    for code, form, limit in ((0xd0, ">b", 2**7), (0xd1, ">h", 2**15), (0xd2, ">i", 2**31), (0xd3, ">q", 2**63)):
        if -limit <= v < 0:
            return bytes([code]) + struct.pack(form, v)
    raise ValueError(v)


def pack(v):
    if isinstance(v, Raw):
        return bytes(v)
    if v is None:
        return b"\xc0"
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        return _pack_int(v)
    if isinstance(v, Float32):
        return b"\xca" + struct.pack(">f", v)
    if isinstance(v, float):
        return b"\xcb" + struct.pack(">d", v)
    if isinstance(v, str):
        b = v.encode("utf-8", "surrogateescape")
        return _head(len(b), 0xa0, 31, ((0xd9, ">B", 0xff), (0xda, ">H", 0xffff), (0xdb, ">I", 2**32 - 1))) + b
    if isinstance(v, bytes):
        return _head(len(v), 0, -1, ((0xc4, ">B", 0xff), (0xc5, ">H", 0xffff), (0xc6, ">I", 2**32 - 1))) + v
    if isinstance(v, dict) or isinstance(v, Map):
        pairs = list(v.items()) if isinstance(v, dict) else v
        return _head(len(pairs), 0x80, 15, ((0xde, ">H", 0xffff), (0xdf, ">I", 2**32 - 1))) + \
            b"".join(pack(k) + pack(x) for k, x in pairs)
    if isinstance(v, (list, tuple)):
        return _head(len(v), 0x90, 15, ((0xdc, ">H", 0xffff), (0xdd, ">I", 2**32 - 1))) + b"".join(map(pack, v))
    raise TypeError(type(v))


def unpack(data):
    """One value that fills data exactly."""
    value, at = _unpack(memoryview(data), 0)
    if at != len(data):
        raise ValueError("%d bytes left over" % (len(data) - at))
    return value


_SCALARS = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h",
            0xd2: ">i", 0xd3: ">q"}
_SIZED = {0xc4: (">B", "bin"), 0xc5: (">H", "bin"), 0xc6: (">I", "bin"), 0xd9: (">B", "str"), 0xda: (">H", "str"),
          0xdb: (">I", "str"), 0xdc: (">H", "array"), 0xdd: (">I", "array"), 0xde: (">H", "map"), 0xdf: (">I", "map")}


def _unpack(m, at):
    b = m[at]
    at += 1
    if b < 0x80:
        return b, at
    if b >= 0xe0:
        return b - 256, at
    if b < 0x90:
        kind, n = "map", b & 15
    elif b < 0xa0:
        kind, n = "array", b & 15
    elif b < 0xc0:
        kind, n = "str", b & 31
    elif b in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[b], at
    elif b in _SCALARS:
        size = struct.calcsize(_SCALARS[b])
        return struct.unpack(_SCALARS[b], m[at:at + size])[0], at + size
    elif b in _SIZED:
        form, kind = _SIZED[b]
        size = struct.calcsize(form)
        n = struct.unpack(form, m[at:at + size])[0]
        at += size
    else:
        raise ValueError("byte 0x%02x" % b)
    if kind in ("str", "bin"):
        piece = bytes(m[at:at + n])
        if len(piece) != n:
            raise ValueError("cut short")
        return (piece if kind == "bin" else piece.decode("utf-8", "replace")), at + n
    items = []
    for _ in range(n * (2 if kind == "map" else 1)):
        item, at = _unpack(m, at)
        items.append(item)
    return (dict(zip(items[::2], items[1::2])) if kind == "map" else items), at


_M64 = 2**64 - 1


def _rotl(x, r):
    return ((x << r) | (x >> (64 - r))) & _M64


def _mix(k):
    k = (k ^ (k >> 33)) * 0xff51afd7ed558ccd & _M64
    k = (k ^ (k >> 33)) * 0xc4ceb9fe1a85ec53 & _M64
    return k ^ (k >> 33)


def murmur3_x64_128(data, seed=0):
    c1, c2 = 0x87c37b91114253d5, 0x4cf5ad432745937f
    h1 = h2 = seed
    body = len(data) & ~15
    for at in range(0, body, 16):
        k1, k2 = struct.unpack_from("<QQ", data, at)
        h1 ^= _rotl(k1 * c1 & _M64, 31) * c2 & _M64
        h1 = ((_rotl(h1, 27) + h2) * 5 + 0x52dce729) & _M64
        h2 ^= _rotl(k2 * c2 & _M64, 33) * c1 & _M64
        h2 = ((_rotl(h2, 31) + h1) * 5 + 0x38495ab5) & _M64
    tail = data[body:]
    if len(tail) > 8:
        h2 ^= _rotl(int.from_bytes(tail[8:], "little") * c2 & _M64, 33) * c1 & _M64
    if tail:
        h1 ^= _rotl(int.from_bytes(tail[:8], "little") * c1 & _M64, 31) * c2 & _M64
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & _M64
    h2 = (h2 + h1) & _M64
    h1, h2 = _mix(h1), _mix(h2)
    h1 = (h1 + h2) & _M64
    h2 = (h2 + h1) & _M64
    return struct.pack("<QQ", h1, h2)


def murmur3_is_right():
    """SMHasher's own verification of a hash: keys of 0 to 255 bytes, then the hash of the hashes."""
    hashes = b"".join(murmur3_x64_128(bytes(range(i)), 256 - i) for i in range(256))
    return murmur3_x64_128(hashes)[:4] == struct.pack("<I", 0x6384ba69)


def event_id(session, response=None, span=None):
    """Rules 1 and 2 of schema/wire.md, "Identity"; None where neither name is known."""
    if not response and not span:
        return None
    tag, name = (b"r", response) if response else (b"s", span)
    return murmur3_x64_128(tag + (session or "").encode() + b"\0" + name.encode())


def positions(event):
    """The array form of an event given as {name: value}; trailing unknowns are left out."""
    kind = event["kind"]
    code = KINDS.get(kind, kind)
    names = REPORT if code == 2 else DISPATCH if code == 1 else MESSAGE
    out = [code if n == "kind" else event.get(n) for n in names]
    while out[-1] is None:
        out.pop()
    return out


def batch(source, epoch, stream, base, first_seq, events):
    return pack([1, 1, source, epoch, stream, base, first_seq, events])


class Reply:
    def __init__(self, frame):
        v = unpack(frame)
        if v[:2] != [1, 2]:
            raise ValueError("not a reply: %r" % (v,))
        self.epoch, self.stream, self.settled, self.status, self.duplicates, self.retry_after_ms, self.text = v[2:9]

    def __repr__(self):
        return "Reply(%s)" % ", ".join("%s=%r" % kv for kv in vars(self).items())
