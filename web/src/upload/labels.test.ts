import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Item, type Phase } from './item.svelte';
import { itemLabel } from './labels';

function item(phase: Phase, more: Partial<Item> = {}): Item {
  const made = new Item(new File([new Uint8Array(1000)], 'a.bin'), 'a.bin');
  return Object.assign(made, { phase, movedAt: Date.now() }, more);
}
const text = (one: Item): string => itemLabel(one, true).replaceAll('\u00a0', ' ');

beforeEach(() => {
  vi.useFakeTimers({ now: 50_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a row says', () => {
  test('that its turn will come, and what is safe already', () => {
    expect(text(item('queued'))).toBe('Waiting');
    expect(text(item('queued', { confirmed: 620 }))).toBe('62% · Waiting');
  });
  test('that it starts', () => {
    expect(text(item('sending'))).toBe('Starting…');
  });
  test('its place in the server’s queue', () => {
    expect(text(item('sending', { place: { ahead: 3, waiting: 5, estimate_ms: 90_000 } }))).toBe(
      '3 ahead of you, about 1 min 30 s',
    );
    expect(text(item('sending', { place: { ahead: 0, waiting: 5, estimate_ms: 100 } }))).toBe(
      'You are next, a moment',
    );
  });
  test('percent first, speed and time left once they are known', () => {
    const one = item('sending', { sent: 500, confirmed: 430 });
    expect(text(one)).toBe('43%');
    one.meter.reset(Date.now());
    for (let n = 0; n < 30; n++) {
      vi.advanceTimersByTime(100);
      one.meter.add(10, Date.now());
    }
    one.movedAt = Date.now();
    expect(text(one)).toBe('43% · 100 B/s · 6 s');
  });
  test('that nothing moves, instead of the speed from before', () => {
    const one = item('sending', { sent: 500, confirmed: 430, movedAt: Date.now() });
    one.meter.reset(Date.now());
    for (let n = 0; n < 30; n++) {
      vi.advanceTimersByTime(100);
      one.meter.add(10, Date.now());
    }
    one.movedAt = Date.now();
    vi.advanceTimersByTime(3_900);
    expect(text(one)).toMatch(/^43% · .+B\/s/);
    vi.advanceTimersByTime(200);
    expect(text(one)).toBe('43% · No data is moving');
  });
  test('that the last bytes are being written', () => {
    expect(text(item('sending', { sent: 1000, confirmed: 900 }))).toBe('Finishing…');
  });
  test('but not for long, where the system took bytes that go nowhere', () => {
    const one = item('sending', { sent: 1000, confirmed: 250 });
    expect(text(one)).toBe('Finishing…');
    vi.advanceTimersByTime(4_100);
    expect(text(one)).toBe('25% · No data is moving');
  });
  test('where it was paused', () => {
    expect(text(item('paused', { sent: 300, confirmed: 250 }))).toBe('Paused at 25%');
  });
  test('verified only when the server has confirmed what was sent', () => {
    expect(text(item('done'))).toBe('Uploaded');
    expect(text(item('done', { check: 'running' }))).toBe('Uploaded, verifying…');
    expect(text(item('done', { check: 'verified' }))).toBe('Uploaded and verified');
  });
  test('that it failed, but not why, which is said once above the list', () => {
    expect(text(item('failed', { failure: { code: 'source-lost' } }))).toBe('Not uploaded');
  });
  test('that it is being deleted, or will not be sent', () => {
    expect(text(item('cancelled', { before: 'done' }))).toBe('Deleting…');
    expect(text(item('cancelled'))).toBe('Cancelled');
  });
});

describe('the bytes that are drawn', () => {
  test('never run backwards, not even when the server knows less than was sent', () => {
    const one = item('sending', { sent: 800, confirmed: 100 });
    expect(one.shown(false)).toBe(800);
    one.sent = 300;
    expect(one.shown(true)).toBe(800);
    one.confirmed = 900;
    expect(one.shown(true)).toBe(900);
  });
  test('are those of the server while its events flow', () => {
    expect(item('sending', { sent: 800, confirmed: 100 }).shown(true)).toBe(100);
  });
  test('are never more than the file', () => {
    expect(item('sending', { sent: 5000 }).shown(false)).toBe(1000);
  });
  test('are counted once, and what an earlier attempt brought is not counted again', () => {
    const one = item('sending', { sent: 800, confirmed: 100 });
    expect(one.count(true)).toBe(100);
    expect(one.count(true)).toBe(0);
    one.confirmed = 350;
    expect(one.count(true)).toBe(250);
    one.restart();
    one.confirmed = 30;
    expect(one.count(true)).toBe(30);
  });
  test('start over only when the upload does', () => {
    const one = item('sending', { sent: 800, uploadUrl: '/files/x', fileId: 'f' });
    one.shown(false);
    one.restart();
    expect(one.shown(false)).toBe(0);
    expect(one.uploadUrl).toBeNull();
    expect(one.restarts).toBe(1);
  });
});

describe('what the server tells', () => {
  const told = {
    file_id: 'f1',
    share_id: 's1',
    path: 'a.bin',
    name: 'a.bin',
    size_bytes: 1000,
    received_bytes: 400,
    percent: 40,
    state: 'receiving' as const,
    content_type: null,
    blake3: null,
    sha256: null,
    crc64: null,
    created_at: 0,
    completed_at: null,
    expires_at: null,
    link: '',
    rate_bytes_per_second: null,
    waiting: { ahead: 1, waiting: 2, estimate_ms: 10 },
    failure: null,
  };
  test('moves the confirmed bytes forward only', () => {
    const one = item('sending');
    one.apply(told);
    expect(one.confirmed).toBe(400);
    expect(one.movedAt).toBe(50_000);
    expect(one.place?.ahead).toBe(1);
    one.apply({ ...told, received_bytes: 300, waiting: null });
    expect(one.confirmed).toBe(400);
    expect(one.place).toBeNull();
    one.apply({ ...told, received_bytes: 9_999 });
    expect(one.confirmed).toBe(1000);
  });
  test('brings the digests only with the whole file', () => {
    const one = item('sending');
    one.apply({ ...told, blake3: 'b', crc64: 'c' });
    expect(one.serverCrc).toBeNull();
    one.apply({ ...told, state: 'complete', blake3: 'b', crc64: 'c' });
    expect([one.blake3, one.serverCrc, one.place]).toEqual(['b', 'c', null]);
  });
});
