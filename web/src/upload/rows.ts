// The list as it is drawn: a folder is one row that opens, and many finished files fold into one.
import type { Item } from './item';

export type Row =
  | { type: 'folder'; key: string; name: string; items: Item[]; open: boolean }
  | { type: 'folded'; key: string; items: Item[]; open: boolean }
  | { type: 'file'; key: string; item: Item; inside: boolean };

/** Loose finished files are folded when there are more rows than a screen holds. */
export const FOLD_FROM = 12;

/** When all is done, the link matters and the files are in its way. */
const FOLD_ALL_FROM = 3;

export function rowsOf(items: readonly Item[], open: ReadonlySet<string>, finished = false): Row[] {
  const folders = new Map<string, Item[]>();
  const order: (Item | string)[] = [];
  for (const item of items) {
    const slash = item.path.indexOf('/');
    if (slash < 0) {
      order.push(item);
      continue;
    }
    const name = item.path.slice(0, slash);
    const inside = folders.get(name);
    if (inside) inside.push(item);
    else {
      folders.set(name, [item]);
      order.push(name);
    }
  }
  const done = order.filter((one): one is Item => typeof one !== 'string' && one.phase === 'done');
  const fold = order.length > (finished ? FOLD_ALL_FROM : FOLD_FROM) && done.length > 1;
  const rows: Row[] = [];
  for (const one of order) {
    if (typeof one === 'string') {
      const inside = folders.get(one)!;
      const key = `d:${one}`;
      const isOpen = open.has(key);
      rows.push({ type: 'folder', key, name: one, items: inside, open: isOpen });
      if (isOpen) for (const item of inside) rows.push({ type: 'file', key: `f:${item.id}`, item, inside: true });
    } else if (!(fold && one.phase === 'done')) {
      rows.push({ type: 'file', key: `f:${one.id}`, item: one, inside: false });
    }
  }
  if (fold) {
    const isOpen = open.has('done');
    rows.push({ type: 'folded', key: 'done', items: done, open: isOpen });
    if (isOpen) for (const item of done) rows.push({ type: 'file', key: `f:${item.id}`, item, inside: true });
  }
  return rows;
}
