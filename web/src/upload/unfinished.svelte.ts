// Shares of earlier visits that are not complete, as this browser remembers them and the server
// confirms them.
import { api, Refused, type ServerFile } from '$lib/api';
import type { Item } from './item.svelte';
import type { Presence } from './presence';
import type { Share } from './share.svelte';
import type { Store, StoredShare, StoredUpload } from './store';
import { terminate } from './tus';

/** A share of an earlier visit that is not complete. */
export interface Unfinished {
  stored: StoredShare;
  missingFiles: number;
  files: number;
  bytes: number;
  keptBytes: number;
}

export class UnfinishedShares {
  unfinished = $state.raw<readonly Unfinished[]>([]);

  constructor(
    private readonly store: Store,
    private readonly presence: Presence,
    private readonly mine: () => readonly Share[],
  ) {}

  /** Looks for them; those that another tab holds are left to it. */
  async find(): Promise<void> {
    const stored = await this.store.shares();
    const elsewhere = await this.presence.others();
    const mine = new Set(this.mine().map((share) => share.id));
    const found: Unfinished[] = [];
    for (const one of stored) {
      if (elsewhere.has(one.shareId) || mine.has(one.shareId)) continue;
      const summary = await this.#weigh(one);
      if (summary) found.push(summary);
    }
    this.unfinished = found.sort((a, b) => b.stored.createdAt - a.stored.createdAt);
  }

  async #weigh(stored: StoredShare): Promise<Unfinished | null> {
    const bytes = stored.manifest.reduce((sum, [, size]) => sum + size, 0);
    const summary = {
      stored,
      files: stored.manifest.length,
      missingFiles: stored.manifest.length,
      bytes,
      keptBytes: 0,
    };
    try {
      const { files } = await api.share(stored.shareId);
      const known = byPath(files, await this.store.uploads(stored.shareId));
      for (const [path] of stored.manifest) {
        const file = known.get(path);
        if (!file) continue;
        summary.keptBytes += file.received_bytes;
        if (file.state === 'complete') summary.missingFiles--;
      }
    } catch (error) {
      if (error instanceof Refused && (error.status === 404 || error.status === 410)) {
        await this.store.forgetShare(stored.shareId);
        return null;
      }
      // No answer now: it may still be there.
    }
    if (summary.missingFiles === 0) {
      await this.store.forgetShare(stored.shareId);
      return null;
    }
    return summary;
  }

  /**
   * Tells files that were given again what the server has of them, and their share what it has
   * besides. True if nothing of the share is missing any more.
   */
  async takeBack(share: Share, items: readonly Item[]): Promise<boolean> {
    const uploads = new Map((await this.store.uploads(share.id!)).map((one) => [one.path, one]));
    const files = await api
      .share(share.id!)
      .then((found) => byPath(found.files, uploads.values()))
      .catch(() => new Map<string, ServerFile>());
    for (const item of items) {
      const upload = uploads.get(item.path);
      const file = files.get(item.path);
      item.uploadUrl = upload?.uploadUrl ?? null;
      item.deleteUrl = upload?.deleteUrl ?? null;
      item.fileId = upload?.fileId ?? file?.file_id ?? null;
      item.phase = file?.state === 'complete' && file.size_bytes === item.size ? 'done' : 'queued';
      if (file) item.apply(file);
    }
    const here = new Set(share.items.map((item) => item.path));
    const others = share.manifest.filter(([path]) => !here.has(path));
    const kept = others.filter(([path]) => files.get(path)?.state === 'complete');
    share.kept = { files: kept.length, bytes: kept.reduce((sum, [, size]) => sum + size, 0) };
    return kept.length === others.length;
  }

  /** Every file of it is here or done. */
  drop(shareId: string): void {
    this.unfinished = this.unfinished.filter((one) => one.stored.shareId !== shareId);
  }

  /** Discards it, on the server too. */
  async forget(one: Unfinished): Promise<void> {
    this.drop(one.stored.shareId);
    const uploads = await this.store.uploads(one.stored.shareId);
    await this.store.forgetShare(one.stored.shareId);
    for (const upload of uploads)
      if (!upload.done) await terminate(upload.uploadUrl).catch(() => {});
  }
}

/**
 * The server's files by the paths that this browser gave them, which the server may have changed.
 */
export function byPath(
  files: readonly ServerFile[],
  uploads: Iterable<StoredUpload>,
): Map<string, ServerFile> {
  const found = new Map(files.map((file) => [file.path, file]));
  const byId = new Map(files.map((file) => [file.file_id, file]));
  for (const { path, fileId } of uploads) {
    const file = fileId === null ? undefined : byId.get(fileId);
    if (file) found.set(path, file);
  }
  return found;
}
