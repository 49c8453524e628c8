import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Throttle } from './throttle';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function counted(): { throttle: Throttle; done: () => number } {
  let done = 0;
  return { throttle: new Throttle(() => done++, 100), done: () => done };
}

test('the first call acts at once, a storm of them ten times a second', () => {
  const { throttle, done } = counted();
  throttle.call();
  expect(done()).toBe(1);
  for (let ms = 0; ms < 1000; ms++) {
    throttle.call();
    vi.advanceTimersByTime(1);
  }
  expect(done()).toBeGreaterThanOrEqual(10);
  expect(done()).toBeLessThanOrEqual(11);
});

test('the last call of a storm acts', () => {
  const { throttle, done } = counted();
  throttle.call();
  throttle.call();
  expect(done()).toBe(1);
  vi.advanceTimersByTime(100);
  expect(done()).toBe(2);
  vi.advanceTimersByTime(1000);
  expect(done()).toBe(2);
});

test('what is flushed acts without waiting, and not twice', () => {
  const { throttle, done } = counted();
  throttle.call();
  throttle.call();
  throttle.flush();
  expect(done()).toBe(2);
  vi.advanceTimersByTime(1000);
  expect(done()).toBe(2);
});

test('what was stopped does not act any more', () => {
  const { throttle, done } = counted();
  throttle.call();
  throttle.call();
  throttle.stop();
  vi.advanceTimersByTime(1000);
  expect(done()).toBe(1);
});
