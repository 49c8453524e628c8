import { describe, expect, test } from 'vitest';
import { bytes, count, date, extension, percent, rate, span, splitName } from './format';

/** With plain spaces, so that the expectations below can be read. */
const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

describe('sizes', () => {
  test.each([
    [0, '0 B'],
    [1, '1 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [1234, '1.23 kB'],
    [34_500_000, '34.5 MB'],
    [812_000_000, '812 MB'],
    [1_240_000_000, '1.24 GB'],
    [5_000_000_000_000, '5.00 TB'],
    [2e18, '2,000 PB'],
  ])('%d bytes are %s', (size, text) => {
    expect(plain(bytes(size))).toBe(text);
  });

  test('a size is never five digits wide where a larger unit is at hand', () => {
    for (const size of [
      999.4, 999.5, 999.9, 9_994, 9_995, 9_999, 99_949, 99_950, 999_499, 999_500, 999_999,
      999_999_999,
    ]) {
      expect(
        plain(bytes(size)).split(' ')[0]!.replace('.', '').length,
        String(size),
      ).toBeLessThanOrEqual(3);
    }
  });

  test('rounding up to a thousand moves to the next unit', () => {
    expect(plain(bytes(999_500))).toBe('1.00 MB');
    expect(plain(bytes(999_499))).toBe('999 kB');
  });

  test('number and unit do not part at the end of a line', () => {
    expect(bytes(5_000)).toContain('\u00a0');
    expect(bytes(5_000)).not.toContain(' ');
  });

  test('a speed is a size per second', () => {
    expect(plain(rate(2_500_000))).toBe('2.50 MB/s');
  });

  test('counts are grouped', () => {
    expect(count(1_234_567)).toBe('1,234,567');
  });
});

describe('percent', () => {
  test('is rounded down, so that 100 means all of it', () => {
    expect(percent(999, 1000)).toBe(99);
    expect(percent(1000, 1000)).toBe(100);
    expect(percent(5, 1000)).toBe(0);
  });
  test('stays between 0 and 100', () => {
    expect(percent(-1, 10)).toBe(0);
    expect(percent(11, 10)).toBe(100);
  });
  test('nothing to send is all sent', () => {
    expect(percent(0, 0)).toBe(100);
  });
});

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

describe('names', () => {
  test.each([
    ['film.mp4', 'MP4'],
    ['archive.tar.gz', 'GZ'],
    ['README', ''],
    ['.bashrc', ''],
    ['notes.', ''],
    ['photo.jpeg', 'JPEG'],
    ['data.sqlite', ''],
    ['odd.a b', ''],
    ['документ.док', 'ДОК'],
  ])('%s shows %s', (name, shown) => {
    expect(extension(name)).toBe(shown);
  });

  test('a short name stays whole', () => {
    expect(splitName('a.txt')).toEqual(['a.txt', '']);
    expect(splitName('holiday 2026.mov')).toEqual(['holiday 2026.mov', '']);
  });

  test.each(['👩‍👩‍👧‍👦', '🇨🇭', 'e\u0301', '👍🏽'])(
    'a letter of several units (%s) is never cut through',
    (letter) => {
      const [head, tail] = splitName(letter.repeat(30));
      expect([head, tail]).toEqual([letter.repeat(20), letter.repeat(10)]);
    },
  );

  test.each([
    ['דוח שנתי סופי סופי 2026.pdf', 'דוח שנתי סופי סופי 2026', '.pdf'],
    ['التقرير السنوي النهائي للشركة.docx', 'التقرير السنوي النهائي للشركة', '.docx'],
    ['סיכום ישיבת ההנהלה מאתמול', 'סיכום ישיבת ההנהלה מאתמול', ''],
    // An extension that pretends to be another is set apart, too.
    ['annual\u202efdp.exe', 'annual\u202efdp', '.exe'],
  ])('the words of %s are not cut', (name, head, tail) => {
    expect(splitName(name)).toEqual([head, tail]);
  });

  test.each([
    '',
    'a',
    'ab.c',
    'holiday in the mountains 2026.mov',
    'x'.repeat(300),
    'דוח.pdf',
    '👩‍👩‍👧‍👦'.repeat(40),
  ])('the parts of "%s" are the name', (name) => {
    expect(splitName(name).join('')).toBe(name);
  });

  test('a long name keeps its end', () => {
    expect(splitName('holiday in the mountains 2026.mov')[1]).toBe('s 2026.mov');
  });
});

test('a date has day and time', () => {
  expect(date(new Date(2026, 10, 24, 9, 5).getTime())).toMatch(/Nov 24, 2026.*9:05/);
});
