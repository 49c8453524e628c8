// All files of a link as one: what they are called together, and how far they have arrived.
import type { ServerFile } from './api';

export interface Overview {
  /** Name of the only file, or of the folder that all are in; null if they have none in common. */
  name: string | null;
  size: number;
  received: number;
  /** Bytes per second of all that arrive; null if none does. */
  rate: number | null;
  /** Seconds until all is there; null if that can't be told. */
  secondsLeft: number | null;
  arriving: boolean;
  /**
   * Something is to arrive, nothing does, and it is not the server that lets it wait: the sender's
   * connection is there and silent (`stalled`), or there is none (`away`).
   */
  sender: 'here' | 'stalled' | 'away';
}

export function overview(files: readonly (ServerFile & { isStalled?: boolean })[]): Overview {
  const sum: Overview = {
    name: nameOf(files),
    size: 0,
    received: 0,
    rate: null,
    secondsLeft: null,
    arriving: false,
    sender: 'here',
  };
  let waits = false;
  let isStalled = false;
  let known = true;
  for (const file of files) {
    if (file.state === 'failed') continue;
    sum.size += file.size_bytes ?? file.received_bytes;
    sum.received += file.received_bytes;
    if (file.state === 'complete') continue;
    sum.arriving = true;
    waits ||= file.waiting !== null || file.state === 'joining' || file.received_bytes === 0;
    isStalled ||= file.isStalled === true;
    known &&= file.size_bytes !== null;
    if (file.rate_bytes_per_second) sum.rate = (sum.rate ?? 0) + file.rate_bytes_per_second;
  }
  if (sum.rate !== null && known) sum.secondsLeft = (sum.size - sum.received) / sum.rate;
  if (sum.arriving && sum.rate === null && !waits) sum.sender = isStalled ? 'stalled' : 'away';
  return sum;
}

function nameOf(files: readonly ServerFile[]): string | null {
  if (files.length === 1) return files[0]!.name;
  const first = files[0]?.path.split('/', 1)[0];
  return first !== undefined && files.every((file) => file.path.startsWith(`${first}/`))
    ? first
    : null;
}
