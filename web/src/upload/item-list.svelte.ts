// The files of a share, kept so that a change in one of 100,000 costs a few hundred reads and not
// 100,000: they lie in blocks, each block has sums of its own, and those of the whole are made of
// the blocks'. A folder at the top is one entry with blocks of its own.
import type { Item } from './item.svelte';
import { failureLabel } from './labels';

const BLOCK_ENTRIES = 256;

export interface Tally {
  files: number;
  size: number;
  /** Bytes that are drawn, of all files. */
  shownOfAll: number;
  done: number;
  failed: number;
  paused: number;
  cancelled: number;
  sending: number;
  /** Queued or being sent. */
  active: number;
  verified: number;
  /** Of files that are neither failed nor cancelled. */
  bytes: number;
  /** Of the same files, those that are drawn. */
  shown: number;
  /** Of the same files, what the server has confirmed. */
  safe: number;
}

/** Files that failed for one reason. */
export interface FailedGroup {
  reason: string;
  items: readonly Item[];
}

/** What one row stands for. */
export interface ItemGroup {
  readonly tally: Tally;
  /** Made anew each time: for what a click does to them. */
  readonly items: readonly Item[];
}

function emptyTally(): Tally {
  return {
    files: 0,
    size: 0,
    shownOfAll: 0,
    done: 0,
    failed: 0,
    paused: 0,
    cancelled: 0,
    sending: 0,
    active: 0,
    verified: 0,
    bytes: 0,
    shown: 0,
    safe: 0,
  };
}

function countItem(sum: Tally, item: Item, hears: boolean): void {
  const { phase, size } = item;
  const shown = item.shown(hears);
  sum.files++;
  sum.size += size;
  sum.shownOfAll += shown;
  if (phase === 'cancelled') sum.cancelled++;
  else if (phase === 'failed') sum.failed++;
  else {
    sum.bytes += size;
    sum.shown += shown;
    sum.safe += phase === 'done' ? size : item.confirmed;
    if (phase === 'done') sum.done++;
    else if (phase === 'paused') sum.paused++;
    else sum.active++;
    if (phase === 'sending') sum.sending++;
    if (item.check === 'verified') sum.verified++;
  }
}

function addTally(sum: Tally, more: Tally): void {
  for (const key of Object.keys(sum) as (keyof Tally)[]) sum[key] += more[key];
}

/** One and the same where there is none, so that what reads it is not told of a change. */
const NONE: readonly never[] = [];
const orNone = <T>(list: readonly T[]): readonly T[] => (list.length === 0 ? NONE : list);

type Entry = Item | Folder;
const isFolder = (entry: Entry): entry is Folder => entry instanceof Folder;

/** Consecutive entries. A block in a folder holds files only. */
export class Block {
  entries = $state.raw<readonly Entry[]>(NONE);

  /** @param hears whether the server tells what it has */
  constructor(private readonly hears: () => boolean) {}

  readonly tally: Tally = $derived.by(() => {
    const sum = emptyTally();
    const hears = this.hears();
    for (const entry of this.entries) {
      if (isFolder(entry)) addTally(sum, entry.tally);
      else countItem(sum, entry, hears);
    }
    return sum;
  });

  /** Files that are being sent, those in folders too. */
  readonly sending: readonly Item[] = $derived(
    orNone(
      this.entries.flatMap((entry) =>
        isFolder(entry) ? entry.sending : entry.phase === 'sending' ? [entry] : [],
      ),
    ),
  );

  /** The same of those that failed. */
  readonly failed: readonly FailedGroup[] = $derived(
    merged(
      this.entries.flatMap((entry) => {
        if (isFolder(entry)) return entry.failed;
        return entry.phase === 'failed' && entry.failure
          ? [{ reason: failureLabel(entry.failure), items: [entry] }]
          : [];
      }),
    ),
  );

  /** Finished files that lie in no folder … */
  readonly done: readonly Item[] = $derived(
    orNone(
      this.entries.filter((entry): entry is Item => !isFolder(entry) && entry.phase === 'done'),
    ),
  );

  /** … and all other entries. */
  readonly undone: readonly Entry[] = $derived(
    this.done.length === 0
      ? this.entries
      : this.entries.filter((entry) => isFolder(entry) || entry.phase !== 'done'),
  );

  readonly hasFolders: boolean = $derived(this.entries.some(isFolder));

  readonly doneTally: Tally = $derived.by(() => {
    const sum = emptyTally();
    for (const item of this.done) countItem(sum, item, true);
    return sum;
  });
}

function merged(groups: readonly FailedGroup[]): readonly FailedGroup[] {
  if (groups.length < 2) return orNone(groups);
  const byReason = new Map<string, Item[]>();
  for (const { reason, items } of groups) {
    const all = byReason.get(reason);
    if (all) for (const item of items) all.push(item);
    else byReason.set(reason, [...items]);
  }
  return [...byReason].map(([reason, items]) => ({ reason, items }));
}

/** A list of entries in blocks, and what they come to. */
class BlockList {
  blocks = $state.raw<readonly Block[]>([]);

  constructor(private readonly hears: () => boolean) {}

  readonly tally: Tally = $derived.by(() => {
    const sum = emptyTally();
    for (const block of this.blocks) addTally(sum, block.tally);
    return sum;
  });
  readonly sending: readonly Item[] = $derived(
    orNone(this.blocks.flatMap((block) => block.sending)),
  );
  readonly failed: readonly FailedGroup[] = $derived(
    merged(this.blocks.flatMap((block) => block.failed)),
  );

  protected push(entries: readonly Entry[]): void {
    let at = 0;
    const last = this.blocks.at(-1);
    if (last && last.entries.length < BLOCK_ENTRIES) {
      at = BLOCK_ENTRIES - last.entries.length;
      last.entries = [...last.entries, ...entries.slice(0, at)];
    }
    const more: Block[] = [];
    for (; at < entries.length; at += BLOCK_ENTRIES) {
      const block = new Block(this.hears);
      block.entries = entries.slice(at, at + BLOCK_ENTRIES);
      more.push(block);
    }
    if (more.length > 0) this.blocks = [...this.blocks, ...more];
  }

  protected drop(goes: (entry: Entry) => boolean): void {
    for (const block of this.blocks)
      if (block.entries.some(goes)) block.entries = block.entries.filter((one) => !goes(one));
    if (this.blocks.some((block) => block.entries.length === 0)) {
      this.blocks = this.blocks.filter((block) => block.entries.length > 0);
    }
  }
}

/** A folder at the top of a share, with all files below it. */
export class Folder extends BlockList implements ItemGroup {
  constructor(
    readonly name: string,
    hears: () => boolean,
  ) {
    super(hears);
  }

  get items(): readonly Item[] {
    return this.blocks.flatMap((block) => block.entries as readonly Item[]);
  }

  add(items: readonly Item[]): void {
    this.push(items);
  }

  remove(items: ReadonlySet<Item>): void {
    this.drop((entry) => items.has(entry as Item));
  }
}

/** All entries of a share: loose files and folders, in the order in which they came. */
export class ItemList extends BlockList {
  readonly #folders = new Map<string, Folder>();
  readonly #hears: () => boolean;

  constructor(hears: () => boolean) {
    super(hears);
    this.#hears = hears;
  }

  /** Finished files that lie in no folder. */
  readonly done: ItemGroup = doneOf(() => this.blocks);

  readonly length: number = $derived(
    this.blocks.reduce((sum, block) => sum + block.entries.length, 0),
  );

  add(items: readonly Item[]): void {
    const fresh: Entry[] = [];
    const inside = new Map<Folder, Item[]>();
    for (const item of items) {
      const slash = item.path.indexOf('/');
      if (slash < 0) {
        fresh.push(item);
        continue;
      }
      const name = item.path.slice(0, slash);
      let folder = this.#folders.get(name);
      if (!folder) {
        folder = new Folder(name, this.#hears);
        this.#folders.set(name, folder);
        fresh.push(folder);
      }
      const list = inside.get(folder);
      if (list) list.push(item);
      else inside.set(folder, [item]);
    }
    for (const [folder, list] of inside) folder.add(list);
    this.push(fresh);
  }

  remove(items: ReadonlySet<Item>): void {
    for (const [name, folder] of this.#folders) {
      folder.remove(items);
      if (folder.blocks.length === 0) this.#folders.delete(name);
    }
    this.drop((entry) => (isFolder(entry) ? entry.blocks.length === 0 : items.has(entry)));
  }
}

function doneOf(blocks: () => readonly Block[]): ItemGroup {
  const tally = $derived.by(() => {
    const sum = emptyTally();
    for (const block of blocks()) addTally(sum, block.doneTally);
    return sum;
  });
  return {
    get tally() {
      return tally;
    },
    get items() {
      return blocks().flatMap((block) => block.done);
    },
  };
}
