import { describe, expect, test } from 'vitest';
import { Crc64 } from './crc64';

function crc(...parts: Uint8Array[]): string {
  const value = new Crc64();
  for (const part of parts) value.update(part);
  return value.hex();
}

const KIB4 = 4096;

describe('CRC-64/NVME', () => {
  // The last four are the examples of the NVM Command Set specification.
  test.each([
    ['nothing', new Uint8Array(0), '0000000000000000'],
    ['the nine digits', new TextEncoder().encode('123456789'), 'ae8b14860a799888'],
    ['4 KiB of zeros', new Uint8Array(KIB4), '6482d367eb22b64e'],
    ['4 KiB of ones', new Uint8Array(KIB4).fill(255), 'c0ddba7302eca3ac'],
    ['4 KiB upwards', Uint8Array.from({ length: KIB4 }, (_, n) => n & 255), '3e729f5f6750449c'],
    [
      '4 KiB downwards',
      Uint8Array.from({ length: KIB4 }, (_, n) => 255 - (n & 255)),
      '9a2df64b8e9e517e',
    ],
  ])('of %s', (_, bytes, expected) => {
    expect(crc(bytes)).toBe(expected);
  });

  test('does not depend on where the bytes are cut', () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, n) => (n * 37 + 11) & 255);
    const whole = crc(bytes);
    for (let a = 0; a <= bytes.length; a += 3) {
      for (let b = a; b <= bytes.length; b += 7) {
        expect(crc(bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b))).toBe(whole);
      }
    }
  });

  test('sees one flipped bit anywhere', () => {
    const bytes = Uint8Array.from({ length: 33 }, (_, n) => n);
    const seen = new Set([crc(bytes)]);
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        bytes[at]! ^= 1 << bit;
        seen.add(crc(bytes));
        bytes[at]! ^= 1 << bit;
      }
    }
    expect(seen.size).toBe(33 * 8 + 1);
  });

  test('can be asked in the middle', () => {
    const value = new Crc64();
    value.update(new TextEncoder().encode('1234'));
    const middle = value.hex();
    expect(value.hex()).toBe(middle);
    value.update(new TextEncoder().encode('56789'));
    expect(value.hex()).toBe('ae8b14860a799888');
  });
});
