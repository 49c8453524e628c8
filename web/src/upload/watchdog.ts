// Notices an upload whose connection died without a sound (a laptop that slept, a router that
// forgot): XMLHttpRequest would wait for ever. An upload that the server keeps in its queue also
// stands still, and must be left alone, so the server is asked before anything is cut.
import type { Item } from './item.svelte';

const LOOK_EVERY_MS = 5_000;
const STILL_MS = 40_000;
/** All bytes are sent and the answer is due: the server may be writing them to a slow disk. */
const FINISHING_MS = 300_000;

export class Watchdog {
  #asking = false;

  constructor(
    private readonly running: ReadonlySet<Item>,
    private readonly ready: () => Promise<boolean>,
  ) {}

  start(): void {
    setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  async look(now = Date.now()): Promise<void> {
    if (this.#asking) return;
    const still = [...this.running].filter((item) => {
      const limit = item.sent > item.confirmed && item.sent === item.size ? FINISHING_MS : STILL_MS;
      return now - item.movedAt > limit;
    });
    if (still.length === 0) return;
    this.#asking = true;
    const up = await this.ready();
    this.#asking = false;
    for (const item of still) {
      if (!this.running.has(item)) continue;
      if (up && item.place) item.movedAt = Date.now();
      else item.stalled();
    }
  }
}
