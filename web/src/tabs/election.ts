// One tab of an origin leads. Tabs talk over a channel that every tab hears. The lowest id wins,
// and a tab that takes part late follows who leads already. Rejected: Web Locks. They exist only on
// https and localhost, while the limit of six connections is met on plain http, and a browser that
// suspends a tab leaves its lock with it. Two leaders for a moment cost one connection more, so
// agreement in the end is enough.

export type ElectionMessage = { type: 'claim' | 'lead' | 'ask' | 'bye'; from: string };
export type Role = 'seeking' | 'following' | 'leading';

/** How long a claim stands before it counts as unopposed. */
export const CLAIM_MS = 80;
/** How often a follower makes sure that its leader is there. */
export const ASK_EVERY_MS = 5_000;
/**
 * A leader that has not answered by then is gone. Messages reach tabs in the background, too;
 * timers there are slow.
 */
export const ANSWER_WITHIN_MS = 2_000;

export class Election {
  role: Role = 'seeking';
  leader: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param post tells all other tabs; null where there is no way to, and none is waited for
   * @param changed called after each change of role or leader
   */
  constructor(
    readonly id: string,
    private readonly post: ((message: ElectionMessage) => void) | null,
    private readonly changed: () => void,
  ) {}

  /** Takes part. */
  start(): void {
    this.#seek();
  }

  /** The tab closes or goes to sleep: another one leads from now on. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#say('bye');
    this.#become('seeking', null);
  }

  hear({ type, from }: ElectionMessage): void {
    switch (type) {
      case 'claim':
        if (this.role === 'leading') this.#say('lead');
        else if (this.role === 'seeking') this.#meet(from);
        return;
      case 'ask':
        if (this.role === 'leading') this.#say('lead');
        return;
      case 'bye':
        if (from === this.leader) this.#seek();
        return;
      case 'lead':
        // A tab that slept may still believe that it leads.
        if (this.role === 'leading' && this.id < from) this.#say('lead');
        else this.#follow(from);
    }
  }

  #seek(): void {
    if (!this.post) return this.#lead();
    this.#become('seeking', null);
    this.#say('claim');
    this.#after(CLAIM_MS, () => this.#lead());
  }

  /** Another tab claims in the same moment. */
  #meet(other: string): void {
    if (this.id < other) this.#say('claim');
    else this.#after(2 * CLAIM_MS, () => this.#seek());
  }

  #lead(): void {
    this.#become('leading', this.id);
    this.#say('lead');
  }

  #follow(leader: string): void {
    this.#after(ASK_EVERY_MS, () => {
      this.#say('ask');
      this.#after(ANSWER_WITHIN_MS, () => this.#seek());
    });
    this.#become('following', leader);
  }

  #become(role: Role, leader: string | null): void {
    if (role === this.role && leader === this.leader) return;
    this.role = role;
    this.leader = leader;
    this.changed();
  }

  #say(type: ElectionMessage['type']): void {
    this.post?.({ type, from: this.id });
  }

  #after(ms: number, act: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, ms);
  }
}
