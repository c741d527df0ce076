#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every test that is built: cmocka programs, one for each processor at a time, then the integration tests.

    run.py [--sanitizer]     --sanitizer: stop a program at the first report

$BUILD: where the programs are (default build). The last line is "N passed, N failed".
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
UNIT_LIMIT_S = 600


def environment():
    env = dict(os.environ, TOLLGATE_BUILD=BUILD)
    env.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=1:suppressions=" + os.path.join(HERE, "tsan.supp"))
    return env


def count(pattern, text):
    return sum(int(n) for n in re.findall(pattern, text, re.M))


def run_unit(path):
    """One cmocka program. Returns (passed, failed)."""
    begun = time.monotonic()
    try:
        p = subprocess.run([path], cwd=TOP, env=environment(), capture_output=True, timeout=UNIT_LIMIT_S)
        out, status = (p.stdout + p.stderr).decode(errors="replace"), p.returncode
    except subprocess.TimeoutExpired as e:
        out, status = ((e.stdout or b"") + (e.stderr or b"")).decode(errors="replace"), "too long"
    passed = count(r"^\[  PASSED  \] (\d+) test", out)
    failed = count(r"^\[  FAILED  \] (\d+) test", out)
    if status != 0 and failed == 0:
        failed = 1
    if passed + failed == 0:
        failed = 1  # a program that tests nothing is a defect
    name = os.path.relpath(path, BUILD)
    told = "%-4s %6.1f s  %s: %d passed, %d failed" % ("FAIL" if failed else "ok", time.monotonic() - begun, name, passed, failed)
    print(told if not failed else "%s\nexit status %s\n%s" % (told, status, out[-6000:]), flush=True)
    return passed, failed


def run_integration():
    p = subprocess.Popen([sys.executable, os.path.join(HERE, "integration", "run.py")], cwd=TOP, env=environment(),
                         stdout=subprocess.PIPE, text=True)
    last = ""
    for line in p.stdout:
        found = re.fullmatch(r"(\d+) passed, (\d+) failed\n", line)
        if not found:
            print(line, end="", flush=True)
        last = found or last
    if p.wait() != 0 and (not last or int(last[2]) == 0):
        return 0, 1
    return int(last[1]), int(last[2])


def main():
    units = [p for folder in ("emitter", "collector") for p in sorted(glob.glob(os.path.join(BUILD, "tests", folder, "test_*")))
             if os.access(p, os.X_OK)]
    built = {os.path.relpath(p, os.path.join(BUILD, "tests")) for p in units}
    missing = {os.path.relpath(p, HERE)[:-2] for p in glob.glob(os.path.join(HERE, "*", "test_*.c"))} - built
    if missing:
        sys.exit("run.py: not built: %s" % " ".join(sorted(missing)))
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(run_unit, units))
    results.append(run_integration())
    failed = sum(f for _, f in results)
    print("%d passed, %d failed" % (sum(p for p, _ in results), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
