import { flushSync } from 'svelte';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Item, type Phase } from './item.svelte';
import { ItemList, type Tally } from './item-list.svelte';
import { rowsOf } from './rows';

afterEach(() => {
  vi.restoreAllMocks();
});

const file = new File(['12345'], 'f');
const make = (path: string, phase: Phase = 'queued'): Item =>
  Object.assign(new Item(file, path), { phase });
function listOf(items: Item[]): ItemList {
  const list = new ItemList(() => false);
  list.add(items);
  return list;
}

/** The sums as they follow from the files, one by one. */
function byHand(items: readonly Item[]): Partial<Tally> {
  const of = (phase: Phase): Item[] => items.filter((item) => item.phase === phase);
  const counted = items.filter((item) => item.phase !== 'failed' && item.phase !== 'cancelled');
  return {
    files: items.length,
    done: of('done').length,
    failed: of('failed').length,
    cancelled: of('cancelled').length,
    paused: of('paused').length,
    sending: of('sending').length,
    active: of('queued').length + of('sending').length,
    bytes: counted.length * file.size,
    shown: counted.reduce((sum, item) => sum + item.shown(false), 0),
  };
}

describe('the sums', () => {
  test('are those of the files, whatever happens to them', { timeout: 30_000 }, () => {
    const phases: Phase[] = ['queued', 'sending', 'paused', 'failed', 'cancelled', 'done'];
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 48_271) % 0x7fffffff) % below;
    const list = new ItemList(() => false);
    let items: Item[] = [];
    for (let turn = 0; turn < 25; turn++) {
      const fresh = Array.from({ length: random(400) }, (_, n) =>
        make(random(2) ? `d${random(5)}/${turn}-${n}` : `${turn}-${n}`),
      );
      list.add(fresh);
      items.push(...fresh);
      for (const item of items) {
        if (random(4) === 0) item.phase = phases[random(phases.length)]!;
        if (random(4) === 0) item.sent = random(file.size + 1);
      }
      const gone = new Set(items.filter(() => random(20) === 0));
      list.remove(gone);
      items = items.filter((item) => !gone.has(item));
      expect(list.tally).toMatchObject(byHand(items));
      expect(new Set(list.sending)).toEqual(
        new Set(items.filter((item) => item.phase === 'sending')),
      );
      const drawn = rowsOf(list, new Set(['done', 'd:d0', 'd:d1', 'd:d2', 'd:d3', 'd:d4'])).slice(
        0,
        Infinity,
      );
      expect(drawn.flatMap((row) => (row.type === 'file' ? [row.item.id] : [])).sort()).toEqual(
        items.map((item) => item.id).sort(),
      );
    }
  });

  test('of a folder are of its files, and it goes with its last one', () => {
    const [a, b, c] = [make('trip/a', 'done'), make('trip/b'), make('c')];
    const list = listOf([a, b, c]);
    const folder = rowsOf(list, new Set()).slice(0, 1)[0]!;
    expect(folder.type === 'folder' && folder.group.tally).toMatchObject({
      files: 2,
      done: 1,
      active: 1,
    });
    list.remove(new Set([a, b]));
    expect(
      rowsOf(list, new Set())
        .slice(0, 9)
        .map((row) => row.key),
    ).toEqual([`f:${c.id}`]);
    list.add([make('trip/d')]);
    expect(list.tally.files).toBe(2);
  });
});

test('files that failed are told by reason, those in folders among them', () => {
  const failed = (path: string, code: 'gone' | 'taken'): Item =>
    Object.assign(make(path, 'failed'), { failure: { code } });
  const list = listOf([
    failed('a', 'gone'),
    make('b'),
    failed('d/c', 'taken'),
    failed('d/e', 'gone'),
  ]);
  expect(list.failed.map(({ reason, items }) => [reason, items.map((item) => item.path)])).toEqual([
    ['No longer on the server', ['a', 'd/e']],
    ['A file with this name already exists under this link', ['d/c']],
  ]);
});

describe.each([
  [100_000, 'loose', (n: number) => `f${n}`],
  [20_000, 'in one folder', (n: number) => `trip/f${n}`],
  [20_000, 'in a thousand folders', (n: number) => `d${n % 1_000}/f${n}`],
])('%i files, %s', (length, _, pathOf) => {
  test('one byte of one of them is drawn by looking at a few hundred', { timeout: 60_000 }, () => {
    const items = Array.from({ length }, (_, n) => make(pathOf(n)));
    const list = listOf(items);
    const seen = { shown: 0, rows: 0, runs: 0 };
    const stop = $effect.root(() => {
      $effect(() => {
        seen.shown = list.tally.shown;
        seen.rows = rowsOf(list, new Set(['d:trip'])).slice(10_000, 10_040).length;
        seen.runs++;
      });
    });
    flushSync();
    expect(seen.runs).toBe(1);
    const looks = vi.spyOn(Item.prototype, 'shown');
    items[17_777]!.sent = 3;
    flushSync();
    items[17_777]!.phase = 'sending';
    flushSync();
    items[17_777]!.phase = 'done';
    flushSync();
    expect(seen.shown).toBe(file.size);
    expect(seen.runs).toBe(4);
    expect(looks.mock.calls.length).toBeLessThan(3 * 600);
    stop();
  });
});
