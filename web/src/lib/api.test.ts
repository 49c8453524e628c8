// The JSON calls against a real HTTP server on this machine; only the page's origin is put in front
// of their paths.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  api,
  bytesPath,
  parseProblem,
  parseRetryAfter,
  Refused,
  sharePath,
  Unreachable,
} from './api';

describe('a problem document', () => {
  const type = 'application/problem+json';

  test('is read with the members that every refusal has', () => {
    const text = JSON.stringify({
      type: 'https://x/problems/no-space',
      title: 'Full',
      status: 507,
      limit: 'disk',
      value: 5,
      remedy: 'Free some.',
    });
    const problem = parseProblem(text, type)!;
    expect(problem).toMatchObject({
      title: 'Full',
      status: 507,
      limit: 'disk',
      value: 5,
      remedy: 'Free some.',
    });
    expect(new Refused(507, problem, null).slug).toBe('no-space');
  });

  test.each([
    ['<html>Bad gateway</html>', 'text/html'],
    ['{"title":"x"}', 'text/plain'],
    ['{"title":"x"}', null],
    ['{"title":', type],
    ['null', type],
    ['17', type],
  ])('is not made up from %s as %s', (text, contentType) => {
    expect(parseProblem(text, contentType)).toBeNull();
  });

  test('has a type and a title even if the server gave none', () => {
    expect(parseProblem('{}', type)).toEqual({ type: 'about:blank', title: '', status: 0 });
  });

  test('an error without one still has a message and an empty slug', () => {
    const error = new Refused(500, null, null);
    expect(error.message).toBe('HTTP 500');
    expect(error.slug).toBe('');
  });
});

describe('Retry-After', () => {
  const now = Date.UTC(2026, 10, 24, 12, 0, 0);
  test.each([
    ['7', 7_000],
    ['0', 0],
    ['-3', 0],
    ['Tue, 24 Nov 2026 12:00:30 GMT', 30_000],
    ['Tue, 24 Nov 2026 11:59:00 GMT', 0],
    ['soon', null],
    ['', null],
    [null, null],
  ])('%s', (value, expected) => {
    expect(parseRetryAfter(value, now)).toBe(expected);
  });
});

test('addresses of files keep their folders and encode the rest', () => {
  expect(sharePath('abc')).toBe('/d/abc');
  expect(bytesPath('abc', 'trip/day 1/a#b?.txt')).toBe('/d/abc/trip/day%201/a%23b%3F.txt');
  expect(bytesPath('abc', 'été.txt', true)).toBe('/d/abc/%C3%A9t%C3%A9.txt?download=1');
});

describe('calls', () => {
  let server: Server;
  let seen: { method: string | undefined; url: string | undefined; accept: string | undefined }[];
  let answering: ((url: string) => string) | null;
  let answer: { status: number; headers?: Record<string, string>; body?: string } | 'cut';

  beforeEach(async () => {
    seen = [];
    answering = null;
    server = createServer((request, response) => {
      seen.push({ method: request.method, url: request.url, accept: request.headers.accept });
      if (answer === 'cut') return void request.socket.destroy();
      response
        .writeHead(answer.status, answer.headers)
        .end(answering ? answering(request.url ?? '') : answer.body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const real = globalThis.fetch;
    vi.stubGlobal('fetch', (path: string, init: RequestInit) => real(origin + path, init));
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    server.closeAllConnections();
    server.close();
  });

  test('ask for JSON and give it', async () => {
    answer = {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: '{"share_id":"s","files":[]}',
    };
    expect(await api.share('s')).toEqual({ share_id: 's', files: [] });
    expect(seen).toEqual([{ method: 'GET', url: '/api/v1/shares/s', accept: 'application/json' }]);
  });

  test('a share of more files than one answer holds is read to its end', async () => {
    const page = (names: string[], next: string | null): string =>
      JSON.stringify({ share_id: 's', files: names.map((path) => ({ path })), next });
    const pages: Record<string, string> = {
      '/api/v1/shares/s': page(['a', 'b'], 'b'),
      '/api/v1/shares/s?after=b': page(['c d', 'd/e&f'], 'd/e&f'),
      '/api/v1/shares/s?after=d%2Fe%26f': page(['g'], null),
    };
    answering = (url) => pages[url] ?? '';
    answer = { status: 200, headers: { 'content-type': 'application/json' } };
    expect((await api.share('s')).files.map((file) => file.path)).toEqual([
      'a',
      'b',
      'c d',
      'd/e&f',
      'g',
    ]);
  });

  test('a share is made by POST', async () => {
    answer = {
      status: 201,
      headers: { 'content-type': 'application/json' },
      body: '{"share_id":"s"}',
    };
    await api.createShare();
    expect(seen[0]).toMatchObject({ method: 'POST', url: '/api/v1/shares' });
  });

  test('a refusal carries status, problem and pause', async () => {
    answer = {
      status: 429,
      headers: { 'content-type': 'application/problem+json', 'retry-after': '3' },
      body: '{"type":"/problems/too-many","title":"Too many","status":429}',
    };
    const error = await api.limits().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(Refused);
    expect(error).toMatchObject({
      status: 429,
      retryAfterMs: 3_000,
      slug: 'too-many',
      message: 'Too many',
    });
  });

  test('a cut connection is no refusal', async () => {
    answer = 'cut';
    await expect(api.limits()).rejects.toBeInstanceOf(Unreachable);
  });

  test('readiness: an answer is one, a server error or none is not', async () => {
    answer = { status: 200 };
    expect(await api.ready()).toBe(true);
    answer = { status: 404 };
    expect(await api.ready()).toBe(true);
    answer = { status: 503 };
    expect(await api.ready()).toBe(false);
    answer = 'cut';
    expect(await api.ready()).toBe(false);
  });
});
