import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Refused, Unreachable } from '$lib/api';
import { Connection } from './connection.svelte';
import { Item, STALLED } from './item.svelte';
import { ALONE, Queue, SLOTS } from './queue';
import { Aborted, SourceLost, UploadGone } from './tus';

/** One attempt that is under way, as the network would end it. */
interface Attempt {
  item: Item;
  arrive(): void;
  fail(error: unknown): void;
}

let up: boolean;
let connection: Connection;
let queue: Queue;
let attempts: Attempt[];
let settled: Item[];

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  up = true;
  attempts = [];
  settled = [];
  connection = new Connection(
    () => Promise.resolve(up),
    () => connection.open && queue.pump(),
  );
  queue = new Queue(connection, ALONE, {
    run: (item, signal) =>
      new Promise<void>((resolve, reject) => {
        attempts.push({ item, arrive: resolve, fail: reject });
        signal.addEventListener('abort', () => reject(new Aborted()));
      }),
    settled: (item) => settled.push(item),
  });
});
afterEach(() => {
  vi.useRealTimers();
});

function items(n: number): Item[] {
  return Array.from({ length: n }, (_, at) => new Item(new File(['12345'], `f${at}`), `f${at}`));
}
const names = (): string[] => attempts.map((one) => one.item.path);
const rest = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

describe('files are sent', () => {
  test('in the order they came, three at a time', async () => {
    const all = items(5);
    queue.add(all);
    expect(names()).toEqual(['f0', 'f1', 'f2']);
    expect(all.map((item) => item.phase)).toEqual([
      'sending',
      'sending',
      'sending',
      'queued',
      'queued',
    ]);
    attempts[1]!.arrive();
    await rest();
    expect(names()).toEqual(['f0', 'f1', 'f2', 'f3']);
    expect(all[1]!.phase).toBe('done');
    expect(settled).toEqual([all[1]]);
  });

  test('all of them, though there are thousands', async () => {
    const all = items(2_000);
    queue.add(all);
    while (settled.length < all.length) {
      expect(queue.running.size).toBeLessThanOrEqual(SLOTS);
      const before = settled.length;
      for (const item of [...queue.running])
        attempts.findLast((one) => one.item === item)!.arrive();
      await rest();
      expect(settled.length).toBeGreaterThan(before);
    }
    expect(attempts).toHaveLength(2_000);
  });

  test('those that failed before they were given are left alone', () => {
    const [one, two] = items(2) as [Item, Item];
    one.phase = 'failed';
    queue.add([one, two]);
    expect(names()).toEqual(['f1']);
  });
});

describe('an outage', () => {
  test('stops all, fails none, and all go on when the server is back', async () => {
    const all = items(4);
    queue.add(all);
    up = false;
    for (const one of [...attempts]) one.fail(new Unreachable());
    await rest();
    expect(connection.state).toBe('down');
    expect(queue.running.size).toBe(0);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(attempts).toHaveLength(3);
    expect(all.every((item) => item.phase === 'queued')).toBe(true);
    up = true;
    await vi.advanceTimersByTimeAsync(40_000);
    expect(new Set(names().slice(3))).toEqual(new Set(['f0', 'f1', 'f2']));
  });

  test('of days is no reason to give up', async () => {
    const [one] = items(1) as [Item];
    queue.add([one]);
    for (let n = 0; n < 200; n++) {
      attempts.at(-1)!.fail(new Unreachable());
      await vi.advanceTimersByTimeAsync(60_000);
    }
    expect(one.phase).toBe('sending');
    expect(attempts).toHaveLength(201);
  });

  test('is what a connection that died in silence counts as', async () => {
    const [one] = items(1) as [Item];
    queue.add([one]);
    up = false;
    one.stalled();
    await rest();
    expect(one.abort).toBeNull();
    expect(one.phase).toBe('queued');
    expect(connection.state).toBe('down');
    expect(STALLED).toBe('stalled');
  });
});

describe('a server that asks to wait', () => {
  test('is not asked before, by no file, and the wait is no failed try', async () => {
    const all = items(4);
    queue.add(all);
    attempts[0]!.fail(new Refused(429, null, 9_000));
    await rest();
    expect(connection.state).toBe('busy');
    attempts[1]!.arrive();
    await vi.advanceTimersByTimeAsync(8_999);
    expect(attempts).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(1);
    expect(names().slice(3)).toEqual(['f0', 'f3']);
    expect(all[0]!.tries).toBe(0);
  });
});

describe('a file that fails by itself', () => {
  test('is tried again after growing pauses, and given up after eight', async () => {
    const [one] = items(1) as [Item];
    queue.add([one]);
    const times: number[] = [];
    while (one.phase !== 'failed' && attempts.length < 50) {
      times.push(Date.now());
      const before = attempts.length;
      attempts.at(-1)!.fail(new Refused(500, null, null));
      await rest();
      while (one.phase === 'queued' && attempts.length === before)
        await vi.advanceTimersByTimeAsync(100);
    }
    expect(one.failure?.code).toBe('server');
    expect(attempts).toHaveLength(9);
    const pauses = times.slice(1).map((at, n) => at - times[n]!);
    expect(pauses[0]).toBe(0);
    expect(pauses.slice(1).every((pause, n) => n === 0 || pause >= pauses[n]!)).toBe(true);
    expect(settled).toEqual([one]);
  });

  test('starts to count anew when bytes got through', async () => {
    const [one] = items(1) as [Item];
    queue.add([one]);
    for (let n = 1; n < 30; n++) {
      one.confirmed = n / 10;
      attempts.at(-1)!.fail(new Refused(500, null, null));
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(one.phase).toBe('sending');
  });

  test('does not hold up the others', async () => {
    const all = items(4);
    queue.add(all);
    attempts[0]!.fail(new SourceLost());
    await rest();
    expect(all[0]!.phase).toBe('failed');
    expect(names()).toContain('f3');
    expect(connection.open).toBe(true);
  });

  test('begins with its first byte when the server has lost it', async () => {
    const [one] = items(1) as [Item];
    one.uploadUrl = '/files/x';
    queue.add([one]);
    attempts[0]!.fail(new UploadGone());
    await rest();
    expect(one.uploadUrl).toBeNull();
    expect(attempts).toHaveLength(2);
  });

  test('can be sent again by hand, with all its tries', async () => {
    const [one] = items(1) as [Item];
    queue.add([one]);
    attempts[0]!.fail(new SourceLost());
    await rest();
    queue.resume([one]);
    expect([one.phase, one.failure, one.tries, one.restarts]).toEqual(['sending', null, 0, 0]);
    attempts[1]!.arrive();
    await rest();
    expect(one.phase).toBe('done');
  });
});

describe('people', () => {
  test('pause: the request ends, the slot is free, and it goes on where it was', async () => {
    const all = items(4);
    queue.add(all);
    queue.pause([all[0]!]);
    await rest();
    expect(all[0]!.phase).toBe('paused');
    expect(names()).toEqual(['f0', 'f1', 'f2', 'f3']);
    attempts[1]!.arrive();
    await rest();
    expect(all[0]!.phase).toBe('paused');
    queue.resume([all[0]!]);
    expect(all[0]!.phase).toBe('sending');
  });

  test('pause what waits, and resume it in its turn', async () => {
    const all = items(4);
    queue.add(all);
    queue.pause([all[3]!]);
    attempts[0]!.arrive();
    await rest();
    expect(names()).toHaveLength(3);
    queue.resume([all[3]!]);
    expect(names()).toEqual(['f0', 'f1', 'f2', 'f3']);
  });

  test('pause and resume in one breath: never two attempts of one file', async () => {
    const [one] = items(1) as [Item];
    queue.add([one]);
    for (let n = 0; n < 5; n++) {
      queue.pause([one]);
      queue.resume([one]);
      expect(queue.running.size).toBe(1);
    }
    await rest();
    expect(one.phase).toBe('sending');
    expect(attempts).toHaveLength(2);
  });

  test('cancel and undo: it is as if nothing had happened', async () => {
    const all = items(2);
    queue.add(all);
    queue.withdraw([all[0]!]);
    await rest();
    expect(all[0]!.phase).toBe('cancelled');
    expect(queue.running.size).toBe(1);
    queue.reinstate([all[0]!]);
    expect(all[0]!.phase).toBe('sending');
    attempts.at(-1)!.arrive();
    await rest();
    expect(all[0]!.phase).toBe('done');
  });

  test('cancel what is done: undo makes it done again, without sending', async () => {
    const [one] = items(1) as [Item];
    queue.add([one]);
    attempts[0]!.arrive();
    await rest();
    queue.withdraw([one]);
    queue.reinstate([one]);
    expect(one.phase).toBe('done');
    expect(attempts).toHaveLength(1);
  });

  test('cancelled for good, an answer that comes late changes nothing', async () => {
    const [one] = items(1) as [Item];
    queue.add([one]);
    queue.withdraw([one]);
    attempts[0]!.arrive();
    await rest();
    expect(one.phase).toBe('cancelled');
    expect(settled).toEqual([]);
  });
});

test('a file that waits for its next try is tried when its time has come, though nothing was allowed meanwhile', async () => {
  const allowance = {
    allowed: 1,
    want: ({ wants }: { wants: number }) => void (allowance.allowed = wants),
  };
  queue = new Queue(connection, allowance, {
    run: (item) =>
      new Promise<void>((resolve, reject) =>
        attempts.push({ item, arrive: resolve, fail: reject }),
      ),
    settled: (item) => settled.push(item),
  });
  const [one] = items(1) as [Item];
  queue.add([one]);
  for (let n = 0; n < 2; n++) {
    attempts.at(-1)!.fail(new Refused(500, null, null));
    await rest();
    await vi.advanceTimersByTimeAsync(60_000);
  }
  expect(attempts).toHaveLength(3);
});
