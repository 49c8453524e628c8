// One event stream per share serves all its files: browsers allow six connections to a host over HTTP/1.1, and the
// uploads need three of them.
import { at } from './base';
import type { ServerFile } from './api';

export interface ShareEvents {
  file(file: ServerFile): void;
  gone(fileId: string): void;
  /** Every file is told anew from here on … */
  reset?(): void;
  /** … to here: what was not told among them is gone. */
  listed?(): void;
  /** The stream is open (true) or lost (false). */
  live?(on: boolean): void;
}

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 20_000;

/** Follows a share until the returned function is called. Comes back by itself, also where EventSource gives up. */
export function watchShare(shareId: string, events: ShareEvents): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let delay = RETRY_MIN_MS;
  let stopped = false;

  const open = (): void => {
    if (stopped) return;
    const stream = new EventSource(at(`/api/v1/shares/${shareId}/events`));
    source = stream;
    stream.onopen = () => {
      delay = RETRY_MIN_MS;
      events.reset?.();
      events.live?.(true);
    };
    stream.addEventListener('file', (event) => events.file(JSON.parse(event.data) as ServerFile));
    stream.addEventListener('gone', (event) => events.gone((JSON.parse(event.data) as { file_id: string }).file_id));
    stream.addEventListener('reset', () => events.reset?.());
    stream.addEventListener('listed', () => events.listed?.());
    stream.onerror = () => {
      // EventSource reconnects only after some errors (not after an HTTP error), and then in its own time.
      stream.close();
      events.live?.(false);
      timer = setTimeout(open, delay);
      delay = Math.min(delay * 2, RETRY_MAX_MS);
    };
  };
  open();
  return () => {
    stopped = true;
    clearTimeout(timer);
    source?.close();
  };
}
