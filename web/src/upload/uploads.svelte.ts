// All that this page sends. It lives as long as the page, whatever view is open: moving inside the
// app stops nothing.
import { api, Refused, type Limits } from '../lib/api';
import { at } from '../lib/base';
import { tabs } from '../tabs/tabs';
import { Checker } from './checker';
import { Earlier, type Unfinished } from './earlier.svelte';
import { measure, SHARE_GONE } from './failures';
import { Gate } from './gate.svelte';
import type { Given, Intake } from './intake';
import type { Item } from './item.svelte';
import { match } from './matching';
import { Meter } from './meter.svelte';
import { Presence } from './presence';
import { Queue } from './queue';
import { deleteOnServer, Removals } from './removal';
import { Share } from './share.svelte';
import { Store } from './store';
import { send } from './tus';
import { Watchdog } from './watchdog';

const CHUNK_DEFAULT_BYTES = 95 * 1024 * 1024;

export class Uploads {
  shares = $state.raw<readonly Share[]>([]);
  limits = $state.raw<Limits | null>(null);
  /** Over all shares. */
  readonly meter = new Meter();
  readonly gate = new Gate(api.ready, () => this.#gateChanged());
  readonly #store = new Store();
  readonly #queue = new Queue(this.gate, tabs, {
    run: (item, signal) => this.#run(item, signal),
    settled: (item) => this.#settled(item),
  });
  readonly #checker = new Checker((item) => this.#checked(item));
  readonly #presence = new Presence(() => this.shares.flatMap((share) => (share.id ? [share.id] : [])));
  readonly #owners = new Map<Item, Share>();
  readonly #removals = new Removals((items) => void this.#remove(items));
  readonly #saved = new Set<string>();
  readonly #earlier = new Earlier(this.#store, this.#presence, () => this.shares);
  readonly #watchdog = new Watchdog(this.#queue.running, api.ready);

  /** Called once, when the page is up. */
  async start(): Promise<void> {
    tabs.allowedChanged = () => this.#queue.pump();
    this.#watchdog.start();
    addEventListener('pagehide', () => this.#removals.flush());
    void this.loadLimits();
    await this.#earlier.find();
  }

  async loadLimits(): Promise<void> {
    try {
      this.limits = await api.limits();
    } catch {
      // The defaults do; the server enforces its own limits anyway.
    }
  }

  /**
   * Goes on with one unfinished share. What does not belong to it is left out; tells how much that
   * is.
   */
  again(one: Unfinished, intake: Intake): { known: number; others: number } {
    const { known, rest } = match(intake.files, [one.stored]);
    for (const [shareId, given] of known) this.#continue(shareId, given);
    return { known: intake.files.length - rest.length, others: rest.length };
  }

  // ── taking files in ────────────────────────────────────────────────────────────────────────────

  /**
   * Sends what was given: to the unfinished shares that know it, the rest to `target` or a new
   * share.
   */
  take(intake: Intake, target: Share | null = null): Share | null {
    const { known, rest } = match(intake.files, this.unfinished.map((one) => one.stored));
    for (const [shareId, given] of known) this.#continue(shareId, given);
    if (rest.length === 0) return null;
    const share = target ?? this.#open();
    const items = share.add(rest);
    share.roots.push(...intake.roots);
    this.#admit(share, items);
    return share;
  }

  #open(): Share {
    const share = new Share((item) => this.#heard(item));
    this.shares = [share, ...this.shares];
    return share;
  }

  #admit(share: Share, items: readonly Item[]): void {
    for (const item of items) {
      this.#owners.set(item, share);
      this.#measure(item);
    }
    // Right away and beside the queue: the link is wanted before the first byte is through.
    if (!share.id && items.some((item) => item.phase === 'queued')) {
      share.ready().then(
        () => this.#shareReady(share),
        () => this.gate.fail(),
      );
    } else {
      this.#remember(share);
    }
    this.#queue.add(items);
  }

  /** What can be known to fail is said at once and sends nothing. */
  #measure(item: Item): boolean {
    const failure = this.limits && measure(item, this.limits);
    if (!failure) return true;
    item.phase = 'failed';
    item.failure = failure;
    return false;
  }

  // ── unfinished shares of earlier visits ────────────────────────────────────────────────────────

  get unfinished(): readonly Unfinished[] {
    return this.#earlier.unfinished;
  }

  async forget(one: Unfinished): Promise<void> {
    await this.#earlier.forget(one);
  }

  #continue(shareId: string, given: Given[]): void {
    const found = this.unfinished.find((one) => one.stored.shareId === shareId);
    let share = this.shares.find((one) => one.id === shareId);
    if (found && !share) {
      share = Share.restored(found.stored, (item) => this.#heard(item));
      this.shares = [share, ...this.shares];
      this.#saved.add(shareId);
    }
    if (!share) return;
    void this.#resume(share, given);
  }

  async #resume(share: Share, given: Given[]): Promise<void> {
    const items = share.readd(given);
    for (const item of items) {
      this.#owners.set(item, share);
      // Not to be started before it is known what the server has of it.
      item.phase = 'paused';
    }
    const isWhole = await this.#earlier.takeBack(share, items);
    if (isWhole) this.#earlier.drop(share.id!);
    this.#queue.add(items);
    for (const item of items) {
      if (item.phase !== 'done') continue;
      this.#checker.read(item);
      this.#settled(item);
    }
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────────

  async #run(item: Item, signal: AbortSignal): Promise<void> {
    const share = this.#owners.get(item)!;
    await share.ready();
    this.#shareReady(share);
    const shareId = share.id;
    try {
      await this.#send(item, share, signal);
    } catch (error) {
      if (error instanceof Refused && error.slug === SHARE_GONE && share.id === shareId) this.#lost(share);
      throw error;
    }
    item.confirmed = item.sent = item.size;
  }

  /**
   * The share is not there any more, nor is anything in it: what was done is told, what is not done
   * goes on in a new one.
   */
  #lost(share: Share): void {
    if (share.id) void this.#store.forgetShare(share.id);
    for (const item of share.items) {
      if (item.phase !== 'done') continue;
      item.phase = 'failed';
      item.failure = { code: 'gone' };
      item.restart();
    }
    share.renew();
  }

  async #send(item: Item, share: Share, signal: AbortSignal): Promise<void> {
    if (item.size > 0) this.#checker.read(item);
    // The first upload after a time without any is measured by itself.
    if (this.#queue.running.size === 1) this.meter.reset();
    // What an earlier attempt brought has not moved now.
    let resumes = item.uploadUrl !== null;
    item.count(share.hears);
    await send({
      endpoint: at('/files'),
      file: item.file,
      metadata: {
        filename: item.name,
        relativePath: item.path,
        ...(item.file.type ? { filetype: item.file.type } : {}),
        share: share.key!,
      },
      uploadUrl: item.uploadUrl,
      chunkBytes: Math.min(this.limits?.request_body_max_bytes ?? CHUNK_DEFAULT_BYTES, CHUNK_DEFAULT_BYTES),
      signal,
      yields: () => this.#queue.yields,
      created: (upload) => {
        Object.assign(item, upload);
        void this.#store.saveUpload({ shareId: share.id!, path: item.path, ...upload });
        share.follow();
      },
      sent: (offset) => {
        item.sent = offset;
        item.movedAt = Date.now();
        this.#count(item);
      },
      confirmed: (offset) => {
        item.sent = Math.max(offset, Math.min(item.sent, item.size));
        item.confirmed = Math.max(item.confirmed, offset);
        item.movedAt = Date.now();
        if (resumes) item.count(share.hears);
        resumes = false;
        this.#count(item);
      },
    });
  }

  #count(item: Item): void {
    const step = item.count(this.#owners.get(item)?.hears ?? false);
    item.meter.add(step);
    this.meter.add(step);
  }

  #shareReady(share: Share): void {
    this.#remember(share);
    share.follow();
  }

  #remember(share: Share): void {
    if (!share.id || !share.key || !share.link) return;
    const key = `${share.id} ${share.manifest.length}`;
    if (this.#saved.has(key)) return;
    this.#saved.add(key);
    const { id: shareId, key: shareKey, link, createdAt, manifest, roots } = share;
    void this.#store.saveShare({ shareId, shareKey, link, createdAt, manifest: [...manifest], roots: [...roots] });
  }

  #settled(item: Item): void {
    const share = this.#owners.get(item);
    if (!share?.id) return;
    if (item.phase === 'done') {
      const { path, uploadUrl, deleteUrl, fileId } = item;
      if (uploadUrl) void this.#store.saveUpload({ shareId: share.id, path, uploadUrl, deleteUrl, fileId, done: true });
      if (item.size === 0) item.check = 'verified';
      this.#checker.compare(item);
    }
    if (share.settled) void this.#wrapUp(share);
  }

  async #wrapUp(share: Share): Promise<void> {
    if (share.items.every((item) => item.phase === 'done') && !this.#isUnfinished(share)) {
      await this.#store.forgetShare(share.id!);
    }
    // The last digests come by event within a moment; where events don't get through, ask.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    if (share.items.some((item) => item.phase === 'done' && !item.blake3)) await share.refresh().catch(() => {});
    share.follow();
  }

  #isUnfinished(share: Share): boolean {
    return this.unfinished.some((one) => one.stored.shareId === share.id);
  }

  /**
   * What arrived is not what the file holds now: it was changed on the way. The copy on the server
   * is of no use.
   */
  #checked(item: Item): void {
    if (item.check === 'differs' && item.phase === 'done') {
      item.phase = 'failed';
      item.failure = { code: 'differs' };
      item.before = 'done';
      void deleteOnServer(item);
      item.restart();
    }
  }

  #heard(item: Item): void {
    this.#checker.compare(item);
    if (item.blake3) this.#owners.get(item)?.follow();
    if (item.phase === 'sending') this.#count(item);
  }

  #gateChanged(): void {
    if (this.gate.open) {
      this.meter.reset();
      this.#queue.pump();
      for (const share of this.shares) {
        // A share that could not be made when it was opened is made by its first file; if it has
        // none waiting, now.
        if (!share.id && share.items.length > 0) share.ready().then(() => this.#shareReady(share), () => {});
      }
    }
  }

  // ── what people do ─────────────────────────────────────────────────────────────────────────────

  pause(items: readonly Item[]): void {
    this.#queue.pause(items);
  }

  resume(items: readonly Item[]): void {
    this.meter.reset();
    this.#queue.resume(items);
  }

  retry(items: readonly Item[]): void {
    void this.loadLimits().then(() => this.resume(items.filter((item) => this.#measure(item))));
  }

  /** Takes files out. Nothing is said to the server for five seconds, so that it can be undone. */
  cancel(items: readonly Item[]): void {
    const gone = items.filter((item) => item.phase !== 'cancelled');
    this.#queue.withdraw(gone);
    this.#removals.add(gone);
  }

  undo(items: readonly Item[]): void {
    this.#removals.undo(items);
    this.#queue.reinstate(items);
  }

  async #remove(items: readonly Item[]): Promise<void> {
    const byShare = new Map<Share, Item[]>();
    for (const item of items) {
      const share = this.#owners.get(item);
      this.#owners.delete(item);
      if (!share) continue;
      const list = byShare.get(share);
      if (list) list.push(item);
      else byShare.set(share, [item]);
    }
    await Promise.all([...byShare].map(([share, gone]) => this.#removeFrom(share, gone)));
  }

  async #removeFrom(share: Share, gone: readonly Item[]): Promise<void> {
    share.remove(new Set(gone));
    if (share.items.length === 0 && share.kept.files === 0) this.shares = this.shares.filter((one) => one !== share);
    // First of all, since the page may be closing.
    const deleted = Promise.all(gone.map((item) => deleteOnServer(item)));
    if (share.id) {
      const { id } = share;
      await Promise.all(gone.map((item) => this.#store.forgetUpload(id, item.path)));
      if (share.items.length === 0) await this.#store.forgetShare(share.id);
      else this.#remember(share);
    }
    await deleted;
    share.follow();
    if (share.items.length > 0 && share.settled) void this.#wrapUp(share);
  }

  /** Lets a finished share go from the page; its link goes on working. */
  dismiss(share: Share): void {
    share.unfollow();
    this.shares = this.shares.filter((one) => one !== share);
  }
}

/** The page's one instance. */
export const uploads = new Uploads();
