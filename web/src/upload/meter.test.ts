import { describe, expect, test } from 'vitest';
import { Meter } from './meter.svelte';

/** Feeds `perSecond` bytes a second in steps of 100 ms. Returns the time at the end. */
function feed(meter: Meter, from: number, seconds: number, perSecond: number): number {
  for (let step = 1; step <= seconds * 10; step++) meter.add(perSecond / 10, from + step * 100);
  return from + seconds * 1000;
}

function started(): Meter {
  const meter = new Meter();
  meter.reset(0);
  return meter;
}

describe('speed', () => {
  test('is unknown for the first two seconds', () => {
    const meter = started();
    const now = feed(meter, 0, 1.9, 1_000_000);
    expect(meter.rate(now)).toBeNull();
    expect(meter.secondsLeft(1_000, now)).toBeNull();
  });

  test('is what was sent per second', () => {
    const meter = started();
    const now = feed(meter, 0, 5, 1_000_000);
    expect(meter.rate(now)).toBeCloseTo(1_000_000, -4);
  });

  test('forgets what is longer ago than some seconds', () => {
    const meter = started();
    let now = feed(meter, 0, 20, 1_000_000);
    now = feed(meter, now, 10, 100_000);
    expect(meter.rate(now)).toBeCloseTo(100_000, -4);
  });

  test('does not count an outage as slowness after a reset', () => {
    const meter = started();
    let now = feed(meter, 0, 5, 1_000_000);
    now += 60_000;
    meter.reset(now);
    expect(meter.rate(now)).toBeNull();
    now = feed(meter, now, 3, 1_000_000);
    expect(meter.rate(now)).toBeCloseTo(1_000_000, -4);
  });

  test('is null, not zero, when nothing moves', () => {
    const meter = started();
    expect(meter.rate(10_000)).toBeNull();
    meter.add(0, 5_000);
    meter.add(-50, 6_000);
    expect(meter.rate(10_000)).toBeNull();
  });
});

describe('time left', () => {
  test('follows from speed', () => {
    const meter = started();
    const now = feed(meter, 0, 5, 1_000_000);
    expect(meter.secondsLeft(60_000_000, now)).toBeCloseTo(60, 0);
  });

  test('is renewed every two seconds and counts down in between', () => {
    const meter = started();
    const now = feed(meter, 0, 5, 1_000_000);
    const first = meter.secondsLeft(60_000_000, now)!;
    expect(meter.secondsLeft(600_000_000, now + 1_000)).toBeCloseTo(first - 1, 6);
    expect(meter.secondsLeft(600_000_000, now + 1_999)).toBeCloseTo(first - 1.999, 6);
    expect(meter.secondsLeft(600_000_000, now + 2_000)!).toBeGreaterThan(100);
  });

  test('a surprise is believed by half', () => {
    const meter = started();
    let now = feed(meter, 0, 10, 1_000_000);
    expect(meter.secondsLeft(100_000_000, now)).toBeCloseTo(100, 0);
    now = feed(meter, now, 10, 500_000);
    const next = meter.secondsLeft(90_000_000, now)!;
    expect(next).toBeGreaterThan(120);
    expect(next).toBeLessThan(150);
  });

  test('is never less than a second, not even when it is overdue', () => {
    const meter = started();
    const now = feed(meter, 0, 5, 1_000_000);
    expect(meter.secondsLeft(10, now)).toBe(1);
    expect(meter.secondsLeft(10, now + 1_500)).toBe(1);
    expect(meter.secondsLeft(0, now + 3_000)).toBe(1);
  });
});

test('the figure is as exact after a long time and many small steps', () => {
  const meter = started();
  let now = 0;
  for (let step = 0; step < 100_000; step++) meter.add(10, (now += 10));
  expect(meter.rate(now)).toBeCloseTo(1_000, 0);
});

describe('a visit of several uploads', () => {
  test('the time between two of them counts for nothing: the second one’s time left is right within a fifth', () => {
    const meter = started();
    let now = feed(meter, 0, 20, 2_000_000);
    now += 30 * 60_000;
    // Nothing is said to the meter in between: the first byte of the second upload comes half an
    // hour later.
    now = feed(meter, now, 3, 2_000_000);
    const left = meter.secondsLeft(300_000_000, now)!;
    expect(left).toBeGreaterThan(150 * 0.8);
    expect(left).toBeLessThan(150 * 1.2);
  });

  test('the second upload does not inherit the time left of the first', () => {
    const meter = started();
    let now = feed(meter, 0, 5, 1_000_000);
    expect(meter.secondsLeft(10_000_000_000, now)).toBeGreaterThan(9_000);
    now += 60_000;
    now = feed(meter, now, 3, 1_000_000);
    expect(meter.secondsLeft(150_000_000, now)!).toBeLessThan(150 * 1.2);
  });
});

describe('a line that stalls', () => {
  test('has no speed and no time left after four seconds without a byte', () => {
    const meter = started();
    const now = feed(meter, 0, 10, 20_000_000);
    expect(meter.rate(now + 3_900)).not.toBeNull();
    expect(meter.rate(now + 4_100)).toBeNull();
    expect(meter.secondsLeft(1_000_000_000, now + 4_100)).toBeNull();
    expect(meter.rate(now + 45_000)).toBeNull();
  });

  test('is measured anew when it moves again', () => {
    const meter = started();
    let now = feed(meter, 0, 10, 1_000_000);
    now = feed(meter, now + 45_000, 3, 500_000);
    expect(meter.rate(now)).toBeCloseTo(500_000, -4);
  });

  test('a slow line whose bytes come in bursts of three seconds is no stalled one', () => {
    const meter = started();
    let now = 0;
    for (let n = 0; n < 10; n++) meter.add(300_000, (now += 3_000));
    expect(meter.rate(now)).toBeCloseTo(100_000, -4);
    expect(meter.rate(now + 2_900)).not.toBeNull();
  });
});
