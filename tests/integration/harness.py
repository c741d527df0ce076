# SPDX-License-Identifier: MIT
"""Real processes for the integration tests: a Lab starts tollgated and whatever else a test needs in a
temporary directory and on an ephemeral port, and leaves nothing behind.

    def test_something():
        with Lab() as lab:
            c = lab.collector()                       # ready when this returns
            with Dealer(c.endpoint) as d:
                d.send(wire.batch("me", 1, 0, 0, 1, [[1, None, None, "s-42"]]))
                assert d.reply().settled == 1
            assert c.get("/v1/usage").json()["totals"]["calls"] == 1

$TOLLGATE_BUILD names the folder of the binaries (default: build); under a sanitizer every time limit grows.
"""
import contextlib
import ctypes
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.parse

import wire

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(TOP, os.environ.get("TOLLGATE_BUILD", "build"))
SANITIZED = os.path.basename(BUILD.rstrip("/")) in ("asan", "tsan", "msan", "ubsan")
SLOWER = 6 if SANITIZED else 1  # factor on every time limit
STDERR_SHOWN = 6000  # bytes of each process's stderr that a failure prints

_libc = ctypes.CDLL(None, use_errno=True)


def patient(test):
    """A test that mostly waits: it runs beside the others."""
    test.patient = True
    return test


class Skip(Exception):
    """The test cannot run here; the runner says why."""


def program(name):
    path = os.path.join(BUILD, name)
    if not os.path.exists(path):
        raise FileNotFoundError("%s: build it first" % path)
    return path


def wait_until(what, condition, seconds=30):
    """The first true value of condition(), or AssertionError after seconds."""
    end = time.monotonic() + seconds * SLOWER
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %d s: %s" % (seconds * SLOWER, what() if callable(what) else what))
        time.sleep(0.02)


# ------------------------------------------------------------------- processes
def _die_with_runner():
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


class Process:
    def __init__(self, lab, args, env=None, stdin=subprocess.DEVNULL):
        self.name = os.path.basename(args[0])
        self.err_path = os.path.join(lab.dir, "%s-%d.err" % (self.name, len(lab.processes)))
        with open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(args, stdin=stdin, stdout=subprocess.PIPE, stderr=err, cwd=lab.dir,
                                          env=dict(lab.env, **(env or {})), preexec_fn=_die_with_runner)
        lab.processes.append(self)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def running(self):
        return self.popen.poll() is None

    def stderr(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def signal(self, sig):
        self.popen.send_signal(sig)

    def wait(self, seconds=30):
        """The exit status; stdout is in .out afterwards."""
        try:
            self.out = self.popen.communicate(timeout=seconds * SLOWER)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            raise AssertionError("%s (pid %d) still runs after %d s" % (self.name, self.pid, seconds * SLOWER)) from None
        return self.popen.returncode

    def finish(self, seconds=30, status=0):
        """Waits, wants that exit status, returns stdout."""
        got = self.wait(seconds)
        assert got == status, "%s exited with %r, not %r:\n%s" % (self.name, got, status, self.stderr()[-STDERR_SHOWN:])
        return self.out

    def kill(self):
        """kill -9, and gone when this returns."""
        if self.running:
            self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()

    def rss_kib(self):
        with open("/proc/%d/status" % self.pid, encoding="ascii", errors="replace") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1])

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.pid, encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Lab:
    """A temporary directory and the processes that live in it."""

    def __init__(self, dir=None):
        self._parent = dir

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="tollgate-", dir=self._parent)
        self.processes = []
        # Nothing of the caller's own Tollgate may be met: every default is led here.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("TOLLGATE_")}
        self.env.update(HOME=self.dir, XDG_RUNTIME_DIR=os.path.join(self.dir, "run"), TMPDIR=self.dir,
                        XDG_STATE_HOME=os.path.join(self.dir, "state"), NO_COLOR="1", LC_ALL="C.UTF-8")
        os.mkdir(self.env["XDG_RUNTIME_DIR"], 0o700)
        self.env.setdefault("TSAN_OPTIONS", "halt_on_error=1:suppressions=" + os.path.join(TOP, "tests", "tsan.supp"))
        return self

    def __exit__(self, kind, value, trace):
        for p in self.processes:
            with contextlib.suppress(OSError):
                p.signal(signal.SIGCONT)
            p.kill()
        said = []
        if kind is not None and not issubclass(kind, Skip):
            said = ["--- stderr of %s, pid %d:\n%s" % (p.name, p.pid, p.stderr()[-STDERR_SHOWN:])
                    for p in self.processes if p.stderr()]
        reports = [line for p in self.processes for line in p.stderr().splitlines()
                   if "Sanitizer" in line or "runtime error:" in line]
        shutil.rmtree(self.dir, ignore_errors=True)
        for text in said:
            print(text)
        if kind is None and reports:
            raise AssertionError("a sanitizer spoke: %s" % "; ".join(reports[:5]))
        return False

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def run(self, name, *args, **kw):
        """Starts a program of the build folder."""
        return Process(self, [program(name), *map(str, args)], **kw)

    def collector(self, *, start=True, **config):
        c = Collector(self, **config)
        if start:
            c.start()
        return c


# ------------------------------------------------------------------- collector
class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.body.decode()

    def ok(self):
        assert self.status == 200, "%d: %s" % (self.status, self.body[:600])
        return self

    def __repr__(self):
        return "Answer(%d, %r)" % (self.status, self.body[:300])


def yaml(value, indent=0):
    """The little YAML a configuration needs: maps, lists of scalars, scalars."""
    out = ""
    for key, v in value.items():
        if isinstance(v, dict):
            out += "%s%s:\n%s" % (" " * indent, key, yaml(v, indent + 2))
        else:
            out += "%s%s: %s\n" % (" " * indent, key, json.dumps(v))
    return out


def merge(into, more):
    for key, v in more.items():
        into[key] = merge(dict(into.get(key) or {}), v) if isinstance(v, dict) else v
    return into


class Collector:
    """One tollgated, over its restarts. Keyword arguments are merged into the configuration; a key
    that is set to None is left out."""

    def __init__(self, lab, name="c", **config):
        self.lab, self.name = lab, name
        self.dir = lab.path(name)
        os.makedirs(self.dir, 0o700, exist_ok=True)
        self.config_path = os.path.join(self.dir, "tollgate.yaml")
        self.database = os.path.join(self.dir, "events.db")
        self.endpoint = "ipc://" + os.path.join(self.dir, "events.sock")
        self.port, self.process = 0, None
        self.config = merge({"listen": {"events": [self.endpoint], "http": "127.0.0.1:0"},
                             "database": {"path": self.database}}, config)
        self.database = self.config["database"]["path"]
        self.configure()

    def configure(self, **config):
        """Writes the file (again); a running daemon reads it on HUP."""
        merge(self.config, config)
        with open(self.config_path, "w", encoding="utf-8") as f:
            f.write(yaml({k: v for k, v in self.config.items() if v is not None}))

    def start(self, ready=True):
        self.process = self.lab.run("tollgated", "-c", self.config_path)
        if self.port == 0:  # a restart keeps the port, so that a client that waits finds the daemon again
            self.port = wait_until("tollgated tells its HTTP port", self._port_told)
            self.configure(listen={"http": "127.0.0.1:%d" % self.port})
        if ready:
            self.wait_ready()
        return self

    def _port_told(self):
        assert self.process.running, "tollgated ended with %r" % self.process.popen.returncode
        m = re.search(r"event=ready .*http=http://127\.0\.0\.1:(\d+)", self.process.stderr())
        return int(m[1]) if m else 0

    def wait_ready(self, seconds=30):
        def ready():
            assert self.process.running, "tollgated ended with %r" % self.process.popen.returncode
            try:
                return self.get("/readyz").status == 200
            except OSError:
                return False
        wait_until("/readyz", ready, seconds)

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        self.process.kill()

    def stop(self, seconds=30):
        """TERM, and a clean end."""
        self.process.signal(signal.SIGTERM)
        self.process.finish(seconds)

    def restart(self):
        self.stop()
        return self.start()

    def stderr(self):
        return self.process.stderr()

    # HTTP
    def request(self, method, path, body=None, headers=None, query=None, timeout=60):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        if isinstance(body, (dict, list)):
            body, headers = json.dumps(body), dict({"Content-Type": "application/json"}, **(headers or {}))
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOWER)
        try:
            conn.request(method, path, body=body, headers=headers or {})
            r = conn.getresponse()
            return Answer(r.status, r.headers, r.read())
        except http.client.HTTPException as e:
            raise ConnectionError(repr(e)) from e
        finally:
            conn.close()

    def get(self, path, headers=None, timeout=60, **query):
        return self.request("GET", path, headers=headers, query=query, timeout=timeout)

    def post(self, path, body, content_type="application/json", **query):
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.request("POST", path, data, {"Content-Type": content_type}, query)

    def usage(self, **query):
        """Everything there is, unless told otherwise."""
        return self.get("/v1/usage", **dict({"from": 0, "to": 4102444800000}, **query)).ok().json()

    def metrics(self):
        """{'name{label="x"}': value}, exactly as exposed."""
        out = {}
        for line in self.get("/metrics").ok().text().splitlines():
            if line and not line.startswith("#"):
                key, _, value = line.rpartition(" ")
                out[key] = float(value)
        return out

    def metric(self, name, **labels):
        """The sum over all samples of that name that have those labels."""
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name and
                   all('%s="%s"' % kv in k for kv in labels.items()))

    # The file
    def sql(self, statement, *args):
        db = sqlite3.connect("file:%s?mode=ro" % self.database, uri=True, timeout=30)
        try:
            return db.execute(statement, args).fetchall()
        finally:
            db.close()

    def stored(self):
        """Dispatches in the file, as people would count them."""
        return self.sql("SELECT count(*) FROM dispatch")[0][0]


# ---------------------------------------------------------------------- ZeroMQ
_zmq = ctypes.CDLL("libzmq.so.5", use_errno=True)
for _name, _result in (("ctx_new", ctypes.c_void_p), ("socket", ctypes.c_void_p)):
    getattr(_zmq, "zmq_" + _name).restype = _result
_zmq.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
_zmq.zmq_setsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
_zmq.zmq_connect.argtypes = _zmq.zmq_bind.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_zmq.zmq_close.argtypes = [ctypes.c_void_p]
_zmq.zmq_send.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
_zmq.zmq_recv.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_zmq.zmq_strerror.restype = ctypes.c_char_p
_ctx = None
ZMQ_DEALER, ZMQ_SNDMORE = 5, 2
_INT_OPTIONS = {"linger": 17, "sndhwm": 23, "rcvhwm": 24, "rcvtimeo": 27, "sndtimeo": 28, "immediate": 39}
REPLY_MAX = 65536


class Dealer:
    """A raw DEALER: libzmq itself, through ctypes."""

    def __init__(self, endpoint, kind=ZMQ_DEALER, timeout=30, **options):
        global _ctx
        _ctx = _ctx or _zmq.zmq_ctx_new()
        self._s = _zmq.zmq_socket(_ctx, kind)
        ms = int(timeout * SLOWER * 1000)
        for name, value in dict({"linger": 0, "rcvtimeo": ms, "sndtimeo": ms, "rcvhwm": 0}, **options).items():
            v = ctypes.c_int(value)
            self._check(_zmq.zmq_setsockopt(self._s, _INT_OPTIONS[name], ctypes.byref(v), ctypes.sizeof(v)))
        self._check(_zmq.zmq_connect(self._s, endpoint.encode()))

    @staticmethod
    def _check(result):
        if result < 0:
            err = ctypes.get_errno()
            raise OSError(err, _zmq.zmq_strerror(err).decode())
        return result

    def send(self, *frames):
        for i, frame in enumerate(frames):
            self._check(_zmq.zmq_send(self._s, frame, len(frame), ZMQ_SNDMORE if i + 1 < len(frames) else 0))

    def recv(self, timeout=None, most=REPLY_MAX):
        """The next frame, of up to most bytes; TimeoutError if there is none in time (seconds)."""
        if timeout is not None:
            v = ctypes.c_int(int(timeout * 1000))
            self._check(_zmq.zmq_setsockopt(self._s, _INT_OPTIONS["rcvtimeo"], ctypes.byref(v), ctypes.sizeof(v)))
        buf = ctypes.create_string_buffer(most)
        try:
            n = self._check(_zmq.zmq_recv(self._s, buf, most, 0))
        except BlockingIOError:
            raise TimeoutError("no reply") from None
        return buf.raw[:n]

    def reply(self, timeout=None):
        return wire.Reply(self.recv(timeout))

    def close(self):
        if self._s:
            _zmq.zmq_close(self._s)
            self._s = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Stream:
    """A publisher of one stream that waits for each batch."""

    def __init__(self, dealer, source, epoch=1, stream=0):
        self.dealer, self.source, self.epoch, self.stream, self.settled = dealer, source, epoch, stream, 0

    def frame(self, events):
        return wire.batch(self.source, self.epoch, self.stream, self.settled, self.settled + 1, events)

    def publish(self, events, timeout=None):
        self.dealer.send(self.frame(events))
        while True:
            r = self.dealer.reply(timeout)
            if (r.epoch, r.stream) == (self.epoch, self.stream):
                break
        self.settled = max(self.settled, r.settled)
        return r


def raw_connect(endpoint):
    """A plain socket to where the collector listens for ZeroMQ."""
    if endpoint.startswith("ipc://"):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(endpoint[6:])
    else:
        host, _, port = endpoint[6:].rpartition(":")
        s = socket.create_connection((host, int(port)))
    s.settimeout(10 * SLOWER)
    return s


def closed_by_peer(s, seconds=30):
    """Reads s to its end; True if the peer closed it in time."""
    end = time.monotonic() + seconds * SLOWER
    while time.monotonic() < end:
        if select.select([s], [], [], 0.5)[0]:
            try:
                if not s.recv(65536):
                    return True
            except OSError:
                return True
    return False
