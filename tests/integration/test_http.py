# SPDX-License-Identifier: MIT
"""HTTP against a running daemon: the OpenAPI document, pages and streams, limits, and rubbish."""
import csv
import http.client
import io
import json
import os
import re
import socket
import threading

import yaml as pyyaml

import governing
from harness import SLOWER, TOP, Lab, wait_until

KINDS = ["dispatch", "report", "message_received", "message_sending", "message_sent", "agent_end", "before_agent_finalize"]
EVERYTHING = {
    "kind": "dispatch", "session_id": "s-1", "parent_session_id": "s-0", "root_session_id": "s-00", "agent_id": "a,b",
    "user_id": "ü", "provider": "p", "model": "m", "requested_model": "m2", "surface": "cli", "channel": "c",
    "lane": "main", "trigger": "cron", "granularity": "call", "status": "error", "error_type": "rate_limit",
    "tags": {"team": "x"}, "run_id": "r", "call_id": "c", "response_id": "resp-1", "trace_id": "t", "span_id": "sp",
    "reservation_id": "res", "tool_used": "grep", "attempt": 2, "prompt_tokens": 10, "completion_tokens": 5,
    "total_tokens": 15, "cached_tokens": 3, "cache_write_tokens": 2, "cache_write_1h_tokens": 1, "reasoning_tokens": 4,
    "tool_calls": 1, "latency_ms": 900, "ttft_ms": 100, "http_status": 429, "partial": 1, "cost_reported_nanousd": 77,
}


def samples():
    out = [EVERYTHING, {"kind": "dispatch"}, {"kind": "report", "body": {"version": "1", "dropped": {"full": 2}}}]
    out += [{"kind": k, "agent_id": "a", "message_id": "m-1", "outcome": "delivered", "bytes": 5} for k in KINDS[2:]]
    return out


def many(n, **more):
    return [dict({"kind": "dispatch", "agent_id": "agent-%d" % (i % 7), "span_id": "span-%d" % i, "prompt_tokens": i}, **more)
            for i in range(n)]


def post_all(c, events):
    for i in range(0, len(events), 5000):
        c.post("/v1/events", events[i:i + 5000]).ok()


# ------------------------------------------------------- a small schema validator
KEYWORDS = {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "pattern", "minimum",
            "maximum", "minLength", "maxLength", "maxItems", "allOf", "oneOf", "$ref", "description", "format", "default"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
         "number": (int, float)}


class Validator:
    def __init__(self, document):
        self.document = document

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def check(self, schema, value, at="$"):
        schema = self.resolve(schema)
        assert set(schema) <= KEYWORDS, "%s: the validator does not know %s" % (at, set(schema) - KEYWORDS)
        if "type" in schema:
            names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            assert any(isinstance(value, TYPES[t]) and (t == "boolean") == isinstance(value, bool) for t in names), \
                "%s: %r is not %s" % (at, value, names)
        assert "enum" not in schema or value in schema["enum"], "%s: %r is not one of %s" % (at, value, schema["enum"])
        assert "const" not in schema or value == schema["const"], "%s: %r is not %r" % (at, value, schema["const"])
        for part in schema.get("allOf", []):
            self.check(part, value, at)
        if isinstance(value, str):
            assert re.search(schema.get("pattern", ""), value), "%s: %r does not match" % (at, value)
            if schema.get("format") == "date-time":
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value), "%s: %r" % (at, value)
        if isinstance(value, int) and not isinstance(value, bool):
            assert schema.get("minimum", value) <= value <= schema.get("maximum", value), "%s: %r" % (at, value)
        if isinstance(value, list):
            assert len(value) <= schema.get("maxItems", len(value)), at
            for i, v in enumerate(value):
                self.check(schema.get("items", {}), v, "%s[%d]" % (at, i))
        if isinstance(value, dict):
            self.check_object(schema, value, at)

    def check_object(self, schema, value, at):
        for name in schema.get("required", []):
            assert name in value, "%s: %s is missing" % (at, name)
        for name, v in value.items():
            if name in schema.get("properties", {}):
                self.check(schema["properties"][name], v, at + "." + name)
            else:
                more = schema.get("additionalProperties", True)
                assert more is not False, "%s: %s is not documented" % (at, name)
                self.check(more if isinstance(more, dict) else {}, v, at + "." + name)


def fails(v, schema, value):
    try:
        v.check(schema, value)
    except AssertionError:
        return True
    return False


def test_the_validator_can_fail():
    v = Validator({"s": {"type": "integer"}})
    assert fails(v, {"type": "object", "required": ["a"]}, {})
    assert fails(v, {"type": "object", "additionalProperties": False}, {"a": 1})
    assert fails(v, {"properties": {"a": {"$ref": "#/s"}}}, {"a": "x"})
    assert fails(v, {"type": "integer"}, True) and fails(v, {"type": "integer"}, None)
    assert fails(v, {"items": {"enum": ["a"]}}, ["a", "b"]) and fails(v, {"pattern": "^a$"}, "b")
    assert not fails(v, {"type": ["integer", "null"], "minimum": 0}, None)


def schemas(node):
    """Every schema that stands in a part of the document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("schema", "items") or key in ("allOf", "oneOf"):
                yield from (value if isinstance(value, list) else [value])
            if key in ("schemas", "properties"):
                yield from value.values()
            yield from schemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value)


def test_every_schema_is_of_the_subset():
    doc, n = document(), 0
    v = Validator(doc)
    for schema in schemas(doc):
        assert set(schema) <= KEYWORDS, schema
        v.resolve(schema)
        n += 1
    assert n > 200


# -------------------------------------------------------------- the OpenAPI document
def document():
    with open(os.path.join(TOP, "schema", "openapi.yaml"), encoding="utf-8") as f:
        return pyyaml.safe_load(f)


GOOD = {"from": "-1h", "to": "now", "bucket": "15m", "group_by": "agent_id,model", "limit": "5", "wait": "1ms", "after": "e1",
        "tz": "Europe/Berlin", "top": "3", "event_id": "0" * 32, "trigger": "cron", "granularity": "run", "status": "ok,error", "source": "gw",
        "cells": "3", "before": "7", "kind": "overrun,test", "state": "open,unacked"}
BAD = {"from": "yesterday", "to": "-1y", "bucket": "90s", "group_by": "agnt", "limit": "0", "wait": "2h", "after": "7",
       "tz": "Mars/Olympus", "top": "0", "event_id": "12", "trigger": "x", "granularity": "x", "status": "fine", "cells": "0", "before": "-1", "kind": "nonsense", "state": "gone"}
NEEDS = {"wait": {"order": "asc"}}
GOOD_AT = {("/v1/usage", "order"): "-total_tokens", ("/v1/sessions", "after"): "A1.1", ("/v1/agents", "order"): "-calls", ("/v1/models", "order"): "-latency_ms_p95",
           ("/v1/alerts", "after"): "a1.1", ("/v1/alerts/stream", "after"): "end", ("/v1/forecast", "budget"): "daily-research"}
BAD_AT = {("/v1/alerts/stream", "after"): "a7"}
ENDLESS = {"/v1/stream", "/v1/alerts/stream"}  # test_stream.py and test_alerts_api.py read what comes


BUDGET = "daily-research"  # of the document's examples
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")


def place(path, id="s-1"):
    """The path of something that is there."""
    id = 1 if path.startswith("/v1/alerts/") else id
    return path.replace("{id}", str(id)).replace("{name}", BUDGET)


def allowed(item):
    """The methods of a path, in the order of the header Allow."""
    return [m for m in METHODS if ("get" if m == "HEAD" else m.lower()) in item]


def example(operation):
    return operation["requestBody"]["content"]["application/json"].get("example")


def send(c, method, path, body):
    return c.request(method, path, json.dumps(body), {"Content-Type": "application/json"})


def make_budget(v, doc, c):
    put = doc["paths"]["/v1/budgets/{name}"]["put"]
    return check_answer(v, put, send(c, "PUT", "/v1/budgets/" + BUDGET, example(put)).ok())


def make_alert(c):
    """The first one: a threshold that a call crosses."""
    governing.put_budget(c, "crossed", "1 calls", scope={"agent": "loud"})
    governing.wait_counted(c)
    c.post("/v1/events", {"kind": "dispatch", "agent_id": "loud"}).ok()
    wait_until("an alert", lambda: c.get("/v1/alerts").ok().json()["alerts"])


def check_answer(v, operation, answer, head=False):
    """The status, content type and body are among what the document promises."""
    response = v.resolve(operation["responses"].get(str(answer.status), {}))
    assert response, "status %d is not documented: %r" % (answer.status, answer)
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in response["content"], (kind, answer)
    schema = response["content"][kind]["schema"]
    if head:
        assert answer.body == b""
    elif kind.endswith("json") and kind != "application/x-ndjson":
        v.check(schema, answer.json())
    elif kind == "application/x-ndjson":
        for line in answer.text().splitlines():
            v.check(schema, json.loads(line))
    if kind == "application/problem+json" and not head:
        assert answer.json()["status"] == answer.status
    return answer


def test_every_route_answers_as_documented():
    doc = document()
    v = Validator(doc)
    with Lab() as lab:
        c = lab.collector()
        check_answer(v, doc["paths"]["/v1/events"]["post"], c.post("/v1/events", samples()).ok())
        make_budget(v, doc, c)
        make_alert(c)
        for path, item in doc["paths"].items():
            methods, endless, path = allowed(item), path in ENDLESS, place(path)
            for method in {"PATCH", "OPTIONS", *METHODS} - set(methods):
                answer = c.request(method, path)
                assert answer.status == 405, (method, path, answer)
                assert answer.headers["Allow"] == ", ".join(methods)
            if "get" not in item:
                continue
            get = item["get"]
            check_answer(v, get, c.request("HEAD", path).ok(), head=True)
            for accept in [None] + list(get["responses"]["200"]["content"]):
                headers = {"Accept": accept} if accept else {}
                answer = check_answer(v, get, c.request("HEAD" if endless else "GET", path, headers=headers).ok(), head=endless)
                assert not accept or answer.headers["Content-Type"].startswith(accept)
            refused = c.get(path, nonsense="1")
            assert refused.status == 400 and refused.json()["parameter"] == "nonsense"


def test_every_change_answers_as_documented():
    """The examples of the document, one after the other, and what becomes of them."""
    doc = document()
    v = Validator(doc)
    paths = doc["paths"]
    with Lab() as lab:
        c = lab.collector()
        assert make_budget(v, doc, c).json()["created"] and not make_budget(v, doc, c).json()["created"]
        make_alert(c)
        ids = {}
        for path, item in paths.items():
            if "post" in item and path != "/v1/events":
                path = place(path)
                if path == "/v1/alerts/test" and c.request("POST", path, "{}").status == 404:
                    continue  # nobody is there who tells alerts
                answer = check_answer(v, item["post"], send(c, "POST", path, example(item["post"])).ok())
                ids[path] = answer.json().get("id")
                problem = check_answer(v, item["post"], send(c, "POST", path, {"nonsense": 1})).json()
                assert problem["status"] == 400 and problem["field"] == "nonsense" and problem["expected"], problem
                problem = check_answer(v, item["post"], c.request("POST", path, "[")).json()
                assert problem["status"] == 400 and "JSON" in problem["detail"], problem
        for path, rows in (("/v1/allowances", "allowances"), ("/v1/pauses", "pauses")):
            assert [r["id"] for r in check_answer(v, paths[path]["get"], c.get(path).ok()).json()[rows]] == [ids[path]]
        end = paths["/v1/allowances/{id}"]["delete"]
        check_answer(v, end, c.request("DELETE", "/v1/allowances/%d" % ids["/v1/allowances"]).ok())
        pause = example(paths["/v1/pauses"]["post"])
        by = {"field": pause["field"], "value": pause["value"]}
        resume = paths["/v1/pauses"]["delete"]
        assert check_answer(v, resume, c.request("DELETE", "/v1/pauses", query=by).ok()).json() == {"ended": 1}
        assert check_answer(v, resume, c.request("DELETE", "/v1/pauses", query=by)).status == 404
        again = send(c, "POST", "/v1/pauses", pause).ok().json()["id"]
        check_answer(v, paths["/v1/pauses/{id}"]["delete"], c.request("DELETE", "/v1/pauses/%d" % again).ok())
        for path, rows in (("/v1/allowances", "allowances"), ("/v1/pauses", "pauses")):
            assert c.get(path).ok().json()[rows] == []
            assert len(check_answer(v, paths[path]["get"], c.get(path, all="true").ok()).json()[rows]) == (1 if rows == "allowances" else 2)
        assert len(check_answer(v, paths["/v1/audit"]["get"], c.get("/v1/audit").ok()).json()["audit"]) >= 7
        delete = paths["/v1/budgets/{name}"]["delete"]
        check_answer(v, delete, c.request("DELETE", "/v1/budgets/" + BUDGET).ok())
        assert check_answer(v, delete, c.request("DELETE", "/v1/budgets/" + BUDGET)).status == 404
        assert check_answer(v, paths["/v1/budgets/{name}"]["get"], c.get("/v1/budgets/" + BUDGET)).status == 404


def test_every_parameter_answers_as_documented():
    doc = document()
    v = Validator(doc)
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", samples()).ok()
        make_budget(v, doc, c)
        make_alert(c)
        for path, item in doc["paths"].items():
            for p in map(v.resolve, item.get("get", {}).get("parameters", [])):
                if p["in"] != "query":
                    continue
                name, schema, needs = p["name"], p["schema"], NEEDS.get(p["name"], {})
                for value in schema.get("enum", [GOOD_AT.get((path, name)) or GOOD.get(name, "a")]):
                    answer = c.request("HEAD" if path in ENDLESS else "GET", place(path), query=dict({name: value}, **needs))
                    if path == "/v1/sessions/{id}" and name == "source":
                        assert answer.status == 404  # nothing came from there
                        continue
                    check_answer(v, item["get"], answer.ok(), head=path in ENDLESS)
                wrong = BAD_AT.get((path, name)) or BAD.get(name) or ("nonsense" if "enum" in schema else None)
                if wrong:
                    answer = check_answer(v, item["get"], c.get(place(path), **{name: wrong}, **needs))
                    problem = answer.json()
                    assert answer.status == 400 and problem["parameter"] == name and problem["value"] == wrong, problem
                    assert problem["expected"]
                twice = c.request("GET", "%s?%s=a&%s=a" % (place(path), name, name))
                assert twice.status == 400, (path, name, twice)
                if "maximum" in schema:
                    assert c.get(place(path), **{name: schema["maximum"] + 1}).status == 400


def test_no_route_is_undocumented():
    with open(os.path.join(TOP, "collector", "http", "routes.c"), encoding="utf-8") as f:
        routes = set(re.findall(r'\.path = "([^"]+)"', f.read()))
    assert routes == set(document()["paths"])
    with Lab() as lab:
        c = lab.collector()
        assert c.get("/version").json()["version"] == document()["info"]["version"]
        for path in ("/", "/v1", "/v1/", "/v1/usage/", "/v1/Usage", "/v2/usage", "/metrics/x", "/%2e%2e/etc/passwd", "//", "/favicon.ico"):
            answer = c.get(path)
            assert answer.status == 404 and answer.headers["Content-Type"] == "application/problem+json", path


def test_every_parameter_is_documented():
    """What a 400 lists as known is what the document lists."""
    doc = document()
    v = Validator(doc)
    with Lab() as lab:
        c = lab.collector()
        for path in ("/v1/usage", "/v1/events", "/v1/sessions", "/v1/sessions/{id}", "/v1/agents", "/v1/models", "/v1/stream",
                     "/v1/alerts", "/v1/alerts/stream", "/v1/budgets", "/v1/budgets/{name}", "/v1/budgets/{name}/explain",
                     "/v1/reservations", "/v1/allowances", "/v1/pauses",
                     "/v1/audit"):
            known = c.get(place(path), nonsense="1").json()["expected"]
            documented = [p["name"] for p in map(v.resolve, doc["paths"][path]["get"]["parameters"]) if p["in"] == "query"]
            assert len(known) < 383 and sorted(known.split(", ")) == sorted(documented), known


# ------------------------------------------------------------------ asking for events
def test_events_come_back_as_they_went_in():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [EVERYTHING], source="gw").ok()
        event = c.get("/v1/events").ok().json()["events"][0]
        for name, value in EVERYTHING.items():
            assert event.pop(name) == value, name
        assert event.pop("source") == "gw"
        assert set(event) == {"event_id", "ts", "ts_ms", "received_ms"}
        row, = csv.DictReader(io.StringIO(c.get("/v1/events", format="csv").ok().text()))
        for name, value in EVERYTHING.items():
            if name != "kind":
                assert row[name] == (json.dumps(value, separators=(",", ":")) if name == "tags" else str(value)), name


def test_unknown_stays_unknown():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", [{"kind": "dispatch", "prompt_tokens": 0}, {"kind": "dispatch"}]).ok()
        totals = c.usage()["totals"]
        assert totals["prompt_tokens"] == 0 and totals["prompt_tokens_unknown"] == 1
        assert totals["completion_tokens"] is None and totals["completion_tokens_unknown"] == 2
        assert totals["status_unknown"] == 2 and totals["errors"] == 0
        row, = csv.DictReader(io.StringIO(c.get("/v1/usage", format="csv").ok().text()))
        assert row["prompt_tokens"] == "0" and row["completion_tokens"] == "" and row["completion_tokens_unknown"] == "2"


def test_pages_and_streams_hold_everything_once():
    with Lab() as lab:
        c = lab.collector()
        post_all(c, many(2350))
        for order in ("asc", "desc"):
            seen, after = [], None
            while True:
                page = c.get("/v1/events", order=order, limit=1000, **({"after": after} if after else {})).ok().json()
                seen += [e["span_id"] for e in page["events"]]
                after = page["next"]
                if page["end"]:
                    break
            want = ["span-%d" % i for i in range(2350)]
            assert seen == (want if order == "asc" else want[::-1])
            lines = c.get("/v1/events", order=order, format="ndjson").ok().text().splitlines()
            assert [json.loads(line)["span_id"] for line in lines] == seen
            rows = list(csv.DictReader(io.StringIO(c.get("/v1/events", order=order, format="csv").ok().text())))
            assert [r["span_id"] for r in rows] == seen
        assert len(c.get("/v1/events", format="ndjson", limit=1500).ok().text().splitlines()) == 1500
        page = c.get("/v1/events", format="ndjson", limit=10).ok()
        more = c.get("/v1/events", format="ndjson", limit=10, after=page.headers["Tollgate-Next"]).ok()
        assert [json.loads(line)["span_id"] for line in (page.text() + more.text()).splitlines()] == \
            ["span-%d" % i for i in range(2349, 2329, -1)]
        assert len(c.get("/v1/events", agent="agent-3", format="ndjson").ok().text().splitlines()) == len(range(3, 2350, 7))


def projected(c):
    """What is stored is in the flushed rollups too."""
    return c.sql("SELECT watermark >= (SELECT max(id) FROM dispatch) FROM projection")[0][0]


def test_superseded_events_are_shown_on_demand():
    with Lab() as lab:
        c = lab.collector()
        for session in ("early", "late"):  # replaced before its minute was flushed, and after
            call = {"kind": "dispatch", "session_id": session, "response_id": "r", "prompt_tokens": 5}
            c.post("/v1/events", dict(call, partial=1)).ok()
            if session == "late":
                wait_until("the rollups are flushed", lambda: projected(c))
            c.post("/v1/events", dict(call, prompt_tokens=9)).ok()
            assert [e["prompt_tokens"] for e in c.get("/v1/events", session=session).ok().json()["events"]] == [9]
            both = c.get("/v1/events", superseded="true", order="asc", session=session).ok().json()["events"]
            assert [e.get("superseded") for e in both] == ["replaced", None]
            totals = c.usage(session=session)["totals"]  # from the log
            assert (totals["calls"], totals["prompt_tokens"], totals["partial"]) == (1, 9, 0)
        for _ in range(2):  # from rollups and tail, then from rollups alone
            totals = c.usage()["totals"]
            assert (totals["calls"], totals["prompt_tokens"], totals["partial"]) == (2, 18, 0)
            wait_until("the rollups are flushed", lambda: projected(c))


def test_every_answer_is_of_one_commit():
    """Posts of 100 events each, flushes of the rollups, and queries all at once: no answer sees a part."""
    with Lab() as lab:
        c = lab.collector()
        batch = [{"kind": "dispatch", "agent_id": "a-%d" % (i % 5), "session_id": "s-%d" % (i % 3), "prompt_tokens": 7} for i in range(100)]
        posts, failures = 60, []

        def guarded(job, *args):
            try:
                job(*args)
            except Exception as e:
                failures.append(e)

        def write():
            for _ in range(posts):
                c.post("/v1/events", batch).ok()

        def read(query):
            seen = 0
            while seen < 100 * posts and not failures:
                answer = c.usage(**query)
                calls, tokens = answer["totals"]["calls"], answer["totals"]["prompt_tokens"] or 0
                if calls % 100 or calls < seen or tokens != 7 * calls or sum(r["calls"] for r in answer["rows"]) != calls:
                    failures.append((query, seen, answer))
                seen = calls

        threads = [threading.Thread(target=guarded, args=(write,))] + \
            [threading.Thread(target=guarded, args=(read, q)) for q in ({}, {"group_by": "agent"}, {"group_by": "session", "bucket": "1d"})]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures[0]


def test_a_long_poll_ends_with_the_next_event():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", many(3)).ok()
        start = c.get("/v1/events", order="asc", after="end").ok().json()
        assert start["events"] == [] and start["end"]
        got = []
        waiting = [threading.Thread(target=lambda: got.append(c.get("/v1/events", order="asc", after=start["next"], wait="60s",
                                                                   agent="wanted", timeout=90).ok().json())) for _ in range(20)]
        for t in waiting:
            t.start()
        wait_until("20 long polls", lambda: c.metric("tollgate_http_connections") >= 21)
        c.post("/v1/events", {"kind": "dispatch", "agent_id": "other"}).ok()
        assert got == [] and c.get("/healthz").status == 200
        c.post("/v1/events", {"kind": "dispatch", "agent_id": "wanted"}).ok()
        for t in waiting:
            t.join()
        assert [len(page["events"]) for page in got] == [1] * 20
        nothing = c.get("/v1/events", order="asc", after=got[0]["next"], wait="10ms").ok().json()
        assert nothing["events"] == [] and nothing["next"] == got[0]["next"]


def test_a_long_poll_whose_peer_went_away_frees_its_place():
    with Lab() as lab:
        c = lab.collector()
        polls = [raw(c, b"GET /v1/events?order=asc&after=end&wait=60s HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(10)]
        wait_until("the polls", lambda: c.metric("tollgate_http_connections") >= 11)
        for s in polls:
            s.close()
        wait_until("their end", lambda: c.metric("tollgate_http_connections") == 1)


# ---------------------------------------------------------------------- the protocol
def raw(c, data=b""):
    s = socket.create_connection(("127.0.0.1", c.port), timeout=30 * SLOWER)
    s.sendall(data)
    return s


def read_all(s):
    out = b""
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            out += piece
    except ConnectionResetError:
        pass
    s.close()
    return out


def test_pipelining_and_keep_alive():
    with Lab() as lab:
        c = lab.collector()
        s = raw(c, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 9 +
                b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = read_all(s)
        assert answers.count(b"HTTP/1.1 200 OK") == 10 and answers.count(b'{"status":"ok"}') == 9
        head = read_all(raw(c, b"HEAD /v1/usage HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
        assert head.startswith(b"HTTP/1.1 200 OK") and head.endswith(b"\r\n\r\n") and b"Content-Length: " in head


RUBBISH = [
    b"\0" * 1000, b"\xff\xfe" * 500, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500, b"\r\n\r\n", b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/usage?" + b"agent=x&" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
    b"GET /v1/usage HTTP/1.1\r\n\r\n", b"GET /v1/usage?agent=%00&agent=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/usage?agent=%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n{}",
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff",
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n" + b"[" * 20000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


def test_rubbish_is_refused_and_harms_nobody():
    with Lab() as lab:
        c = lab.collector()
        c.post("/v1/events", samples()).ok()
        before = c.usage()
        open_ones = []
        for data in RUBBISH:
            s = raw(c)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before all was sent
            answer = read_all(s)
            assert not answer.startswith(b"HTTP/1.1 2") or b"%ff" in data, (data[:60], answer[:200])
            open_ones.append(raw(c, data[:len(data) // 2]))  # and half of it, never finished
        assert c.get("/healthz").status == 200 and c.usage() == dict(before, to=c.usage()["to"])
        for s in open_ones:
            s.close()
        for name in ("agent", "agent_id"):
            answer = c.get("/v1/usage", **{name: "\x1b[31m\"\\\n"}).ok().json()
            assert answer["totals"]["calls"] == 0


def test_a_body_over_the_limit_is_told_so():
    with Lab() as lab:
        c = lab.collector()
        events = b"[" + b" " * (4 << 20) + b"]"
        answer = c.request("POST", "/v1/events", events)
        assert answer.status == 413 and answer.json()["status"] == 413
        asked = raw(c, b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4194305\r\n\r\n")
        assert read_all(asked).startswith(b"HTTP/1.1 413")  # before a byte of it was sent
        conn = http.client.HTTPConnection("127.0.0.1", c.port, timeout=30 * SLOWER)
        conn.request("POST", "/v1/events", (b"x" * 65536 for _ in range(70)), encode_chunked=True,
                     headers={"Transfer-Encoding": "chunked", "Host": "localhost"})
        assert conn.getresponse().status == 413
        conn.close()
        fits = json.dumps({"kind": "dispatch", "agent_id": "last"}).encode()
        assert c.post("/v1/events", fits + b" " * ((4 << 20) - len(fits))).ok().json()["stored"] == 1
        endless = raw(c, b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece, sent = b"10000\r\n" + b"x" * 65536 + b"\r\n", 0
        try:
            while sent < 1 << 28:
                endless.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        endless.close()
        assert sent < 1 << 26, "a body without an end was read for ever"


def test_idle_and_slow_connections_delay_nobody():
    with Lab() as lab:
        c = lab.collector()
        post_all(c, many(20000, call_id="x" * 250))
        idle = [raw(c) for _ in range(100)]
        slow = [raw(c, b"GET /v1/usage HTTP/1.1\r\nHos") for _ in range(50)]
        # Streams whose reader does not read: their senders are stuck in the middle.
        stuck = [raw(c, b"GET /v1/events?format=ndjson HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(30)]
        for _ in range(20):
            assert c.usage()["totals"]["calls"] == 20000
            c.post("/v1/events", {"kind": "report", "body": {}}).ok()
        for s in slow:  # still alive, and answered when they come to an end
            s.sendall(b"t: localhost\r\nConnection: close\r\n\r\n")
        for s in slow:
            assert read_all(s).startswith(b"HTTP/1.1 200 OK")
        for s in idle + stuck:
            s.close()
        wait_until("the streams' end", lambda: c.metric("tollgate_http_answers_cut_total") >= 30)


def test_too_many_connections_are_told_so():
    with Lab() as lab:
        c = lab.collector(limits={"http_connections": 8})
        idle = [raw(c, b"GET") for _ in range(8)]
        wait_until("a refusal", lambda: c.get("/healthz").status == 503)
        refused = c.get("/healthz")
        assert "connections" in refused.json()["detail"] and refused.headers["Retry-After"] == "1"
        for s in idle:
            s.close()
        wait_until("a place", lambda: c.get("/healthz").status == 200)
        assert c.metric("tollgate_http_requests_total", route="/healthz", status="503") >= 2


def test_a_stream_that_cannot_go_on_is_cut():
    with Lab() as lab:
        c = lab.collector()
        post_all(c, many(40000, call_id="x" * 200))
        conn = http.client.HTTPConnection("127.0.0.1", c.port, timeout=60 * SLOWER)
        conn.request("GET", "/v1/events?format=ndjson")
        answer = conn.getresponse()
        answer.read(1000)
        c.stop()  # a stuck stream does not keep the daemon
        try:
            answer.read()
        except (http.client.IncompleteRead, ConnectionError):
            return
        finally:
            conn.close()
        raise AssertionError("a broken export looked complete")


# --------------------------------------------------------------------- who may ask
def test_a_token_is_wanted_where_there_is_one():
    doc = document()
    v = Validator(doc)
    with Lab() as lab:
        c = lab.collector(start=False, listen={"token": "s3cret"})
        c.start(ready=False)
        good = {"Authorization": "Bearer s3cret"}
        for path, item in doc["paths"].items():
            for headers in ({}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Bearer s3cret1"},
                            {"Authorization": "Basic s3cret"}, {"Authorization": "Bearer "}):
                method = allowed(item)[0]
                answer = check_answer(v, item[method.lower()], c.request(method, path, headers=headers))
                assert answer.status == (200 if path == "/healthz" else 401), (path, headers)
                if path != "/healthz":
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert c.request("POST", "/v1/events", b"{}").status == 401
        wait_until("ready", lambda: c.get("/readyz", headers=good).status == 200)
        assert c.get("/v1/usage", headers=dict(good, Host="collector.example")).status == 200


def test_other_sites_pages_are_refused():
    with Lab() as lab:
        c = lab.collector()
        for host, status in (("localhost", 200), ("localhost:1234", 200), ("LOCALHOST", 200), ("127.0.0.1:1", 200), ("127.1.2.3", 200),
                             ("[::1]:80", 200), ("evil.example", 403), ("localhost.evil.example", 403),
                             ("127.0.0.1.evil.example", 403), ("localhost:x", 403), ("[::1", 403), ("10.0.0.1", 403)):
            assert c.get("/v1/usage", headers={"Host": host}).status == status, host
        own = "http://127.0.0.1:%d" % c.port
        for origin, status in ((own, 200), ("http://evil.example", 403), ("null", 403), ("https://127.0.0.1:%d" % c.port, 403)):
            answer = c.request("POST", "/v1/events", b'{"kind":"dispatch"}', {"Origin": origin})
            assert answer.status == status, (origin, answer)
        assert c.usage()["totals"]["calls"] == 1


# ------------------------------------------------------------------------- metrics
def test_metrics_are_an_exposition():
    sample = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? (-?[0-9.e+]+|NaN|[+-]Inf)')
    with Lab() as lab:
        c = lab.collector()
        for path in ("/healthz", "/nothing", "/v1/usage?x=1"):
            c.get(path)
        text = c.get("/metrics").ok().text()
        types, closed, current = {}, set(), None
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, current, kind = line.split()
                assert current not in types, "%s comes in two pieces" % current
                types[current] = kind
            elif not line.startswith("# HELP "):
                assert sample.fullmatch(line), line
                name = re.match("[a-z_]+", line)[0]
                base = re.sub("_(bucket|sum|count)$", "", name) if types.get(current) == "histogram" else name
                assert base == current, line
        assert c.metric("tollgate_http_requests_total", route="/healthz", status="200") == 1
        assert c.metric("tollgate_http_requests_total", route="other", status="404") == 1
        assert c.metric("tollgate_http_requests_total", route="/v1/usage", status="400") == 1
        assert c.metric("tollgate_http_request_duration_seconds_count", route="/healthz") == 1
