// Whether there is any point in sending. One state for all uploads: when the server can't be
// reached, a single probe asks for it, instead of every file trying by itself, and the page has one
// thing to say. It never gives up.

const PROBE_FIRST_MS = 400;
const PROBE_MAX_MS = 30_000;

export type ConnectionState = 'open' | 'down' | 'busy';

export class Connection {
  state = $state.raw<ConnectionState>('open');
  /** When it closed. */
  since = $state.raw(0);
  /** When the next try is due. */
  nextAt = $state.raw(0);
  /** A try is under way. */
  probing = $state.raw(false);
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param ready asks the server whether it takes requests
   * @param changed called after each change of state
   */
  constructor(
    private readonly ready: () => Promise<boolean>,
    private readonly changed: () => void,
  ) {}

  get open(): boolean {
    return this.state === 'open';
  }

  /** The server could not be reached. */
  fail(): void {
    if (this.state === 'down') return;
    this.#close('down');
    this.#tries = 0;
    this.#schedule(PROBE_FIRST_MS);
  }

  /** The server is there and has asked to come back later. */
  hold(ms: number): void {
    if (this.state === 'down') return;
    if (this.state === 'open') this.#close('busy');
    this.#schedule(Math.min(Math.max(ms, 1_000), 120_000));
  }

  /** Tries at once: the button, `online`, the page in view again. */
  tryNow(): void {
    if (this.state === 'open' || this.probing) return;
    clearTimeout(this.#timer);
    void this.#probe();
  }

  #close(state: ConnectionState): void {
    this.state = state;
    this.since = Date.now();
    this.changed();
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.nextAt = Date.now() + ms;
    this.#timer = setTimeout(() => void this.#probe(), ms);
  }

  async #probe(): Promise<void> {
    this.probing = true;
    this.changed();
    const up = await this.ready();
    this.probing = false;
    if (up) {
      this.state = 'open';
    } else {
      this.state = 'down';
      this.#tries++;
      // 0.8 s, 1.6 s … 30 s, a fifth of it by chance, so that many pages don't come back in one
      // instant.
      const delay = Math.min(PROBE_MAX_MS, PROBE_FIRST_MS * 2 ** this.#tries);
      this.#schedule(delay * (0.9 + Math.random() * 0.2));
    }
    this.changed();
  }
}
