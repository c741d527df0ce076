# SPDX-License-Identifier: MIT
"""Backup, restore and rebuild: what a copy holds, and that nothing is lost when something goes wrong."""
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading

from harness import SLOWER, Lab, program, wait_until

MIB = 1 << 20


def tollgate(lab, *args, status=0, **env):
    """Runs the command; stdout, or stderr if a failure is expected, which is one line."""
    p = subprocess.run([program("tollgate"), *map(str, args)], capture_output=True, text=True, env=dict(lab.env, **env),
                       timeout=120 * SLOWER, stdin=subprocess.DEVNULL, cwd=lab.dir)
    assert p.returncode == status, "%r: status %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
    assert p.stderr.count("\n") == (status != 0), p.stderr
    return p.stderr if status else p.stdout


def call(i, session="s"):
    return {"kind": "dispatch", "agent_id": "a%d" % (i % 3), "session_id": "%s%d" % (session, i % 7), "model": "m", "status": "ok",
            "prompt_tokens": i, "completion_tokens": 1, "latency_ms": i % 50}


@contextlib.contextmanager
def opened(path, mode="ro"):
    db = sqlite3.connect("file:%s?mode=%s" % (path, mode), uri=True, timeout=30)
    try:
        yield db
    finally:
        db.close()


def rows(path, sql="SELECT id, prompt_tokens FROM dispatch ORDER BY id"):
    with opened(path) as db:
        return db.execute(sql).fetchall()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def grow(path, mib):
    """Makes a stopped collector's file large."""
    with opened(path, "rw") as db, db:
        for _ in range(mib // 4):
            db.execute("INSERT INTO quarantine(received_ms, events, reason, bytes) VALUES(0, 1, 'x', zeroblob(?))", (4 * MIB,))


def only(lab, *names):
    """What is in the laboratory beside the usual."""
    return sorted(n for n in os.listdir(lab.dir) if n.startswith(names))


class Writer:
    """Posts without end until it is left."""

    def __init__(self, c):
        self.c, self.posted, self.failed, self.stop = c, 0, None, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.stop.is_set():
                self.c.post("/v1/events", [call(self.posted + i) for i in range(200)]).ok()
                self.posted += 200
        except Exception as e:
            self.failed = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        assert self.failed is None, self.failed


def test_a_backup_of_a_busy_collector_is_one_moment():
    with Lab() as lab:
        c = lab.collector()
        with Writer(c) as writer:
            for i in range(4):
                wait_until("more was posted", lambda want=(i + 1) * 2000: writer.posted >= want or writer.failed)
                text = tollgate(lab, "backup", lab.path("b%d.db" % i), "--database", c.database)
                assert re.match(r".*/b%d.db: [\d.]+ .iB, [\d,]+ dispatches, 0 messages, [01] reports, up to 20..-.*Z; checked\n$" % i, text), text
        for i in range(4):
            got = rows(lab.path("b%d.db" % i))
            assert len(got) >= (i + 1) * 2000
            assert [g[1] for g in got] == list(range(len(got))), "a beginning of what was posted, without a hole"
            tollgate(lab, "rebuild", "--check", "--database", lab.path("b%d.db" % i))
            with opened(lab.path("b%d.db" % i)) as db:
                assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        assert only(lab, "b") == ["b0.db", "b1.db", "b2.db", "b3.db"]
        assert os.stat(lab.path("b0.db")).st_mode & 0o777 == 0o600
        assert c.stored() == writer.posted


def test_a_backup_changes_nothing_in_the_original():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(3000)]).ok()
        c.kill()  # what came last is in the write-ahead log only
        before = read(c.database), read(c.database + "-wal")
        assert len(before[1]) > 0
        tollgate(lab, "backup", lab.path("b.db"), "--database", c.database)
        assert (read(c.database), read(c.database + "-wal")) == before, "a backup must not checkpoint"
        assert len(rows(lab.path("b.db"))) == 3000


def test_a_backup_never_replaces_unless_it_is_told():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(10)]).ok()
        target = lab.path("b.db")
        with open(target, "w", encoding="ascii") as f:
            f.write("mine")
        assert "--force" in tollgate(lab, "backup", target, "--database", c.database, status=1)
        assert read(target) == b"mine"
        tollgate(lab, "backup", target, "--database", c.database, "--force")
        assert len(rows(target)) == 10
        assert only(lab, "b") == ["b.db"]
        alias = lab.path("alias.db")
        os.symlink(c.database, alias)
        for itself in (c.database, alias, c.database + "-wal", c.database + "-lock"):
            assert "itself" in tollgate(lab, "backup", itself, "--database", c.database, "--force", status=1)
        c.post("/v1/events", [call(i) for i in range(10, 20)]).ok()
        assert c.stored() == 20


def test_the_default_database_is_the_daemons():
    with Lab() as lab:
        c = lab.collector(database={"path": os.path.join(lab.env["XDG_STATE_HOME"], "tollgate", "tollgate.db")})
        c.post("/v1/events", call(1)).ok()
        tollgate(lab, "backup", "b.db")
        assert len(rows(lab.path("b.db"))) == 1
        tollgate(lab, "rebuild", "--check")


def test_a_backup_gives_up_when_the_log_grows_too_large():
    with Lab() as lab:
        c = lab.collector()
        c.stop()
        grow(c.database, 128)
        stop = threading.Event()

        def write():  # as a collector that cannot begin its log anew
            with opened(c.database, "rw") as db:
                db.execute("PRAGMA wal_autocheckpoint=0")
                while not stop.is_set():
                    with db:
                        db.execute("INSERT INTO quarantine(received_ms, events, reason, bytes) VALUES(0, 1, 'x', zeroblob(65536))")
        thread = threading.Thread(target=write)
        thread.start()
        try:
            wait_until("a log", lambda: os.path.exists(c.database + "-wal") and os.path.getsize(c.database + "-wal") > 0)
            said = tollgate(lab, "backup", "b.db", "--database", c.database, "--wal-limit", 0, status=1)
        finally:
            stop.set()
            thread.join()
        assert "write-ahead log" in said and "--wal-limit" in said
        assert only(lab, "b") == []
        tollgate(lab, "backup", "b.db", "--database", c.database, "--wal-limit", 0)


def test_an_interrupted_backup_leaves_nothing():
    with Lab() as lab:
        c = lab.collector()
        c.stop()
        grow(c.database, 256)
        backup = lab.run("tollgate", "backup", "b.db", "--database", c.database)
        wait_until("it has begun", lambda: any(os.path.getsize(lab.path(n)) for n in only(lab, "b.db.part-")) or not backup.running)
        backup.signal(signal.SIGINT)
        assert backup.wait() == 1 and "interrupted" in backup.stderr()
        assert only(lab, "b") == []


def test_what_is_no_database_is_named():
    with Lab() as lab:
        with open(lab.path("text"), "w", encoding="ascii") as f:
            f.write("This is not a database. " * 1000)
        with opened(lab.path("other.db"), "rwc") as db, db:
            db.execute("CREATE TABLE x(y)")
        for name in ("text", "other.db"):
            for command in (["backup", "b.db", "--database", name], ["restore", name, "--database", "new.db"]):
                assert re.search("%s.*is not a database of Tollgate's" % name, tollgate(lab, *command, status=1)), command
        assert "nothing.db" in tollgate(lab, "backup", "b.db", "--database", "nothing.db", status=1)
        assert "nothing.db" in tollgate(lab, "restore", "nothing.db", "--database", "new.db", status=1)
        assert "No such file" in tollgate(lab, "backup", "nowhere/b.db", "--database", "other.db", status=1)
        assert only(lab, "b", "new.db") == ["new.db-lock"]


# --------------------------------------------------------------------- restore
def test_restore():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(100)]).ok()
        tollgate(lab, "backup", "b.db", "--database", c.database)
        c.post("/v1/events", [call(i) for i in range(100, 150)]).ok()
        assert "stop that first" in tollgate(lab, "restore", "b.db", "--database", c.database, status=1)
        assert c.stored() == 150
        c.kill()  # the last 50 are in the write-ahead log only
        text = tollgate(lab, "restore", "b.db", "--database", c.database)
        kept = re.search(r"kept as (.*)\n", text)[1]
        assert "100 dispatches" in text
        names = set(os.listdir(c.dir))
        assert not {"events.db-wal", "events.db-shm"} & names and not [n for n in names if "part-" in n], names
        assert len(rows(kept)) == 150, "what was replaced is whole"
        assert len(rows(c.database)) == 100
        c.start()
        c.post("/v1/events", [call(i) for i in range(100, 103)]).ok()
        assert c.stored() == 103 and c.usage()["totals"]["calls"] == 103
        assert len(rows(kept)) == 150 and len(rows(lab.path("b.db"))) == 100


def test_restore_where_nothing_was():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(10)]).ok()
        tollgate(lab, "backup", "b.db", "--database", c.database)
        new = lab.path("new", "machine", "t.db")
        text = tollgate(lab, "restore", "b.db", "--database", new)
        assert "kept" not in text and len(rows(new)) == 10
        other = lab.collector(name="d", database={"path": new})
        assert other.usage()["totals"]["calls"] == 10


def test_a_damaged_backup_is_not_restored():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(3000)]).ok()
        tollgate(lab, "backup", "b.db", "--database", c.database)
        with opened(lab.path("b.db")) as db:
            page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'dispatch'").fetchone()[0]
            size = db.execute("PRAGMA page_size").fetchone()[0]
        with open(lab.path("b.db"), "r+b") as f:
            f.seek((page - 1) * size)
            f.write(b"\xff" * size)
        c.stop()
        before = read(c.database)
        assert "b.db" in tollgate(lab, "restore", "b.db", "--database", c.database, status=1)
        assert read(c.database) == before
        assert [n for n in os.listdir(c.dir) if "part-" in n or "replaced" in n] == []
        with open(lab.path("b.db"), "r+b") as f:
            f.truncate(size * 3)
        tollgate(lab, "restore", "b.db", "--database", c.database, status=1)
        assert read(c.database) == before


def test_a_damaged_database_is_replaced_and_kept():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(10)]).ok()
        tollgate(lab, "backup", "b.db", "--database", c.database)
        c.kill()
        for name in (c.database, c.database + "-wal"):
            with open(name, "r+b") as f:
                f.write(b"\xff" * 4096)
        damaged, log = read(c.database), read(c.database + "-wal")
        kept = re.search(r"damaged, is kept as (.*)\n", tollgate(lab, "restore", "b.db", "--database", c.database))[1]
        assert read(kept) == damaged and read(kept + "-wal") == log
        c.start()
        assert c.stored() == 10


def test_a_killed_restore_leaves_one_whole_database():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(100)]).ok()
        tollgate(lab, "backup", "b.db", "--database", c.database)
        c.post("/v1/events", [call(i) for i in range(100, 150)]).ok()
        c.kill()
        seen = set()
        for i in range(24):
            path = os.path.join(lab.path("d%d" % i), "t.db")
            os.mkdir(os.path.dirname(path))
            for end in ("", "-wal"):
                shutil.copy(c.database + end, path + end)
            restore = lab.run("tollgate", "restore", lab.path("b.db"), "--database", path)
            try:
                restore.popen.wait(timeout=0.002 * i * SLOWER)
            except subprocess.TimeoutExpired:
                restore.kill()
            with opened(path, "rw") as db:
                assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
                seen.add(db.execute("SELECT count(*) FROM dispatch").fetchone()[0])
        assert seen <= {100, 150} and 150 in seen, seen


def test_restore_waits_for_nobody_else():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(10)]).ok()
        tollgate(lab, "backup", "b.db", "--database", c.database)
        c.stop()
        with opened(c.database, "rw") as db:
            db.execute("SELECT count(*) FROM dispatch").fetchone()
            assert "another program" in tollgate(lab, "restore", "b.db", "--database", c.database, status=1)
        tollgate(lab, "restore", "b.db", "--database", c.database)


# --------------------------------------------------------------------- rebuild
def test_rebuild_finds_and_mends_differences():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [call(i) for i in range(500)]).ok()
        text = tollgate(lab, "rebuild", "--check", "--database", c.database)  # while it runs
        assert text.count("no difference") == 2 and "usage" in text and "session" in text
        assert "in use" in tollgate(lab, "rebuild", "--database", c.database, status=1)
        alias = lab.path("alias.db")
        os.symlink(c.database, alias)
        assert "in use" in tollgate(lab, "rebuild", "--database", alias, status=1)
        c.stop()
        with opened(c.database, "rw") as db, db:
            assert db.execute("UPDATE projection_session SET calls = calls + 1").rowcount == 7
        p = subprocess.run([program("tollgate"), "rebuild", "--check", "--database", c.database], capture_output=True, text=True,
                           env=lab.env, timeout=60 * SLOWER)
        assert p.returncode == 1 and "differs: " in p.stdout and "tollgate rebuild session" in p.stderr, (p.stdout, p.stderr)
        assert "no difference" in tollgate(lab, "rebuild", "usage", "--check", "--database", c.database)
        assert "session" in tollgate(lab, "rebuild", "session", "--database", c.database)
        assert tollgate(lab, "rebuild", "--check", "--database", c.database).count("no difference") == 2
        c.start()
        assert c.usage()["totals"]["calls"] == 500
        tollgate(lab, "rebuild", "sessions", status=2)
