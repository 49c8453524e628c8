// Files that were taken out, and can be had back for some seconds before the server is told.
import type { Item } from './item';
import { request, terminate } from './tus';

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
}

/** A finished file goes by its delete link, an unfinished one by ending its upload. */
export async function deleteOnServer(item: Item): Promise<void> {
  if (item.before === 'done' && item.deleteUrl) await request({ method: 'DELETE', url: item.deleteUrl });
  else await terminate(item.uploadUrl!);
}
