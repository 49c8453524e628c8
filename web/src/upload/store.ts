// What this browser remembers of unfinished shares, so that a closed tab, a crash or a new boot
// costs nothing but one click. IndexedDB, because it takes file handles, which localStorage can't
// hold. Nothing here is needed while the page lives: where storage is blocked, all works but the
// return.

/** Path, size and time of last change: by these a file is known again. */
export type ManifestEntry = [path: string, sizeBytes: number, modifiedAt: number];

export interface StoredShare {
  shareId: string;
  /** Lets files be added to the share. */
  shareKey: string;
  link: string;
  createdAt: number;
  manifest: ManifestEntry[];
  roots: FileSystemHandle[];
}

export interface StoredUpload {
  shareId: string;
  path: string;
  uploadUrl: string;
  deleteUrl: string | null;
  fileId: string | null;
  /**
   * Complete. Kept as long as the share is not: by its id a file is known whose name the server has
   * changed.
   */
  done?: boolean;
}

export class Store {
  #db: Promise<IDBDatabase | null>;

  constructor(name = 'ddx') {
    this.#db = open(name);
  }

  async shares(): Promise<StoredShare[]> {
    return (
      (await this.#run(
        'shares',
        'readonly',
        (store) => store.getAll() as IDBRequest<StoredShare[]>,
      )) ?? []
    );
  }

  async uploads(shareId: string): Promise<StoredUpload[]> {
    const range = keysOf(shareId);
    return (
      (await this.#run(
        'uploads',
        'readonly',
        (s) => s.getAll(range) as IDBRequest<StoredUpload[]>,
      )) ?? []
    );
  }

  async saveShare(share: StoredShare): Promise<void> {
    const saved = await this.#run('shares', 'readwrite', (store) => store.put(share));
    // Some handles can't be cloned (for one, those of a private file system): then without them.
    if (saved === null && share.roots.length > 0) await this.saveShare({ ...share, roots: [] });
  }

  async saveUpload(upload: StoredUpload): Promise<void> {
    await this.#run('uploads', 'readwrite', (store) => store.put(upload));
  }

  async forgetUpload(shareId: string, path: string): Promise<void> {
    await this.#run('uploads', 'readwrite', (store) => store.delete([shareId, path]));
  }

  async forgetShare(shareId: string): Promise<void> {
    await this.#run('shares', 'readwrite', (store) => store.delete(shareId));
    await this.#run('uploads', 'readwrite', (store) => store.delete(keysOf(shareId)));
  }

  async #run<T>(
    name: 'shares' | 'uploads',
    mode: IDBTransactionMode,
    act: (store: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T | null> {
    const db = await this.#db;
    if (!db) return null;
    return new Promise((resolve) => {
      try {
        const transaction = db.transaction(name, mode);
        const request = act(transaction.objectStore(name));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onerror = transaction.onabort = () => resolve(null);
      } catch {
        resolve(null);
      }
    });
  }
}

function keysOf(shareId: string): IDBKeyRange {
  return IDBKeyRange.bound([shareId], [shareId, []]);
}

function open(name: string): Promise<IDBDatabase | null> {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore('shares', { keyPath: 'shareId' });
        request.result.createObjectStore('uploads', { keyPath: ['shareId', 'path'] });
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = request.onblocked = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
}
