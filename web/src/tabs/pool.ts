// How many uploads each tab may run at once, as the leading tab hands them out.

/**
 * Uploads at once over all tabs. Browsers open six connections to a host over HTTP/1.1: with two
 * event streams one is left for the next page and for clicks.
 */
export const TRANSFERS = 3;

export interface Wish {
  /** Uploads that run, and those that would if they might. */
  wants: number;
  /** Uploads that run. */
  holds: number;
}

/** The leader's book of wishes and grants. */
export class Pool {
  readonly #wishes = new Map<string, Wish>();
  readonly #granted = new Map<string, number>();

  constructor(private readonly total = TRANSFERS) {}

  /** Grants that are new, by tab. */
  set(tab: string, wish: Wish): Map<string, number> {
    // Its place in the queue is kept for as long as it wants something.
    if (wish.wants === 0) this.#wishes.delete(tab);
    if (wish.wants > 0 || wish.holds > 0) this.#wishes.set(tab, wish);
    return this.#arrange();
  }

  leave(tab: string): Map<string, number> {
    this.#wishes.delete(tab);
    this.#granted.delete(tab);
    return this.#arrange();
  }

  /** Where more tabs want than may, the first one steps behind the others. */
  rotate(): Map<string, number> {
    const first = this.#wishes.entries().next().value;
    if (!first || this.#wishes.size <= this.total) return new Map();
    this.#wishes.delete(first[0]);
    this.#wishes.set(...first);
    return this.#arrange();
  }

  #arrange(): Map<string, number> {
    const before = new Map(this.#granted);
    const fair = this.#fair();
    for (const [tab, granted] of before)
      this.#granted.set(tab, Math.min(granted, fair.get(tab) ?? 0));
    // A tab that has to give one back does so when its request ends; only then another one gets it.
    let free = this.total;
    for (const tab of new Set([...this.#wishes.keys(), ...this.#granted.keys()]))
      free -= this.#uses(tab);
    for (const [tab, share] of fair) {
      const more = Math.min(
        share - (this.#granted.get(tab) ?? 0),
        Math.max(0, free + this.#spare(tab)),
      );
      if (more <= 0) continue;
      free -= Math.max(0, more - this.#spare(tab));
      this.#granted.set(tab, (this.#granted.get(tab) ?? 0) + more);
    }
    const told = new Map(
      [...this.#granted].filter(([tab, granted]) => granted !== (before.get(tab) ?? 0)),
    );
    for (const [tab, granted] of this.#granted) if (granted === 0) this.#granted.delete(tab);
    return told;
  }

  #uses(tab: string): number {
    return Math.max(this.#wishes.get(tab)?.holds ?? 0, this.#granted.get(tab) ?? 0);
  }

  /** Runs without a grant: those are counted as used already. */
  #spare(tab: string): number {
    return this.#uses(tab) - (this.#granted.get(tab) ?? 0);
  }

  /** One for each in turn, until all are given or no tab wants more. */
  #fair(): Map<string, number> {
    const fair = new Map<string, number>([...this.#wishes.keys()].map((tab) => [tab, 0]));
    let left = this.total;
    for (let round = 1; round <= this.total; round++) {
      for (const [tab, { wants }] of this.#wishes) {
        if (left === 0 || wants < round) continue;
        fair.set(tab, round);
        left--;
      }
    }
    return fair;
  }
}
