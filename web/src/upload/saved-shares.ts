// Keeps the store in step with the shares of this page, for the case that the page does not live to
// see their end.
import type { Item } from './item.svelte';
import type { Share } from './share.svelte';
import type { Store } from './store';
import type { Created } from './tus';

export class SavedShares {
  /** A share is written when it is made, and again when files were added to it. */
  readonly #saved = new Set<string>();

  constructor(private readonly store: Store) {}

  save(share: Share): void {
    if (!share.id || !share.key || !share.link) return;
    const state = `${share.id} ${share.manifest.length}`;
    if (this.#saved.has(state)) return;
    this.#saved.add(state);
    const { id: shareId, key: shareKey, link, createdAt, manifest, roots } = share;
    void this.store.saveShare({
      shareId,
      shareKey,
      link,
      createdAt,
      manifest: [...manifest],
      roots: [...roots],
    });
  }

  /** The server has begun an upload. */
  saveUpload(share: Share, item: Item, upload: Created): void {
    void this.store.saveUpload({ shareId: share.id!, path: item.path, ...upload });
  }

  /** The server has all of it. */
  saveDone(share: Share, item: Item): void {
    const { path, uploadUrl, deleteUrl, fileId } = item;
    if (share.id && uploadUrl)
      void this.store.saveUpload({
        shareId: share.id,
        path,
        uploadUrl,
        deleteUrl,
        fileId,
        done: true,
      });
  }

  async forget(share: Share): Promise<void> {
    if (share.id) await this.store.forgetShare(share.id);
  }

  /** Files were taken out of the share, perhaps all of them. */
  async forgetItems(share: Share, gone: readonly Item[]): Promise<void> {
    const { id } = share;
    if (!id) return;
    await Promise.all(gone.map((item) => this.store.forgetUpload(id, item.path)));
    if (share.items.length === 0) await this.store.forgetShare(id);
    else this.save(share);
  }
}
