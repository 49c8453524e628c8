// The files of a share as its visitor sees them. The stream of events begins with every file: taken one by one, 5,000 of
// them would be drawn 5,000 times, so a plain map is filled and the page draws at its own pace.
import type { ServerFile } from './api';
import { Pulse } from './pulse';

export type Shelved = ServerFile & { key: string };

export class Shelf {
  readonly pulse = new Pulse();
  readonly #files = new Map<string, Shelved>();
  /** Of the files known when the server began to tell all of them, those that it has not told yet. */
  #untold = new Set<string>();

  get files(): Shelved[] {
    return [...this.#files.values()];
  }

  /** A file that is known keeps its place, and what was seen of it does not become less: after an interruption the server
   *  may tell of an older state first. */
  put(file: ServerFile): void {
    const received_bytes = Math.max(file.received_bytes, this.#files.get(file.file_id)?.received_bytes ?? 0);
    this.#files.set(file.file_id, { ...file, received_bytes, key: file.file_id });
    this.#untold.delete(file.file_id);
    this.pulse.touch();
  }

  gone(fileId: string): void {
    if (this.#files.delete(fileId)) this.pulse.touch();
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
