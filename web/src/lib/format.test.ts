import { describe, expect, test } from 'vitest';
import { bytes, count, date, extension, percent, rate, splitName } from './format';

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
