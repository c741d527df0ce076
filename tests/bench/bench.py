#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench.py NAME ...: prints `bench NAME VALUE UNIT ratio=R of=LIMIT` for each figure; lines with # say more.

Everything runs on this machine at once: the load generator, the collector and whoever asks share its
processors, and that is what the figures mean. Databases lie under build/, so the disk is the project's own.

ingest   Durable events a second through the whole path (tg_dispatch_complete to the receipt after the commit,
         synchronous=FULL), against the bare SQLite loop of bare_sqlite.c. The two take turns, and of each the best
         turn counts: whatever else the machine does can only slow one down.
latency  From before the emit call to the answer of GET /v1/events that shows the event, for every event: the
         generator stamps each with the monotonic clock, a client follows by long-poll and cursor and looks at the
         same clock. Against one fdatasync of 4 KiB in the same folder. The turn with the middle p99 counts.
idle     Processor time of an idle collector, and of an idle gateway's process, over 10 s, against one core.
flat     Twenty loads of a million lifelike events at full speed: the last three against the first three.
query    From before the request is written to the last byte of the answer, of each view in turns, while 10,000 events a
         second come in: the 99th percentile of the slowest view, with 10 million events in 100,000 sessions against GET
         /healthz in the same turns, with 20 million against that with 10.
memory   The collector's highest resident memory through preload, queries, exports and viewers, as far as they were asked
         for, and through a million distinct session names, against the limit of 64 MiB.
disk     Bytes of the database for each event after a checkpoint, against the limit of 150.
export   Rows a second of a million rows, against a bare SELECT of the same rows.
admit    From before tg_admit to its return with a reservation that is on disk, over ipc, 500 times, while 10,000 events a
         second come in, against one fdatasync of 4 KiB in the same folder beside the same. The turn with the middle p99 counts.
verdict  From before the tg_dispatch_complete that crosses a limit to the first tg_check in another process that blocks,
         each of 500 times with a fresh agent, against the same; alone, and while 10,000 events a second come in.
alert    From before the tg_dispatch_complete that crosses a threshold to the whole request at a webhook, each of 200 times
         with a fresh agent, against one fdatasync of 4 KiB in the same folder and one POST of as many bytes by libcurl to
         the same receiver; alone, and while 10,000 events a second come in. The turn with the middle p99 counts.
ingest_budgets  Durable events a second of a lifelike load of 900 agents with 1,000 budgets, of which each call counts in
         seven or eight, against none; in turns, and of each the best turn counts.
viewers  Ingest at full speed and the slowest view's p99, with 100 readers of /v1/stream who read 4 KiB/s, against without.
TOLLGATE_BENCH_EVENTS is the size of it all (10,000,000), TOLLGATE_BENCH_ROUNDS how often each view is asked for.
"""
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
sys.dont_write_bytecode = True
import alert  # noqa: E402
import emitters  # noqa: E402
import govern  # noqa: E402
import harness  # noqa: E402
import store  # noqa: E402
from figures import bench, percentile  # noqa: E402

ROWS = int(os.environ.get("TOLLGATE_BENCH_ROWS", 2_000_000))
TURNS = int(os.environ.get("TOLLGATE_BENCH_TURNS", 3))
LATENCY_S, IDLE_S, SYNCS = 5, 10, 200
STAMP = re.compile(rb'"trace_id":\s*"(\d+)"')
NEXT = re.compile(rb'"next":\s*"([^"]+)"')


# ---------------------------------------------------------------------- ingest
def ingest_once(threads):
    with harness.Lab(dir=harness.BUILD) as lab:
        c = lab.collector()
        said = emitters.finish(emitters.load(lab, c, "bench", events=ROWS, threads=threads, wait_s=300, spool_mib=128), 600)
        emitters.check_usage(c, [said], source="bench")
        return ROWS / said["settled_s"]


def bare_once():
    with tempfile.TemporaryDirectory(dir=harness.BUILD) as folder:
        return float(subprocess.run([harness.program("bench/bare_sqlite"), os.path.join(folder, "bare.db"), str(ROWS)],
                                    check=True, capture_output=True, text=True).stdout)


def ingest():
    threads = min(2, os.cpu_count())
    turns = [(bare_once(), ingest_once(threads)) for _ in range(TURNS)]
    bare, whole = max(t[0] for t in turns), max(t[1] for t in turns)
    print("# %d events x %d turns, %d emitting threads and the collector on %d processors: bare %s, ingest %s" % (
        ROWS, TURNS, threads, os.cpu_count(), *("/".join("%.0f" % t[i] for t in turns) for i in (0, 1))))
    bench("ingest", whole, "events/s", whole / bare, "bare_sqlite:%.0f" % bare)


# --------------------------------------------------------------------- latency
def fdatasync_ms(folder):
    out = []
    with tempfile.TemporaryFile(dir=folder) as f:
        for _ in range(SYNCS):
            f.write(bytes(4096))
            f.flush()
            begun = time.monotonic_ns()
            os.fdatasync(f.fileno())
            out.append((time.monotonic_ns() - begun) / 1e6)
    return out


def follow(c, source, events, out):
    """Takes pages until all events are seen; out: milliseconds of each."""
    import http.client
    conn = http.client.HTTPConnection("127.0.0.1", c.port, timeout=60)
    path, after = "/v1/events?order=asc&limit=1000&wait=10s&from=0&source=%s" % source, ""
    while len(out) < events:
        conn.request("GET", path + after)
        body = conn.getresponse().read()
        now = time.monotonic_ns()
        out += [(now - int(stamp)) / 1e6 for stamp in STAMP.findall(body)]
        cursor = NEXT.search(body)
        after = "&after=" + cursor[1].decode() if cursor else after


def latency_at(rate):
    with harness.Lab(dir=harness.BUILD) as lab:
        c = lab.collector()
        sync = fdatasync_ms(lab.dir)
        seen, events = [], rate * LATENCY_S
        reader = threading.Thread(target=follow, args=(c, "bench", events, seen), daemon=True)
        reader.start()
        said = emitters.finish(emitters.load(lab, c, "bench", events=events, threads=2, rate=rate, stamp=True), 120)
        reader.join(60)
        assert len(seen) == events == said["totals"]["calls"], (len(seen), events)
        return seen, sync


def latency():
    for rate in (1_000, 10_000):
        turns = [latency_at(rate) for _ in range(TURNS)]
        seen, sync = sorted(turns, key=lambda turn: percentile(turn[0], 99))[len(turns) // 2]
        print("# %d events/s: p99 %s ms" % (rate, "/".join("%.1f" % percentile(t[0], 99) for t in turns)))
        for p in (50, 99):
            value, limit = percentile(seen, p), percentile(sync, p)
            bench("latency_%d_p%d" % (rate, p), value, "ms", value / limit, "fdatasync_p%d:%.3gms" % (p, limit))


# ------------------------------------------------------------------------ idle
def cpu_s(pid):
    """Processor seconds of all threads, to the nanosecond."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task), encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def idle():
    with harness.Lab(dir=harness.BUILD) as lab:
        c = lab.collector()
        gateway = emitters.load(lab, c, "bench", events=100, threads=2, idle_ms=IDLE_S * 1000)
        emitters.wait_stored(c, 100)
        time.sleep(0.5)  # the first seconds' work is not idleness
        before = cpu_s(c.pid)
        time.sleep(IDLE_S)
        used = cpu_s(c.pid) - before
        bench("idle_collector", used * 1000, "ms", used / IDLE_S, "one_core_%ds" % IDLE_S)
        used = emitters.finish(gateway)["idle_cpu_s"]
        bench("idle_emitter", used * 1000, "ms", used / IDLE_S, "one_core_%ds" % IDLE_S)


if __name__ == "__main__":
    for which in sys.argv[1:]:
        if which in ("ingest", "latency", "idle"):
            {"ingest": ingest, "latency": latency, "idle": idle}[which]()
        if which in ("admit", "verdict"):
            {"admit": govern.admit, "verdict": govern.verdict}[which](fdatasync_ms)
        if which == "alert":
            alert.alert()
        if which == "ingest_budgets":
            govern.ingest_budgets()
    store.run(sys.argv[1:])
