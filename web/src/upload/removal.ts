// Files that were taken out, and can be had back for some seconds before the server is told.
import { pauseMs } from './failures';
import type { Item } from './item';

const UNDO_MS = 5_000;

export class Removals {
  readonly #timers = new Map<Item, ReturnType<typeof setTimeout>>();

  /** @param due called when the time for undoing is over */
  constructor(private readonly due: (item: Item) => void) {}

  add(item: Item): void {
    const timer = setTimeout(() => {
      this.#timers.delete(item);
      this.due(item);
    }, UNDO_MS);
    this.#timers.set(item, timer);
  }

  undo(item: Item): void {
    clearTimeout(this.#timers.get(item));
    this.#timers.delete(item);
  }

  /** The page closes: none can be had back any more. */
  flush(): void {
    const items = [...this.#timers.keys()];
    for (const item of items) {
      this.undo(item);
      this.due(item);
    }
  }
}

/**
 * Deletes what the server has of a file: a finished one by its delete link, an unfinished one by
 * ending its upload. The request outlives the page, and is made again until there is an answer. It
 * starts before this function first waits.
 */
export async function deleteOnServer(item: Item): Promise<void> {
  const address = (item.before === 'done' && item.deleteUrl) || item.uploadUrl;
  if (!address) return;
  for (let tries = 0; ; tries++) {
    try {
      const answer = await fetch(address, { method: 'DELETE', keepalive: true, headers: { 'Tus-Resumable': '1.0.0' } });
      if (answer.status < 500 && answer.status !== 429) return;
    } catch {
      // No answer: the server may be away.
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs(tries)));
  }
}
