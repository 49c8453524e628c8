import { encode } from 'uqr';
import { expect, test } from 'vitest';
import { qr } from './qr';

/** Draws the path on a grid, as the browser does: each piece is `M x y h length v1 H x z`. */
function drawn(path: string, size: number): boolean[][] {
  const grid = Array.from({ length: size }, () => Array<boolean>(size).fill(false));
  let used = '';
  for (const [piece, x, y, length, back] of path.matchAll(/M(\d+) (\d+)h(\d+)v1H(\d+)z/g)) {
    used += piece;
    expect(back).toBe(x);
    for (let n = 0; n < Number(length); n++) grid[Number(y)]![Number(x) + n] = true;
  }
  expect(used).toBe(path);
  return grid;
}

const LINK = 'https://files.example.org/d/abcdefghijklmnopqrstuvwxyz';

test('the path draws exactly the modules of the code', () => {
  const { size, path } = qr(LINK);
  expect(drawn(path, size)).toEqual(encode(LINK, { border: 2, ecc: 'M' }).data);
});

test('three corners have the mark that a camera looks for, and a quiet zone lies around', () => {
  const { size, path } = qr(LINK);
  const grid = drawn(path, size);
  const mark = ['1111111', '1000001', '1011101', '1011101', '1011101', '1000001', '1111111'];
  const at = (x: number, y: number): string[] =>
    mark.map((_, row) =>
      mark.map((__, column) => (grid[y + row]![x + column] ? '1' : '0')).join(''),
    );
  expect(at(2, 2)).toEqual(mark);
  expect(at(size - 9, 2)).toEqual(mark);
  expect(at(2, size - 9)).toEqual(mark);
  expect(
    grid[0]!
      .concat(
        grid[1]!,
        grid[size - 1]!,
        grid.map((row) => row[0]!),
      )
      .some(Boolean),
  ).toBe(false);
});

test('another link is another code', () => {
  expect(qr(LINK).path).not.toBe(qr(`${LINK}x`).path);
});
