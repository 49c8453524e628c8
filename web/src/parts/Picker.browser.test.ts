import { expect, test, vi } from 'vitest';
import { userEvent } from 'vitest/browser';
import type { Intake } from '$upload/intake';
import { draw } from '../../tests/component/draw';
import Picker from './Picker.svelte';

/** Handles as the browser's own window gives them: that window takes no keys of a test. */
async function handles(...names: string[]): Promise<FileSystemHandle[]> {
  const folder = await navigator.storage.getDirectory();
  return Promise.all(
    names.map(async (name) => {
      const handle = await folder.getFileHandle(name, { create: true });
      const stream = await handle.createWritable();
      await stream.write(name);
      await stream.close();
      return handle;
    }),
  );
}
function picker(): Intake[] {
  const taken: Intake[] = [];
  draw(Picker, { take: (intake: Intake) => taken.push(intake) });
  return taken;
}
const focused = (): string | null => document.activeElement?.textContent ?? null;

test('files are chosen by the keyboard alone', async () => {
  const found = await handles('a.txt', 'b.txt');
  vi.stubGlobal('showOpenFilePicker', () => Promise.resolve(found));
  const taken = picker();
  await userEvent.tab();
  expect(focused()).toBe('Select files');
  await userEvent.keyboard('{Enter}');
  await expect.poll(() => taken.length).toBe(1);
  expect(taken[0]!.files.map(({ path, file }) => [path, file.size])).toEqual([
    ['a.txt', 5],
    ['b.txt', 5],
  ]);
  expect(taken[0]!.roots).toEqual(found);
  vi.unstubAllGlobals();
});

test('folders are the next button, and a window that is closed takes nothing', async () => {
  let opened = 0;
  vi.stubGlobal('showDirectoryPicker', () => {
    opened++;
    return Promise.reject(new DOMException('closed', 'AbortError'));
  });
  const taken = picker();
  await userEvent.tab();
  await userEvent.tab();
  expect(focused()).toBe('Select a folder');
  await userEvent.keyboard(' ');
  await expect.poll(() => opened).toBe(1);
  expect(taken).toEqual([]);
  vi.unstubAllGlobals();
});
