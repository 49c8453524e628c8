// One drop, one share, one link. Holds its files, asks the server for the share as soon as it
// exists, and listens to the share's events while anything is under way.
import { api, type ServerFile } from '$lib/api';
import type { Tabs } from '$tabs/tabs';
import { Item } from './item.svelte';
import { ItemList } from './item-list.svelte';
import { uniquePath, type Given } from './intake';
import type { ManifestEntry, StoredShare } from './store';

/** For so long a stream of events may take to open before it counts as one that does not. */
const OPENS_WITHIN_MS = 3_000;

export type ShareState = 'preparing' | 'sending' | 'paused' | 'done' | 'failed' | 'empty';

export interface Totals {
  files: number;
  done: number;
  failed: number;
  paused: number;
  active: number;
  cancelled: number;
  /** Of all files that have not failed. */
  bytes: number;
  shown: number;
  /** Confirmed by the server: what is safe whatever happens. */
  safe: number;
  verified: number;
  /** There is, or will be, something under the link. */
  any: boolean;
  state: ShareState;
}

export class Share {
  id = $state.raw<string | null>(null);
  key: string | null = null;
  link = $state.raw<string | null>(null);
  createdAt = Date.now();
  /** All its files, in the order in which they came. */
  items = $state.raw<readonly Item[]>([]);
  /** Complete before this visit: not sent again, but part of the share. */
  kept = $state.raw({ files: 0, bytes: 0 });
  roots: FileSystemHandle[] = [];
  manifest: ManifestEntry[] = [];
  /** Events flow. */
  live = $state.raw(false);
  /** They have been asked for and may flow at any moment. */
  #opening = $state.raw<ReturnType<typeof setTimeout> | null>(null);
  #paths = new Map<string, Item>();
  #taken = new Set<string>();
  #making: Promise<void> | null = null;
  #unwatch: (() => void) | null = null;

  constructor(
    /** The server has told something new about a file. */
    private readonly heard: (item: Item) => void,
    private readonly watch: Tabs['watch'],
  ) {}

  /** Becomes the share that an earlier visit began. Only before it has files. */
  restore(stored: StoredShare): void {
    this.id = stored.shareId;
    this.key = stored.shareKey;
    this.link = stored.link;
    this.createdAt = stored.createdAt;
    this.roots = stored.roots;
    this.manifest = stored.manifest;
  }

  /** Adds files under paths that are free in this share. */
  add(given: Given[]): Item[] {
    const items = given.map((one) => {
      const path = uniquePath(one.path, this.#taken);
      this.manifest.push([path, one.file.size, one.file.lastModified]);
      this.#taken.add(path);
      return new Item(one.file, path);
    });
    return this.#place(items);
  }

  /** Adds files that the share's manifest lists already. */
  readd(given: Given[]): Item[] {
    const missing = new Map(
      given.filter((one) => !this.#paths.has(one.path)).map((one) => [one.path, one.file]),
    );
    return this.#place([...missing].map(([path, file]) => new Item(file, path)));
  }

  #place(items: Item[]): Item[] {
    for (const item of items) {
      this.#taken.add(item.path);
      this.#paths.set(item.path, item);
    }
    this.items = [...this.items, ...items];
    this.list.add(items);
    return items;
  }

  remove(gone: ReadonlySet<Item>): void {
    this.items = this.items.filter((item) => !gone.has(item));
    this.list.remove(gone);
    const paths = new Set([...gone].map((item) => item.path));
    for (const path of paths) {
      this.#paths.delete(path);
      this.#taken.delete(path);
    }
    this.manifest = this.manifest.filter(([path]) => !paths.has(path));
  }

  /**
   * Makes the share on the server, once. Throws what the request threw; the next call tries again.
   */
  async ready(): Promise<void> {
    if (this.id) return;
    this.#making ??= api.createShare().then(
      (made) => {
        this.id = made.share_id;
        this.key = made.share_key;
        // The server's own idea of its address may be that of the inside of a proxy; the page's
        // address works.
        this.link = new URL(made.link, location.href).href;
      },
      (error: unknown) => {
        this.#making = null;
        throw error;
      },
    );
    await this.#making;
  }

  /** The server no longer knows it: the next `ready` makes another one, with a link of its own. */
  renew(): void {
    this.unfollow();
    this.id = this.key = this.link = null;
    this.#making = null;
  }

  /** Follows the server's events while something is under way, and stops when nothing is. */
  follow(): void {
    const wanted =
      this.id !== null &&
      (this.list.tally.sending > 0 ||
        this.items.some((item) => item.phase === 'done' && !item.blake3));
    if (wanted && !this.#unwatch) {
      this.#unwatch = this.watch(this.id!, {
        file: (file) => this.#hear(file, true),
        gone: () => {},
        live: (on) => {
          this.#opened();
          this.live = on;
        },
      });
      this.#opening = setTimeout(() => this.#opened(), OPENS_WITHIN_MS);
    } else if (!wanted && this.#unwatch) {
      this.unfollow();
    }
  }

  /**
   * What the server has is what to draw. Before the events flow that may be too little, but what
   * was handed to the network would be too much, and a figure never goes back.
   */
  get hears(): boolean {
    return this.live || this.#opening !== null;
  }

  /** The same files, as they are drawn. */
  readonly list = new ItemList(() => this.hears);

  /** What all its files come to. */
  readonly totals: Totals = $derived.by(() => this.#sum());

  /** All its files have come to an end. */
  get settled(): boolean {
    return this.totals.active + this.totals.paused === 0;
  }

  #opened(): void {
    if (this.#opening !== null) clearTimeout(this.#opening);
    this.#opening = null;
  }

  unfollow(): void {
    this.#opened();
    this.#unwatch?.();
    this.#unwatch = null;
    this.live = false;
  }

  /** Asks once what the server has: for digests that no event brought. */
  async refresh(): Promise<void> {
    if (!this.id) return;
    for (const file of (await api.share(this.id)).files) this.#hear(file);
  }

  #itemOf(file: ServerFile): Item | undefined {
    const item = this.#paths.get(file.path);
    if (item && (item.fileId === null || item.fileId === file.file_id)) return item;
    // The server may have changed its name. An older upload of the same path, lost with its answer,
    // is none of ours.
    return this.items.find((one) => one.fileId === file.file_id);
  }

  #hear(file: ServerFile, byEvent = false): void {
    const item = this.#itemOf(file);
    if (!item) return;
    const started = item.uploadUrl !== null || item.phase === 'sending' || item.phase === 'done';
    if (item.phase === 'cancelled' || !started) return;
    item.apply(file);
    item.told ||= byEvent;
    this.heard(item);
  }

  #sum(): Totals {
    const { tally } = this.list;
    const { files, bytes } = this.kept;
    const totals: Totals = {
      files: files + tally.files - tally.cancelled,
      done: files + tally.done,
      failed: tally.failed,
      paused: tally.paused,
      active: tally.active,
      cancelled: tally.cancelled,
      bytes: bytes + tally.bytes,
      shown: bytes + tally.shown,
      safe: bytes + tally.safe,
      verified: tally.verified,
      any: files + tally.done + tally.active + tally.paused > 0,
      state: 'sending',
    };
    if (totals.active > 0) totals.state = this.id === null ? 'preparing' : 'sending';
    else if (totals.paused > 0) totals.state = 'paused';
    else if (totals.files === 0) totals.state = 'empty';
    else totals.state = totals.failed > 0 ? 'failed' : 'done';
    return totals;
  }
}
