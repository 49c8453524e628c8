// Which file is sent next. Files start in the order they came, three at a time: fewer leaves a fast
// line idle between small files, more takes the connections that events and clicks need (six per
// host over HTTP/1.1). Other tabs of this server use the same six, so it may be fewer: see
// tabs/pool.ts.
import type { Connection } from './connection.svelte';
import { STALLED, type Item } from './item.svelte';
import { Unreachable } from '$lib/api';
import { judge, pauseMs } from './failures';

export const SLOTS = 3;

/** How many uploads this tab may run, beside those of other tabs. */
export interface Allowance {
  readonly allowed: number;
  want(wish: { wants: number; holds: number }): void;
}
/** There are no other tabs. */
export const ALONE: Allowance = { allowed: SLOTS, want: () => undefined };

export interface QueueHooks {
  /** Sends the file; resolves when the server has all of it. */
  run(item: Item, signal: AbortSignal): Promise<void>;
  /** The item has come to an end for now: done or failed. */
  settled(item: Item): void;
}

export class Queue {
  #waiting: Item[] = [];
  #running = new Set<Item>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly allowance: Allowance,
    private readonly hooks: QueueHooks,
  ) {}

  get running(): ReadonlySet<Item> {
    return this.#running;
  }

  /** More is running than may: a file gives its connection back between two requests. */
  get yields(): boolean {
    return this.#running.size > this.allowance.allowed;
  }

  #want(): void {
    const now = Date.now();
    const holds = this.#running.size;
    let wants = holds;
    for (const item of this.connection.open ? this.#waiting : []) {
      if (wants >= SLOTS) break;
      if (item.phase === 'queued' && item.notBefore <= now) wants++;
    }
    this.allowance.want({ wants: Math.min(SLOTS, wants), holds });
  }

  add(items: Iterable<Item>): void {
    for (const item of items) if (item.phase === 'queued') this.#waiting.push(item);
    this.pump();
  }

  pause(items: Iterable<Item>): void {
    for (const item of items) {
      if (item.phase !== 'queued' && item.phase !== 'sending') continue;
      item.phase = 'paused';
      this.#stop(item);
    }
    this.pump();
  }

  /** Puts paused or failed files back to work, at once. */
  resume(items: Iterable<Item>): void {
    const back: Item[] = [];
    for (const item of items) {
      if (item.phase !== 'paused' && item.phase !== 'failed') continue;
      item.phase = 'queued';
      item.failure = null;
      item.tries = item.restarts = item.notBefore = 0;
      back.push(item);
    }
    const waiting = new Set(this.#waiting);
    this.add(back.filter((item) => !waiting.has(item)));
  }

  /**
   * Stops files without a word to the server: what it has is kept until the upload expires or is
   * deleted.
   */
  withdraw(items: Iterable<Item>): void {
    for (const item of items) {
      item.before = item.phase === 'sending' ? 'queued' : item.phase;
      item.phase = 'cancelled';
      this.#stop(item);
    }
    this.pump();
  }

  reinstate(items: Iterable<Item>): void {
    const waiting = new Set(this.#waiting);
    const back: Item[] = [];
    for (const item of items) {
      if (item.phase !== 'cancelled') continue;
      item.phase = item.before;
      if (item.phase === 'queued' && !waiting.has(item)) back.push(item);
    }
    this.#waiting = [...back, ...this.#waiting];
    this.pump();
  }

  /** Starts what may start. Called after every change. */
  pump(): void {
    clearTimeout(this.#timer);
    this.#want();
    if (!this.connection.open) return;
    const now = Date.now();
    let soonest = Infinity;
    const rest: Item[] = [];
    let at = 0;
    while (at < this.#waiting.length && this.#running.size < this.allowance.allowed) {
      const item = this.#waiting[at++]!;
      // Paused or cancelled meanwhile; or still ending its last attempt (then it stays for the next
      // turn).
      if (item.phase !== 'queued') continue;
      if (this.#running.has(item) || item.notBefore > now) {
        if (item.notBefore > now) soonest = Math.min(soonest, item.notBefore);
        rest.push(item);
        continue;
      }
      this.#running.add(item);
      void this.#attempt(item);
    }
    // Of those for which there is no place only the time is looked at: there may be 100,000.
    for (let n = at; n < this.#waiting.length; n++) {
      const { notBefore } = this.#waiting[n]!;
      if (notBefore > now) soonest = Math.min(soonest, notBefore);
    }
    this.#waiting =
      rest.length === 0 && at === 0 ? this.#waiting : [...rest, ...this.#waiting.slice(at)];
    this.#want();
    if (soonest !== Infinity) this.#timer = setTimeout(() => this.pump(), soonest - now + 1);
  }

  #stop(item: Item): void {
    item.place = null;
    item.abort?.abort();
  }

  async #attempt(item: Item): Promise<void> {
    const abort = new AbortController();
    const before = item.confirmed;
    item.abort = abort;
    item.phase = 'sending';
    item.movedAt = Date.now();
    item.meter.reset();
    try {
      await this.hooks.run(item, abort.signal);
      if (!abort.signal.aborted) item.phase = 'done';
    } catch (error) {
      if (item.confirmed > before) item.tries = 0;
      this.#failed(item, abort.signal.reason === STALLED ? new Unreachable(STALLED) : error);
    }
    item.abort = null;
    item.place = null;
    this.#running.delete(item);
    if (item.ended) this.hooks.settled(item);
    this.pump();
  }

  #failed(item: Item, error: unknown): void {
    // Paused or cancelled while the request ended: its phase is set already.
    if (item.phase !== 'sending') return;
    const verdict = judge(error, item.tries, item.restarts);
    if (verdict.then === 'fail') {
      item.phase = 'failed';
      item.failure = verdict.failure;
      return;
    }
    item.phase = 'queued';
    item.notBefore = 0;
    if (verdict.then === 'yield') {
      this.#waiting.unshift(item);
      return;
    }
    if (verdict.then === 'outage') this.connection.fail();
    if (verdict.then === 'hold') this.connection.hold(verdict.ms);
    if (verdict.then === 'restart') item.restart();
    if (verdict.then !== 'hold')
      item.notBefore = Date.now() + (item.tries === 0 ? 0 : pauseMs(item.tries));
    if (verdict.then !== 'hold') item.tries++;
    this.#waiting.unshift(item);
  }
}
