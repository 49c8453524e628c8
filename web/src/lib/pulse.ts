// A change signal for plain classes. The upload code holds ordinary fields and calls `touch()`; the
// pages listen once and draw again, at most ten times a second. Rejected: runes inside the classes
// (they would need a compiler in every unit test, and 5,000 files × a dozen signals), and an event
// per field (5,000 files send far more than can be seen).

export class Pulse {
  /** Grows with every announced change. */
  version = 0;
  #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #last = 0;

  constructor(private readonly everyMs = 100) {}

  /**
   * Says that something changed. Announced at once if the last one is `everyMs` ago, else when it
   * will be.
   */
  touch(): void {
    if (this.#timer !== null) return;
    const wait = this.#last + this.everyMs - Date.now();
    if (wait <= 0) this.flush();
    else this.#timer = setTimeout(() => this.flush(), wait);
  }

  /** Announces now: for answers to a key or a click, which should not lag. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#last = Date.now();
    this.version++;
    for (const listener of this.#listeners) listener();
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
