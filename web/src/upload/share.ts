// One drop, one share, one link. Holds its files, asks the server for the share as soon as it
// exists, and listens to the share's events while anything is under way.
import { api, type ServerFile } from '../lib/api';
import { tabs, type Tabs } from '../tabs/tabs';
import { Item } from './item';
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
  id: string | null = null;
  key: string | null = null;
  link: string | null = null;
  createdAt = Date.now();
  readonly items: Item[] = [];
  /** Complete before this visit: not sent again, but part of the share. */
  kept = { files: 0, bytes: 0 };
  roots: FileSystemHandle[] = [];
  manifest: ManifestEntry[] = [];
  /** Events flow. */
  live = false;
  /** They have been asked for and may flow at any moment. */
  #opening: ReturnType<typeof setTimeout> | null = null;
  #paths = new Map<string, Item>();
  #taken = new Set<string>();
  #making: Promise<void> | null = null;
  #unwatch: (() => void) | null = null;
  #totals: Totals | null = null;

  constructor(
    /** Something changed that is worth drawing. */
    private readonly changed: () => void,
    /** The server has told something new about a file. */
    private readonly heard: (item: Item) => void,
    private readonly watch: Tabs['watch'] = (shareId, events) => tabs.watch(shareId, events),
  ) {}

  static restored(stored: StoredShare, changed: () => void, heard: (item: Item) => void): Share {
    const share = new Share(changed, heard);
    share.id = stored.shareId;
    share.key = stored.shareKey;
    share.link = stored.link;
    share.createdAt = stored.createdAt;
    share.roots = stored.roots;
    share.manifest = stored.manifest;
    return share;
  }

  /** Adds files under paths that are free in this share. */
  add(given: Given[]): Item[] {
    return given.map((one) => {
      const path = uniquePath(one.path, this.#taken);
      this.manifest.push([path, one.file.size, one.file.lastModified]);
      return this.#place(new Item(one.file, path));
    });
  }

  /** Adds files that the share's manifest lists already. */
  readd(given: Given[]): Item[] {
    return given.filter((one) => !this.#paths.has(one.path)).map((one) => this.#place(new Item(one.file, one.path)));
  }

  #place(item: Item): Item {
    this.#taken.add(item.path);
    this.#paths.set(item.path, item);
    this.items.push(item);
    return item;
  }

  remove(item: Item): void {
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
    this.#paths.delete(item.path);
    this.#taken.delete(item.path);
    this.manifest = this.manifest.filter(([path]) => path !== item.path);
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
        this.changed();
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
    this.changed();
  }

  /** Follows the server's events while something is under way, and stops when nothing is. */
  follow(): void {
    const wanted =
      this.id !== null && this.items.some((item) => item.phase === 'sending' || (item.phase === 'done' && !item.blake3));
    if (wanted && !this.#unwatch) {
      this.#unwatch = this.watch(this.id!, {
        file: (file) => this.#hear(file, true),
        gone: () => {},
        live: (on) => {
          this.#opened();
          this.live = on;
          this.changed();
        },
      });
      this.#opening = setTimeout(() => {
        this.#opened();
        this.changed();
      }, OPENS_WITHIN_MS);
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

  /** Forgets the sums; called when anything changed. */
  stale(): void {
    this.#totals = null;
  }

  get totals(): Totals {
    return (this.#totals ??= this.#sum());
  }

  #sum(): Totals {
    const sum: Totals = {
      files: this.kept.files,
      done: this.kept.files,
      failed: 0,
      paused: 0,
      active: 0,
      cancelled: 0,
      bytes: this.kept.bytes,
      shown: this.kept.bytes,
      safe: this.kept.bytes,
      verified: 0,
      any: false,
      state: 'sending',
    };
    for (const item of this.items) {
      if (item.phase === 'cancelled') {
        sum.cancelled++;
        continue;
      }
      sum.files++;
      if (item.phase === 'failed') {
        sum.failed++;
        continue;
      }
      sum.bytes += item.size;
      sum.shown += item.shown(this.hears);
      sum.safe += item.phase === 'done' ? item.size : item.confirmed;
      if (item.phase === 'done') sum.done++;
      else if (item.phase === 'paused') sum.paused++;
      else sum.active++;
      if (item.check === 'verified') sum.verified++;
    }
    sum.any = sum.done + sum.active + sum.paused > 0;
    if (sum.active > 0) sum.state = this.id === null ? 'preparing' : 'sending';
    else if (sum.paused > 0) sum.state = 'paused';
    else if (sum.files === 0) sum.state = 'empty';
    else sum.state = sum.failed > 0 ? 'failed' : 'done';
    return sum;
  }
}
