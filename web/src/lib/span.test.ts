import { describe, expect, test } from 'vitest';
import { span } from './span';

describe('time left', () => {
  test.each([
    [0, { unit: 'moment' }],
    [3.9, { unit: 'moment' }],
    [4, { unit: 's', value: 4 }],
    [9.2, { unit: 's', value: 10 }],
    [11, { unit: 's', value: 15 }],
    [54, { unit: 's', value: 55 }],
    [55, { unit: 'min', value: 1 }],
    [61, { unit: 'min', value: 1 }],
    [75, { unit: 'min', value: 1, seconds: 15 }],
    [150, { unit: 'min', value: 2, seconds: 30 }],
    [175, { unit: 'min', value: 3 }],
    [59 * 60, { unit: 'min', value: 59 }],
    [59 * 60 + 31, { unit: 'h', value: 1, minutes: 0 }],
    [90 * 60, { unit: 'h', value: 1, minutes: 30 }],
    [35 * 3600, { unit: 'h', value: 35, minutes: 0 }],
    [36 * 3600, { unit: 'h', value: 36, minutes: 0 }],
    [72 * 3600, { unit: 'd', value: 3 }],
    [240 * 3600, { unit: 'd', value: 10 }],
  ])('%d seconds', (seconds, expected) => {
    expect(span(seconds)).toEqual(expected);
  });

  test('is within a fifth of what is left, from ten seconds on', () => {
    const units = { moment: 0, s: 1, min: 60, h: 3600, d: 86_400 };
    for (let left = 10; left < 3 * 86_400; left += left < 7200 ? 1 : 97) {
      const s = span(left);
      const said =
        s.unit === 'moment'
          ? 0
          : s.value * units[s.unit] + (s.minutes ?? 0) * 60 + (s.seconds ?? 0);
      if (s.unit === 's' && left < 20) expect(Math.abs(said - left), `${left} s`).toBeLessThan(5);
      else expect(Math.abs(said - left) / left, `${left} s`).toBeLessThan(0.21);
    }
  });

  test('never grows while the time runs down', () => {
    const seconds = (s: ReturnType<typeof span>): number =>
      s.unit === 'moment'
        ? 0
        : s.value * { s: 1, min: 60, h: 3600, d: 86_400 }[s.unit] +
          (s.minutes ?? 0) * 60 +
          (s.seconds ?? 0);
    let before = Infinity;
    for (let left = 30 * 3600; left >= 0; left -= 7) {
      const now = seconds(span(left));
      expect(now).toBeLessThanOrEqual(before);
      before = now;
    }
  });
});
