import { describe, expect, test } from 'vitest';
import { Item } from './item.svelte';
import { ItemList } from './item-list.svelte';
import * as rows from './rows';
import { FOLD_FROM, type Row } from './rows';

function item(path: string, phase: Item['phase'] = 'queued'): Item {
  return Object.assign(new Item(new File(['x'], path), path), { phase });
}
const none = new Set<string>();
function rowsOf(items: Item[], open: ReadonlySet<string>, finished?: boolean): Row[] {
  const list = new ItemList(() => true);
  list.add(items);
  return rows.rowsOf(list, open, finished).slice(0, Infinity);
}
const told = (rows: Row[]): string[] =>
  rows.map((row) => {
    if (row.type === 'file') return `${row.inside ? '  ' : ''}${row.item.path}`;
    return row.type === 'folder'
      ? `${row.name}/ ${row.group.items.length}`
      : `folded ${row.group.items.length}`;
  });

describe('a folder', () => {
  const items = [
    item('a.txt'),
    item('trip/b.jpg'),
    item('z.txt'),
    item('trip/deep/c.jpg'),
    item('other/d.jpg'),
  ];
  test('is one row with its count, where its first file stood', () => {
    expect(told(rowsOf(items, none))).toEqual(['a.txt', 'trip/ 2', 'z.txt', 'other/ 1']);
  });
  test('opens', () => {
    expect(told(rowsOf(items, new Set(['d:trip'])))).toEqual([
      'a.txt',
      'trip/ 2',
      '  trip/b.jpg',
      '  trip/deep/c.jpg',
      'z.txt',
      'other/ 1',
    ]);
  });
});

describe('what is done', () => {
  test('stands where it stood while the list is short', () => {
    const items = Array.from({ length: FOLD_FROM }, (_, n) => item(`f${n}`, 'done'));
    expect(told(rowsOf(items, none))).toEqual(items.map((one) => one.path));
  });
  test('folds into one row at the end of a long list', () => {
    const items = Array.from({ length: 20 }, (_, n) => item(`f${n}`, n < 15 ? 'done' : 'sending'));
    expect(told(rowsOf(items, none))).toEqual(['f15', 'f16', 'f17', 'f18', 'f19', 'folded 15']);
    expect(told(rowsOf(items, new Set(['done'])))).toHaveLength(6 + 15);
  });
  test('folds from four files on once all of them are done', () => {
    const items = Array.from({ length: 4 }, (_, n) => item(`f${n}`, 'done'));
    expect(told(rowsOf(items, none, true))).toEqual(['folded 4']);
    expect(told(rowsOf(items.slice(1), none, true))).toEqual(['f1', 'f2', 'f3']);
  });
  test('one alone is not folded, nor is a folder', () => {
    const items = [
      ...Array.from({ length: 20 }, (_, n) => item(`f${n}`, n === 0 ? 'done' : 'queued')),
      item('d/x', 'done'),
    ];
    expect(told(rowsOf(items, none)).filter((row) => row.startsWith('folded'))).toEqual([]);
  });
});

test('every file is drawn once, under a key of its own', () => {
  const items = [
    ...Array.from({ length: 30 }, (_, n) => item(`f${n}`, n % 2 ? 'done' : 'failed')),
    item('d/x'),
    item('d/y', 'done'),
  ];
  const rows = rowsOf(items, new Set(['d:d', 'done']));
  expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
  expect(new Set(rows.flatMap((row) => (row.type === 'file' ? [row.item] : []))).size).toBe(
    items.length,
  );
});

test('five thousand files are sorted into rows within a frame or two', () => {
  const items = Array.from({ length: 5_000 }, (_, n) =>
    item(n % 3 ? `f${n}` : `d${n % 50}/f${n}`, n % 2 ? 'done' : 'queued'),
  );
  const rows = rowsOf(items, none);
  const loose = items.filter((one) => !one.path.includes('/') && one.phase !== 'done').length;
  const folders = new Set(
    items.flatMap((one) => (one.path.includes('/') ? [one.path.split('/')[0]] : [])),
  ).size;
  expect(rows).toHaveLength(loose + folders + 1);
});
