# SPDX-License-Identifier: MIT
"""The measurements of the store, for bench.py: flat, query, memory, disk, export, viewers.

All of them work on the lifelike load of tests/tools/lifelike.h (30 days, 100 calls a session). query, memory, disk,
export and viewers share one collector with EVENTS preloaded; query goes on with another one that has twice as many.
"""
import contextlib
import os
import re
import sqlite3
import statistics
import subprocess
import threading
import time

import emitters
import harness
from figures import bench, note

EVENTS = int(os.environ.get("TOLLGATE_BENCH_EVENTS", 10_000_000))
ROUNDS = int(os.environ.get("TOLLGATE_BENCH_ROUNDS", 300 if EVENTS >= 1_000_000 else 10))
DAYS, AGENTS, CALLS = 30, 50, 100
LIVE_RATE, BURST_MS = 10_000, 5
EXPORTED = min(1_000_000, EVENTS)
VIEWERS, VIEWER_BYTES_S = 100, 4096
PAUSE_MS = 2  # between two questions of the probe: a client that thinks a little
MEMORY_MIB, DISK_BYTES = 64, 150  # what the project allows itself
GROUPS = ("agent", "user", "provider", "model", "surface", "channel", "trigger", "lane", "status", "error_type", "source")


def millions(n):
    return "%gM" % (n / 1e6)


# --------------------------------------------------------------------- the load
def load(lab, c, events, *, first=0, **options):
    return emitters.load(lab, c, "bench", lifelike=True, agents=AGENTS, first=first, events=events, wait_s=3600,
                         **dict({"threads": 1, "sessions": max(1, events // CALLS), "spool_mib": 64}, **options))


def preload(lab, c, events):
    """Events over the last DAYS days; compared with what is then asked for."""
    begun = time.monotonic()
    said = emitters.finish(load(lab, c, events, days=DAYS), 7200)
    note("preload: %d events over %d days at %.0f/s, load average %.1f" % (
        events, DAYS, events / (time.monotonic() - begun), os.getloadavg()[0]))
    emitters.check_usage(c, [said], source="bench")
    return said


@contextlib.contextmanager
def live(lab, c, first, rate=LIVE_RATE):
    """rate events a second come in meanwhile; what really came is noted."""
    before = c.metric("tollgate_events_stored_total")
    p = load(lab, c, rate * 3600, first=first, rate=rate, burst_ms=BURST_MS)
    harness.wait_until("the first of them", lambda: c.metric("tollgate_events_stored_total") > before)
    stored, begun = c.metric("tollgate_events_stored_total"), time.monotonic()
    try:
        yield
        came = (c.metric("tollgate_events_stored_total") - stored) / (time.monotonic() - begun)
    finally:
        p.kill()
    note("%.0f events/s came in meanwhile, load average %.1f" % (came, os.getloadavg()[0]))
    assert came > rate * 0.9 or EVENTS < 1_000_000, "the collector did not keep up: %.0f of %d events/s" % (came, rate)


# ----------------------------------------------------------------------- memory
def status_kib(pid, key):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as f:
        return int(re.search(key + r":\s+(\d+) kB", f.read())[1])


class Resident:
    """Looks at a collector's resident memory ten times a second. Usable as a context, for one phase."""

    def __init__(self, c, what):
        self.c, self.what, self.peak_kib, self.stop = c, what, 0, threading.Event()

    def _watch(self):
        while not self.stop.wait(0.1):
            with contextlib.suppress(OSError, TypeError):
                self.peak_kib = max(self.peak_kib, status_kib(self.c.pid, "VmRSS"))

    def __enter__(self):
        self.before_kib = self.peak_kib = status_kib(self.c.pid, "VmRSS")
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        note("resident, %s: %.1f MiB at its start, %.1f at most" % (self.what, self.before_kib / 1024, self.peak_kib / 1024))


def mib_at_most(c):
    return status_kib(c.pid, "VmHWM") / 1024


# ------------------------------------------------------------------------ asking
def ask(c, *args, text=None):
    p = subprocess.run([harness.program("bench/ask"), str(c.port), *map(str, args)], input=text, capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return p.stdout


def sessions_of(c, n):
    db = sqlite3.connect("file:%s?mode=ro" % c.database, uri=True, timeout=30)
    try:
        last = db.execute("SELECT max(id) FROM session").fetchone()[0]
        return [db.execute("SELECT session_id FROM session WHERE id >= ?", (1 + i * last // n,)).fetchone()[0] for i in range(n)]
    finally:
        db.close()


def views(c):
    """[(name, path)]: what a dashboard asks for, and GET /healthz, which says what asking costs by itself."""
    out = [("healthz", "/healthz")]
    for since in ("24h", "30d"):
        out += [("%s_%s" % (group, since), "/v1/usage?group_by=%s&from=-%s" % (group, since)) for group in GROUPS]
    out += [("model_by_hour_24h", "/v1/usage?group_by=model&from=-24h&bucket=1h"),
            ("model_by_hour_7d", "/v1/usage?group_by=model&from=-7d&bucket=1h"),
            ("model_by_day_30d", "/v1/usage?group_by=model&from=-30d&bucket=1d"),
            ("sessions_by_tokens", "/v1/sessions?order=-tokens"), ("sessions_latest", "/v1/sessions"),
            ("events_latest", "/v1/events?limit=100")]
    return out + [("session", "/v1/sessions/%s" % sid) for sid in sessions_of(c, 500)]


def probe(c, wanted, rounds=None):
    """{name: (p50_ms, p99_ms, max_ms, bytes)}"""
    out = {}
    for line in ask(c, "probe", rounds or ROUNDS, PAUSE_MS, text="".join("%s %s\n" % v for v in wanted)).splitlines():
        name, _, p50, p99, most, size = line.split()
        out[name] = (float(p50) / 1000, float(p99) / 1000, float(most) / 1000, int(size))
    return out


def worst(times):
    """The slowest view of up to 1,000 groups: a model by the hour of a week has 1,680 rows."""
    return max((t[1], name) for name, t in times.items() if name not in ("healthz", "model_by_hour_7d"))


def ask_everything(c, title):
    times = probe(c, views(c))
    for name, (p50, p99, most, size) in sorted(times.items(), key=lambda t: -t[1][1]):
        note("%s %-20s p50 %6.2f  p99 %6.2f  max %6.2f ms  %8d bytes" % (title, name, p50, p99, most, size))
    return times


# ------------------------------------------------------------------------- lines
def query(s):
    """Every grouped view, the top sessions, one session, the last events, while LIVE_RATE events a second come in."""
    with live(s.lab, s.c, s.loaded), Resident(s.c, "%s events and queries" % millions(EVENTS)):
        times = ask_everything(s.c, "query %s" % millions(EVENTS))
    s.loaded += LIVE_RATE * 3600
    limit, (first, name) = times["healthz"][1], worst(times)
    bench("query_%s_p99" % millions(EVENTS), first, "ms", first / limit, "healthz_p99:%.3gms (worst: %s)" % (limit, name))
    with fresh() as (lab, c):
        preload(lab, c, 2 * EVENTS)
        with live(lab, c, 2 * EVENTS), Resident(c, "%s events and queries" % millions(2 * EVENTS)):
            times = ask_everything(c, "query %s" % millions(2 * EVENTS))
        second, name = worst(times)
        bench("query_%s_p99" % millions(2 * EVENTS), second, "ms", second / first,
              "query_%s_p99:%.3gms (worst: %s)" % (millions(EVENTS), first, name))
        s.peak_mib = max(s.peak_mib, mib_at_most(c))


def many_names(events):
    """About two events in five name a session that was never met."""
    with fresh() as (lab, c), Resident(c, "a new session all the time"):
        emitters.finish(load(lab, c, events, sessions=events, threads=2), 3600)
        known = c.sql("SELECT count(*) FROM session")[0][0]
        note("%d events in %d distinct sessions" % (events, known))
        return mib_at_most(c)


def memory(s):
    """The highest resident memory of all that happened until here, and of a million distinct session names."""
    live_mib = max(s.peak_mib, mib_at_most(s.c))
    names_mib = many_names(EVENTS // 4)
    bench("memory", live_mib, "MiB", live_mib / MEMORY_MIB, "limit:%dMiB" % MEMORY_MIB)
    bench("memory_names", names_mib, "MiB", names_mib / MEMORY_MIB, "limit:%dMiB" % MEMORY_MIB)


def disk(s):
    """Bytes of the file for each event, after a clean stop, which checkpoints."""
    s.peak_mib = max(s.peak_mib, mib_at_most(s.c))
    s.c.stop()
    size = os.path.getsize(s.c.database)
    events = s.c.sql("SELECT count(*) FROM dispatch")[0][0]
    with contextlib.suppress(sqlite3.OperationalError):  # dbstat is an option of SQLite's
        tables = s.c.sql("SELECT m.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema m USING (name)"
                         " WHERE d.aggregate = 1 GROUP BY 1 ORDER BY 2 DESC")
        note("bytes an event: " + ", ".join("%s %.2f" % (name, b / events) for name, b in tables if b > events / 100))
    bench("disk", size / events, "bytes/event", size / events / DISK_BYTES, "limit:%d" % DISK_BYTES)
    s.c.start()


def export(s):
    bare = float(subprocess.run([harness.program("bench/bare_select"), s.c.database, str(EXPORTED)], check=True,
                                capture_output=True, text=True).stdout)
    for form in ("csv", "ndjson"):
        with Resident(s.c, "export as %s" % form) as r:
            size, lines, seconds = ask(s.c, "read", "/v1/events?format=%s&order=asc&from=0&limit=%d" % (form, EXPORTED)).split()
        assert int(lines) == EXPORTED + (form == "csv"), "%s of %d rows" % (lines, EXPORTED)
        rate = EXPORTED / float(seconds)
        note("%s: %d rows, %.0f bytes each, memory grew by %.1f MiB" % (
            form, EXPORTED, int(size) / EXPORTED, (r.peak_kib - r.before_kib) / 1024))
        bench("export_%s" % form, rate, "rows/s", rate / bare, "bare_select:%.0f" % bare)


@contextlib.contextmanager
def watching(c):
    p = subprocess.Popen([harness.program("bench/ask"), str(c.port), "watch", "/v1/stream", str(VIEWERS), str(VIEWER_BYTES_S)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        left, size = p.communicate("")[0].split()
    note("%s of %d viewers were still there and had read %d bytes" % (left, VIEWERS, int(size)))


def viewers(s):
    """Full ingest, then queries under LIVE_RATE, without and with slow viewers, in turns; the best of each counts."""
    events, wanted = max(20_000, EVENTS // 10), [v for v in views(s.c) if v[0].endswith(("24h", "session", "latest"))]
    rates, times, at = {False: [], True: []}, {False: [], True: []}, s.loaded

    def one(seen):
        nonlocal at
        rates[seen].append(events / emitters.finish(load(s.lab, s.c, events, first=at, threads=2), 3600)["settled_s"])
        at += events
        with live(s.lab, s.c, at):
            times[seen].append(worst(probe(s.c, wanted, max(5, ROUNDS // 3))))
        at += LIVE_RATE * 3600

    for _ in range(2):
        one(False)
        with watching(s.c), Resident(s.c, "%d viewers" % VIEWERS):
            one(True)
    note("ingest without %s, with %s events/s" % tuple("/".join("%.0f" % r for r in rates[seen]) for seen in (False, True)))
    without, seen = max(rates[False]), max(rates[True])
    bench("viewers_ingest", seen, "events/s", seen / without, "without_viewers:%.0f" % without)
    (without, _), (seen, name) = min(times[False]), min(times[True])
    bench("viewers_query_p99", seen, "ms", seen / without, "without_viewers:%.3gms (worst: %s)" % (without, name))


def flat():
    """Twenty times the same number of events at full speed, one load after the other."""
    piece, rates = EVENTS // 10, []
    with fresh() as (lab, c):
        with Resident(c, "%s events at full speed" % millions(20 * piece)):
            said = []
            for i in range(20):
                said.append(emitters.finish(load(lab, c, piece, first=i * piece, threads=2), 3600))
                rates.append(piece / said[-1]["settled_s"])
        emitters.check_usage(c, said, source="bench")
    note("thousand events/s, each %s: %s" % (millions(piece), " ".join("%.0f" % (r / 1000) for r in rates)))
    first, last = statistics.median(rates[:3]), statistics.median(rates[-3:])
    bench("ingest_flat", last, "events/s", last / first, "first_of_20:%.0f" % first)


# --------------------------------------------------------------------- together
@contextlib.contextmanager
def fresh():
    with harness.Lab(dir=harness.BUILD) as lab:
        yield lab, lab.collector(time={"past_days": DAYS + 5})


class Store:
    """The collector that query, memory, disk, export and viewers share."""

    def __init__(self, lab, c):
        self.lab, self.c, self.peak_mib, self.loaded = lab, c, 0, EVENTS


SHARED = {"disk": disk, "export": export, "query": query, "viewers": viewers, "memory": memory}


def run(wanted):
    """The lines of the store among wanted, in an order in which each finds what it needs."""
    if "flat" in wanted:
        flat()
    shared = [name for name in SHARED if name in wanted]
    if not shared:
        return
    note("client, load and collector share %d processors" % os.cpu_count())
    with fresh() as (lab, c):
        s = Store(lab, c)
        with Resident(c, "preload"):
            preload(lab, c, EVENTS)
        for name in shared:
            SHARED[name](s)
