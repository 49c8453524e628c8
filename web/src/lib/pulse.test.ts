import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pulse } from './pulse';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function counted(): { pulse: Pulse; heard: () => number; stop: () => void } {
  const pulse = new Pulse(100);
  let heard = 0;
  const stop = pulse.listen(() => heard++);
  return { pulse, heard: () => heard, stop };
}

test('the first change is drawn at once, a storm of them ten times a second', () => {
  const { pulse, heard } = counted();
  pulse.touch();
  expect(heard()).toBe(1);
  for (let ms = 0; ms < 1000; ms++) {
    pulse.touch();
    vi.advanceTimersByTime(1);
  }
  expect(heard()).toBeGreaterThanOrEqual(10);
  expect(heard()).toBeLessThanOrEqual(11);
});

test('the last change of a storm is drawn', () => {
  const { pulse, heard } = counted();
  pulse.touch();
  pulse.touch();
  expect(heard()).toBe(1);
  vi.advanceTimersByTime(100);
  expect(heard()).toBe(2);
  vi.advanceTimersByTime(1000);
  expect(heard()).toBe(2);
});

test('a click is answered without waiting, and not twice', () => {
  const { pulse, heard } = counted();
  pulse.touch();
  pulse.touch();
  pulse.flush();
  expect(heard()).toBe(2);
  vi.advanceTimersByTime(1000);
  expect(heard()).toBe(2);
});

test('the version grows with each announcement, and who left hears nothing', () => {
  const { pulse, heard, stop } = counted();
  pulse.flush();
  const before = pulse.version;
  stop();
  pulse.flush();
  expect(pulse.version).toBe(before + 1);
  expect(heard()).toBe(1);
});
