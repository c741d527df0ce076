#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""asker.py http PORT | wire ENDPOINT: asks for reservations without this project's library: over HTTP, or as a
publisher written from schema/wire.md alone. Orders and answers are those of tests/tools/admit.c, of which this
one knows `ask`; over the wire all questions of an order are sent before any answer is read.
"""
import http.client
import json
import sys
import threading
import time

import wire
from harness import Dealer

MODEL = {"provider": "openai", "model": "gpt-4-turbo", "prompt_tokens": 1000, "max_tokens": 3000}
ADMIT, ADMITTED = 5, 6
WIRE_ANSWERS = ("granted", "denied", "over", "over", "busy", "wrong")
HTTP_ANSWERS = {"granted": "granted", "denied": "denied", "settled": "over", "expired": "over"}


def admit_frame(rid, agent, ttl_ms=None, prompt=MODEL["prompt_tokens"], most=MODEL["max_tokens"]):
    return wire.pack([1, ADMIT, rid, ttl_ms, prompt, most, None, None, agent, None, MODEL["provider"], MODEL["model"]])


class Wire:
    def __init__(self, endpoint):
        self.dealer = Dealer(endpoint)

    def ask(self, agent, ids, threads):
        waiting = set(ids)
        for rid in ids:
            self.dealer.send(admit_frame(rid, agent))
        while waiting:
            answer = wire.unpack(self.dealer.recv())
            if answer[:2] == [1, ADMITTED] and answer[2] in waiting:
                waiting.remove(answer[2])
                yield answer[2], WIRE_ANSWERS[answer[3]]


class Http:
    def __init__(self, port):
        self.port, self.local = int(port), []

    @staticmethod
    def _one(conn, agent, rid):
        """As often as there are too many questions at once."""
        while True:
            conn.request("POST", "/v1/admit", json.dumps(dict(MODEL, id=rid, agent_id=agent)),
                         {"Content-Type": "application/json"})
            r = conn.getresponse()
            answer = json.loads(r.read())
            if r.status == 200:
                return HTTP_ANSWERS[answer["status"]]
            if r.status != 503:
                return "wrong"
            if "too many" not in answer["detail"]:
                return "busy"
            time.sleep(0.01)

    def _some(self, conn, agent, ids, out):
        out += [(rid, self._one(conn, agent, rid)) for rid in ids]

    def ask(self, agent, ids, threads):
        while len(self.local) < threads:
            self.local.append(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60))
        out = []
        workers = [threading.Thread(target=self._some, args=(self.local[i], agent, ids[i::threads], out))
                   for i in range(threads)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        return out


def main(how, where):
    asker = {"http": Http, "wire": Wire}[how](where)
    for line in sys.stdin:
        order, agent, prefix, count, threads = line.split()
        assert order == "ask", line
        out = {"granted": [], "denied": 0, "over": 0, "busy": 0, "unreachable": 0, "wrong": 0}
        ids = ["%s%d" % (prefix, i) for i in range(int(count))]
        answers = dict(asker.ask(agent, ids, int(threads)))
        out["wrong"] = len(ids) - len(answers)
        for rid in ids:
            if answers.get(rid) == "granted":
                out["granted"].append(rid)
            elif rid in answers:
                out[answers[rid]] += 1
        print(json.dumps(out), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
