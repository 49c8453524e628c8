import { afterEach, expect, test, vi } from 'vitest';
import { flushSync } from 'svelte';
import type { ServerFile } from './api';
import { ShareFiles } from './share-files';

afterEach(() => {
  vi.useRealTimers();
});

const file = (file_id: string, received_bytes = 0): ServerFile =>
  ({ file_id, received_bytes }) as ServerFile;

test('files keep their places while they grow, and go when they are gone', () => {
  const shareFiles = new ShareFiles();
  for (const one of [file('a'), file('b'), file('c'), file('b', 7)]) shareFiles.put(one);
  expect(shareFiles.files.map((one) => [one.key, one.received_bytes])).toEqual([
    ['a', 0],
    ['b', 7],
    ['c', 0],
  ]);
  shareFiles.gone('a');
  expect(shareFiles.files.map((one) => one.key)).toEqual(['b', 'c']);
});

test('what has arrived does not become less', () => {
  const shareFiles = new ShareFiles();
  for (const one of [file('a', 500), file('a', 0), file('a', 300)]) shareFiles.put(one);
  expect(shareFiles.files[0]!.received_bytes).toBe(500);
});

test('a flood of events is drawn once, not once for each', async () => {
  const shareFiles = new ShareFiles();
  let drawn = 0;
  const stop = $effect.root(() => {
    $effect(() => {
      drawn = shareFiles.files.length;
      draws++;
    });
  });
  let draws = 0;
  // Each event is a task of its own, after which effects run.
  for (let n = 0; n < 5_000; n++) {
    shareFiles.put(file(`f${n}`));
    flushSync();
  }
  expect(draws).toBeLessThan(20);
  expect(shareFiles.files).toHaveLength(5_000);
  // The last of them is drawn too.
  await expect.poll(() => drawn).toBe(5_000);
  stop();
});

test('what was deleted while nothing was heard goes once all files have been told anew', () => {
  const shareFiles = new ShareFiles();
  for (const one of [file('a'), file('b'), file('c')]) shareFiles.put(one);
  shareFiles.reset();
  shareFiles.put(file('b'));
  shareFiles.put(file('d'));
  expect(shareFiles.files).toHaveLength(4);
  shareFiles.listed();
  expect(shareFiles.files.map((one) => one.key)).toEqual(['b', 'd']);
  shareFiles.listed();
  expect(shareFiles.files).toHaveLength(2);
});

test('a file that has not moved for five seconds has no speed, whatever was told of it', () => {
  vi.useFakeTimers();
  const shareFiles = new ShareFiles();
  const moving = (received: number): ServerFile => ({
    ...file('a', received),
    rate_bytes_per_second: 1_000,
  });
  const speed = (): number | null => shareFiles.files[0]!.rate_bytes_per_second;
  shareFiles.put(moving(10));
  vi.advanceTimersByTime(4_000);
  shareFiles.put(moving(10));
  expect(speed()).toBe(1_000);
  vi.advanceTimersByTime(1_100);
  expect(speed()).toBeNull();
  expect(shareFiles.files[0]!.isStalled, 'its request is open, and silent').toBe(true);
  shareFiles.put(moving(20));
  expect([speed(), shareFiles.files[0]!.isStalled]).toEqual([1_000, false]);
  shareFiles.put({ ...file('a', 20), rate_bytes_per_second: null });
  vi.advanceTimersByTime(9_000);
  expect(shareFiles.files[0]!.isStalled, 'its request has ended').toBe(false);
});
