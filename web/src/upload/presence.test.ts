import { expect, test, vi } from 'vitest';
import { Presence } from './presence';

// Node's BroadcastChannel is the real thing: these stand for tabs of one browser.
test('a tab learns which shares the others hold, and not its own', async () => {
  new Presence(() => ['a', 'b']);
  new Presence(() => ['c']);
  const late = new Presence(() => ['mine']);
  expect(await late.others()).toEqual(new Set(['a', 'b', 'c']));
});

test('without the channel nobody else is there', async () => {
  vi.stubGlobal('BroadcastChannel', undefined);
  expect(await new Presence(() => ['a']).others()).toEqual(new Set());
  vi.unstubAllGlobals();
});
