# SPDX-License-Identifier: MIT
"""No room on the disk: the collector stops acknowledging, says so, and goes on by itself when there is room;
the emitters keep what it does not take. The small disk is a tmpfs in a mount namespace of its own."""
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import urllib.error

from emitters import check_usage, finish, load, spool
from harness import TOP, Lab, Skip, wait_until

INSIDE = "TOLLGATE_TEST_NAMESPACE"
DISK_MIB = 48
EVENTS = 100_000  # far more than fits into what is left, and less than the spool holds


def in_namespace(test):
    """Runs the test in a child with a mount namespace of its own, which takes its mounts with it."""
    @functools.wraps(test)
    def outside():
        if os.environ.get(INSIDE):
            return test()
        enter = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
        if not shutil.which("unshare") or subprocess.run(enter + ["mount", "-t", "tmpfs", "none", "/mnt"],
                                                         capture_output=True).returncode:
            raise Skip("no permission to mount a small file system")
        child = subprocess.run(enter + [sys.executable, "-B", os.path.join(TOP, "tests", "integration", "run.py"),
                                        "%s.%s" % (test.__module__, test.__name__)],
                               env=dict(os.environ, **{INSIDE: "1"}), capture_output=True, text=True)
        assert child.returncode == 0, child.stdout + child.stderr
    return outside


@contextlib.contextmanager
def small_disk(lab, mib=DISK_MIB):
    path = lab.path("disk")
    os.mkdir(path, 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0700" % mib, "tollgate-test", path], check=True)
    try:
        yield path
    finally:
        for p in lab.processes:
            p.kill()
        subprocess.run(["umount", path], check=True)


def fill(path, leave_kib):
    """A file that leaves so much room, as exactly as others who write there let it; returns its name."""
    name = os.path.join(path, "filler")
    with open(name, "ab", buffering=0) as f, contextlib.suppress(OSError):
        while os.statvfs(path).f_bavail * os.statvfs(path).f_frsize > leave_kib * 1024:
            f.write(bytes(4096))
    return name


def on_small_disk(lab, disk):
    return lab.collector(database={"path": os.path.join(disk, "events.db")})


def not_ready(c):
    answer = c.get("/readyz")
    return answer if answer.status == 503 else None


@in_namespace
def test_collector_waits_for_room():
    with Lab() as lab, small_disk(lab) as disk:
        c = on_small_disk(lab, disk)
        filler = fill(disk, 4096)
        p = load(lab, c, "patient", events=EVENTS, wait_s=200, spool_mib=128, stay=True)
        reason = wait_until("/readyz says no", lambda: not_ready(c), 60).text()
        assert "disk" in reason or "full" in reason or "write" in reason, reason
        assert c.metric("tollgate_store_writable") == 0
        assert "level=error" in c.stderr() or "level=warn" in c.stderr(), c.stderr()
        # The host has noticed nothing, and what was stored before can still be asked for.
        wait_until("every call has returned", lambda: "load: emitted" in p.stderr(), 60)
        stored = c.stored()
        assert 0 < stored < EVENTS and c.usage()["totals"]["calls"] == stored
        wait_until("publishers are asked to wait", lambda: c.metric("tollgate_batches_busy_total") > 0)
        assert c.post("/v1/events", {"kind": "dispatch"}).status == 503
        assert c.stored() == stored and p.running, "nothing is taken while there is no room"
        os.unlink(filler)
        wait_until("/readyz says yes", lambda: not not_ready(c), 60)
        promise = finish(p, 240)
        assert promise["dropped"] == 0 and promise["stats"]["pending"] == 0, promise["stats"]
        check_usage(c, [promise], source="patient")
        assert c.metric("tollgate_store_writable") == 1
        assert c.sql("SELECT count(*), count(DISTINCT span_id) FROM dispatch") == [(EVENTS, EVENTS)]
        assert c.sql("PRAGMA integrity_check") == [("ok",)]
        (severity, lasted_ms, ended_ms, title), = c.sql(
            "SELECT severity, json_extract(evidence, '$.duration_ms'), ended_ms, title FROM alert WHERE kind = 'store'")
        assert severity == "critical" and lasted_ms > 0 and ended_ms and "could not write" in title, title
        c.stop()


@in_namespace
def test_collector_starts_on_a_full_disk():
    """It says why it is not ready (or why it ends), loses nothing, and works when there is room again."""
    with Lab() as lab, small_disk(lab) as disk:
        c = on_small_disk(lab, disk)
        first = finish(load(lab, c, "before", events=5_000))
        c.kill()
        filler = fill(disk, 0)
        c.start(ready=False)

        def told():
            if not c.process.running:
                return "disk" in c.stderr() or "full" in c.stderr() or c.stderr()
            with contextlib.suppress(OSError, urllib.error.URLError):
                return not_ready(c)
        wait_until("it says that it cannot work", told)
        assert c.process.running or c.process.wait() != 0
        os.unlink(filler)
        if not c.process.running:
            c.start()
        c.wait_ready()
        second = finish(load(lab, c, "after", events=5_000))
        check_usage(c, [first, second])


@in_namespace
def test_emitter_without_room_for_its_spool():
    with Lab() as lab, small_disk(lab, 8) as disk:
        c = lab.collector()
        os.symlink(disk, spool(lab))
        fill(disk, 0)
        promise = finish(load(lab, c, "homeless", events=20_000))
        assert promise["stats"]["spool_in_memory"] == 1, promise["stats"]
        check_usage(c, [promise], source="homeless")


@in_namespace
def test_emitter_whose_disk_fills_later():
    with Lab() as lab, small_disk(lab, 16) as disk:
        c = lab.collector()
        os.symlink(disk, spool(lab))
        p = load(lab, c, "squeezed", events=60_000, threads=8, rate=20_000)
        wait_until("the first segments are there", lambda: c.stored() > 0)
        fill(disk, 0)
        promise = finish(p)
        assert promise["dropped"] == 0, promise
        check_usage(c, [promise], source="squeezed")
