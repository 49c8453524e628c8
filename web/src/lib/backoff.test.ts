import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Backoff } from './backoff';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('it is tried again more and more rarely, never less than twice a minute, and no more once it succeeds', () => {
  const start = Date.now();
  const tries: number[] = [];
  const backoff = new Backoff(() => {
    tries.push((Date.now() - start) / 1_000);
    backoff.failed();
  });
  backoff.failed();
  vi.advanceTimersByTime(100_000);
  expect(tries).toEqual([1, 3, 7, 15, 31, 61, 91]);
  backoff.now();
  expect(tries).toHaveLength(8);
  backoff.stop();
  vi.advanceTimersByTime(100_000);
  expect(tries).toHaveLength(8);
});
