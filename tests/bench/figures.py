# SPDX-License-Identifier: MIT
"""How figures are printed, and a little arithmetic on them."""


def bench(name, value, unit, ratio, limit):
    print("bench %s %s %s ratio=%.3g of=%s" % (
        name, ("%.4g" if value < 1000 else "%.0f") % value, unit, ratio, limit), flush=True)


def note(text):
    print("# " + text, flush=True)


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]
