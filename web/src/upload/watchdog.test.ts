import { beforeEach, describe, expect, test } from 'vitest';
import { Item, STALLED } from './item.svelte';
import { Watchdog } from './watchdog';

let running: Set<Item>;
let up: boolean;
let asked: number;

function item(more: Partial<Item> = {}): Item {
  const made = Object.assign(new Item(new File([new Uint8Array(100)], 'a'), 'a'), {
    phase: 'sending',
    movedAt: 0,
    ...more,
  });
  made.abort = new AbortController();
  running.add(made);
  return made;
}
const dog = (): Watchdog =>
  new Watchdog(running, () => {
    asked++;
    return Promise.resolve(up);
  });
const cut = (one: Item): boolean =>
  one.abort!.signal.aborted && one.abort!.signal.reason === STALLED;

beforeEach(() => {
  running = new Set();
  up = true;
  asked = 0;
});

describe('a connection that stands still', () => {
  test('for forty seconds is cut, and tried anew', async () => {
    const one = item();
    await dog().look(40_000);
    expect([cut(one), asked]).toEqual([false, 0]);
    await dog().look(40_001);
    expect([cut(one), asked]).toEqual([true, 1]);
  });
  test('is left alone while the server keeps it in its queue', async () => {
    const one = item({ place: { ahead: 1, waiting: 2, estimate_ms: 1 } });
    await dog().look(100_000);
    expect(cut(one)).toBe(false);
  });
  test('is cut even in the queue when the server is away', async () => {
    up = false;
    const one = item({ place: { ahead: 1, waiting: 2, estimate_ms: 1 } });
    await dog().look(100_000);
    expect(cut(one)).toBe(true);
  });
  test('has five minutes when all is sent and the server writes to a slow disk', async () => {
    const one = item({ sent: 100, confirmed: 20 });
    await dog().look(299_000);
    expect(cut(one)).toBe(false);
    await dog().look(300_001);
    expect(cut(one)).toBe(true);
  });
  test('is not mistaken for one that ended meanwhile', async () => {
    const one = item();
    const looking = dog().look(100_000);
    running.delete(one);
    await looking;
    expect(cut(one)).toBe(false);
  });
});

test('what moves is not asked about', async () => {
  item({ movedAt: 99_000 });
  await dog().look(100_000);
  expect(asked).toBe(0);
});
