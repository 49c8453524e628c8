// What the server takes: asked for when the page opens, and again before what it refused is tried
// again.
import { api, type Limits } from '$lib/api';
import { measure } from './failures';
import type { Item } from './item.svelte';

const CHUNK_BYTES_MAX = 95 * 1024 * 1024;

export class ServerLimits {
  /** Null until the server has told them. */
  current = $state.raw<Limits | null>(null);

  async load(): Promise<void> {
    try {
      this.current = await api.limits();
    } catch {
      // The defaults do; the server enforces its own limits anyway.
    }
  }

  /** Most bytes in one request. */
  get chunkBytes(): number {
    return Math.min(this.current?.request_body_bytes_max ?? CHUNK_BYTES_MAX, CHUNK_BYTES_MAX);
  }

  /** What can be known to fail is said at once and sends nothing. */
  admits(item: Item): boolean {
    const failure = this.current && measure(item, this.current);
    if (!failure) return true;
    item.phase = 'failed';
    item.failure = failure;
    return false;
  }
}
