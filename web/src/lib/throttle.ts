// Does something that many events ask for, at once for the first and then so often at the most:
// what is heard five thousand times in a moment need not be drawn, nor told, five thousand times.

export class Throttle {
  #timer: ReturnType<typeof setTimeout> | null = null;
  #last = 0;

  constructor(
    private readonly act: () => void,
    private readonly everyMs = 100,
  ) {}

  /** Acts now if the last time is `everyMs` ago, else when it will be. */
  call(): void {
    if (this.#timer !== null) return;
    const wait = this.#last + this.everyMs - Date.now();
    if (wait <= 0) this.flush();
    else this.#timer = setTimeout(() => this.flush(), wait);
  }

  /** Acts now. */
  flush(): void {
    this.stop();
    this.#last = Date.now();
    this.act();
  }

  /** Nothing is to be done any more. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
