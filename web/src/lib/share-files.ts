// The files of a share as its visitor sees them. The stream of events begins with every file: taken
// one by one, 5,000 of them would be drawn 5,000 times, so a plain map is filled, and what draws it
// is told ten times a second at the most.
import type { ServerFile } from './api';
import { createSubscriber } from 'svelte/reactivity';
import { clock } from './clock';
import { Throttle } from './throttle';

export type SharedFile = ServerFile & {
  key: string;
  movedAt: number;
  /** The sender's request is open, and nothing comes by it. */
  isStalled: boolean;
};

/** The server tells of a file when it moves, so of one that has stalled its last speed is known. */
const STALLED_AFTER_MS = 5_000;

export class ShareFiles {
  readonly #files = new Map<string, SharedFile>();
  /**
   * Of the files known when the server began to tell all of them, those that it has not told yet.
   */
  #untold = new Set<string>();

  #drawn: (() => void) | null = null;
  readonly #changes = new Throttle(() => this.#drawn?.());
  readonly #subscribe = createSubscriber((update) => {
    this.#drawn = update;
    return () => {
      this.#drawn = null;
      this.#changes.stop();
    };
  });

  /** What reads this in a template or an effect runs again when they change. */
  get files(): SharedFile[] {
    this.#subscribe();
    const known = [...this.#files.values()];
    const moves = known.some((file) => typeof file.rate_bytes_per_second === 'number');
    const old = (moves ? clock() : Date.now()) - STALLED_AFTER_MS;
    return known.map((file) =>
      file.rate_bytes_per_second !== null && file.movedAt < old
        ? { ...file, rate_bytes_per_second: null, isStalled: true }
        : file,
    );
  }

  /**
   * A file that is known keeps its place, and what was seen of it does not become less: after an
   * interruption the server may tell of an older state first.
   */
  put(file: ServerFile): void {
    const known = this.#files.get(file.file_id);
    const received_bytes = Math.max(file.received_bytes, known?.received_bytes ?? 0);
    const movedAt = known && received_bytes <= known.received_bytes ? known.movedAt : Date.now();
    this.#files.set(file.file_id, {
      ...file,
      received_bytes,
      movedAt,
      key: file.file_id,
      isStalled: false,
    });
    this.#untold.delete(file.file_id);
    this.#changes.call();
  }

  gone(fileId: string): void {
    if (this.#files.delete(fileId)) this.#changes.call();
  }

  /** The server begins to tell all files. */
  reset(): void {
    this.#untold = new Set(this.#files.keys());
  }

  /** It has told all: the others were deleted while nothing was heard. */
  listed(): void {
    for (const fileId of this.#untold) this.gone(fileId);
    this.#untold.clear();
  }
}
