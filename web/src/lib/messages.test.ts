import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Messages } from './messages';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('of two in one moment both are shown, one after the other, and each for its time', () => {
  const shown: string[] = [];
  const messages = new Messages((text) => shown.push(text), 500);
  messages.add('back');
  messages.add('done');
  expect(shown).toEqual(['back']);
  vi.advanceTimersByTime(499);
  expect(shown).toEqual(['back']);
  vi.advanceTimersByTime(1);
  expect(shown).toEqual(['back', 'done']);
});

test('after a silence a message is shown at once', () => {
  const shown: string[] = [];
  const messages = new Messages((text) => shown.push(text), 500);
  messages.add('one');
  vi.advanceTimersByTime(500);
  messages.add('two');
  expect(shown).toEqual(['one', 'two']);
});
