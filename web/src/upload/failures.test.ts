import { describe, expect, test } from 'vitest';
import { Refused, Unreachable, type Limits, type Problem } from '$lib/api';
import { judge, measure, pauseMs } from './failures';
import { Aborted, SourceLost, UploadGone } from './tus';
import { failureLabel } from './labels';

function refused(
  status: number,
  problem: Partial<Problem> | null = null,
  retryAfterMs: number | null = null,
): Refused {
  return new Refused(
    status,
    problem && { type: 'about:blank', title: '', status, ...problem },
    retryAfterMs,
  );
}

describe('what may pass by itself is not a failure', () => {
  test('no answer means that the connection is down, however often', () => {
    expect(judge(new Unreachable(), 0, 0)).toEqual({ then: 'outage' });
    expect(judge(new Unreachable(), 1_000, 0)).toEqual({ then: 'outage' });
  });

  test.each([502, 504])('a proxy’s %d stands for a server that is away', (status) => {
    expect(judge(refused(status), 0, 0)).toEqual({ then: 'outage' });
  });

  test.each([429, 503])('%d is a wish to wait, for as long as the server says', (status) => {
    expect(judge(refused(status, null, 12_000), 500, 0)).toEqual({ then: 'hold', ms: 12_000 });
    expect(judge(refused(status), 0, 0)).toEqual({ then: 'hold', ms: 5_000 });
  });

  test.each([408, 423, 460, 409, 500, 599])(
    '%d is tried again, and after eight times given up',
    (status) => {
      expect(judge(refused(status), 0, 0)).toEqual({ then: 'again' });
      expect(judge(refused(status), 7, 0)).toEqual({ then: 'again' });
      expect(judge(refused(status), 8, 0)).toMatchObject({
        then: 'fail',
        failure: { code: 'server' },
      });
    },
  );

  test('a share that is gone is made anew; any other 404 is a refusal', () => {
    expect(judge(refused(404, { type: '/errors/share-not-found' }), 0, 0)).toEqual({
      then: 'again',
    });
    expect(judge(refused(404, { type: '/errors/something-else' }), 0, 0)).toMatchObject({
      failure: { code: 'refused' },
    });
  });

  test('an upload that the server lost is started anew, three times', () => {
    for (const restarts of [0, 1, 2])
      expect(judge(new UploadGone(), 0, restarts)).toEqual({ then: 'restart' });
    expect(judge(new UploadGone(), 0, 3)).toEqual({ then: 'fail', failure: { code: 'gone' } });
  });

  test('what was stopped by a person is no error', () => {
    expect(judge(new Aborted(), 100, 100)).toEqual({ then: 'stop' });
  });

  test('an unknown exception is tried again, then told', () => {
    expect(judge(new TypeError('odd'), 0, 0)).toEqual({ then: 'again' });
    expect(judge(new TypeError('odd'), 8, 0)).toMatchObject({
      failure: { code: 'server', detail: expect.stringContaining('odd') },
    });
  });
});

describe('what will not pass', () => {
  test.each([
    [refused(401), 'forbidden'],
    [refused(403), 'forbidden'],
    [refused(413), 'too-large'],
    [refused(507), 'no-space'],
    [refused(409, { type: 'https://ddx/problems/name-taken' }), 'taken'],
    [refused(400), 'refused'],
    [refused(415), 'refused'],
    [refused(422), 'refused'],
    [new SourceLost(), 'source-lost'],
  ])('%s', (error, code) => {
    expect(judge(error, 0, 0)).toMatchObject({ then: 'fail', failure: { code } });
  });

  test('the limit of a 413 is read from its problem', () => {
    expect(judge(refused(413, { limit: 1_048_576, value: 3_000_000 }), 0, 0)).toMatchObject({
      failure: { limitBytes: 1_048_576 },
    });
    expect(judge(refused(507, { limit: 0, value: 3_000_000 }), 0, 0)).toMatchObject({
      failure: { limitBytes: 0 },
    });
    for (const limit of [undefined, 'large', 0, -1, {}]) {
      const verdict = judge(refused(413, { limit: limit as number, value: 3_000_000 }), 0, 0);
      expect(verdict.then === 'fail' && verdict.failure).not.toHaveProperty('limitBytes');
    }
  });

  test('the server’s own words and remedy are kept', () => {
    expect(
      judge(
        refused(422, { title: 'T', detail: 'The name has a slash.', remedy: 'Rename it.' }),
        0,
        0,
      ),
    ).toMatchObject({
      failure: { detail: 'The name has a slash. Rename it.' },
    });
    expect(judge(refused(422, { title: 'Just a title' }), 0, 0)).toMatchObject({
      failure: { detail: 'Just a title' },
    });
  });
});

test('pauses of one file double from half a second to half a minute', () => {
  expect([0, 1, 2, 3, 4, 5, 6, 7, 50].map(pauseMs)).toEqual([
    500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
  ]);
});

describe('at the drop', () => {
  const limits: Limits = {
    file_bytes_max: 1000,
    request_body_bytes_max: 100,
    free_bytes: 5000,
    upload_expires_ms: 86_400_000,
    file_expires_ms: null,
    name_bytes_max: 10,
    version: '1',
  };
  const of = (size: number, name = 'a.txt', more: Partial<Limits> = {}) =>
    measure({ size, name }, { ...limits, ...more });

  test('what fits passes, to the byte', () => {
    expect(of(1000)).toBeNull();
    expect(of(0)).toBeNull();
    expect(of(1001)).toEqual({ code: 'too-large', limitBytes: 1000 });
  });
  test('without a limit of size the free space counts', () => {
    expect(of(5000, 'a', { file_bytes_max: null })).toBeNull();
    expect(of(7501, 'a', { file_bytes_max: null })).toEqual({ code: 'no-space', limitBytes: 5000 });
    expect(of(1, 'a', { file_bytes_max: null, free_bytes: 0 })).toEqual({
      code: 'no-space',
      limitBytes: 0,
    });
    expect(of(2 ** 50, 'a', { file_bytes_max: null, free_bytes: null })).toBeNull();
  });
  test('what may fit is sent, as the free space is told to two binary digits', () => {
    // 8191 bytes are free, of which a stranger is told 6144.
    expect(of(8191, 'a', { file_bytes_max: null, free_bytes: 6144 })).toBeNull();
    // 6143 bytes are free, of which a stranger is told 4096.
    expect(of(6143, 'a', { file_bytes_max: null, free_bytes: 4096 })).toBeNull();
    expect(of(6145, 'a', { file_bytes_max: null, free_bytes: 4096 })).not.toBeNull();
  });
  test('a name is measured in bytes, not in letters', () => {
    expect(of(1, 'éééé.a')).toBeNull();
    expect(of(1, 'ééééé.a')).toEqual({ code: 'name-too-long', limitBytes: 10 });
  });
});

describe('the words for it', () => {
  test('name the limit', () => {
    expect(failureLabel({ code: 'too-large', limitBytes: 1_000_000 })).toBe(
      'Too large (limit 1.00\u00a0MB)',
    );
    expect(failureLabel({ code: 'no-space', limitBytes: 2_000 })).toContain('2.00\u00a0kB');
  });
  test('hold what the server said only where ours are vague', () => {
    expect(failureLabel({ code: 'refused', detail: 'Names may not end in a dot.' })).toBe(
      'Rejected by the server: Names may not end in a dot.',
    );
    expect(
      failureLabel({ code: 'too-large', limitBytes: 5, detail: 'internal words' }),
    ).not.toContain('internal words');
  });
});
