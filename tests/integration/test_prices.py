# SPDX-License-Identifier: MIT
"""Prices: the collector's costs against the calculation of the package that the list is made from."""
import json
import os
import shutil
import subprocess
import time
from fractions import Fraction

from harness import BUILD, TOP, Lab, Skip, wait_until

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


def tollgate(*words, status=0):
    """The command without a daemon; what it prints."""
    p = subprocess.run([os.path.join(BUILD, "tollgate"), *words], capture_output=True, text=True, timeout=60)
    assert p.returncode == status, (words, p.returncode, p.stdout, p.stderr)
    return p.stdout if status == 0 else p.stderr


def test_price_explain():
    said = json.loads(tollgate("price", "explain", "claude-sonnet-4-5", "--prompt", "200001", "--cached", "200000",
                               "--completion", "10", "--reasoning", "4", "--json"))
    assert said["tier_above"] == 200000 and said["model"] == "claude-sonnet-4-5", said
    assert [(x["kind"], x["rate_of"], x["tokens"]) for x in said["lines"]] == \
        [("input", "input", 1), ("cache_read", "cache_read", 200000), ("output", "output", 6), ("reasoning", "output", 4)], said
    assert said["cost_nanousd"] == 6000 + 200000 * 600 + 10 * 22500, said
    assert sum(Fraction(x["amount_usd"]) for x in said["lines"]) == Fraction(said["total_usd"]), said
    text = tollgate("price", "explain", "claude-sonnet-4-5", "--prompt", "200000", "--completion", "10")
    assert "cost: $0.60015" in text and "tier" not in text, text
    then, now = (json.loads(tollgate("price", "explain", "claude-opus-4-6", "--provider", "anthropic", "--prompt", "300000",
                                     "--completion", "0", "--at", at, "--json"))["cost_nanousd"]
                 for at in ("2026-03-12T23:59:59Z", "2026-03-13"))
    assert (then, now) == (3_000_000_000, 1_500_000_000), (then, now)


def test_price_explain_refuses():
    said = tollgate("price", "explain", "claude-sonet-4-5", "--prompt", "1", "--completion", "1", status=1)
    assert "no price" in said and "claude-sonnet-4-5" in said, said
    said = tollgate("price", "explain", "llama3", "--provider", "ollama", "--prompt", "1", "--completion", "1", status=1)
    assert 'knows no provider "ollama"' in said, said
    said = tollgate("price", "explain", "gpt-5", "--prompt", "1", status=1)
    assert "--completion" in said, said
    for words in (["explain"], ["explain", "gpt-5", "--prompt", "x"], ["explain", "gpt-5", "--at", "soon"], ["list"], []):
        tollgate("price", *words, status=2)


def test_prices_are_listed():
    with Lab() as lab:
        path = os.path.join(lab.dir, "tollgate.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("prices:\n  - match: { provider: ollama }\n    free: true\n"
                    "  - match: { model: 'house-*' }\n    input: 0.1\n    output: 0.30\n    tiers: [{ above: 1000, input: 0.2 }]\n")
        rows = json.loads(tollgate("prices", "--config", path, "--json"))["prices"]
        assert len(rows) > 1500 and rows[0]["free"] is True and rows[0]["source"] == "operator", rows[:2]
        assert rows[1]["input"] == "0.1" and rows[1]["tiers"] == [{"above": 1000, "input": "0.2", "output": "0.3"}], rows[1]
        assert "house-*" in tollgate("prices", "house", "--config", path)
        said = json.loads(tollgate("price", "explain", "house-7", "--config", path, "--prompt", "1001", "--completion", "1", "--json"))
        assert said["cost_nanousd"] == 200500 and said["source"] == "operator", said
        with open(path, "a", encoding="utf-8") as f:
            f.write("  - match: { model: x }\n    input: cheap\n    output: 1\n")
        said = tollgate("prices", "--config", path, status=1)
        assert "prices[2].input" in said and "cheap" in said, said
    assert "claude-sonnet-4-5" in tollgate("prices", "SONNET", "--provider", "anthropic")
    tollgate("prices", "no-such-model-at-all", status=1)


def test_events_are_priced():
    """Over the wire and in the file; the entry that priced them stands in the table price."""
    with Lab() as lab:
        c = lab.collector()
        events = [{"kind": "dispatch", "session_id": "s", "provider": "anthropic", "model": model, "status": "ok",
                   "prompt_tokens": 1000, "completion_tokens": 10} for model in ("claude-sonnet-4-5", "unheard-of")]
        c.post("/v1/events", events).ok()
        wait_until("both are stored", lambda: c.stored() >= 2)
        rows = c.sql("SELECT e.cost_nanousd, p.model, p.source FROM dispatch e LEFT JOIN price p ON p.id = e.price "
                     "WHERE e.session IS NOT NULL ORDER BY e.id")
        assert rows[0][:2] == (3_150_000, "claude-sonnet-4-5") and rows[0][2].startswith("genai-prices "), rows
        assert rows[1] == (None, None, None), rows


def test_stored_calls_are_priced_again():
    """A dry run, the run, what stands in the audit, and sums that agree with the log; all beside a load."""
    old, new = ([{"match": {"model": "house"}, "input": rate, "output": rate}] for rate in (1, "2.5"))
    with Lab() as lab:
        c = lab.collector(prices=old)
        now = int(time.time() * 1000)
        events = [{"kind": "dispatch", "session_id": "s-%d" % (i % 9), "provider": "p", "model": ("house", "other")[i % 3 == 0], "status": "ok",
                   "ts_ms": now - i * 60000, "prompt_tokens": 1000, "completion_tokens": 10, "agent_id": "a"} for i in range(3000)]
        for i in range(0, len(events), 500):
            c.post("/v1/events", events[i:i + 500]).ok()
        c.configure(prices=new)
        c.restart()
        env = dict(lab.env, TOLLGATE_URL="http://127.0.0.1:%d" % c.port)

        def run(*words):
            p = subprocess.run([os.path.join(BUILD, "tollgate"), "reprice", *words, "--json"], capture_output=True, text=True, env=env, timeout=60)
            assert p.returncode == 0, p.stderr
            return json.loads(p.stdout)

        def cost():
            return c.sql("SELECT sum(cost_nanousd) FROM dispatch")[0][0]
        before = cost()
        assert before == 2000 * 1010000
        dry = run("--from", "-30d", "--dry-run", "--author", "ann")
        assert (dry["state"], dry["old_nanousd"], dry["new_nanousd"]) == ("done", before, 2000 * 2525000), dry
        assert dry["changed"] == 2000 and dry["old_unknown"] == dry["new_unknown"] >= 1000, dry
        assert cost() == before and c.sql("SELECT count(*) FROM audit")[0][0] == 0
        part = run("--from", "-1h", "--model", "house", "--author", "ann")
        assert 0 < part["changed"] < 100 and cost() == before + part["difference_nanousd"], part
        wet = run("--from", "-30d", "--budgets", "--author", "bob")
        assert wet["changed"] == 2000 - part["changed"] and cost() == 2000 * 2525000, wet
        assert c.usage(model="house")["totals"]["cost_nanousd"] == 2000 * 2525000
        noted = [(r["author"], r["what"], r["detail"]["changed"]) for r in c.get("/v1/audit").ok().json()["audit"]]
        assert noted == [("bob", "reprice", wet["changed"]), ("ann", "reprice", part["changed"])], noted
        text = subprocess.run([os.path.join(BUILD, "tollgate"), "reprice", "--from", "-30d", "--dry-run"], capture_output=True, text=True, env=env,
                              timeout=60).stdout
        assert "house" in text and "nothing has been changed" in text, text
        c.stop()
        subprocess.run([os.path.join(BUILD, "tollgate"), "rebuild", "--check", "--database", c.database], check=True, env=env, timeout=60)


def test_a_run_that_is_killed_is_finished_by_the_next():
    """At every commit rows and sums agree, so nothing has to be mended: asked again, it does the rest."""
    total = 30000
    with Lab() as lab:
        c = lab.collector(prices=[{"match": {"model": "house"}, "input": 1, "output": 1}])
        now = int(time.time() * 1000)
        for i in range(0, total, 1000):
            c.post("/v1/events", [{"kind": "dispatch", "session_id": "s-%d" % (k % 70), "provider": "p", "model": "house", "status": "ok",
                                   "ts_ms": now - k * 1000, "prompt_tokens": 100, "completion_tokens": 0} for k in range(i, i + 1000)]).ok()
        c.configure(prices=[{"match": {"model": "house"}, "input": 3, "output": 3}])
        c.restart()
        c.post("/v1/reprice", {"from_ms": 0}).ok()
        assert c.post("/v1/reprice", {"from_ms": 0}).status == 409
        half = wait_until("some are priced again", lambda: c.get("/v1/reprice").ok().json()["changed"])
        c.kill()
        changed = c.sql("SELECT count(*) FROM dispatch WHERE cost_nanousd = 300000")[0][0]
        assert 0 < changed < total and half, "it must have been killed on the way: %d" % changed
        subprocess.run([os.path.join(BUILD, "tollgate"), "rebuild", "--check", "--database", c.database], check=True, timeout=60, capture_output=True)
        c.start()
        assert c.get("/v1/reprice").ok().json() == {"state": "idle"}
        c.post("/v1/reprice", {"from_ms": 0}).ok()
        wait_until("the run is over", lambda: c.get("/v1/reprice").ok().json()["state"] == "done")
        assert c.get("/v1/reprice").json()["changed"] == total - changed
        assert c.usage(model="house")["totals"]["cost_nanousd"] == total * 300000
        states = [json.loads(d)["state"] for (d,) in c.sql("SELECT detail FROM audit ORDER BY id")]
        assert states == ["running", "done"], "the run that was cut short stands in the audit too: %s" % states
        c.stop()
        subprocess.run([os.path.join(BUILD, "tollgate"), "rebuild", "--check", "--database", c.database], check=True, timeout=60, capture_output=True)
