#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the integration tests: every function test_* of every test_*.py beside this file.

    run.py [--list] [WORD ...]      only tests whose "file.function" contains one of the words

Tests that mostly wait (harness.patient) run beside the others, one after the other in a process of their own.
The last line is "N passed, N failed"; the exit status is 1 if one failed.
"""
import glob
import importlib
import os
import re
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True  # the source tree stays clean
import harness  # noqa: E402

PATIENT = "--patient"  # to ourselves: only those that mostly wait
LIMIT_S = 300  # for one test; a test function may have its own in .limit_s


def tests(words):
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        name = os.path.basename(path)[:-3]
        for attr, value in vars(importlib.import_module(name)).items():
            full = "%s.%s" % (name, attr)
            if attr.startswith("test_") and callable(value) and (not words or any(w in full for w in words)):
                yield full, value


def too_long(*_):
    raise TimeoutError("the test took too long")


def terminated(*_):
    sys.exit(143)  # on the way out each Lab ends its processes and removes its folder


def run(name, function):
    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGTERM, terminated)
    signal.alarm(getattr(function, "limit_s", LIMIT_S) * harness.SLOWER)
    begun = time.monotonic()
    try:
        function()
        result, detail = "ok", ""
    except harness.Skip as e:
        result, detail = "skip", str(e)
    except Exception:
        result, detail = "FAIL", traceback.format_exc()
    finally:
        signal.alarm(0)
    print("%-4s %6.1f s  %s%s" % (result, time.monotonic() - begun, name, ": " + detail if detail else ""), flush=True)
    return result


def run_all(found):
    """What became of each."""
    return [run(name, function) for name, function in found]


def run_beside(words, found):
    """The patient ones in a process of their own, meanwhile the others here."""
    beside = subprocess.Popen([sys.executable, os.path.abspath(__file__), PATIENT, *words], stdout=subprocess.PIPE, text=True)
    try:
        results = run_all([(name, f) for name, f in found if not getattr(f, "patient", False)])
        out = beside.communicate()[0]
    finally:
        if beside.poll() is None:
            beside.terminate()
            beside.wait()
    print(out, end="", flush=True)
    more = [line.split()[0] for line in out.splitlines() if re.match(r"(ok|skip|FAIL) +[0-9.]+ s ", line)]
    return results + more if beside.returncode in (0, 1) else results + more + ["FAIL"]


def main():
    words = [a for a in sys.argv[1:] if not a.startswith("-")]
    found = list(tests(words))
    if PATIENT in sys.argv[1:]:
        return "FAIL" in run_all([(name, f) for name, f in found if getattr(f, "patient", False)])
    if "--list" in sys.argv[1:]:
        print("\n".join(name for name, _ in found))
        return 0
    if not found:
        sys.exit("run.py: no test matches %s" % " ".join(words))
    patient = [name for name, f in found if getattr(f, "patient", False)]
    results = run_beside(words, found) if 0 < len(patient) < len(found) else run_all(found)
    skipped = results.count("skip")
    if skipped:
        print("%d skipped: see above" % skipped)
    failed = results.count("FAIL")
    print("%d passed, %d failed" % (results.count("ok"), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
