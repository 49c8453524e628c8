// Sends one file by tus 1.0.0: POST, HEAD, PATCH over XMLHttpRequest, which alone reports upload
// progress.
//
// Why not tus-js-client: its retry list, its URL storage and its fingerprints would all have to be
// switched off, since it gives up on 429 and 503, starts again from byte 0 when the HEAD of a
// resume is refused, and does not know folders. What remains of it are these three requests, for 15
// KB. One call of `send` is one attempt; when to try again is the queue's business.
import { parseProblem, parseRetryAfter, Refused, Unreachable } from '$lib/api';

/**
 * A file up to this size travels inside its creation: one request instead of two. Larger ones
 * don't, since an answer lost then would cost the bytes again.
 */
export const INLINE_BYTES_MAX = 256 * 1024;

/** The server no longer knows the upload: expired, deleted, or another data folder. */
export class UploadGone extends Error {
  override name = 'UploadGone';
}

/** The file can't be read (any more): changed, moved or removed since it was picked. */
export class SourceLost extends Error {
  override name = 'SourceLost';
}

export class Aborted extends Error {
  override name = 'Aborted';
}

/** Gave its connection to another tab between two requests. */
export class Yielded extends Error {
  override name = 'Yielded';
}

export interface Created {
  uploadUrl: string;
  deleteUrl: string | null;
  fileId: string | null;
}

export interface Sending {
  endpoint: string;
  file: Blob;
  metadata: Record<string, string>;
  /** Known from an earlier attempt. */
  uploadUrl: string | null;
  /** Most bytes per request. Common proxies cut at 100 MB. */
  chunkBytes: number;
  signal: AbortSignal;
  /** True if the connection is wanted elsewhere: asked between two requests. */
  yields?(): boolean;
  created(upload: Created): void;
  /** Bytes handed to the network, counted from the file's start. */
  sent(offset: number): void;
  /** Bytes that the server has answered for. */
  confirmed(offset: number): void;
}

interface Answer {
  status: number;
  header(name: string): string | null;
  text: string;
}

interface Call {
  method: string;
  url: string;
  headers?: Record<string, string>;
  body?: Blob;
  signal?: AbortSignal;
  progress?(loaded: number): void;
  timeoutMs?: number;
}

export function request(call: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    if (call.signal?.aborted) return reject(new Aborted());
    const xhr = new XMLHttpRequest();
    xhr.open(call.method, call.url);
    xhr.setRequestHeader('Tus-Resumable', '1.0.0');
    for (const [name, value] of Object.entries(call.headers ?? {}))
      xhr.setRequestHeader(name, value);
    if (call.timeoutMs) xhr.timeout = call.timeoutMs;
    const abort = (): void => xhr.abort();
    call.signal?.addEventListener('abort', abort);
    xhr.upload.onprogress = (event) => call.progress?.(event.loaded);
    xhr.onload = () =>
      resolve({
        status: xhr.status,
        header: (name) => xhr.getResponseHeader(name),
        text: xhr.responseText,
      });
    xhr.onerror = () => reject(new Unreachable());
    xhr.ontimeout = () => reject(new Unreachable('timeout'));
    xhr.onabort = () => reject(new Aborted());
    xhr.onloadend = () => call.signal?.removeEventListener('abort', abort);
    xhr.send(call.body ?? null);
  });
}

export async function send(sending: Sending): Promise<void> {
  const { file, signal } = sending;
  let url = sending.uploadUrl;
  let offset: number;
  if (url === null) {
    const made = await create(sending);
    url = made.url;
    offset = made.offset;
  } else {
    offset = await head(url, file.size, signal);
  }
  sending.confirmed(offset);
  while (offset < file.size) {
    if (sending.yields?.()) throw new Yielded();
    const next = await patch(sending, url, offset);
    if (next <= offset) throw new Refused(500, null, null);
    offset = next;
    sending.confirmed(offset);
  }
}

/** Ends an upload and frees what it holds. An upload that is gone already is fine. */
export async function terminate(uploadUrl: string): Promise<void> {
  const answer = await request({ method: 'DELETE', url: uploadUrl, timeoutMs: 15_000 });
  if (answer.status >= 300 && answer.status !== 404 && answer.status !== 410) throw refusal(answer);
}

async function create(sending: Sending): Promise<{ url: string; offset: number }> {
  const { file, signal } = sending;
  const inline = file.size > 0 && file.size <= INLINE_BYTES_MAX;
  const headers: Record<string, string> = {
    'Upload-Length': String(file.size),
    'Upload-Metadata': encodeMetadata(sending.metadata),
  };
  if (inline) headers['Content-Type'] = 'application/offset+octet-stream';
  const answer = await readable(file, () =>
    request({
      method: 'POST',
      url: sending.endpoint,
      headers,
      ...(inline
        ? { body: file, progress: (loaded: number) => sending.sent(loaded) }
        : { timeoutMs: 30_000 }),
      signal,
    }),
  );
  if (answer.status !== 201) throw refusal(answer);
  const location = answer.header('Location');
  if (!location) throw new Refused(answer.status, null, null);
  const url = sameOrigin(location, sending.endpoint);
  const deleteUrl = answer.header('X-Url-Delete');
  sending.created({
    uploadUrl: url,
    deleteUrl: deleteUrl && sameOrigin(deleteUrl, sending.endpoint),
    fileId: answer.header('X-File-Id'),
  });
  return { url, offset: Number(answer.header('Upload-Offset') ?? 0) };
}

async function head(url: string, size: number, signal: AbortSignal): Promise<number> {
  const answer = await request({ method: 'HEAD', url, signal, timeoutMs: 30_000 });
  if (answer.status === 404 || answer.status === 410 || answer.status === 403)
    throw new UploadGone();
  if (answer.status >= 300) throw refusal(answer);
  const offset = Number(answer.header('Upload-Offset') ?? Number.NaN);
  const length = answer.header('Upload-Length');
  if (!Number.isSafeInteger(offset) || (length !== null && Number(length) !== size))
    throw new UploadGone();
  return offset;
}

async function patch(sending: Sending, url: string, offset: number): Promise<number> {
  const { file, signal } = sending;
  const answer = await readable(file, () =>
    request({
      method: 'PATCH',
      url,
      headers: {
        'Content-Type': 'application/offset+octet-stream',
        'Upload-Offset': String(offset),
      },
      body: file.slice(offset, Math.min(file.size, offset + sending.chunkBytes)),
      progress: (loaded) => sending.sent(offset + loaded),
      signal,
    }),
  );
  if (answer.status === 404 || answer.status === 410) throw new UploadGone();
  // Another request had moved the offset: ask where it stands and go on from there.
  if (answer.status === 409) return head(url, file.size, signal);
  if (answer.status >= 300) throw refusal(answer);
  const next = Number(answer.header('Upload-Offset') ?? Number.NaN);
  return Number.isSafeInteger(next) ? next : head(url, file.size, signal);
}

/**
 * A file that has vanished looks like a lost network to XMLHttpRequest; reading one byte tells them
 * apart.
 */
async function readable<T>(file: Blob, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof Unreachable && file.size > 0) {
      try {
        await file.slice(0, 1).arrayBuffer();
      } catch {
        throw new SourceLost();
      }
    }
    throw error;
  }
}

function refusal(answer: Answer): Refused {
  return new Refused(
    answer.status,
    parseProblem(answer.text, answer.header('Content-Type')),
    parseRetryAfter(answer.header('Retry-After')),
  );
}

/**
 * Behind a proxy the server may believe in another scheme or host; the page knows where it was
 * loaded from.
 */
export function sameOrigin(location: string, endpoint: string): string {
  const url = new URL(location, new URL(endpoint, globalThis.location?.href));
  return url.pathname + url.search;
}

export function encodeMetadata(metadata: Record<string, string>): string {
  return Object.entries(metadata)
    .map(([key, value]) => `${key} ${base64(value)}`)
    .join(',');
}

function base64(text: string): string {
  let binary = '';
  // Lone surrogates, which file names on Windows may hold, become U+FFFD here instead of an
  // exception.
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
