// Compares the check value of the file at hand with the one that the server took of the bytes it
// holds. Only then does a row say "verified". The file is read while it is being sent, when its
// bytes are in the system's cache anyway.
import type { Item } from './item.svelte';
import type { Result } from './check.worker';
import workerUrl from './check.worker.ts?worker&url';

export class Checker {
  #worker: Worker | null = null;
  #items = new Map<number, Item>();

  constructor(private readonly changed: (item: Item) => void) {}

  /** Begins to read the file, unless that was done already. */
  read(item: Item): void {
    if (item.localCrc !== null || this.#items.has(item.id)) return;
    if (this.#worker === null) {
      this.#worker = startWorker();
      this.#worker.onmessage = (event: MessageEvent<Result>) => {
        const found = this.#items.get(event.data.id);
        this.#items.delete(event.data.id);
        if (!found) return;
        found.localCrc = event.data.crc64;
        this.compare(found);
      };
    }
    this.#items.set(item.id, item);
    this.#worker.postMessage({ id: item.id, file: item.file });
  }

  compare(item: Item): void {
    if (item.phase !== 'done' || item.check === 'verified' || item.check === 'differs') return;
    if (item.localCrc !== null && item.serverCrc !== null) {
      item.check = item.localCrc === item.serverCrc ? 'verified' : 'differs';
    } else if (this.#items.has(item.id) && item.serverCrc !== null) {
      item.check = 'running';
    }
    this.changed(item);
  }
}

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): string };
}

/**
 * The server's policy asks for trusted types where a script is named; this one address is a
 * constant of the build.
 */
function startWorker(): Worker {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  const url =
    types?.createPolicy('ddx-check', { createScriptURL: () => workerUrl }).createScriptURL('') ??
    workerUrl;
  return new Worker(url, { type: 'module' });
}
