import type { Place, ServerFile } from '$lib/api';
import { clock } from '$lib/clock';
import type { Failure } from './failures';
import { Meter, STALLED_AFTER_MS } from './meter.svelte';

export type Phase =
  | 'queued'
  | 'sending'
  | 'paused'
  | 'failed'
  /** Taken out by its sender; DELETE follows when the time for undoing is over. */
  | 'cancelled'
  | 'done';

export type Check = 'none' | 'running' | 'verified' | 'differs';

/** Reason of an abort that counts as a lost network. */
export const STALLED = 'stalled';

let ids = 0;

/**
 * One file on its way. What is drawn of it is state of its own, so that a byte of one file draws
 * one row of 100,000; the rest are plain fields.
 */
export class Item {
  readonly id = ++ids;
  phase = $state.raw<Phase>('queued');
  uploadUrl: string | null = null;
  deleteUrl: string | null = null;
  fileId: string | null = null;
  /** Under which the server has it, where it has changed the name. */
  savedAs = $state.raw<string | null>(null);
  /** Handed to the network. */
  sent = $state.raw(0);
  /** Safe on the server. */
  confirmed = $state.raw(0);
  /**
   * The server's events have told of it. When they end, as in an outage, what was handed to the
   * network is worth nothing: the figure must not run ahead to it.
   */
  told = $state.raw(false);
  place = $state.raw<Place | null>(null);
  failure = $state.raw<Failure | null>(null);
  check = $state.raw<Check>('none');
  blake3: string | null = null;
  serverCrc: string | null = null;
  localCrc: string | null = null;
  /** Attempts in a row that moved nothing. */
  tries = 0;
  restarts = 0;
  /** Not to be tried before. */
  notBefore = 0;
  movedAt = $state.raw(0);
  abort: AbortController | null = null;
  /** What it was before it was cancelled, for undoing. */
  before = $state.raw<Phase>('queued');
  #shown = 0;
  #counted = 0;
  #meter: Meter | null = null;

  constructor(
    readonly file: File,
    /** Inside its share; unique there. */
    readonly path: string,
  ) {}

  get size(): number {
    return this.file.size;
  }

  get name(): string {
    return this.path.slice(this.path.lastIndexOf('/') + 1);
  }

  get ended(): boolean {
    return this.phase === 'done' || this.phase === 'failed';
  }

  get meter(): Meter {
    return (this.#meter ??= new Meter());
  }

  /**
   * Bytes to draw: what the server has, as far as it tells; never less than was drawn before.
   * @param hears whether the server tells what it has
   */
  shown(hears: boolean): number {
    if (this.phase === 'done') return this.size;
    const now = hears || this.told ? this.confirmed : Math.max(this.sent, this.confirmed);
    this.#shown = Math.min(this.size, Math.max(this.#shown, now));
    return this.#shown;
  }

  /**
   * Drawn bytes that no call before this one has counted. Speed is that of what is drawn, or it
   * would not fit it.
   */
  count(hears: boolean): number {
    const shown = this.shown(hears);
    const step = shown - this.#counted;
    this.#counted = shown;
    return step;
  }

  /** It is being sent, and nothing has moved for some seconds. */
  stands(now?: number): boolean {
    if (this.phase !== 'sending' || this.place !== null) return false;
    return (now ?? clock()) - this.movedAt > STALLED_AFTER_MS;
  }

  /** Ends the running attempt as if the network had: its connection is dead. */
  stalled(): void {
    this.abort?.abort(STALLED);
  }

  /** Forgets what was sent, after the server has lost it. */
  restart(): void {
    this.uploadUrl = this.deleteUrl = this.fileId = this.savedAs = null;
    this.sent = this.confirmed = this.#shown = this.#counted = 0;
    this.told = false;
    this.check = 'none';
    this.localCrc = this.serverCrc = this.blake3 = null;
    this.restarts++;
  }

  /** Takes over what the server tells about this file. */
  apply(file: ServerFile): void {
    this.fileId ??= file.file_id;
    this.savedAs = file.path === this.path ? null : file.name;
    this.place = file.state === 'receiving' ? file.waiting : null;
    if (file.received_bytes > this.confirmed) {
      this.confirmed = Math.min(this.size, file.received_bytes);
      this.movedAt = Date.now();
    }
    if (file.state === 'complete') {
      this.blake3 = file.blake3;
      this.serverCrc = file.crc64;
    }
  }
}
