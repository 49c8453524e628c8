// Reads files for their check value, off the page's thread, one after the other, 4 MiB in memory at
// a time.
import { Crc64 } from './crc64';

const SLICE_BYTES = 4 * 1024 * 1024;

export interface Order {
  id: number;
  file: File;
}

export interface Result {
  id: number;
  /** Null if the file could not be read. */
  crc64: string | null;
}

async function crcOf(file: File): Promise<string | null> {
  const crc = new Crc64();
  try {
    for (let at = 0; at < file.size; at += SLICE_BYTES) {
      crc.update(new Uint8Array(await file.slice(at, at + SLICE_BYTES).arrayBuffer()));
    }
  } catch {
    return null;
  }
  return crc.hex();
}

let last: Promise<void> = Promise.resolve();
self.onmessage = (event: MessageEvent<Order>) => {
  const { id, file } = event.data;
  last = last.then(async () => {
    const result: Result = { id, crc64: await crcOf(file) };
    self.postMessage(result);
  });
};
