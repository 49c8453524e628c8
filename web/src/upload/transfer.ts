// Brings one file to the server, by one attempt: its share is made first if there is none yet, and
// every byte that moves is counted.
import { Refused } from '$lib/api';
import { at } from '$lib/base';
import { SHARE_GONE } from './failures';
import type { Item } from './item.svelte';
import type { ServerLimits } from './limits.svelte';
import type { Meter } from './meter.svelte';
import type { SavedShares } from './saved-shares';
import type { Share } from './share.svelte';
import { send } from './tus';

interface Parts {
  limits: ServerLimits;
  saved: SavedShares;
  /** Over all shares. */
  meter: Meter;
  /** The file is being read from now on. */
  begins(item: Item): void;
  /** This file is the only one that is being sent. */
  isFirst(): boolean;
  /** Its connection is wanted elsewhere. */
  yields(): boolean;
}

export class Transfer {
  constructor(private readonly parts: Parts) {}

  async run(item: Item, share: Share, signal: AbortSignal): Promise<void> {
    await share.ready();
    this.shareReady(share);
    const shareId = share.id;
    try {
      await this.#send(item, share, signal);
    } catch (error) {
      if (error instanceof Refused && error.slug === SHARE_GONE && share.id === shareId)
        this.#lost(share);
      throw error;
    }
    item.confirmed = item.sent = item.size;
  }

  shareReady(share: Share): void {
    this.parts.saved.save(share);
    share.follow();
  }

  /** Counts what has moved since the last call. */
  count(item: Item, share: Share): void {
    const step = item.count(share.hears);
    item.meter.add(step);
    this.parts.meter.add(step);
  }

  /**
   * The share is not there any more, nor is anything in it: what was done is told, what is not done
   * goes on in a new one.
   */
  #lost(share: Share): void {
    void this.parts.saved.forget(share);
    for (const item of share.items) {
      if (item.phase !== 'done') continue;
      item.phase = 'failed';
      item.failure = { code: 'gone' };
      item.restart();
    }
    share.renew();
  }

  async #send(item: Item, share: Share, signal: AbortSignal): Promise<void> {
    const { limits, saved, meter } = this.parts;
    this.parts.begins(item);
    // The first upload after a time without any is measured by itself.
    if (this.parts.isFirst()) meter.reset();
    // What an earlier attempt brought has not moved now.
    let resumes = item.uploadUrl !== null;
    item.count(share.hears);
    await send({
      endpoint: at('/files'),
      file: item.file,
      metadata: {
        filename: item.name,
        relativePath: item.path,
        ...(item.file.type ? { filetype: item.file.type } : {}),
        share: share.key!,
      },
      uploadUrl: item.uploadUrl,
      chunkBytes: limits.chunkBytes,
      signal,
      yields: () => this.parts.yields(),
      created: (upload) => {
        Object.assign(item, upload);
        saved.saveUpload(share, item, upload);
        share.follow();
      },
      sent: (offset) => {
        item.sent = offset;
        item.movedAt = Date.now();
        this.count(item, share);
      },
      confirmed: (offset) => {
        item.sent = Math.max(offset, Math.min(item.sent, item.size));
        item.confirmed = Math.max(item.confirmed, offset);
        item.movedAt = Date.now();
        if (resumes) item.count(share.hears);
        resumes = false;
        this.count(item, share);
      },
    });
  }
}
