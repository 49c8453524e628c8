// What follows when a file has come to an end: what the server holds is compared with what was
// given, and a share that is whole is kept for no later visit.
import { Checker } from './checker';
import type { Item } from './item.svelte';
import { deleteOnServer } from './removal';
import type { SavedShares } from './saved-shares';
import type { Share } from './share.svelte';

/** The last digests come by event within a moment. */
const DIGESTS_WITHIN_MS = 1_500;

export class Completion {
  readonly #checker = new Checker((item) => this.#checked(item));

  /** @param isUnfinished whether files of the share are still to be given again */
  constructor(
    private readonly saved: SavedShares,
    private readonly isUnfinished: (share: Share) => boolean,
  ) {}

  /** Reads the file for its check value, while its bytes are at hand. */
  read(item: Item): void {
    if (item.size > 0) this.#checker.read(item);
  }

  /** The server has told something new about a file. */
  heard(item: Item): void {
    this.#checker.compare(item);
  }

  /** A file is done, or has failed. */
  settled(item: Item, share: Share): void {
    if (!share.id) return;
    if (item.phase === 'done') {
      this.saved.saveDone(share, item);
      if (item.size === 0) item.check = 'verified';
      this.#checker.compare(item);
    }
    if (share.settled) void this.wrapUp(share);
  }

  /** All files of a share have come to their end. */
  async wrapUp(share: Share): Promise<void> {
    if (share.items.every((item) => item.phase === 'done') && !this.isUnfinished(share))
      await this.saved.forget(share);
    await new Promise((resolve) => setTimeout(resolve, DIGESTS_WITHIN_MS));
    // Where events don't get through, ask.
    if (share.items.some((item) => item.phase === 'done' && !item.blake3))
      await share.refresh().catch(() => {});
    share.follow();
  }

  /**
   * What arrived is not what the file holds now: it was changed on the way. The copy on the server
   * is of no use.
   */
  #checked(item: Item): void {
    if (item.check !== 'differs' || item.phase !== 'done') return;
    item.phase = 'failed';
    item.failure = { code: 'differs' };
    item.before = 'done';
    void deleteOnServer(item);
    item.restart();
  }
}
