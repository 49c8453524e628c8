// All tabs of an origin share its six connections (HTTP/1.1). One leads: it hears the server for
// all, and says how many uploads each may run. The others tell it all that they want, each time in
// full, so that no message matters for itself and a new leader knows everything within a moment.
import { Election, type ElectionMessage } from './election';
import { Pool, type Wish } from './pool';
import { Streams, type News } from './streams';
import type { ServerFile } from '$lib/api';

export interface ShareEvents {
  file(file: ServerFile): void;
  gone(fileId: string): void;
  /** Every file is told anew from here on … */
  reset?(): void;
  /** … to here: what was not told among them is gone. */
  listed?(): void;
  /** Events flow (true) or not (false). */
  live?(on: boolean): void;
}

/** What a tab wants of its leader. */
interface State extends Wish {
  type: 'state';
  from: string;
  watches: string[];
  /** Shares of which it has heard nothing yet. */
  fresh: string[];
}
export type Message =
  | ElectionMessage
  | State
  | { type: 'grant'; from: string; to: string; uploads: number }
  | { type: 'news'; from: string; to?: string; shareId: string; news: News };

/** Reaches all other tabs. */
export interface Channel {
  post(message: Message): void;
  listen(hear: (message: Message) => void): void;
}

/** A new leader hears what the others hold before it gives anything away. */
const SETTLE_MS = 50;
/**
 * It listens to the server once it has led for so long: a leader before it that was too busy to
 * object to the claim has objected by then, and no second stream is opened for a moment.
 */
export const LISTEN_AFTER_MS = 300;
const LOOK_EVERY_MS = 10_000;
/** A tab in the background may speak but once a minute. */
const SILENT_MAX_MS = 150_000;

export class Tabs {
  /** Uploads that this tab may run now. */
  allowed = 0;
  /** Called when that has changed. */
  allowedChanged: () => void = () => undefined;
  readonly #election: Election;
  readonly #listeners = new Map<string, Set<ShareEvents>>();
  readonly #streams: Streams;
  #pool = new Pool();
  #wish: Wish = { wants: 0, holds: 0 };
  /** Of the leader: what each tab wants, and when it last said so. */
  readonly #states = new Map<string, State & { heardAt: number }>();
  #settling: ReturnType<typeof setTimeout> | null = null;
  #listening: ReturnType<typeof setTimeout> | null = null;
  #wasLeading = false;

  /** @param channel null where the browser has none: then this tab is alone */
  constructor(
    readonly id: string,
    private readonly channel: Channel | null,
    streams: (told: (shareId: string, news: News) => void) => Streams = (told) => new Streams(told),
  ) {
    this.#streams = streams((shareId, news) => {
      this.#deliver(shareId, news);
      if (this.#states.size > 1) this.#post({ type: 'news', from: id, shareId, news });
    });
    this.#election = new Election(id, channel && ((message) => channel.post(message)), () =>
      this.#roleChanged(),
    );
    channel?.listen((message) => this.#hear(message));
  }

  start(): void {
    this.#election.start();
    setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** The tab closes, or is put away and may come back. */
  leave(): void {
    this.#election.stop();
  }
  comeBack(): void {
    this.#election.start();
  }

  get leads(): boolean {
    return this.#election.role === 'leading';
  }

  /** Follows a share until the returned function is called. */
  watch(shareId: string, events: ShareEvents): () => void {
    const all = this.#listeners.get(shareId) ?? new Set();
    this.#listeners.set(shareId, all.add(events));
    this.#tell([shareId]);
    return () => {
      if (!all.delete(events)) return;
      if (all.size === 0) this.#listeners.delete(shareId);
      this.#tell();
    };
  }

  /** Says how many uploads this tab would run, and how many it does. */
  want(wish: Wish): void {
    if (wish.wants === this.#wish.wants && wish.holds === this.#wish.holds) return;
    this.#wish = wish;
    this.#tell();
  }

  #tell(fresh: string[] = []): void {
    const state: State = {
      type: 'state',
      from: this.id,
      ...this.#wish,
      watches: [...this.#listeners.keys()],
      fresh,
    };
    if (this.leads) this.#take(state);
    else if (this.#election.leader !== null) this.#post(state);
  }

  #hear(message: Message): void {
    switch (message.type) {
      case 'state':
        if (this.leads) this.#take(message);
        return;
      case 'grant':
        if (message.to === this.id && message.from === this.#election.leader)
          this.#allow(message.uploads);
        return;
      case 'news':
        if (message.from === this.#election.leader && (message.to ?? this.id) === this.id)
          this.#deliver(message.shareId, message.news);
        return;
      case 'bye':
        if (this.leads && this.#states.delete(message.from))
          this.#arranged(this.#pool.leave(message.from));
        break;
      case 'lead':
        // With each answer of its leader a tab says that it is there itself.
        if (message.from === this.#election.leader) this.#tell();
    }
    this.#election.hear(message);
    if (this.leads) this.#streams.poke();
  }

  #roleChanged(): void {
    const { role } = this.#election;
    const stepsDown = this.#wasLeading && role !== 'leading';
    this.#wasLeading = role === 'leading';
    for (const timer of [this.#settling, this.#listening]) if (timer !== null) clearTimeout(timer);
    this.#settling = this.#listening = null;
    if (role === 'seeking' || stepsDown)
      for (const shareId of this.#listeners.keys())
        this.#deliver(shareId, { kind: 'live', on: false });
    if (stepsDown) {
      this.#streams.close();
      this.#states.clear();
    }
    if (role === 'leading') {
      this.#pool = new Pool();
      if (this.channel) {
        this.#settling = setTimeout(() => this.#settled(), SETTLE_MS);
        this.#listening = setTimeout(() => this.#listens(), LISTEN_AFTER_MS);
      }
    }
    if (role !== 'seeking') this.#tell([...this.#listeners.keys()]);
  }

  // ── what the leader does ───────────────────────────────────────────────────────────────────────

  #take(state: State): void {
    this.#states.set(state.from, { ...state, heardAt: Date.now() });
    const recalled = state.fresh.map(
      (shareId) => [shareId, this.#streams.recall(shareId)] as const,
    );
    this.#arranged();
    for (const [shareId, all] of recalled) {
      for (const news of all) {
        if (state.from === this.id) this.#deliver(shareId, news);
        else this.#post({ type: 'news', from: this.id, to: state.from, shareId, news });
      }
    }
    if (this.#settling === null) this.#grant(this.#pool.set(state.from, state));
  }

  #settled(): void {
    this.#settling = null;
    // The running ones first: what they hold is not to be given away.
    const states = [...this.#states.values()].sort((a, b) => b.holds - a.holds);
    for (const { from, holds } of states)
      this.#grant(this.#pool.set(from, { wants: holds, holds }));
    for (const state of states) this.#grant(this.#pool.set(state.from, state));
  }

  #listens(): void {
    this.#listening = null;
    this.#arranged();
  }

  #arranged(grants: Map<string, number> = new Map()): void {
    if (this.#listening === null)
      this.#streams.set(new Set([...this.#states.values()].flatMap((state) => state.watches)));
    this.#grant(grants);
  }

  #grant(grants: Map<string, number>): void {
    for (const [to, uploads] of grants) {
      if (to === this.id) this.#allow(uploads);
      else this.#post({ type: 'grant', from: this.id, to, uploads });
    }
  }

  #look(): void {
    if (!this.leads) return;
    const old = Date.now() - SILENT_MAX_MS;
    for (const [tab, state] of this.#states) {
      if (tab === this.id || state.heardAt > old) continue;
      this.#states.delete(tab);
      this.#arranged(this.#pool.leave(tab));
    }
    this.#grant(this.#pool.rotate());
  }

  // ── what every tab does ────────────────────────────────────────────────────────────────────────

  #allow(uploads: number): void {
    if (uploads === this.allowed) return;
    this.allowed = uploads;
    this.allowedChanged();
  }

  #deliver(shareId: string, news: News): void {
    for (const events of [...(this.#listeners.get(shareId) ?? [])]) {
      if (news.kind === 'live') events.live?.(news.on);
      else if (news.kind === 'reset') events.reset?.();
      else if (news.kind === 'listed') events.listed?.();
      else if (news.kind === 'gone') events.gone(news.fileId);
      else for (const file of news.files) events.file(file);
    }
  }

  #post(message: Message): void {
    this.channel?.post(message);
  }
}

function broadcast(): Channel | null {
  if (typeof BroadcastChannel === 'undefined') return null;
  const channel = new BroadcastChannel('ddx-tabs');
  return {
    post: (message) => channel.postMessage(message),
    listen: (hear) =>
      channel.addEventListener('message', (event: MessageEvent<Message>) => hear(event.data)),
  };
}

function randomId(): string {
  // randomUUID is missing on plain http.
  return [...crypto.getRandomValues(new Uint8Array(8))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
}

/** This tab among all tabs of its browser. Takes part until the page closes. */
export function joinTabs(): Tabs {
  const tabs = new Tabs(randomId(), broadcast());
  tabs.start();
  addEventListener('pagehide', () => tabs.leave());
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) tabs.comeBack();
  });
  return tabs;
}
