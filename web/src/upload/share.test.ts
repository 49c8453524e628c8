import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Given } from './intake';
import { overall } from './progress';
import { Tabs } from '$tabs/tabs';
import { Item, type Phase } from './item.svelte';
import { Share } from './share.svelte';

function share(): Share {
  const alone = new Tabs('t', null);
  alone.start();
  return new Share(
    () => undefined,
    (shareId, events) => alone.watch(shareId, events),
  );
}
function given(path: string, size = 100): Given {
  return {
    path,
    file: new File([new Uint8Array(size)], path.split('/').pop()!, { lastModified: 7 }),
  };
}
function set(item: Item, phase: Phase, confirmed = 0): void {
  item.phase = phase;
  item.confirmed = item.sent = confirmed;
}

describe('a share', () => {
  test('gives every file a path of its own and notes it', () => {
    const one = share();
    const items = [
      ...one.add([given('a.txt'), given('a.txt')]),
      ...one.add([given('d/a.txt'), given('a.txt')]),
    ];
    expect(items.map((item) => item.path)).toEqual(['a.txt', 'a (2).txt', 'd/a.txt', 'a (3).txt']);
    expect(one.manifest.map(([path]) => path)).toEqual(items.map((item) => item.path));
    expect(one.manifest[0]).toEqual(['a.txt', 100, 7]);
  });

  test('frees the path of a file that is taken out', () => {
    const one = share();
    const [item] = one.add([given('a.txt')]) as [Item];
    one.remove(new Set([item]));
    expect(one.manifest).toEqual([]);
    expect(one.items).toEqual([]);
    expect(one.add([given('a.txt')])[0]!.path).toBe('a.txt');
  });

  test('restored, takes back the files it knows, each once, and keeps its link', () => {
    const one = share();
    one.restore({
      shareId: 's',
      shareKey: 'k',
      link: 'http://x/d/s',
      createdAt: 5,
      manifest: [['a.txt', 100, 7]],
      roots: [],
    });
    expect([one.id, one.key, one.link, one.createdAt]).toEqual(['s', 'k', 'http://x/d/s', 5]);
    expect(one.readd([given('a.txt')])).toHaveLength(1);
    expect(one.readd([given('a.txt')])).toHaveLength(0);
    expect(one.manifest).toHaveLength(1);
  });
});

describe('its sum', () => {
  test('is weighted by bytes, not by files', () => {
    const one = share();
    const [large, small] = one.add([given('large', 900), given('small', 100)]) as [Item, Item];
    set(small, 'done');
    set(large, 'sending');
    expect(one.totals).toMatchObject({ files: 2, done: 1, active: 1, bytes: 1000, shown: 100 });
  });

  test('does not count what was cancelled, nor the bytes of what failed', () => {
    const one = share();
    const [a, b, c] = one.add([given('a'), given('b'), given('c')]) as [Item, Item, Item];
    set(a, 'cancelled', 50);
    set(b, 'failed', 50);
    set(c, 'sending', 40);
    expect(one.totals).toMatchObject({
      files: 2,
      failed: 1,
      cancelled: 1,
      bytes: 100,
      shown: 40,
      safe: 40,
    });
  });

  test('of what is safe holds only what the server has confirmed', () => {
    const one = share();
    const [a] = one.add([given('a')]) as [Item];
    set(a, 'sending', 30);
    a.sent = 90;
    expect(one.totals).toMatchObject({ safe: 30, shown: 90 });
  });

  test('holds the files of an earlier visit', () => {
    const one = share();
    one.kept = { files: 3, bytes: 300 };
    const [a] = one.add([given('a')]) as [Item];
    set(a, 'sending');
    expect(one.totals).toMatchObject({ files: 4, done: 3, bytes: 400, shown: 300 });
  });

  test.each<[Phase[], string]>([
    [['sending', 'done', 'failed', 'paused'], 'sending'],
    [['queued'], 'sending'],
    [['paused', 'done', 'failed'], 'paused'],
    [['failed', 'done'], 'failed'],
    [['done', 'done'], 'done'],
    [['cancelled'], 'empty'],
    [[], 'empty'],
  ])('of %j has the state %s', (phases, state) => {
    const one = share();
    one.id = 's';
    one.add(phases.map((_, n) => given(`f${n}`))).forEach((item, n) => set(item, phases[n]!));
    expect(one.totals.state).toBe(state);
  });

  test('says that the link is being made as long as there is none', () => {
    const one = share();
    one.add([given('a')]);
    expect(one.totals.state).toBe('preparing');
  });

  test('is that of this moment, with nothing to be called for it', () => {
    const one = share();
    const [a] = one.add([given('a')]) as [Item];
    expect(one.totals.shown).toBe(0);
    set(a, 'done');
    expect(one.totals.shown).toBe(100);
  });
});

describe('a share that loses its events', () => {
  class Stream extends EventTarget {
    static last: Stream;
    onopen?: () => void;
    onerror?: () => void;
    constructor() {
      super();
      Stream.last = this;
    }
    close(): void {}
    tell(file: object): void {
      this.dispatchEvent(new MessageEvent('file', { data: JSON.stringify(file) }));
    }
  }
  afterEach(() => vi.unstubAllGlobals());

  test('goes on drawing what the server has, not what was handed to the network', () => {
    vi.stubGlobal('EventSource', Stream);
    const one = share();
    one.id = 's';
    const [a, b] = one.add([given('a'), given('b')]) as [Item, Item];
    set(a, 'sending');
    one.follow();
    Stream.last.onopen?.();
    Stream.last.tell({
      file_id: 'f',
      path: 'a',
      state: 'receiving',
      received_bytes: 25,
      waiting: null,
    });
    a.sent = 90;
    expect([one.live, one.totals.shown]).toEqual([true, 25]);
    Stream.last.onerror?.();
    expect([one.live, one.totals.shown]).toEqual([false, 25]);
    // Of this one the server has told nothing: there is nothing better to draw.
    set(b, 'sending');
    b.sent = 40;
    expect(one.totals.shown).toBe(65);
    one.unfollow();
  });
});

test('all shares of the page are one figure', () => {
  const [one, two] = [share(), share()];
  set(one.add([given('a', 300)])[0]!, 'done');
  set(two.add([given('b', 100)])[0]!, 'sending', 60);
  expect(overall({ shares: [one, two] })).toMatchObject({
    files: 2,
    active: 1,
    bytes: 400,
    shown: 360,
    percent: 90,
  });
});

describe('before the events flow', () => {
  class Stream extends EventTarget {
    static last: Stream;
    onopen?: () => void;
    onerror?: () => void;
    constructor() {
      super();
      Stream.last = this;
    }
    close(): void {}
  }
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('EventSource', Stream);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
  function sending(): [Share, Item] {
    const one = share();
    one.id = 's';
    const [a] = one.add([given('a')]) as [Item];
    set(a, 'sending', 10);
    one.follow();
    a.sent = 90;
    return [one, a];
  }

  test('the figure is what the server has confirmed, and stays true when they open', () => {
    const [one] = sending();
    expect(one.totals.shown).toBe(10);
    Stream.last.onopen?.();
    expect(one.totals.shown).toBe(10);
    one.unfollow();
  });

  test('a file is known by its id where the server has changed its name, and not by the path of an older one', () => {
    const [one, a] = sending();
    a.uploadUrl = '/files/u';
    a.fileId = 'mine';
    const tell = (file_id: string, path: string): void => {
      const data = JSON.stringify({
        file_id,
        path,
        name: path,
        state: 'complete',
        received_bytes: 100,
        waiting: null,
        blake3: file_id,
        crc64: 'c',
      });
      Stream.last.dispatchEvent(new MessageEvent('file', { data }));
    };
    tell('older', 'a');
    expect(a.blake3).toBeNull();
    tell('mine', 'a_');
    expect([a.blake3, a.savedAs]).toEqual(['mine', 'a_']);
    one.unfollow();
  });

  test.each([
    ['are refused', () => Stream.last.onerror?.()],
    ['do not come', () => vi.advanceTimersByTime(3_000)],
  ])('where they %s, what was handed to the network is drawn', (_, end) => {
    const [one] = sending();
    end();
    expect(one.totals.shown).toBe(90);
    one.unfollow();
  });
});
