// A screen that stays awake, where the browser can: on a phone that locks, an upload ends.

export class WakeLock {
  #wanted = false;
  #lock: WakeLockSentinel | null = null;
  #isBusy = false;

  /** The browser takes the lock away with the page out of sight: to be called when it is back. */
  set(wanted: boolean): void {
    this.#wanted = wanted;
    if (!this.#isBusy) void this.#follow();
  }

  get #isHeld(): boolean {
    return this.#lock !== null && !this.#lock.released;
  }

  async #follow(): Promise<void> {
    if (!('wakeLock' in navigator)) return;
    this.#isBusy = true;
    try {
      // What is wanted may change while the browser is asked.
      while (this.#wanted !== this.#isHeld && !document.hidden) {
        if (this.#wanted) {
          this.#lock = await navigator.wakeLock.request('screen');
          continue;
        }
        const lock = this.#lock;
        this.#lock = null;
        await lock?.release();
      }
    } catch {
      // Low battery, or not allowed: the upload goes on all the same.
    }
    this.#isBusy = false;
  }
}
