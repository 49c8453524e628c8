// One thing after the other for a region that holds one: of two that come in the same moment the
// first would never be read.

export class Messages {
  #waiting: string[] = [];
  #timer: ReturnType<typeof setTimeout> | null = null;

  /**
   * @param show puts a message into the region
   * @param holdMs how long it stays there at least
   */
  constructor(
    private readonly show: (text: string) => void,
    private readonly holdMs: number,
  ) {}

  add(text: string): void {
    this.#waiting.push(text);
    if (this.#timer === null) this.#next();
  }

  #next(): void {
    this.#timer = null;
    const text = this.#waiting.shift();
    if (text === undefined) return;
    this.show(text);
    this.#timer = setTimeout(() => this.#next(), this.holdMs);
  }
}
