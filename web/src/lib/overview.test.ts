import { describe, expect, test } from 'vitest';
import type { ServerFile } from './api';
import { overview } from './overview';

function file(path: string, more: Partial<ServerFile> = {}): ServerFile {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return {
    path,
    name,
    size_bytes: 100,
    received_bytes: 100,
    state: 'complete',
    waiting: null,
    rate_bytes_per_second: null,
    ...more,
  } as ServerFile;
}
const arriving = (
  path: string,
  received_bytes: number,
  rate: number | null,
  more: Partial<ServerFile> = {},
): ServerFile =>
  file(path, { state: 'receiving', received_bytes, rate_bytes_per_second: rate, ...more });

describe('the name of a link', () => {
  test.each([
    [['a.txt'], 'a.txt'],
    [['trip/day 1/a.txt'], 'a.txt'],
    [['trip/a.txt', 'trip/b/c.txt'], 'trip'],
    [['trip/a.txt', 'trips/b.txt'], null],
    [['a.txt', 'b.txt'], null],
    [[], null],
  ])('of %j is %s', (paths, name) => {
    expect(overview(paths.map((path) => file(path))).name).toBe(name);
  });
});

describe('all files together', () => {
  test('are weighed by bytes, and their time left follows from all speeds', () => {
    const all = overview([file('a'), arriving('b', 20, 5), arriving('c', 40, 15)]);
    expect(all).toMatchObject({
      size: 300,
      received: 160,
      rate: 20,
      secondsLeft: 7,
      arriving: true,
      sender: 'here',
    });
  });
  test('have no time left where a length is not known, nor where nothing moves', () => {
    expect(overview([arriving('a', 20, 5, { size_bytes: null })]).secondsLeft).toBeNull();
    expect(overview([arriving('a', 20, null)]).secondsLeft).toBeNull();
  });
  test('do not count what failed', () => {
    expect(overview([file('a'), file('b', { state: 'failed' })])).toMatchObject({
      size: 100,
      received: 100,
      arriving: false,
    });
  });
});

describe('the sender is away', () => {
  test('when something is half here and nothing moves', () => {
    expect(overview([arriving('a', 20, null)]).sender).toBe('away');
  });
  test('or only silent, where its request is still open', () => {
    const silent = { ...arriving('a', 20, null), isStalled: true };
    expect(overview([silent]).sender).toBe('stalled');
    expect(overview([silent, arriving('b', 20, 5)]).sender).toBe('here');
  });
  test.each([
    ['one moves', [arriving('a', 20, null), arriving('b', 20, 5)]],
    [
      'the server lets it wait',
      [arriving('a', 20, null, { waiting: { ahead: 1, waiting: 1, estimate_ms: 1 } })],
    ],
    ['it has not begun', [arriving('a', 0, null)]],
    ['all is here', [file('a')]],
  ])('but not when %s', (_, files) => {
    expect(overview(files).sender).toBe('here');
  });
});
