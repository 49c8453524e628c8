// What the leading tab hears from the server, for all tabs: one event stream for each share that is
// watched, as long as there are connections; a share beyond that is asked for now and then.
import { api, Refused, type ServerFile } from '$lib/api';
import { at } from '$lib/base';

export type News =
  | { kind: 'live'; on: boolean }
  /** Every file is told anew from here … */
  | { kind: 'reset' }
  | { kind: 'files'; files: ServerFile[] }
  | { kind: 'gone'; fileId: string }
  /** … to here. */
  | { kind: 'listed' };

/** Event streams at once over all tabs. */
export const STREAMS = 2;
const ASK_EVERY_MS = 3_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 20_000;

/** Something that tells news until it is closed. */
export interface Source {
  close(): void;
  /** Makes up for a timer that is late: those of a tab in the background run once a minute. */
  poke(): void;
}
export type OpenSource = (shareId: string, tell: (news: News) => void) => Source;

/** A timer that also goes off when it is poked after its time. */
class Due {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = Infinity;
  #act: () => void = () => undefined;

  in(ms: number, act: () => void): void {
    this.stop();
    this.#at = Date.now() + ms;
    this.#act = act;
    this.#timer = setTimeout(() => this.#go(), ms);
  }
  poke(): void {
    if (Date.now() >= this.#at) this.#go();
  }
  stop(): void {
    clearTimeout(this.#timer);
    this.#at = Infinity;
  }
  #go(): void {
    this.stop();
    this.#act();
  }
}

/**
 * Comes back by itself, also where EventSource gives up: that reconnects only after some errors,
 * and in its own time.
 */
export function openStream(shareId: string, tell: (news: News) => void): Source {
  const due = new Due();
  let delay = RETRY_MIN_MS;
  let stream: EventSource;
  const open = (): void => {
    stream = new EventSource(at(`/api/v1/shares/${shareId}/events`));
    stream.onopen = () => {
      delay = RETRY_MIN_MS;
      tell({ kind: 'reset' });
      tell({ kind: 'live', on: true });
    };
    stream.addEventListener('file', (event) =>
      tell({ kind: 'files', files: [JSON.parse(event.data) as ServerFile] }),
    );
    stream.addEventListener('gone', (event) =>
      tell({ kind: 'gone', fileId: (JSON.parse(event.data) as { file_id: string }).file_id }),
    );
    stream.addEventListener('reset', () => tell({ kind: 'reset' }));
    stream.addEventListener('listed', () => tell({ kind: 'listed' }));
    stream.onerror = () => {
      stream.close();
      tell({ kind: 'live', on: false });
      due.in(delay, open);
      delay = Math.min(delay * 2, RETRY_MAX_MS);
    };
  };
  open();
  return {
    poke: () => due.poke(),
    close: () => {
      due.stop();
      stream.close();
    },
  };
}

/** Asks for the list again and again. */
export function askInTurn(shareId: string, tell: (news: News) => void): Source {
  const due = new Due();
  let closed = false;
  const ask = async (): Promise<void> => {
    let files: ServerFile[] | null = null;
    try {
      files = (await api.share(shareId)).files;
    } catch (error) {
      if (error instanceof Refused && error.status === 404) files = [];
    }
    if (closed) return;
    tell({ kind: 'live', on: files !== null });
    if (files)
      for (const news of [{ kind: 'reset' }, { kind: 'files', files }, { kind: 'listed' }] as const)
        tell(news);
    due.in(ASK_EVERY_MS, () => void ask());
  };
  void ask();
  return {
    poke: () => due.poke(),
    close: () => {
      closed = true;
      due.stop();
    },
  };
}

interface Watched {
  source: Source;
  isStream: boolean;
  live: boolean;
  listed: boolean;
  files: Map<string, ServerFile>;
}

export class Streams {
  readonly #watched = new Map<string, Watched>();

  /** @param told called with all that is heard */
  constructor(
    private readonly told: (shareId: string, news: News) => void,
    private readonly stream: OpenSource = openStream,
    private readonly ask: OpenSource = askInTurn,
    private readonly most = STREAMS,
  ) {}

  /** Watches these shares and no others. */
  set(shares: ReadonlySet<string>): void {
    for (const [shareId, one] of this.#watched) {
      if (shares.has(shareId)) continue;
      one.source.close();
      this.#watched.delete(shareId);
    }
    for (const shareId of shares) if (!this.#watched.has(shareId)) this.#watch(shareId);
    for (const [shareId, one] of this.#watched) {
      if (one.isStream || !this.#mayStream()) continue;
      one.source.close();
      this.#watch(shareId);
    }
  }

  /** All that is known of a share, for a tab that comes later. */
  recall(shareId: string): News[] {
    const one = this.#watched.get(shareId);
    if (!one?.live) return [];
    const news: News[] = [
      { kind: 'reset' },
      { kind: 'live', on: true },
      { kind: 'files', files: [...one.files.values()] },
    ];
    if (one.listed) news.push({ kind: 'listed' });
    return news;
  }

  poke(): void {
    for (const { source } of this.#watched.values()) source.poke();
  }

  close(): void {
    this.set(new Set());
  }

  #mayStream(): boolean {
    return [...this.#watched.values()].filter((one) => one.isStream).length < this.most;
  }

  #watch(shareId: string): void {
    this.#watched.delete(shareId);
    const isStream = this.#mayStream();
    const one: Watched = {
      source: { close() {}, poke() {} },
      isStream,
      live: false,
      listed: false,
      files: new Map(),
    };
    this.#watched.set(shareId, one);
    one.source = (isStream ? this.stream : this.ask)(shareId, (news) => {
      if (this.#watched.get(shareId) !== one) return;
      note(one, news);
      this.told(shareId, news);
    });
  }
}

function note(one: Watched, news: News): void {
  switch (news.kind) {
    case 'live':
      one.live = news.on;
      return;
    case 'reset':
      one.files.clear();
      one.listed = false;
      return;
    case 'files':
      for (const file of news.files) one.files.set(file.file_id, file);
      return;
    case 'gone':
      one.files.delete(news.fileId);
      return;
    case 'listed':
      one.listed = true;
  }
}
