// All that this page sends. It lives as long as the page, whatever view is open: moving inside the
// app stops nothing. What people do begins here; how it is done is with the parts.
import { api } from '$lib/api';
import type { Tabs } from '$tabs/tabs';
import { Completion } from './completion';
import { UnfinishedShares, type Unfinished } from './unfinished.svelte';
import { Connection } from './connection.svelte';
import type { Given, Intake } from './intake';
import type { Item } from './item.svelte';
import { ServerLimits } from './limits.svelte';
import { match } from './matching';
import { Meter } from './meter.svelte';
import { Presence } from './presence';
import { Queue } from './queue';
import { deleteOnServer, Removals } from './removal';
import { SavedShares } from './saved-shares';
import { Share } from './share.svelte';
import { Store } from './store';
import { Transfer } from './transfer';
import { Watchdog } from './watchdog';

export class Uploads {
  /** The newest first. */
  shares = $state.raw<readonly Share[]>([]);
  readonly limits = new ServerLimits();
  /** Over all shares. */
  readonly meter = new Meter();
  readonly connection = new Connection(api.ready, () => this.#connectionChanged());
  readonly #queue: Queue;
  readonly #store = new Store();
  readonly #saved = new SavedShares(this.#store);
  readonly #presence = new Presence(() =>
    this.shares.flatMap((share) => (share.id ? [share.id] : [])),
  );
  readonly #unfinished = new UnfinishedShares(this.#store, this.#presence, () => this.shares);
  readonly #completion = new Completion(this.#saved, (share) => this.#isUnfinished(share));
  readonly #removals = new Removals((items) => void this.#remove(items));
  readonly #transfer = new Transfer({
    limits: this.limits,
    saved: this.#saved,
    meter: this.meter,
    begins: (item) => this.#completion.read(item),
    isFirst: () => this.#queue.running.size === 1,
    yields: () => this.#queue.yields,
  });
  readonly #watchdog: Watchdog;
  readonly #owners = new Map<Item, Share>();

  constructor(private readonly tabs: Tabs) {
    this.#queue = new Queue(this.connection, tabs, {
      run: (item, signal) => this.#transfer.run(item, this.#owners.get(item)!, signal),
      settled: (item) => this.#settled(item),
    });
    this.#watchdog = new Watchdog(this.#queue.running, api.ready);
  }

  /** Called once, when the page is up. */
  async start(): Promise<void> {
    this.tabs.allowedChanged = () => this.#queue.pump();
    this.#watchdog.start();
    addEventListener('pagehide', () => this.#removals.flush());
    void this.limits.load();
    await this.#unfinished.find();
  }

  // ── taking files in ────────────────────────────────────────────────────────────────────────────

  /**
   * Sends what was given: to the unfinished shares that know it, the rest to `target` or a new
   * share.
   */
  take(intake: Intake, target: Share | null = null): Share | null {
    const { known, rest } = match(
      intake.files,
      this.unfinished.map((one) => one.stored),
    );
    for (const [shareId, given] of known) this.#continue(shareId, given);
    if (rest.length === 0) return null;
    const share = target ?? this.#open();
    const items = share.add(rest);
    share.roots.push(...intake.roots);
    this.#admit(share, items);
    return share;
  }

  #open(): Share {
    const share = new Share(
      (item) => this.#heard(item, share),
      (shareId, events) => this.tabs.watch(shareId, events),
    );
    this.shares = [share, ...this.shares];
    return share;
  }

  #admit(share: Share, items: readonly Item[]): void {
    for (const item of items) {
      this.#owners.set(item, share);
      this.limits.admits(item);
    }
    // Right away and beside the queue: the link is wanted before the first byte is through.
    if (!share.id && items.some((item) => item.phase === 'queued')) {
      share.ready().then(
        () => this.#transfer.shareReady(share),
        () => this.connection.fail(),
      );
    } else {
      this.#saved.save(share);
    }
    this.#queue.add(items);
  }

  // ── unfinished shares of earlier visits ────────────────────────────────────────────────────────

  get unfinished(): readonly Unfinished[] {
    return this.#unfinished.unfinished;
  }

  #isUnfinished(share: Share): boolean {
    return this.unfinished.some((one) => one.stored.shareId === share.id);
  }

  /**
   * Goes on with one unfinished share. What does not belong to it is left out; tells how much that
   * is.
   */
  continueShare(one: Unfinished, intake: Intake): { known: number; others: number } {
    const { known, rest } = match(intake.files, [one.stored]);
    for (const [shareId, given] of known) this.#continue(shareId, given);
    return { known: intake.files.length - rest.length, others: rest.length };
  }

  async forget(one: Unfinished): Promise<void> {
    await this.#unfinished.forget(one);
  }

  #continue(shareId: string, given: Given[]): void {
    const found = this.unfinished.find((one) => one.stored.shareId === shareId);
    let share = this.shares.find((one) => one.id === shareId);
    if (found && !share) {
      share = this.#open();
      share.restore(found.stored);
    }
    if (share) void this.#resume(share, given);
  }

  async #resume(share: Share, given: Given[]): Promise<void> {
    const items = share.readd(given);
    for (const item of items) {
      this.#owners.set(item, share);
      // Not to be started before it is known what the server has of it.
      item.phase = 'paused';
    }
    const isWhole = await this.#unfinished.takeBack(share, items);
    if (isWhole) this.#unfinished.drop(share.id!);
    this.#queue.add(items);
    for (const item of items) {
      if (item.phase !== 'done') continue;
      this.#completion.read(item);
      this.#settled(item);
    }
  }

  // ── what is heard ──────────────────────────────────────────────────────────────────────────────

  #settled(item: Item): void {
    const share = this.#owners.get(item);
    if (share) this.#completion.settled(item, share);
  }

  #heard(item: Item, share: Share): void {
    this.#completion.heard(item);
    if (item.blake3) share.follow();
    if (item.phase === 'sending') this.#transfer.count(item, share);
  }

  #connectionChanged(): void {
    if (!this.connection.open) return;
    this.meter.reset();
    this.#queue.pump();
    for (const share of this.shares) {
      // A share that could not be made when it was opened is made by its first file; if it has none
      // waiting, now.
      if (!share.id && share.items.length > 0)
        share.ready().then(
          () => this.#transfer.shareReady(share),
          () => {},
        );
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
    void this.limits
      .load()
      .then(() => this.resume(items.filter((item) => this.limits.admits(item))));
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
    if (share.items.length === 0 && share.kept.files === 0)
      this.shares = this.shares.filter((one) => one !== share);
    // First of all, since the page may be closing.
    const deleted = Promise.all(gone.map((item) => deleteOnServer(item)));
    await this.#saved.forgetItems(share, gone);
    await deleted;
    share.follow();
    if (share.items.length > 0 && share.settled) void this.#completion.wrapUp(share);
  }

  /** Lets a finished share go from the page; its link goes on working. */
  dismiss(share: Share): void {
    share.unfollow();
    this.shares = this.shares.filter((one) => one !== share);
  }
}
