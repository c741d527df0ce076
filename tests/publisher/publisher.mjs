// SPDX-License-Identifier: MIT
// A publisher of one stream, written from schema/wire.md and nothing else.

import { randomBytes } from "node:crypto";
import { Packr } from "msgpackr";
import { Dealer } from "zeromq";

const SETTLED = 0, GAP = 1, BUSY = 2, REFUSED = 3;
const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: "bigint" });

export class Publisher {
  #socket = new Dealer({ linger: 0, immediate: true, sendTimeout: 0, maxMessageSize: 65536 });
  #epoch = randomBytes(8).readBigUInt64BE() >> 1n;
  #kept = []; // events that are not settled; kept[0] has sequence number #base + 1
  #base = 0; // everything up to here is settled
  #next = 1; // the first that is to be sent
  #pause = 1000; // until the unsettled are sent again; grows
  #timer = null;
  #sending = false;
  #waiting = []; // those who wait until all is settled
  counts = { batches: 0, gaps: 0, repeats: 0, duplicates: 0, refused: 0 };

  constructor({ endpoint, source, stream = 0, batch = 100 }) {
    this.source = source;
    this.stream = stream;
    this.batch = batch;
    this.#socket.connect(endpoint);
    this.#listen();
  }

  /** Takes an event, as an array of positions or an object of names. Never waits. */
  publish(event) {
    this.#kept.push(event);
    if (!this.#sending) setImmediate(() => this.#send());
  }

  /** Resolves when everything published so far is settled. */
  settled() {
    return this.#kept.length === 0 ? Promise.resolve() : new Promise((done) => this.#waiting.push(done));
  }

  close() {
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  /** Frames a batch. `lose` in the tests' options makes a gap on purpose. */
  #frame(first, events) {
    return packr.pack([1, 1, this.source, this.#epoch, this.stream, this.#base, first, events]);
  }

  async #send() {
    if (this.#sending || this.#socket.closed) return;
    this.#sending = true;
    try {
      while (this.#next <= this.#base + this.#kept.length) {
        const from = this.#next - this.#base - 1, events = this.#kept.slice(from, from + this.batch), first = this.#next;
        this.#next += events.length;
        if (this.lose?.(first)) continue;
        await this.#socket.send(this.#frame(first, events));
        this.counts.batches++;
      }
    } catch (err) {
      if (err.code !== "EAGAIN") throw err; // nobody there or the pipe is full: the timer tries again
    } finally {
      this.#sending = false;
      this.#arm(this.#pause);
    }
  }

  #arm(ms) {
    clearTimeout(this.#timer);
    if (this.#kept.length > 0) this.#timer = setTimeout(() => this.#again(this.#base + 1), ms);
  }

  #again(from) {
    this.counts.repeats++;
    this.#pause = Math.min(this.#pause * 2, 8000);
    this.#next = from;
    this.#send();
  }

  async #listen() {
    try {
      for await (const [frame] of this.#socket) this.#reply(packr.unpack(frame));
    } catch (err) {
      if (!this.#socket.closed) throw err;
    }
  }

  #reply([version, type, epoch, stream, settled64, status, duplicates, retryAfterMs]) {
    const settled = Number(settled64); // a 64-bit number comes as a BigInt if it needs to be one
    if (version !== 1 || type !== 2 || BigInt(epoch) !== this.#epoch || stream !== this.stream) return;
    this.counts.duplicates += duplicates;
    if (status === REFUSED) this.counts.refused++;
    if (settled > this.#base) {
      this.#kept.splice(0, settled - this.#base);
      this.#base = settled;
      this.#next = Math.max(this.#next, settled + 1);
      this.#pause = 1000;
    }
    if (this.#kept.length === 0) for (const done of this.#waiting.splice(0)) done();
    if (status === GAP && !this.#sending) {
      this.counts.gaps++;
      this.#again(settled + 1);
    } else this.#arm(status === BUSY ? Math.max(retryAfterMs, 100) : this.#pause);
  }
}
