import { describe, expect, test } from 'vitest';
import type { Given } from './intake';
import { match } from './matching';
import type { ManifestEntry, StoredShare } from './store';

function given(path: string, size = 3, lastModified = 1000): Given {
  return { path, file: new File([new Uint8Array(size)], path.split('/').pop()!, { lastModified }) };
}
function stored(shareId: string, ...manifest: ManifestEntry[]): StoredShare {
  return { shareId, shareKey: 'k', link: 'l', createdAt: 0, manifest, roots: [] };
}
const paths = (list: Given[] | undefined): string[] => (list ?? []).map((one) => one.path);

describe('a file is known again', () => {
  const share = stored(
    's',
    ['trip/a.jpg', 3, 1000],
    ['trip/b.jpg', 4, 1000],
    ['note.txt', 3, 2000],
  );

  test('by path, size and time', () => {
    const { known, rest } = match([given('trip/a.jpg'), given('note.txt', 3, 2000)], [share]);
    expect(paths(known.get('s'))).toEqual(['trip/a.jpg', 'note.txt']);
    expect(rest).toEqual([]);
  });

  test('alone, without its folder, under the path that the share knows', () => {
    const { known } = match([given('a.jpg')], [share]);
    expect(paths(known.get('s'))).toEqual(['trip/a.jpg']);
  });

  test('from another folder', () => {
    expect(paths(match([given('copy/of/trip/a.jpg')], [share]).known.get('s'))).toEqual([
      'trip/a.jpg',
    ]);
  });

  test.each([
    ['another size', given('trip/a.jpg', 5)],
    ['another time', given('trip/a.jpg', 3, 1001)],
    ['another name', given('trip/c.jpg')],
  ])('but not with %s', (_, one) => {
    const { known, rest } = match([one], [share]);
    expect(known.size).toBe(0);
    expect(rest).toEqual([one]);
  });

  test('and the rest is new', () => {
    const { known, rest } = match([given('trip/a.jpg'), given('new.txt')], [share]);
    expect(paths(known.get('s'))).toEqual(['trip/a.jpg']);
    expect(paths(rest)).toEqual(['new.txt']);
  });
});

describe('no guess is made', () => {
  test('where two files of that name, size and time are missing', () => {
    const share = stored('s', ['one/a.jpg', 3, 1000], ['two/a.jpg', 3, 1000]);
    expect(paths(match([given('a.jpg')], [share]).rest)).toEqual(['a.jpg']);
    expect(paths(match([given('two/a.jpg')], [share]).known.get('s'))).toEqual(['two/a.jpg']);
  });

  test('where two shares miss it by name', () => {
    const { rest } = match(
      [given('a.jpg')],
      [stored('s', ['one/a.jpg', 3, 1000]), stored('u', ['two/a.jpg', 3, 1000])],
    );
    expect(paths(rest)).toEqual(['a.jpg']);
  });

  test('twice for one place: the second is new', () => {
    const { known, rest } = match(
      [given('a.jpg'), given('x/a.jpg')],
      [stored('s', ['trip/a.jpg', 3, 1000])],
    );
    expect(paths(known.get('s'))).toEqual(['trip/a.jpg']);
    expect(paths(rest)).toEqual(['x/a.jpg']);
  });
});

test('files of several shares given together go each to its own', () => {
  const { known } = match(
    [given('a'), given('b')],
    [stored('s', ['a', 3, 1000]), stored('u', ['b', 3, 1000])],
  );
  expect(paths(known.get('s'))).toEqual(['a']);
  expect(paths(known.get('u'))).toEqual(['b']);
});

test('nothing stored, nothing known', () => {
  expect(match([given('a')], []).rest).toHaveLength(1);
  expect(match([], [stored('s', ['a', 3, 1000])]).known.size).toBe(0);
});
