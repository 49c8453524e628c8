import 'fake-indexeddb/auto';
import { describe, expect, test, vi } from 'vitest';
import { Store, type StoredShare, type StoredUpload } from './store';

let made = 0;
const fresh = (): Store => new Store(`test-${++made}`);
const share = (shareId: string, more: Partial<StoredShare> = {}): StoredShare => ({
  shareId,
  shareKey: 'key',
  link: `http://x/d/${shareId}`,
  createdAt: 1,
  manifest: [['a.txt', 3, 1000]],
  roots: [],
  ...more,
});
const upload = (shareId: string, path: string): StoredUpload => ({
  shareId,
  path,
  uploadUrl: `/files/${path}`,
  deleteUrl: null,
  fileId: null,
});

describe('what a browser remembers', () => {
  test('is there for the next visit', async () => {
    const name = `test-${++made}`;
    const first = new Store(name);
    await first.saveShare(share('s'));
    await first.saveUpload(upload('s', 'a.txt'));
    const next = new Store(name);
    expect(await next.shares()).toEqual([share('s')]);
    expect(await next.uploads('s')).toEqual([upload('s', 'a.txt')]);
  });

  test('is kept apart by share', async () => {
    const store = fresh();
    for (const one of [upload('s', 'a'), upload('s', 'b/c'), upload('sa', 'a'), upload('r', 'z')])
      await store.saveUpload(one);
    expect((await store.uploads('s')).map((one) => one.path)).toEqual(['a', 'b/c']);
    expect(await store.uploads('none')).toEqual([]);
  });

  test('is replaced, not doubled', async () => {
    const store = fresh();
    await store.saveShare(share('s'));
    await store.saveShare(share('s', { manifest: [] }));
    expect(await store.shares()).toEqual([share('s', { manifest: [] })]);
  });

  test('is forgotten: one upload, or a share with all of its own', async () => {
    const store = fresh();
    await store.saveShare(share('s'));
    await store.saveShare(share('t'));
    for (const one of [upload('s', 'a'), upload('s', 'b'), upload('t', 'a')])
      await store.saveUpload(one);
    await store.forgetUpload('s', 'a');
    expect((await store.uploads('s')).map((one) => one.path)).toEqual(['b']);
    await store.forgetShare('s');
    expect((await store.shares()).map((one) => one.shareId)).toEqual(['t']);
    expect(await store.uploads('s')).toEqual([]);
    expect(await store.uploads('t')).toHaveLength(1);
  });

  test('does without handles that can’t be kept', async () => {
    const store = fresh();
    await store.saveShare(
      share('s', { roots: [{ name: 'a', move: () => undefined } as unknown as FileSystemHandle] }),
    );
    expect(await store.shares()).toEqual([share('s')]);
  });
});

test('where storage is blocked all calls end, with nothing', async () => {
  vi.stubGlobal('indexedDB', {
    open: () => {
      throw new DOMException('blocked', 'SecurityError');
    },
  });
  const store = fresh();
  await store.saveShare(share('s'));
  await store.saveUpload(upload('s', 'a'));
  await store.forgetShare('s');
  expect(await store.shares()).toEqual([]);
  expect(await store.uploads('s')).toEqual([]);
  vi.unstubAllGlobals();
});
