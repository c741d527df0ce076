# SPDX-License-Identifier: MIT
"""A real Prometheus for the tests: the program and promtool of Debian, and the queries of our dashboards and rules."""
import glob
import http.client
import json
import math
import os
import re
import shutil
import subprocess
import urllib.parse

import yaml

from harness import SLOWER, TOP, Process, Skip, wait_until

FOLDER = os.path.join(TOP, "dashboards", "grafana")
UNPACKED = os.path.join(TOP, "build", "debian", "usr", "bin")  # where `make deps-test` puts it


def program(name):
    path = shutil.which(name) or os.path.join(UNPACKED, name)
    if not os.access(path, os.X_OK):
        raise Skip("%s is not here: make deps-test" % name)
    return path


def promtool(*args, stdin=None):
    """Runs it in the dashboards' folder and wants that it finds nothing."""
    p = subprocess.run([program("promtool"), *args], cwd=FOLDER, input=stdin, capture_output=True, timeout=120 * SLOWER)
    said = (p.stdout + p.stderr).decode("utf-8", "replace")
    assert p.returncode == 0, "promtool %s: %s" % (" ".join(args), said)
    return said


def config(target):
    """The example of prometheus.yml, made quick and led to a collector."""
    with open(os.path.join(FOLDER, "prometheus.yml"), encoding="utf-8") as f:
        c = yaml.safe_load(f)
    c["global"].update(scrape_interval="1s", evaluation_interval="1s")
    c["rule_files"] = [os.path.join(FOLDER, name) for name in c["rule_files"]]
    (job,) = c["scrape_configs"]
    job["static_configs"] = [{"targets": [target]}]
    return c


class Prometheus:
    def __init__(self, lab, target):
        path = lab.path("prometheus.yml")
        with open(path, "w", encoding="utf-8") as f:
            yaml.safe_dump(config(target), f)
        self.process = Process(lab, [program("prometheus"), "--config.file=" + path, "--web.listen-address=127.0.0.1:0",
                                     "--storage.tsdb.path=" + lab.path("prometheus")])
        self.port = wait_until("Prometheus tells its port", self._port)
        wait_until("Prometheus is ready", self._ready)

    def _port(self):
        assert self.process.running, "Prometheus ended"
        told = re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', self.process.stderr())
        return int(told[1]) if told else 0

    def _ready(self):
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def get(self, path, **query):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30 * SLOWER)
        try:
            conn.request("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))
            r = conn.getresponse()
            return r.status, r.read()
        finally:
            conn.close()

    def api(self, path, **query):
        status, body = self.get("/api/v1/" + path, **query)
        answer = json.loads(body)
        assert status == 200 and answer["status"] == "success", "%s: %s" % (query, body[:600])
        return answer["data"]

    def query(self, expr):
        """The samples: [({label: value}, number)]."""
        data = self.api("query", query=expr)
        assert data["resultType"] == "vector", (expr, data)
        return [(s["metric"], float(s["value"][1])) for s in data["result"]]

    def has_data(self, expr):
        return any(math.isfinite(v) for _, v in self.query(expr))


# --------------------------------------------------------------- what is asked
def panels(board):
    for p in board["panels"]:
        yield p
        yield from p.get("panels", [])


def filled_in(expr, board):
    """A query as Grafana sends it when everything is selected."""
    for v in board["templating"]["list"]:
        if v["type"] != "datasource":
            expr = expr.replace('"$%s"' % v["name"], '"%s"' % v["allValue"])
    expr = expr.replace("$__rate_interval", "20s").replace("$__range", "5m")
    assert "$" not in expr, expr
    return expr


def boards():
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.json"))):
        with open(path, encoding="utf-8") as f:
            yield os.path.basename(path), json.load(f)


def panel_queries():
    """(where, query) of every panel of every dashboard, and of every variable."""
    for name, board in boards():
        for p in panels(board):
            for t in p.get("targets", []):
                yield "%s: %s (%s)" % (name, p["title"], t["refId"]), filled_in(t["expr"], board)
        for v in board["templating"]["list"]:
            if v["type"] == "query":
                series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", v["query"]["query"]).groups()
                yield "%s: variable %s" % (name, v["name"]), 'count by (%s) (%s) != 0' % (label, filled_in(series, board))


def rules():
    for path in sorted(glob.glob(os.path.join(FOLDER, "alerts.yml"))):
        with open(path, encoding="utf-8") as f:
            for group in yaml.safe_load(f)["groups"]:
                yield from group["rules"]


def selectors(expr):
    """(metric, names of its matchers) of every series that an expression reads."""
    expr = re.sub(r"\b(by|on|ignoring|without)\s*\([^)]*\)", "", expr)
    for name, matchers in re.findall(r"\b((?:tollgate_|gen_ai_|process_|\w+:)[\w:]+|up)\b(?:\{([^}]*)\})?", expr):
        yield name, re.findall(r"(\w+)\s*[=!]", matchers)
