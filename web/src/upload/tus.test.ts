// The three requests of tus against a real HTTP server on this machine. XMLHttpRequest, which
// Node.js lacks, is stood in for by a few lines over node:http; what a browser's own does is tried
// in tests/ with the real server.
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Refused, Unreachable } from '$lib/api';
import {
  Aborted,
  encodeMetadata,
  INLINE_BYTES_MAX,
  sameOrigin,
  send,
  SourceLost,
  terminate,
  UploadGone,
  type Created,
  type Sending,
} from './tus';

let origin = '';

class SmallXhr {
  status = 0;
  responseText = '';
  timeout = 0;
  upload: { onprogress?: (event: { loaded: number }) => void } = {};
  onload?: () => void;
  onerror?: () => void;
  ontimeout?: () => void;
  onabort?: () => void;
  onloadend?: () => void;
  #headers: Record<string, string> = {};
  #answer: http.IncomingHttpHeaders = {};
  #request: http.ClientRequest | null = null;
  #over = false;
  #method = '';
  #url = '';

  open(method: string, url: string): void {
    this.#method = method;
    this.#url = url;
  }
  setRequestHeader(name: string, value: string): void {
    this.#headers[name] = value;
  }
  getResponseHeader(name: string): string | null {
    const value = this.#answer[name.toLowerCase()];
    return typeof value === 'string' ? value : null;
  }
  #end(how: 'onload' | 'onerror' | 'onabort'): void {
    if (this.#over) return;
    this.#over = true;
    this[how]?.();
    this.onloadend?.();
  }
  abort(): void {
    this.#end('onabort');
    this.#request?.destroy();
  }
  send(body: Blob | null): void {
    void (async () => {
      let bytes: Buffer;
      try {
        bytes = Buffer.from(body ? await body.arrayBuffer() : new ArrayBuffer(0));
      } catch {
        return this.#end('onerror');
      }
      if (this.#over) return;
      this.#request = http.request(origin + this.#url, {
        method: this.#method,
        headers: { ...this.#headers, 'content-length': bytes.length },
      });
      this.#request.on('error', () => this.#end('onerror'));
      this.#request.on('response', (response) => {
        this.status = response.statusCode ?? 0;
        this.#answer = response.headers;
        response.setEncoding('utf8').on('data', (text: string) => (this.responseText += text));
        response.on('end', () => this.#end('onload')).on('error', () => this.#end('onerror'));
      });
      this.#request.end(bytes);
      this.upload.onprogress?.({ loaded: bytes.length });
    })();
  }
}

interface Seen {
  method: string;
  url: string;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}
type Answering = (request: Seen, response: ServerResponse, message: IncomingMessage) => void;

let server: http.Server;
let seen: Seen[];
let answering: Answering;

beforeEach(async () => {
  seen = [];
  vi.stubGlobal('XMLHttpRequest', SmallXhr);
  vi.stubGlobal('location', { href: 'https://page.example/' });
  server = http.createServer((message, response) => {
    const parts: Buffer[] = [];
    message.on('data', (part: Buffer) => parts.push(part));
    message.on('end', () => {
      const one = {
        method: message.method!,
        url: message.url!,
        headers: message.headers,
        body: Buffer.concat(parts),
      };
      seen.push(one);
      answering(one, response, message);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  vi.unstubAllGlobals();
  server.closeAllConnections();
  server.close();
});

/** A small tus server: keeps one upload. */
function keeping(state: { offset: number; length: number; bytes: Buffer }): Answering {
  return (request, response) => {
    const take = (): void => {
      state.bytes = Buffer.concat([state.bytes, request.body]);
      state.offset += request.body.length;
    };
    if (request.method === 'POST') {
      state.length = Number(request.headers['upload-length']);
      take();
      response.writeHead(201, {
        Location: 'http://inside:8000/files/u1',
        'X-Url-Delete': 'http://inside:8000/delete/d1',
        'X-File-Id': 'f1',
        'Upload-Offset': state.offset,
      });
      return void response.end();
    }
    if (request.method === 'HEAD')
      return void response
        .writeHead(200, { 'Upload-Offset': state.offset, 'Upload-Length': state.length })
        .end();
    if (Number(request.headers['upload-offset']) !== state.offset)
      return void response.writeHead(409).end();
    take();
    response.writeHead(204, { 'Upload-Offset': state.offset }).end();
  };
}
const nothing = () => ({ offset: 0, length: 0, bytes: Buffer.alloc(0) });

function sending(
  file: Blob,
  more: Partial<Sending> = {},
): Sending & { made: Created[]; confirmations: number[]; sents: number[] } {
  const [made, confirmations, sents]: [Created[], number[], number[]] = [[], [], []];
  return {
    endpoint: '/files',
    file,
    metadata: { filename: 'a.bin' },
    uploadUrl: null,
    chunkBytes: 400_000,
    signal: new AbortController().signal,
    created: (upload) => made.push(upload),
    sent: (offset) => sents.push(offset),
    confirmed: (offset) => confirmations.push(offset),
    made,
    confirmations,
    sents,
    ...more,
  };
}
const blob = (size: number): Blob =>
  new Blob([Uint8Array.from({ length: size }, (_, n) => (n * 31) & 255)]);
const what = (): string[] => seen.map((one) => `${one.method} ${one.url} ${one.body.length}`);
const caught = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

describe('a file', () => {
  test('that is small travels inside its creation', async () => {
    answering = keeping(nothing());
    const one = sending(blob(1_000));
    await send(one);
    expect(what()).toEqual(['POST /files 1000']);
    expect(seen[0]!.headers).toMatchObject({
      'tus-resumable': '1.0.0',
      'upload-length': '1000',
      'content-type': 'application/offset+octet-stream',
    });
    expect(one.confirmations).toEqual([1_000]);
  });

  test('that is large is made first, then sent in requests of bounded size, whole', async () => {
    const state = nothing();
    answering = keeping(state);
    const file = blob(1_000_000);
    const one = sending(file);
    await send(one);
    expect(what()).toEqual([
      'POST /files 0',
      'PATCH /files/u1 400000',
      'PATCH /files/u1 400000',
      'PATCH /files/u1 200000',
    ]);
    expect(state.bytes.equals(Buffer.from(await file.arrayBuffer()))).toBe(true);
    expect(one.confirmations).toEqual([0, 400_000, 800_000, 1_000_000]);
    expect(one.sents.at(-1)).toBe(1_000_000);
  });

  test('of the largest inline size is one request, one byte more is two', async () => {
    answering = keeping(nothing());
    await send(sending(blob(INLINE_BYTES_MAX)));
    expect(seen).toHaveLength(1);
    answering = keeping(nothing());
    await send(sending(blob(INLINE_BYTES_MAX + 1)));
    expect(what().slice(1)).toEqual(['POST /files 0', `PATCH /files/u1 ${INLINE_BYTES_MAX + 1}`]);
  });

  test('that is empty is complete when it is made', async () => {
    answering = keeping(nothing());
    await send(sending(blob(0)));
    expect(what()).toEqual(['POST /files 0']);
  });

  test('is known by the addresses that the server gave, on the origin of the page', async () => {
    answering = keeping(nothing());
    const one = sending(blob(10));
    await send(one);
    expect(one.made).toEqual([{ uploadUrl: '/files/u1', deleteUrl: '/delete/d1', fileId: 'f1' }]);
  });
});

describe('a resume', () => {
  test('asks where it stands and sends only what is missing', async () => {
    const file = blob(1_000);
    const state = {
      offset: 700,
      length: 1_000,
      bytes: Buffer.from(await file.arrayBuffer()).subarray(0, 700),
    };
    answering = keeping(state);
    await send(sending(file, { uploadUrl: '/files/u1' }));
    expect(what()).toEqual(['HEAD /files/u1 0', 'PATCH /files/u1 300']);
    expect(state.bytes.equals(Buffer.from(await file.arrayBuffer()))).toBe(true);
  });

  test('of what was complete sends nothing', async () => {
    answering = keeping({ offset: 10, length: 10, bytes: Buffer.alloc(10) });
    await send(sending(blob(10), { uploadUrl: '/files/u1' }));
    expect(what()).toEqual(['HEAD /files/u1 0']);
  });

  test.each([404, 410, 403])('of what answers %d is gone', async (status) => {
    answering = (_, response) => void response.writeHead(status).end();
    expect(await caught(send(sending(blob(10), { uploadUrl: '/files/u1' })))).toBeInstanceOf(
      UploadGone,
    );
  });

  test('of a file that has another length now is gone', async () => {
    answering = keeping({ offset: 5, length: 11, bytes: Buffer.alloc(5) });
    expect(await caught(send(sending(blob(10), { uploadUrl: '/files/u1' })))).toBeInstanceOf(
      UploadGone,
    );
  });

  test('goes on from where another request has brought it', async () => {
    const file = blob(1_000);
    const state = {
      offset: 200,
      length: 1_000,
      bytes: Buffer.from(await file.arrayBuffer()).subarray(0, 200),
    };
    const real = keeping(state);
    let moved = false;
    answering = (request, response, message) => {
      if (request.method === 'PATCH' && !moved) {
        moved = true;
        state.bytes = Buffer.concat([state.bytes, request.body.subarray(0, 300)]);
        state.offset = 500;
        return void response.writeHead(409).end();
      }
      real(request, response, message);
    };
    await send(sending(file, { uploadUrl: '/files/u1' }));
    expect(what()).toEqual([
      'HEAD /files/u1 0',
      'PATCH /files/u1 800',
      'HEAD /files/u1 0',
      'PATCH /files/u1 500',
    ]);
    expect(state.bytes.equals(Buffer.from(await file.arrayBuffer()))).toBe(true);
  });

  test('a server that takes bytes and does not count them is not fed for ever', async () => {
    answering = (request, response) =>
      void response
        .writeHead(request.method === 'HEAD' ? 200 : 204, {
          'Upload-Offset': 0,
          'Upload-Length': 10,
        })
        .end();
    expect(await caught(send(sending(blob(10), { uploadUrl: '/files/u1' })))).toBeInstanceOf(
      Refused,
    );
    expect(seen).toHaveLength(2);
  });
});

describe('an error', () => {
  test('that the server explains keeps its words and its pause', async () => {
    answering = (_, response) =>
      void response
        .writeHead(429, { 'Content-Type': 'application/problem+json', 'Retry-After': '4' })
        .end('{"type":"/problems/too-many-uploads","title":"Too many"}');
    expect(await caught(send(sending(blob(10))))).toMatchObject({
      status: 429,
      retryAfterMs: 4_000,
      slug: 'too-many-uploads',
    });
  });

  test('of the network is no refusal', async () => {
    answering = (_, __, message) => void message.socket.destroy();
    expect(await caught(send(sending(blob(10))))).toBeInstanceOf(Unreachable);
  });

  test('of reading is told from one of the network', async () => {
    answering = keeping(nothing());
    const gone = blob(10);
    const unreadable = Object.assign(gone, {
      arrayBuffer: () => Promise.reject(new Error('gone')),
      slice: () => unreadable,
    });
    expect(await caught(send(sending(unreadable)))).toBeInstanceOf(SourceLost);
  });

  test('a 201 without an address is an error, not an endless loop', async () => {
    answering = (_, response) => void response.writeHead(201).end();
    expect(await caught(send(sending(blob(10))))).toBeInstanceOf(Refused);
  });

  test('a stop by a person ends the request', async () => {
    const abort = new AbortController();
    answering = () => abort.abort();
    expect(await caught(send(sending(blob(10), { signal: abort.signal })))).toBeInstanceOf(Aborted);
    expect(await caught(send(sending(blob(10), { signal: abort.signal })))).toBeInstanceOf(Aborted);
    expect(seen).toHaveLength(1);
  });
});

describe('ending an upload', () => {
  test.each([204, 404, 410])('is fine with %d', async (status) => {
    answering = (_, response) => void response.writeHead(status).end();
    await terminate('/files/u1');
    expect(what()).toEqual(['DELETE /files/u1 0']);
  });
  test('that the server refuses is told', async () => {
    answering = (_, response) => void response.writeHead(423).end();
    expect(await caught(terminate('/files/u1'))).toMatchObject({ status: 423 });
  });
});

describe('what is said about a file', () => {
  const decode = (text: string): Record<string, string> =>
    Object.fromEntries(
      text
        .split(',')
        .map((pair) => [
          pair.split(' ')[0]!,
          Buffer.from(pair.split(' ')[1]!, 'base64').toString('utf8'),
        ]),
    );
  test.each([
    'plain.txt',
    'été à la plage.jpg',
    '日本語.txt',
    '👩‍🚀.png',
    'a,b c.txt',
    '',
    'x'.repeat(5_000),
  ])('%s arrives as it is', (name) => {
    expect(decode(encodeMetadata({ filename: name, share: 'k' }))).toEqual({
      filename: name,
      share: 'k',
    });
  });
  test('a name that is no text is made one instead of an exception', () => {
    expect(decode(encodeMetadata({ filename: 'a\ud800b' }))).toEqual({ filename: 'a\ufffdb' });
  });
});

test.each([
  ['http://inside:8000/files/u1?x=1', '/files/u1?x=1'],
  ['/files/u1', '/files/u1'],
  ['files/u1', '/files/u1'],
  ['//elsewhere/files/u1', '/files/u1'],
])('an address %s is used as %s of this origin', (location, path) => {
  expect(sameOrigin(location, '/files')).toBe(path);
});
