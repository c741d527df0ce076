# SPDX-License-Identifier: MIT
"""What destinations are sent, read by what others wrote: Python's email, json and hmac, and openssl."""
import email
import email.policy
import email.utils
import hashlib
import hmac
import json
import os
import re
import subprocess
import tempfile

from harness import BUILD, TOP

TS_MS = 1795284245000  # 2026-11-21T18:04:05Z
KEY = "0123456789abcdef0123456789abcdef"
HOSTILE = "<!channel> @everyone \u6f22\u5b57\r\nBcc: victim@example.org\r\n\r\n\u202e\x07 =?UTF-8?B?eA==?= \U0001f642 "
EMAIL = {"email": {"to": ["a@example.org", "b@example.org"], "from": "toll@gate.example", "server": "smtps://h.example"}}


def alert(n, **more):
    return dict({"id": n, "ts_ms": TS_MS + n, "count": 1, "kind": "overrun", "severity": "warning", "title": "alert %d" % n,
                 "subject": {"agent": "a"}, "evidence": {"spent": 4200000000, "limit": 5000000000, "unit": "usd"}}, **more)


def payload(destination, alerts):
    given = {"destination": destination, "key": KEY, "link": "https://x.example", "now_ms": TS_MS, "alerts": alerts}
    return subprocess.run([os.path.join(BUILD, "tools", "payload")], input=json.dumps(given).encode(), check=True,
                          stdout=subprocess.PIPE, timeout=60).stdout


def mail(alerts):
    raw = payload(EMAIL, alerts)
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in raw.split(b"\r\n"))
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert not found.defects, found.defects
    return found


def test_a_mail_is_read_by_python():
    m = mail([alert(7, severity="critical", title="budget d\u00e4ily: over its limit")])
    assert m["Subject"] == "[Tollgate] CRITICAL overrun: budget d\u00e4ily: over its limit", m["Subject"]
    assert [a.addr_spec for a in m["To"].addresses] == ["a@example.org", "b@example.org"]
    assert [a.addr_spec for a in m["From"].addresses] == ["toll@gate.example"]
    assert m["Message-ID"] == "<tollgate.%s@gate.example>" % KEY
    assert email.utils.parsedate_to_datetime(m["Date"]).timestamp() * 1000 == TS_MS
    assert m.get_content_type() == "text/plain" and m.get_content_charset() == "utf-8"
    text = m.get_content()
    for part in ("CRITICAL overrun: budget d\u00e4ily", "spent: $4.20 of $5.00", "https://x.example/v1/alerts/7"):
        assert part in text, text


def test_no_name_makes_a_header():
    names = ["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
             "Content-Transfer-Encoding"]
    title = (HOSTILE * 20).encode()[:500].decode(errors="ignore")
    for count in (1, 12):
        found = [alert(n, title=title, subject={"agent": title, "tag.\r\nX: y": title}) for n in range(1, count + 1)]
        m = mail(found)
        assert m.keys() == names, m.keys()
        assert "\r" not in m["Subject"] and "\n" not in m["Subject"] and "\u202e" not in m["Subject"]
        assert "\u6f22\u5b57" in m["Subject"] if count == 1 else m["Subject"].startswith("[Tollgate] 12 alerts: 12 warning")
        text = m.get_content()
        assert not re.search(r"^(Bcc|X):", text, re.M) and "\u202e" not in text and "\x07" not in text
        assert ("and 2 more: https://x.example/v1/alerts?from=2026-11-21T18:04:05.001Z" in text) == (count == 12)


def test_a_signature_is_what_others_compute():
    out = payload({"webhook": {"url": "https://h.example", "secret": "s3cret"}}, [alert(1, title=HOSTILE)])
    body, _, signature = out.rpartition(b"\n")
    stamp = b"%d." % (TS_MS // 1000)
    assert signature.decode() == "sha256=" + hmac.new(b"s3cret", stamp + body, hashlib.sha256).hexdigest()
    told = subprocess.run(["openssl", "dgst", "-sha256", "-hmac", "s3cret"], input=stamp + body, check=True,
                          stdout=subprocess.PIPE, timeout=60).stdout
    assert told.split()[-1] == signature.partition(b"=")[2]
    assert json.loads(body)["alerts"][0]["title"] == HOSTILE  # who reads JSON gets it as it was


def documented():
    """The code blocks of schema/alert.md by language."""
    with open(os.path.join(TOP, "schema", "alert.md"), encoding="utf-8") as f:
        return re.findall(r"^```(\w*)\n(.*?)^```", f.read(), re.M | re.S)


def test_the_documented_checks_work():
    out = payload({"webhook": {"url": "https://h.example", "secret": "s3cret"}}, [alert(1)])
    body, _, signature = out.rpartition(b"\n")
    blocks = documented()
    code, = (text for language, text in blocks if language == "python")
    header = "t=%d,%s" % (TS_MS // 1000, signature.decode())
    names = {}
    exec(compile(code, "alert.md", "exec"), names)
    names["time"] = type("clock", (), {"time": staticmethod(lambda: TS_MS / 1000 + 200)})
    assert names["is_genuine"](header, body, b"s3cret")
    assert not names["is_genuine"](header, body + b" ", b"s3cret")
    assert not names["is_genuine"](header, body, b"another")
    names["time"] = type("clock", (), {"time": staticmethod(lambda: TS_MS / 1000 + 400)})
    assert not names["is_genuine"](header, body, b"s3cret")
    shell, = (text for language, text in blocks if language == "")
    with tempfile.TemporaryDirectory() as where:
        with open(os.path.join(where, "body.json"), "wb") as f:
            f.write(body)
        env = dict(os.environ, t=str(TS_MS // 1000), SECRET="s3cret")
        told = subprocess.run(["sh", "-c", shell], cwd=where, env=env, check=True, stdout=subprocess.PIPE, timeout=60).stdout
    assert b"sha256=" + told.split()[-1] == signature


def test_the_documented_body_is_what_is_sent():
    example, = (json.loads(text) for language, text in documented() if language == "json")
    sent = json.loads(payload({"webhook": {"url": "https://h.example"}}, [alert(1)]))

    def shape(value):
        return {k: shape(v) if k not in ("subject", "evidence") else dict for k, v in value.items()} if isinstance(
            value, dict) else [shape(v) for v in value] if isinstance(value, list) else type(value)

    assert shape(example) == shape(sent), (shape(example), shape(sent))
