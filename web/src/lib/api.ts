// The server's JSON surface as the pages use it. Types follow the API document; unknown fields are
// ignored.
import { at, encodePath } from './base';

/** Where an upload stands in the server's queue. */
export interface Place {
  /** Uploads that will be let in before this one. */
  ahead: number;
  /** All that wait. */
  waiting: number;
  estimate_ms: number;
}

export type FileState = 'receiving' | 'joining' | 'complete' | 'failed';

export interface ServerFile {
  file_id: string;
  /** Unique inside its share, folders separated by slashes. */
  path: string;
  name: string;
  size_bytes: number | null;
  received_bytes: number;
  state: FileState;
  content_type: string | null;
  /** Lower-case hex. */
  blake3: string | null;
  sha256: string | null;
  /** CRC-64/NVME of the whole file, 16 lower-case hex digits. */
  crc64: string | null;
  created_at: number;
  completed_at: number | null;
  expires_at: number | null;
  link: string;
  rate_bytes_per_second: number | null;
  waiting: Place | null;
}

export interface ServerShare {
  share_id: string;
  link: string;
  created_at: number;
  files: ServerFile[];
  /** A share of more files than one answer holds goes on after this path. */
  next?: string | null;
}

export interface NewShare {
  share_id: string;
  share_key: string;
  link: string;
}

export interface Limits {
  file_bytes_max: number | null;
  request_body_bytes_max: number;
  /** Exact for operators; for others at most a third is missing. */
  free_bytes: number | null;
  upload_expires_ms: number | null;
  file_expires_ms: number | null;
  name_bytes_max: number;
  version: string;
}

/** RFC 9457, with the three members that every refusal of this server has. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  /** What was met. */
  limit?: unknown;
  /** What met it. */
  value?: unknown;
  remedy?: string;
}

/** The server answered, and the answer is no. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem | null,
    /** From Retry-After. */
    readonly retryAfterMs: number | null,
  ) {
    super(problem?.title ?? `HTTP ${status}`);
    this.name = 'Refused';
  }

  /** The last segment of the problem's type, such as `no-space`; empty if there is none. */
  get slug(): string {
    return this.problem?.type.split('/').pop() ?? '';
  }
}

/** There was no answer: no network, no server, or a connection cut in between. */
export class Unreachable extends Error {
  constructor(message = 'no answer') {
    super(message);
    this.name = 'Unreachable';
  }
}

export function parseProblem(text: string, contentType: string | null): Problem | null {
  if (!contentType?.includes('json')) return null;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return null;
    const problem = value as Partial<Problem>;
    return {
      ...problem,
      type: String(problem.type ?? 'about:blank'),
      title: String(problem.title ?? ''),
      status: Number(problem.status ?? 0),
    };
  } catch {
    return null;
  }
}

/** Seconds or an HTTP date, as milliseconds from now; null if there is none. */
export function parseRetryAfter(value: string | null, now = Date.now()): number | null {
  if (!value) return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

declare global {
  interface Window {
    /** A request that was begun before the bundle was here, by public/assets/first-v1.js. */
    ddxFirst?: { path: string; answer: Promise<Response> } | undefined;
  }
}

/** The answer to it, once; null if it was for another path. */
function begun(method: string, path: string): Promise<Response> | null {
  const first = globalThis.window?.ddxFirst;
  if (!first || method !== 'GET' || first.path !== path) return null;
  window.ddxFirst = undefined;
  return first.answer;
}

async function call<T>(method: string, path: string, timeoutMs = 15_000): Promise<T> {
  let answer: Response;
  let text: string;
  try {
    answer = await (begun(method, path) ??
      fetch(at(path), {
        method,
        headers: { Accept: 'application/json' },
        signal: AbortSignal.timeout(timeoutMs),
        cache: 'no-store',
      }));
    text = await answer.text();
  } catch (error) {
    throw new Unreachable(String(error));
  }
  if (!answer.ok) {
    throw new Refused(
      answer.status,
      parseProblem(text, answer.headers.get('content-type')),
      parseRetryAfter(answer.headers.get('retry-after')),
    );
  }
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** A thousand files over a slow mobile network. */
const LIST_WITHIN_MS = 60_000;

export const api = {
  limits: () => call<Limits>('GET', '/api/v1/limits'),
  createShare: () => call<NewShare>('POST', '/api/v1/shares'),
  /** A share's files, answer by answer. */
  async *pages(id: string): AsyncGenerator<ServerShare> {
    let share = await call<ServerShare>('GET', `/api/v1/shares/${id}`, LIST_WITHIN_MS);
    yield share;
    for (let next = share.next; next; next = share.next === next ? null : share.next) {
      share = await call<ServerShare>(
        'GET',
        `/api/v1/shares/${id}?after=${encodeURIComponent(next)}`,
        LIST_WITHIN_MS,
      );
      yield share;
    }
  },
  /** The share with all its files, however many answers that takes. */
  async share(id: string): Promise<ServerShare> {
    let whole: ServerShare | null = null;
    for await (const page of api.pages(id)) {
      if (whole) whole.files.push(...page.files);
      else whole = page;
    }
    return whole!;
  },
  /** True if the server answers and takes requests. Any answer but a gateway's own error counts. */
  async ready(): Promise<boolean> {
    try {
      const answer = await fetch(at('/readyz'), {
        cache: 'no-store',
        signal: AbortSignal.timeout(8_000),
      });
      return answer.status < 500;
    } catch {
      return false;
    }
  },
};

export function sharePath(shareId: string): string {
  return at(`/d/${shareId}`);
}

/** Address of a file's bytes, on this origin. */
export function bytesPath(shareId: string, path: string, download = false): string {
  return at(`/d/${shareId}/${encodePath(path)}`) + (download ? '?download=1' : '');
}
