import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { quoted } from './shell';

test.each([
  'plain.txt',
  "it's.txt",
  "'; rm -rf / #",
  '$(id) `id` "x" \\',
  "''",
  '',
  'two words',
  'été 👩‍🚀',
  '-o',
  '!x',
  'a\nb',
])('a shell reads %j as one word, and runs none of it', (name) => {
  expect(
    execFileSync('/bin/sh', ['-c', `printf '%s|' ${quoted(name)} end`], { encoding: 'utf8' }),
  ).toBe(`${name}|end|`);
});
