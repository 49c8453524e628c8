import { expect, test } from 'vitest';
import type { ServerFile } from '$lib/api';
import { byPath } from './unfinished.svelte';

const file = (file_id: string, path: string): ServerFile => ({ file_id, path }) as ServerFile;
const upload = (path: string, fileId: string | null) => ({
  shareId: 's',
  path,
  uploadUrl: '',
  deleteUrl: null,
  fileId,
});

test('a file whose name the server has changed is found under the name that it was given here', () => {
  const found = byPath(
    [file('1', 'a_b.txt'), file('2', 'c.txt')],
    [upload('a\u0007b.txt', '1'), upload('c.txt', null)],
  );
  expect(found.get('a\u0007b.txt')?.file_id).toBe('1');
  expect(found.get('c.txt')?.file_id).toBe('2');
  expect(found.get('d.txt')).toBeUndefined();
});
