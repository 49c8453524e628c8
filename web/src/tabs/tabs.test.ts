import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ServerFile } from '$lib/api';
import { CLAIM_MS } from './election';
import { Streams, type News, type OpenSource } from './streams';
import { Tabs, type Channel, type Message } from './tabs';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const file = (path: string): ServerFile => ({ file_id: path, path }) as ServerFile;

/** Tabs of one origin, and all that they have open at the server. */
class Origin {
  readonly tabs: { id: string; tab: Tabs; hear: (message: Message) => void }[] = [];
  readonly open: {
    by: string;
    shareId: string;
    how: 'stream' | 'ask';
    tell: (news: News) => void;
  }[] = [];

  /** A tab that hears everything late. */
  busy: string | null = null;

  tab(id: string, hasChannel = true): Tabs {
    let hear: (message: Message) => void = () => undefined;
    const channel: Channel = {
      post: (message) => {
        const copy = structuredClone(message);
        for (const other of this.tabs) {
          if (other.id === id) continue;
          const hears = (): unknown => this.tabs.includes(other) && other.hear(copy);
          if (other.id === this.busy) setTimeout(hears, 3 * CLAIM_MS);
          else queueMicrotask(hears);
        }
      },
      listen: (listener) => (hear = listener),
    };
    const source =
      (how: 'stream' | 'ask'): OpenSource =>
      (shareId, tell) => {
        const one = { by: id, shareId, how, tell };
        this.open.push(one);
        return {
          close: () => void this.open.splice(this.open.indexOf(one), 1),
          poke: () => undefined,
        };
      };
    const tab = new Tabs(
      id,
      hasChannel ? channel : null,
      (told) => new Streams(told, source('stream'), source('ask')),
    );
    this.tabs.push({ id, tab, hear: (message) => hear(message) });
    tab.start();
    return tab;
  }
  close(id: string): void {
    this.tabs.find((one) => one.id === id)!.tab.leave();
    this.tabs.splice(
      this.tabs.findIndex((one) => one.id === id),
      1,
    );
    // Its connections go with it.
    for (const one of this.open.filter((each) => each.by === id))
      this.open.splice(this.open.indexOf(one), 1);
  }
  list(): string {
    return this.open.map((one) => `${one.by}:${one.how}:${one.shareId}`).join(' ');
  }
}

function listener(tab: Tabs, shareId: string): { heard: string[]; stop: () => void } {
  const heard: string[] = [];
  const stop = tab.watch(shareId, {
    file: (one) => heard.push(one.path),
    gone: (id) => heard.push(`-${id}`),
    reset: () => heard.push('reset'),
    listed: () => heard.push('listed'),
    live: (on) => heard.push(on ? 'live' : 'lost'),
  });
  return { heard, stop };
}
const settle = (): Promise<unknown> => pass(10 * CLAIM_MS);

test('one stream serves all tabs, and one that comes later is told what was told before', async () => {
  const origin = new Origin();
  const [a, b] = [origin.tab('a'), origin.tab('b')];
  await settle();
  const first = listener(b, 's');
  await pass(1);
  expect(origin.list()).toBe('a:stream:s');
  const { tell } = origin.open[0]!;
  const begun: News[] = [
    { kind: 'reset' },
    { kind: 'live', on: true },
    { kind: 'files', files: [file('x')] },
  ];
  begun.forEach(tell);
  const later = listener(a, 's');
  tell({ kind: 'files', files: [file('y')] });
  tell({ kind: 'listed' });
  await pass(1);
  expect(origin.list()).toBe('a:stream:s');
  for (const { heard } of [first, later])
    expect(heard).toEqual(['reset', 'live', 'x', 'y', 'listed']);
  first.stop();
  later.stop();
  await pass(1);
  expect(origin.list(), 'what no tab watches is closed').toBe('');
});

test('when the leading tab closes another opens its streams, and tells all anew', async () => {
  const origin = new Origin();
  origin.tab('a');
  const [b, c] = [origin.tab('b'), origin.tab('c')];
  await settle();
  const heard = [listener(b, 's').heard, listener(c, 's').heard];
  await pass(1);
  origin.open[0]!.tell({ kind: 'live', on: true });
  await pass(1);
  origin.close('a');
  await settle();
  expect(origin.list()).toBe('b:stream:s');
  origin.open[0]!.tell({ kind: 'live', on: true });
  origin.open[0]!.tell({ kind: 'gone', fileId: 'x' });
  await pass(1);
  for (const one of heard) expect(one).toEqual(['live', 'lost', 'live', '-x']);
});

test('a leader that is too busy to object to a claim is no reason for a second stream', async () => {
  const origin = new Origin();
  for (const ids of [
    ['a', 'b'],
    ['d', 'c'],
  ] as const) {
    const leader = origin.tab(ids[0]);
    await settle();
    const { heard } = listener(leader, 's');
    origin.busy = ids[0];
    const other = origin.tab(ids[1]);
    const late = listener(other, 's');
    await pass(2 * CLAIM_MS);
    expect(other.leads, 'its claim was not opposed').toBe(true);
    for (let ms = 0; ms < 10 * CLAIM_MS; ms += 10) {
      await pass(10);
      expect(origin.open.length, origin.list()).toBeLessThan(2);
    }
    expect(origin.open.length).toBe(1);
    origin.open[0]!.tell({ kind: 'gone', fileId: 'x' });
    await pass(10 * CLAIM_MS);
    expect(heard).toContain('-x');
    expect(late.heard).toContain('-x');
    origin.busy = null;
    for (const id of ids) origin.close(id);
  }
});

test('shares beyond the streams that there may be are asked for, until one is free', async () => {
  const origin = new Origin();
  const a = origin.tab('a');
  await settle();
  const all = ['s', 't', 'u'].map((shareId) => listener(a, shareId));
  expect(origin.list()).toBe('a:stream:s a:stream:t a:ask:u');
  all[0]!.stop();
  expect(origin.list()).toBe('a:stream:t a:stream:u');
});

test('all tabs together get three uploads, and what a closed leader had goes to the others', async () => {
  const origin = new Origin();
  const tabs = ['a', 'b', 'c', 'd'].map((id) => origin.tab(id));
  for (const tab of tabs) tab.allowedChanged = () => tab.want({ wants: 3, holds: tab.allowed });
  await settle();
  for (const tab of tabs) tab.want({ wants: 3, holds: 0 });
  await settle();
  const sum = (): number => origin.tabs.reduce((all, { tab }) => all + tab.allowed, 0);
  expect(sum()).toBe(3);
  origin.close('a');
  await settle();
  expect(sum()).toBe(3);
  expect(origin.tabs.map(({ tab }) => tab.allowed)).toEqual([1, 1, 1]);
});

test('where there is no channel, a tab has its own stream and its own uploads', () => {
  const origin = new Origin();
  const tab = origin.tab('a', false);
  listener(tab, 's');
  tab.want({ wants: 3, holds: 0 });
  expect([origin.list(), tab.allowed]).toEqual(['a:stream:s', 3]);
});
