// Files that were taken out, and can be had back for some seconds before the server is told.
import { pauseMs } from './failures';
import type { Item } from './item.svelte';

const UNDO_MS = 5_000;

export class Removals {
  /** Taken out together, they go together. */
  readonly #batches = new Map<Set<Item>, ReturnType<typeof setTimeout>>();

  /** @param due called when the time for undoing is over */
  constructor(private readonly due: (items: readonly Item[]) => void) {}

  add(items: Iterable<Item>): void {
    const batch = new Set(items);
    this.#batches.set(
      batch,
      setTimeout(() => this.#end(batch), UNDO_MS),
    );
  }

  undo(items: Iterable<Item>): void {
    const back = new Set(items);
    for (const [batch, timer] of this.#batches) {
      for (const item of batch) if (back.has(item)) batch.delete(item);
      if (batch.size > 0) continue;
      clearTimeout(timer);
      this.#batches.delete(batch);
    }
  }

  /** The page closes: none can be had back any more. */
  flush(): void {
    for (const [batch, timer] of this.#batches) {
      clearTimeout(timer);
      this.#end(batch);
    }
  }

  #end(batch: Set<Item>): void {
    this.#batches.delete(batch);
    this.due([...batch]);
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
      const answer = await fetch(address, {
        method: 'DELETE',
        keepalive: true,
        headers: { 'Tus-Resumable': '1.0.0' },
      });
      if (answer.status < 500 && answer.status !== 429) return;
    } catch {
      // No answer: the server may be away.
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs(tries)));
  }
}
