import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  ANSWER_WITHIN_MS,
  ASK_EVERY_MS,
  CLAIM_MS,
  Election,
  type ElectionMessage,
} from './election';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Tabs that hear one another, as on a BroadcastChannel: later, in order, and never themselves. */
class Town {
  readonly asleep = new Set<string>();
  readonly all = new Map<string, Election>();
  open(id: string): Election {
    const post = (message: ElectionMessage): void => {
      if (this.asleep.has(id)) return;
      for (const [other, tab] of this.all) {
        if (other !== id)
          queueMicrotask(() => !this.asleep.has(other) && this.all.has(other) && tab.hear(message));
      }
    };
    const tab = new Election(id, post, () => undefined);
    this.all.set(id, tab);
    tab.start();
    return tab;
  }
  close(id: string): void {
    this.all.get(id)!.stop();
    this.all.delete(id);
  }
  crash(id: string): void {
    this.asleep.add(id);
    this.all.delete(id);
  }
  roles(): string {
    return [...this.all]
      .map(([id, tab]) =>
        tab.role === 'leading' ? id.toUpperCase() : tab.role === 'following' ? id : '?',
      )
      .join('');
  }
}
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

test('a tab alone leads after it has asked, and one without a channel at once', async () => {
  const town = new Town();
  town.open('a');
  expect(town.roles()).toBe('?');
  await pass(CLAIM_MS);
  expect(town.roles()).toBe('A');
  const alone = new Election('x', null, () => undefined);
  alone.start();
  expect(alone.role).toBe('leading');
});

test.each(['abcd', 'dcba', 'bdac'])(
  'of tabs that open in one moment (%s) one leads',
  async (order) => {
    const town = new Town();
    for (const id of order) town.open(id);
    await pass(10 * CLAIM_MS);
    expect(town.roles().replace(/[^A-Z]/g, '')).toBe('A');
    expect(town.roles()).not.toContain('?');
  },
);

test('a tab that comes later follows, whatever its id', async () => {
  const town = new Town();
  town.open('m');
  await pass(CLAIM_MS);
  town.open('a');
  town.open('z');
  await pass(10 * CLAIM_MS);
  expect(town.roles()).toBe('Maz');
});

test('when the leader closes another leads within a moment, with no time in which two do', async () => {
  const town = new Town();
  for (const id of 'abc') town.open(id);
  await pass(10 * CLAIM_MS);
  town.close('a');
  for (let ms = 0; ms < 10 * CLAIM_MS; ms++) {
    await pass(1);
    expect(town.roles().replace(/[^A-Z]/g, '').length).toBeLessThanOrEqual(1);
  }
  expect(town.roles()).toBe('Bc');
});

test('a leader that vanishes without a word is missed', async () => {
  const town = new Town();
  for (const id of 'abc') town.open(id);
  await pass(10 * CLAIM_MS);
  town.crash('a');
  await pass(ASK_EVERY_MS + ANSWER_WITHIN_MS + 10 * CLAIM_MS);
  expect(town.roles()).toBe('Bc');
});

test.each([
  ['a', 'Abc'],
  ['b', 'aBc'],
])(
  'a leader that slept (%s) and wakes finds one leader beside it, not two',
  async (sleeper, end) => {
    const town = new Town();
    town.open(sleeper);
    await pass(CLAIM_MS);
    for (const id of 'abc') if (id !== sleeper) town.open(id);
    await pass(CLAIM_MS);
    town.asleep.add(sleeper);
    await pass(2 * (ASK_EVERY_MS + ANSWER_WITHIN_MS));
    town.asleep.delete(sleeper);
    await pass(2 * (ASK_EVERY_MS + ANSWER_WITHIN_MS));
    const roles = town
      .roles()
      .split('')
      .sort((x, y) => x.localeCompare(y))
      .join('');
    expect(roles.replace(/[^A-Z]/g, '')).toHaveLength(1);
    expect(roles.toLowerCase()).toBe(end.toLowerCase());
  },
);
