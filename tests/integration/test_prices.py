# SPDX-License-Identifier: MIT
"""Prices: the collector's costs against the calculation of the package that the list is made from."""
import json
import os
import shutil
import subprocess
from fractions import Fraction

from harness import BUILD, TOP, Skip

COUNT, SEED = 10000, 20261121
# The package counts in doubles: a dozen products and sums, each off by at most one part in 2^53.
DOUBLE = Fraction(16, 2 ** 53)


def usages():
    if not shutil.which("node") or not shutil.which("npm"):
        raise Skip("node and npm are needed")
    out = subprocess.run(["node", os.path.join(TOP, "tests", "prices", "usages.mjs"), str(COUNT), str(SEED)],
                         check=True, capture_output=True, timeout=240).stdout
    return [json.loads(line) for line in out.splitlines()]


def costs(rows):
    lines = "".join("\t".join(str(v) for v in row[:9]) + "\n" for row in rows)
    out = subprocess.run([os.path.join(BUILD, "tools", "price_costs")], input=lines.encode(), check=True,
                         capture_output=True, timeout=240).stdout
    return [line.split("\t") for line in out.decode().splitlines()]


def has_prefix(row):
    return "/" in row[1]


def check(row, ours):
    """The same entry and, to the nano-dollar, the same cost."""
    theirs = row[9]
    if theirs is None:
        assert ours == ["none"] or has_prefix(row), ("only a prefix may find more", row, ours)
        return False
    provider, model, usd, charged, slack = theirs
    if has_prefix(row) and row[0] in ("", "litellm") and ours[:2] != [provider, model]:
        return False  # "openrouter/anthropic/...": the prefix names the provider, for the package the model does
    if not charged:
        assert ours == ["none"] or ours[2] == "0", ("nothing is known of its price", row, ours)
        return False
    assert ours[:2] == [provider, model], (row, ours)
    off, bound = abs(Fraction(usd) * 10 ** 9 - int(ours[2])), Fraction(1, 2) + Fraction(usd) * 10 ** 9 * DOUBLE + Fraction(slack)
    assert off <= bound, (row, ours, float(off))
    return True


def test_costs_as_the_source_calculates():
    rows = usages()
    ours = costs(rows)
    assert len(rows) == len(ours) == COUNT, (len(rows), len(ours))
    compared = [(row[9][0], row[9][1]) for row, said in zip(rows, ours) if check(row, said)]
    assert len(compared) > COUNT * 0.7, "most usages must have a price: %d" % len(compared)
    with open(os.path.join(TOP, "schema", "prices.json"), encoding="utf-8") as f:
        priced = {(p["id"], m["id"]) for p in json.load(f)["providers"] for m in p["models"]
                  if m["prices"] and "free" not in m["prices"][0]}
    missed = priced - set(compared)
    assert len(missed) < len(priced) / 50, ("nearly every model must be reached", len(missed), sorted(missed)[:20])
