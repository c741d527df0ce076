# SPDX-License-Identifier: MIT
"""/metrics, the dashboards and the alert rules, by Prometheus' own judgement: promtool, and a real Prometheus that
scrapes a collector under load."""
import prometheus as prom
import wire
from emitters import finish, load
from harness import Dealer, Lab, Stream, wait_until

HOSTILE = 'quote" back\\slash\nline {x="y"} 1'
CALL = {"kind": "dispatch", "agent_id": "spender", "provider": "anthropic", "model": "claude-sonnet-4-5", "status": "ok",
        "prompt_tokens": 1200, "completion_tokens": 300, "cached_tokens": 1000, "cache_write_tokens": 10,
        "reasoning_tokens": 40, "latency_ms": 840, "ttft_ms": 120, "cost_reported_nanousd": 1234567}


def publish_hostile(c):
    """Names that would end a line or a label, or are no UTF-8, in every place that becomes a label."""
    with Dealer(c.endpoint) as d:
        names = {n: HOSTILE + n for n in ("agent_id", "provider", "model", "requested_model", "error_type")}
        broken = {n: "broken \udcff\udc80 " + n for n in names}
        events = [dict(kind="dispatch", status=2, latency_ms=5, prompt_tokens=1, **n) for n in (names, broken)]
        report = {"kind": "report", "body": {"dropped": {"full": 3, HOSTILE: 2}}}
        Stream(d, HOSTILE).publish([wire.positions(e) for e in events + [report]])


def test_rules_and_configuration():
    prom.promtool("check", "rules", "alerts.yml")
    prom.promtool("check", "config", "prometheus.yml")
    said = prom.promtool("test", "rules", "alerts_test.yml")
    assert "SUCCESS" in said, said
    with open(prom.FOLDER + "/alerts_test.yml", encoding="utf-8") as f:
        tested = f.read()
    for rule in prom.rules():
        name = rule.get("alert") or rule["record"]
        assert name in tested, "alerts_test.yml does not test %s" % name


def test_dashboards_are_whole():
    """Unique ids, no panel over another, no query that lacks the variables, no metric that is not ours."""
    for name, board in prom.boards():
        ids = [p["id"] for p in prom.panels(board)]
        assert len(ids) == len(set(ids)), name
        taken = set()
        for p in prom.panels(board):
            g = p["gridPos"]
            cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
            assert g["x"] + g["w"] <= 24 and not cells & taken, (name, p["title"])
            taken |= cells
            for t in p.get("targets", []):
                assert t["datasource"]["uid"] == "${datasource}" and '$instance' in t["expr"], (name, p["title"])
    assert {b["uid"] for _, b in prom.boards()} == {"tollgate-overview", "tollgate-collector"}


def test_metrics_by_promtool():
    with Lab() as lab:
        c = lab.collector()
        finish(load(lab, c, "gateway", threads=2, events=500))
        c.post("/v1/events", [CALL])
        publish_hostile(c)
        c.get("/v1/usage").ok()
        c.get("/nowhere")
        said = prom.promtool("check", "metrics", stdin=c.get("/metrics").ok().body)
        assert said.strip() == "", said
        text = c.get("/metrics").text()
        assert text.count("# TYPE tollgate_usage_calls_total counter\n") == 1
        escaped = 'quote\\" back\\\\slash\\nline {x=\\"y\\"} 1'
        assert 'agent="%sagent_id"' % escaped in text
        assert 'agent="broken \ufffd\ufffd agent_id"' in text
        assert 'tollgate_emitter_lost_events_total{source="%s",reason="full"} 3\n' % escaped in text
        assert 'tollgate_emitter_lost_events_total{source="%s",reason="other"} 2\n' % escaped in text


def test_metrics_equal_usage():
    """What the metrics add up to is what /v1/usage says, to the last nano-dollar."""
    with Lab() as lab:
        c = lab.collector()
        finish(load(lab, c, "gateway", threads=2, events=2000))
        c.post("/v1/events", [dict(CALL, cost_reported_nanousd=n) for n in range(1, 100)])
        totals = c.usage()["totals"]
        text = c.get("/metrics").ok().text()

        def added(name, scale=1):
            """Exactly: the values as decimal digits, not as floats."""
            total = 0
            for line in text.splitlines():
                if line.startswith(name):
                    whole, _, fraction = line.rpartition(" ")[2].partition(".")
                    total += int(whole) * scale + (int(fraction.ljust(len(str(scale)) - 1, "0")) if fraction else 0)
            return total
        assert added("tollgate_usage_calls_total{") == totals["calls"] == 2099
        assert added("tollgate_usage_cost_reported_usd_total{", 10**9) == totals["cost_reported_nanousd"] == 4950
        assert added("tollgate_usage_cost_usd_total{", 10**9) == (totals["cost_nanousd"] or 0)
        assert added("tollgate_usage_unpriced_calls_total{") == totals["cost_nanousd_unknown"]
        for kind in ("prompt", "completion", "cached", "cache_write", "reasoning"):
            got = sum(v for k, v in c.metrics().items() if k.startswith("tollgate_usage_tokens_total{") and 'type="%s"' % kind in k)
            assert got == totals[kind + "_tokens"], kind
            unknown = c.metric("tollgate_usage_unknown_total", field=kind + "_tokens")
            assert unknown == totals[kind + "_tokens_unknown"], kind
        assert c.metric("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == totals["prompt_tokens"]
        assert c.metric("gen_ai_client_operation_duration_seconds_count") == totals["calls"] - totals["latency_ms_unknown"]


def test_a_partial_record_counts_once():
    with Lab() as lab:
        c = lab.collector()
        partial = dict(CALL, session_id="s", response_id="r", partial=1, prompt_tokens=100)
        del partial["status"]
        c.post("/v1/events", [partial])
        c.post("/v1/events", [dict(CALL, session_id="s", response_id="r", prompt_tokens=130)])
        assert c.metric("tollgate_usage_calls_total", status="ok") == 1
        assert c.metric("tollgate_usage_tokens_total", type="prompt") == 130
        assert c.metric("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 130


def test_every_query_has_data():
    """Every panel's, variable's and rule's query, asked of a Prometheus that scrapes a collector under load."""
    with Lab() as lab:
        prom.program("prometheus")
        c = lab.collector()
        generator = load(lab, c, "gateway", threads=2, events=1000000, rate=200)
        publish_hostile(c)
        p = prom.Prometheus(lab, "127.0.0.1:%d" % c.port)
        missing = dict(prom.panel_queries())
        for rule in prom.rules():
            if "record" in rule:
                missing["record " + rule["record"]] = rule["record"]
            for name, labels in prom.selectors(rule["expr"]):
                by = ", ".join(labels)
                missing["%s{%s}" % (name, by)] = "count by (%s) (%s{%s})" % (
                    by, name, ", ".join('%s!=""' % label for label in labels))
        for where in [where for where, expr in missing.items() if "tollgate_usage_cost_usd_total" in expr]:
            del missing[where]  # no call has a price yet
        asked = len(missing)
        assert asked > 100, asked

        def all_answered():
            c.post("/v1/events", [CALL])
            c.get("/v1/usage").ok()
            for where, expr in list(missing.items()):
                if p.has_data(expr):
                    del missing[where]
            return not missing
        wait_until(lambda: "data for %d of %d: %r" % (len(missing), asked, missing), all_answered, 45)

        assert p.query('up{job="tollgate"}')[0][1] == 1
        health = [(r["name"], r["lastError"]) for g in p.api("rules")["groups"] for r in g["rules"] if r["health"] == "err"]
        assert not health, health
        assert any(HOSTILE in m.get("agent", "") for m, _ in p.query("tollgate_usage_calls_total"))
        assert 'agent="spender"' in c.get("/metrics").text()
        generator.kill()
        p.process.kill()
