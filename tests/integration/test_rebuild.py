# SPDX-License-Identifier: MIT
"""tollgate rebuild: what the projections say equals the log after a crash in the middle of load; a wrong slab is
found by name and mended."""
import contextlib
import os
import random
import signal
import sqlite3
import time

from emitters import RETURNED, journal, load
from harness import SANITIZED, Lab, wait_until

EVENTS = 15_000 if SANITIZED else 40_000


def rebuild(lab, c, *args):
    return lab.run("tollgate", "rebuild", *args, "--database", c.database)


def lifelike(lab, c, run, **options):
    """A load under way, spread over three days."""
    path = lab.path("journal-%s" % run)
    p = load(lab, c, "gateway", run=run, threads=4, events=EVENTS, lifelike=True, days=3, journal=path, **options)
    wait_until("the gateway emits", lambda: not p.running or os.path.exists(path) and RETURNED in journal(path))
    return p


def write(c, statement):
    """Changes the file of a collector that does not run."""
    with contextlib.closing(sqlite3.connect(c.database)) as db:
        with db:
            changed = db.execute(statement).rowcount
    assert changed > 0, statement


def test_equal_after_kill_in_the_middle_of_load():
    with Lab() as lab:
        c = lab.collector()
        for n in range(3):
            p = lifelike(lab, c, "r%d" % n, first=n * EVENTS)
            time.sleep(random.random())  # the random moment, not a wait for something
            c.kill()
            out = rebuild(lab, c, "--check").finish(120)
            assert out.count("no difference") == 2, out
            c.start()
            p.finish(240)
        running = rebuild(lab, c, "--check")  # while the collector runs
        assert running.finish(120).count("no difference") == 2
        calls = c.usage()["totals"]["calls"]
        assert calls == c.stored() == 3 * EVENTS, (calls, c.stored())
        c.stop()
        assert rebuild(lab, c, "--check").finish(120).count("no difference") == 2


def test_a_wrong_slab_is_named_and_mended():
    with Lab() as lab:
        c = lab.collector()
        lifelike(lab, c, "r").finish(240)
        want = c.usage(bucket="1d", group_by="model")["rows"]
        # A running collector keeps the file to itself, and a reader changes nothing.
        refused = rebuild(lab, c)
        assert refused.wait(60) == 1 and "in use" in refused.stderr(), refused.stderr()
        c.stop()
        minute = c.sql("SELECT start_minute FROM projection_minute WHERE cells > 1 ORDER BY random() LIMIT 1")[0][0]
        name = time.strftime("minute %Y-%m-%d %H:%M UTC", time.gmtime(minute * 60))
        write(c, "UPDATE projection_minute SET body = (SELECT body FROM projection_minute WHERE start_minute <> %d"
                 " ORDER BY cells DESC LIMIT 1) WHERE start_minute = %d" % (minute, minute))
        write(c, "UPDATE projection_session SET tokens = tokens + 1 WHERE session = 5")
        check = rebuild(lab, c, "--check")
        assert check.wait(120) == 1
        assert name in check.out and "session 5: tokens is" in check.out, check.out
        assert "rebuild" in check.stderr()  # what to do
        assert rebuild(lab, c, "session", "--check").wait(120) == 1
        rebuild(lab, c, "session").finish(120)
        assert rebuild(lab, c, "session", "--check").finish(120).count("no difference") == 1
        rebuild(lab, c).finish(120)
        assert rebuild(lab, c, "--check").finish(120).count("no difference") == 2
        c.start()
        assert c.usage(bucket="1d", group_by="model")["rows"] == want


def test_a_rebuild_that_is_killed_leaves_the_file_as_it_was():
    with Lab() as lab:
        c = lab.collector()
        lifelike(lab, c, "r").finish(240)
        c.stop()
        write(c, "DELETE FROM projection_day")
        before = c.sql("SELECT start_minute, body FROM projection_minute")
        for n in range(4):
            p = rebuild(lab, c)
            time.sleep(0.05 * n)  # the random moment, not a wait for something
            p.signal(signal.SIGKILL if n % 2 else signal.SIGINT)
            p.wait(60)
            assert c.sql("PRAGMA integrity_check") == [("ok",)]
            assert c.sql("SELECT start_minute, body FROM projection_minute") == before
            assert c.sql("SELECT count(*) FROM projection_day")[0][0] in (0, 3, 4)
        rebuild(lab, c).finish(120)
        assert rebuild(lab, c, "--check").finish(120).count("no difference") == 2
        c.start()
        assert c.usage(bucket="1d")["totals"]["calls"] == EVENTS
