# SPDX-License-Identifier: MIT
"""What alerts are told to, for the tests: an HTTP server that behaves as it is told to, certificates made by openssl, a
real SMTP server (Debian's python3-aiosmtpd, in a process of its own), and adnanh's `webhook`, which checks signatures
by code that is not ours."""
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading

from harness import TOP, Process, Skip, wait_until

DEBIAN_PYTHON = "/usr/bin/python3"  # that has Debian's packages
UNPACKED = os.path.join(TOP, "build", "debian", "usr", "bin")  # where `make deps-test` puts programs
SECRET = "s3cret of the hook"


class Request:
    def __init__(self, path, headers, raw, at_ns):
        self.path, self.headers, self.raw, self.at_ns = path, headers, raw, at_ns
        self.body = json.loads(raw)
        self.key = headers["Idempotency-Key"]
        self.status = None  # until it is answered

    @property
    def ids(self):
        return [a["id"] for a in self.body["alerts"]]


def is_signed(request, secret=SECRET):
    """By the words of schema/alert.md."""
    stamp, mac = request.headers["X-Tollgate-Signature"].removeprefix("t=").split(",sha256=")
    ours = hmac.new(secret.encode(), stamp.encode() + b"." + request.raw, hashlib.sha256).hexdigest()
    bare = hmac.new(secret.encode(), request.raw, hashlib.sha256).hexdigest()
    return hmac.compare_digest(mac, ours) and request.headers["X-Hub-Signature-256"] == "sha256=" + bare


class Receiver:
    """with Receiver() as r: ... r.url, r.requests; r.status is what it answers, r.open whether it answers at all."""

    def __init__(self, context=None, clock=None):
        self.requests, self.lock, self.status, self.open = [], threading.Lock(), 200, threading.Event()
        self.open.set()
        self.echoes = False  # what it was asked for, and with which headers
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                r = Request(self.path, self.headers, raw, clock() if clock else 0)
                with outer.lock:
                    outer.requests.append(r)
                outer.open.wait()
                status = outer.status
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    said = "".join("%s\n" % h for h in (self.path, *self.headers.values()) if outer.echoes).encode()
                    self.send_header("Content-Length", str(len(said)))
                    self.end_headers()
                    self.wfile.write(said)
                r.status = status

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = "%s://localhost:%d/hook" % ("https" if context else "http", self.port)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()

    def taken(self):
        with self.lock:
            return [r for r in self.requests if r.status == 200]

    def wait(self, count=1, seconds=30, taken=True):
        """The first requests (taken: that were answered with 200)."""
        got = lambda: self.taken() if taken else list(self.requests)  # noqa: E731
        wait_until(lambda: "%d requests, not %d" % (len(got()), count), lambda: len(got()) >= count, seconds)
        return got()


# -------------------------------------------------------------------------- TLS
def certificate(lab, name):
    """A certificate that signs itself, for localhost: paths of certificate and key."""
    cert, key = lab.path(name + ".pem"), lab.path(name + ".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=120)
    return cert, key


def server_context(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


# ------------------------------------------------------------------------- SMTP
class MailServer(Process):
    """STARTTLS first, then AUTH: nobody gets in otherwise."""

    def __init__(self, lab, cert, key, user, password):
        if subprocess.run([DEBIAN_PYTHON, "-c", "import aiosmtpd"], capture_output=True, timeout=60).returncode != 0:
            raise Skip("Debian's python3-aiosmtpd is not here: make deps-test")
        self.mails, self.port = lab.path("mails"), 0
        script = os.path.join(TOP, "tests", "integration", "smtp_server.py")
        super().__init__(lab, [DEBIAN_PYTHON, "-B", script, cert, key, user, password, self.mails])
        self.port = int(self.popen.stdout.readline())

    def read(self):
        """What came: {"from", "to", "text"}."""
        try:
            with open(self.mails, encoding="utf-8") as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []


# ---------------------------------------------------------------------- webhook
def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class AdnanhWebhook(Process):
    """Runs a command for each request whose HMAC it finds right."""

    def __init__(self, lab, secret):
        path = shutil.which("webhook") or os.path.join(UNPACKED, "webhook")
        if not os.access(path, os.X_OK):
            raise Skip("webhook is not here: make deps-test")
        self.taken, self.port = lab.path("taken"), free_port()
        script, hooks = lab.path("take.sh"), lab.path("hooks.json")
        with open(script, "w", encoding="utf-8") as f:
            f.write('#!/bin/sh\necho "$1" >>%s\n' % self.taken)
        os.chmod(script, 0o700)
        with open(hooks, "w", encoding="utf-8") as f:
            json.dump([{
                "id": "alerts", "execute-command": script,
                "pass-arguments-to-command": [{"source": "payload", "name": "key"}],
                "trigger-rule": {"match": {"type": "payload-hmac-sha256", "secret": secret,
                                           "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}}}], f)
        super().__init__(lab, [path, "-hooks", hooks, "-ip", "127.0.0.1", "-port", str(self.port), "-verbose"])
        self.url = "http://127.0.0.1:%d/hooks/alerts" % self.port
        wait_until("webhook listens", self._listens)

    def _listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def keys(self):
        try:
            with open(self.taken, encoding="utf-8") as f:
                return f.read().split()
        except FileNotFoundError:
            return []
