# SPDX-License-Identifier: MIT
"""A publisher that shares no code with this project (npm zeromq and msgpackr, written from schema/wire.md
alone) against a real collector; rows are checked over HTTP and in the file."""
import filecmp
import json
import os
import shutil
import subprocess

from harness import TOP, Lab, Process, Skip, wait_until

SOURCE = os.path.join(TOP, "tests", "publisher")
INSTALLED = os.path.join(TOP, "build", "publisher")  # one for all builds


def publisher():
    """The folder with the publisher and its packages, installed once."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise Skip("node and npm are needed")
    os.makedirs(INSTALLED, exist_ok=True)
    for name in os.listdir(SOURCE):
        if name.endswith((".mjs", ".json")):
            shutil.copy(os.path.join(SOURCE, name), INSTALLED)
    lock, stamp = os.path.join(SOURCE, "package-lock.json"), os.path.join(INSTALLED, ".installed")
    if not os.path.exists(stamp) or not filecmp.cmp(lock, stamp, shallow=False):
        # Not `npm ci`: it wants the optional packages of every platform in the lock file.
        subprocess.run(["npm", "install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund",
                        "--loglevel=error"], cwd=INSTALLED, check=True, timeout=240)
        shutil.copy(lock, stamp)
    return INSTALLED


def publish(lab, c, source, form, events, *options):
    return Process(lab, [shutil.which("node"), os.path.join(publisher(), "publish.mjs"), "--endpoint", c.endpoint,
                         "--source", source, "--form", form, "--events", str(events), *options])


def check(c, source, form, said):
    totals = c.usage(source=source)["totals"]
    for key in ("calls", "errors", "prompt_tokens", "prompt_tokens_unknown", "completion_tokens", "latency_ms"):
        assert totals[key] == said[key], (key, totals[key], said[key])
    rows = [json.loads(line) for line in
            c.get("/v1/events", source=source, order="asc", format="ndjson", **{"from": 0}).ok().text().splitlines()]
    assert [r["event_id"] for r in rows] == said["ids"], "every id, once, in order"
    first, failed = rows[0], rows[9]
    assert (first["kind"], first["session_id"], first["agent_id"], first["trigger"], first["status"], first["tags"],
            first["response_id"], first["prompt_tokens"], first["cached_tokens"]) == \
        ("dispatch", "sitzung-ü-0", "agent-0", "user", "ok", {"form": form}, form + "-0", 1000, 900), first
    assert (failed["status"], failed["error_type"], failed["http_status"]) == ("error", "overloaded", 529), failed
    assert "prompt_tokens" not in failed and "response_id" not in failed, "unknown is not 0"
    in_file = c.sql("SELECT count(*), sum(prompt_tokens), count(prompt_tokens), sum(latency_ms) FROM v_dispatch "
                    "WHERE source = ?", source)[0]
    assert in_file == (said["calls"], said["prompt_tokens"], said["calls"] - said["errors"], said["latency_ms"]), in_file


def test_both_forms():
    with Lab() as lab:
        c = lab.collector()
        for form in ("array", "map"):
            said = json.loads(publish(lab, c, "stranger-" + form, form, 1000).finish())
            check(c, "stranger-" + form, form, said)
            assert said["counts"]["gaps"] == said["counts"]["duplicates"] == said["counts"]["refused"] == 0, said["counts"]
        quarantined = c.metric("tollgate_events_quarantined_total")
        assert quarantined == 0, quarantined


def test_gap_is_filled():
    with Lab() as lab:
        c = lab.collector()
        said = json.loads(publish(lab, c, "gappy", "array", 500, "--gap").finish())
        assert said["counts"]["gaps"] > 0, "the test must have left a batch out"
        check(c, "gappy", "array", said)


def test_collector_comes_later_and_dies():
    with Lab() as lab:
        c = lab.collector(start=False)
        p = publish(lab, c, "patient", "map", 2000)
        c.start()
        wait_until("some are stored", lambda: c.stored() > 0)
        c.kill()
        c.start()
        check(c, "patient", "map", json.loads(p.finish()))


def test_the_same_calls_by_two_paths_are_one():
    with Lab() as lab:
        c = lab.collector()
        said = json.loads(publish(lab, c, "twofold", "array", 300, "--twice").finish())
        check(c, "twofold", "array", said)
        assert c.metric("tollgate_events_duplicate_total") >= 300
        assert said["counts"]["duplicates"] >= 300, said["counts"]


def test_vectors_are_what_msgpackr_reads():
    done = subprocess.run([shutil.which("node") or "node", os.path.join(publisher(), "check_vectors.mjs"),
                           os.path.join(TOP, "schema", "vectors")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(json.loads(done.stdout).values())
