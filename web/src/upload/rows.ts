// The list as it is drawn: a folder is one row that opens, and many finished files fold into one.
// No list of rows is made, only of the stretches that they come from: of 100,000 rows those in view
// are asked for.
import type { Item } from './item.svelte';
import { Folder, type Block, type ItemGroup, type ItemList } from './item-list.svelte';

export type Row =
  | { type: 'folder'; key: string; name: string; group: ItemGroup; open: boolean }
  | { type: 'folded'; key: string; group: ItemGroup; open: boolean }
  | { type: 'file'; key: string; item: Item; inside: boolean };

/** Rows that are made when they are asked for. */
export interface Rows<R> {
  readonly length: number;
  slice(from: number, to: number): R[];
}

/** Loose finished files are folded when there are more rows than a screen holds. */
export const FOLD_FROM = 12;

/** When all is done, the link matters and the files are in its way. */
const FOLD_ALL_FROM = 3;

export function rowsOf(list: ItemList, open: ReadonlySet<string>, finished = false): Rows<Row> {
  const done = list.done.tally.done;
  const isFolded = list.length > (finished ? FOLD_ALL_FROM : FOLD_FROM) && done > 1;
  const rows = new Stretches();
  for (const block of list.blocks) {
    const entries = isFolded ? block.undone : block.entries;
    if (block.hasFolders) rows.addEntries(entries, open);
    else rows.addFiles(entries as readonly Item[], false);
  }
  if (isFolded) {
    const isOpen = open.has('done');
    rows.addRow({ type: 'folded', key: 'done', group: list.done, open: isOpen });
    if (isOpen) for (const block of list.blocks) rows.addFiles(block.done, true);
  }
  return rows;
}

interface Stretch {
  /** Row of the list with which it begins. */
  at: number;
  length: number;
  row(index: number): Row;
}

class Stretches implements Rows<Row> {
  length = 0;
  readonly #stretches: Stretch[] = [];

  #add(length: number, row: (index: number) => Row): void {
    if (length === 0) return;
    this.#stretches.push({ at: this.length, length, row });
    this.length += length;
  }

  addRow(row: Row): void {
    this.#add(1, () => row);
  }

  addFiles(items: readonly Item[], inside: boolean): void {
    this.#add(items.length, (index) => {
      const item = items[index]!;
      return { type: 'file', key: `f:${item.id}`, item, inside };
    });
  }

  addEntries(entries: Block['entries'], open: ReadonlySet<string>): void {
    let files: Item[] = [];
    for (const entry of entries) {
      if (!(entry instanceof Folder)) {
        files.push(entry);
        continue;
      }
      this.addFiles(files, false);
      files = [];
      const key = `d:${entry.name}`;
      const isOpen = open.has(key);
      this.addRow({ type: 'folder', key, name: entry.name, group: entry, open: isOpen });
      if (isOpen)
        for (const block of entry.blocks) this.addFiles(block.entries as readonly Item[], true);
    }
    this.addFiles(files, false);
  }

  slice(from: number, to: number): Row[] {
    const rows: Row[] = [];
    for (const { at, length, row } of this.#stretches) {
      if (at >= to) break;
      for (let n = Math.max(from, at); n < Math.min(to, at + length); n++) rows.push(row(n - at));
    }
    return rows;
  }
}
