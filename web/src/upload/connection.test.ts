import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Connection } from './connection.svelte';

let up = true;
let asked: number[] = [];
let states: string[] = [];

function connect(): Connection {
  const made: Connection = new Connection(
    () => {
      asked.push(Date.now());
      return Promise.resolve(up);
    },
    () => states.push(made.state),
  );
  return made;
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  up = true;
  asked = [];
  states = [];
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the connection', () => {
  test('is open until something happens', () => {
    expect(connect().open).toBe(true);
    expect(asked).toEqual([]);
  });

  test('closes on an outage and opens by itself when the server answers', async () => {
    const one = connect();
    one.fail();
    expect(one.state).toBe('down');
    expect(one.since).toBe(Date.now());
    await vi.advanceTimersByTimeAsync(399);
    expect(asked).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(1);
    expect(one.open).toBe(true);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(asked).toHaveLength(1);
  });

  test('fifty files that fail at once are one probe', async () => {
    const one = connect();
    for (let n = 0; n < 50; n++) one.fail();
    await vi.advanceTimersByTimeAsync(400);
    expect(asked).toHaveLength(1);
  });

  test('asks ever more rarely, at least twice a minute, and never gives up', async () => {
    up = false;
    const one = connect();
    one.fail();
    await vi.advanceTimersByTimeAsync(24 * 3_600_000);
    const pauses = asked.slice(1).map((at, n) => at - asked[n]!);
    pauses.slice(0, 5).forEach((pause, n) => {
      expect(pause).toBeGreaterThanOrEqual(800 * 2 ** n * 0.9 - 1);
      expect(pause).toBeLessThanOrEqual(800 * 2 ** n * 1.1 + 1);
    });
    expect(Math.max(...pauses)).toBeLessThanOrEqual(33_001);
    expect(asked.length).toBeGreaterThan(24 * 60);
    up = true;
    await vi.advanceTimersByTimeAsync(34_000);
    expect(one.open).toBe(true);
  });

  test('a new outage starts with short pauses again', async () => {
    up = false;
    const one = connect();
    one.fail();
    await vi.advanceTimersByTimeAsync(600_000);
    up = true;
    one.tryNow();
    await vi.advanceTimersByTimeAsync(0);
    expect(one.open).toBe(true);
    asked = [];
    one.fail();
    await vi.advanceTimersByTimeAsync(400);
    expect(asked).toHaveLength(1);
  });

  test('the button tries at once, and not twice at a time', async () => {
    up = false;
    const one = connect();
    one.fail();
    one.tryNow();
    one.tryNow();
    expect(asked).toHaveLength(1);
    expect(one.probing).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(one.probing).toBe(false);
    expect(one.nextAt).toBeGreaterThan(Date.now());
  });

  test('an open connection has nothing to try', () => {
    connect().tryNow();
    expect(asked).toHaveLength(0);
  });

  test('a server that asks to wait is given the time it asked for', async () => {
    const one = connect();
    one.hold(7_000);
    expect(one.state).toBe('busy');
    expect(one.nextAt).toBe(Date.now() + 7_000);
    await vi.advanceTimersByTimeAsync(6_999);
    expect(asked).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(one.open).toBe(true);
  });

  test.each([
    [0, 1_000],
    [86_400_000, 120_000],
  ])('a pause of %d ms is bounded to %d ms', (ms, bounded) => {
    const one = connect();
    one.hold(ms);
    expect(one.nextAt).toBe(Date.now() + bounded);
  });

  test('a wish to wait does not hide that the server is away', () => {
    const one = connect();
    one.fail();
    const due = one.nextAt;
    one.hold(60_000);
    expect(one.state).toBe('down');
    expect(one.nextAt).toBe(due);
  });

  test('a busy server that vanishes is down', async () => {
    const one = connect();
    one.hold(2_000);
    up = false;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(one.state).toBe('down');
  });

  test('every change is told', async () => {
    const one = connect();
    one.fail();
    await vi.advanceTimersByTimeAsync(400);
    expect(states).toEqual(['down', 'down', 'open']);
  });
});
