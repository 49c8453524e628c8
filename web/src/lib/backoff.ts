// Does something again until it succeeds, more and more rarely.
const MIN_MS = 1_000;
const MAX_MS = 30_000;

export class Backoff {
  #delay = MIN_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly act: () => void) {}

  /** It has failed: once more after a pause. */
  failed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.act, this.#delay);
    this.#delay = Math.min(this.#delay * 2, MAX_MS);
  }

  /** It has succeeded, or is not wanted any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#delay = MIN_MS;
  }

  /** A person does not wait for the pause to end. */
  now(): void {
    clearTimeout(this.#timer);
    this.act();
  }
}
