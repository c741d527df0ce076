/* SPDX-License-Identifier: MIT
 *
 * recent.js: a map that never grows past its limit: the entry set longest ago makes room.
 */
export class Recent extends Map {
  constructor(limit, evicted = () => {}) {
    super();
    this.limit = limit;
    this.evicted = evicted;
  }

  set(key, value) {
    this.delete(key);
    super.set(key, value);
    if (this.size > this.limit) {
      const [oldest, lost] = this.entries().next().value;
      this.delete(oldest);
      this.evicted(lost);
    }
    return this;
  }
}
