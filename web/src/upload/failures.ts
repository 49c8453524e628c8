// What an error means for the file it met. The rule: nothing that may pass by itself is shown as a
// failure.
import { Refused, Unreachable, type Limits } from '$lib/api';
import { Aborted, SourceLost, UploadGone, Yielded } from './tus';

export type FailureCode =
  | 'too-large'
  | 'no-space'
  | 'name-too-long'
  | 'source-lost'
  | 'gone'
  | 'taken'
  | 'differs'
  | 'forbidden'
  | 'server'
  | 'refused';

export interface Failure {
  code: FailureCode;
  /** The limit that was met, in bytes, where there is one. */
  limitBytes?: number;
  /** The server's own words, shown where no text of ours says more. */
  detail?: string;
}

export type Verdict =
  /** There is no answer: the connection is down. */
  | { then: 'outage' }
  /** The server asks to wait. */
  | { then: 'hold'; ms: number }
  /** Try this file again after a pause of its own. */
  | { then: 'again' }
  /** Start this file from its first byte. */
  | { then: 'restart' }
  | { then: 'stop' }
  /** Another tab has its turn; this file goes on when it has its own again. */
  | { then: 'yield' }
  | { then: 'fail'; failure: Failure };

/** Trying again changes nothing: the file would have to be another. */
export function isFinal(failure: Failure | null): boolean {
  return failure?.code === 'too-large' || failure?.code === 'name-too-long';
}

/** Name of the problem that answers an upload into a share that is not there. */
export const SHARE_GONE = 'share-not-found';

const AGAIN_MAX = 8;
const RESTART_MAX = 3;
const HOLD_DEFAULT_MS = 5_000;

/** @param tries attempts of this file in a row that brought nothing */
export function judge(error: unknown, tries: number, restarts: number): Verdict {
  if (error instanceof Aborted) return { then: 'stop' };
  if (error instanceof Yielded) return { then: 'yield' };
  if (error instanceof Unreachable) return { then: 'outage' };
  if (error instanceof SourceLost) return fail('source-lost');
  if (error instanceof UploadGone)
    return restarts < RESTART_MAX ? { then: 'restart' } : fail('gone');
  if (error instanceof Refused) return judgeStatus(error, tries);
  return tries < AGAIN_MAX ? { then: 'again' } : fail('server', { detail: String(error) });
}

function judgeStatus(error: Refused, tries: number): Verdict {
  const detail = [error.problem?.detail ?? error.problem?.title, error.problem?.remedy]
    .filter(Boolean)
    .join(' ');
  const said = detail === '' ? {} : { detail };
  switch (error.status) {
    case 429:
    case 503:
      return { then: 'hold', ms: error.retryAfterMs ?? HOLD_DEFAULT_MS };
    case 502:
    case 504:
      // A proxy speaks for a server that is not there.
      return { then: 'outage' };
    case 401:
    case 403:
      return fail('forbidden', said);
    case 413:
      return fail('too-large', { ...said, ...limitOf(error, 1) });
    case 507:
      return fail('no-space', { ...said, ...limitOf(error, 0) });
    case 404:
      // The share went with its last file, or with the server's data. Another one has been asked
      // for.
      if (error.slug === SHARE_GONE) break;
      return fail('refused', said);
    case 409:
      if (error.slug.includes('taken')) return fail('taken', said);
      break;
    case 408:
    case 423:
    case 460:
      break;
    default:
      if (error.status < 500) return fail('refused', said);
  }
  return tries < AGAIN_MAX ? { then: 'again' } : fail('server', said);
}

function fail(code: FailureCode, more: Partial<Failure> = {}): Verdict {
  return { then: 'fail', failure: { code, ...more } };
}

/** The limit that was met, as the server told it. */
function limitOf(error: Refused, least: number): { limitBytes?: number } {
  const limit = error.problem?.limit;
  return typeof limit === 'number' && limit >= least ? { limitBytes: limit } : {};
}

/** Pause before a file's next try: 0.5 s, 1 s … 30 s. */
export function pauseMs(tries: number): number {
  return Math.min(30_000, 500 * 2 ** tries);
}

/** Strangers are told two binary digits of what is free: it is less than half as much again. */
const FREE_FACTOR = 1.5;

/**
 * What can be known to fail before a byte is sent. Of what may fit, the server says whether it
 * does.
 */
export function measure(file: { size: number; name: string }, limits: Limits): Failure | null {
  if (limits.file_bytes_max !== null && file.size > limits.file_bytes_max) {
    return { code: 'too-large', limitBytes: limits.file_bytes_max };
  }
  if (limits.free_bytes !== null && file.size > limits.free_bytes * FREE_FACTOR) {
    return { code: 'no-space', limitBytes: limits.free_bytes };
  }
  if (new TextEncoder().encode(file.name).length > limits.name_bytes_max) {
    return { code: 'name-too-long', limitBytes: limits.name_bytes_max };
  }
  return null;
}
