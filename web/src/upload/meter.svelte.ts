// Speed and time left. Speed is what moved over the last seconds, not since the start, which would
// remember an outage for ever; time left is held for two seconds at a time, since a number that
// jumps is not read.

import { clock } from '$lib/clock';

const WINDOW_MS = 8_000;
const FIRST_AFTER_MS = 2_000;
const RENEW_MS = 2_000;
/** Without a byte for so long there is no speed to tell, and what comes after is measured anew. */
export const STALLED_AFTER_MS = 4_000;

export class Meter {
  /** Grows in place: each sample comes with a new total, which is what readers are told of. */
  #samples = $state.raw<{ at: number; total: number }[]>([]);
  #total = $state.raw(0);
  #movedAt = 0;
  #shownAt = 0;
  #shown: number | null = null;

  /** Counts bytes that moved at `now`. */
  add(bytes: number, now = Date.now()): void {
    if (bytes <= 0) return;
    this.#total += bytes;
    // Between two uploads, or on a line that stood still, time passed that says nothing about
    // speed.
    if (now - this.#movedAt > STALLED_AFTER_MS) {
      this.reset(now);
      return;
    }
    this.#movedAt = now;
    const last = this.#samples.at(-1);
    // One sample per 200 ms is enough, and bounds the list at 40. A sample stands for its own
    // instant and is not changed by what comes after it, or the speed would come out too low.
    if (!last || now - last.at >= 200 || this.#samples.length === 1)
      this.#samples.push({ at: now, total: this.#total });
    while (this.#samples.length > 2 && now - this.#samples[1]!.at > WINDOW_MS)
      this.#samples.shift();
  }

  /** Starts anew after a pause or an outage, so that the gap does not count as slowness. */
  reset(now = Date.now()): void {
    this.#samples = [{ at: now, total: this.#total }];
    this.#movedAt = now;
    this.#shown = null;
  }

  /** Bytes per second, or null while there is too little to tell. */
  rate(now = clock()): number | null {
    const first = this.#samples[0];
    if (!first || this.#samples.length < 2 || now - first.at < FIRST_AFTER_MS) return null;
    if (now - this.#movedAt > STALLED_AFTER_MS) return null;
    const moved = this.#total - first.total;
    const rate = (moved / (now - first.at)) * 1000;
    return rate > 0 ? rate : null;
  }

  /**
   * Seconds for `bytes` more, renewed every two seconds and counted down in between; never below 1.
   */
  secondsLeft(bytes: number, now = clock()): number | null {
    const rate = this.rate(now);
    if (rate === null) {
      this.#shown = null;
      return null;
    }
    if (this.#shown !== null && now - this.#shownAt < RENEW_MS) {
      return Math.max(1, this.#shown - (now - this.#shownAt) / 1000);
    }
    const fresh = bytes / rate;
    const elapsed = (now - this.#shownAt) / 1000;
    // Half of a surprise is believed each time; what was shown has run down meanwhile.
    this.#shown = this.#shown === null ? fresh : (Math.max(0, this.#shown - elapsed) + fresh) / 2;
    this.#shownAt = now;
    return Math.max(1, this.#shown);
  }
}
