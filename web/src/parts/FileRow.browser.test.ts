import { expect, test } from 'vitest';
import { page, userEvent } from 'vitest/browser';
import type { Item } from '$upload/item.svelte';
import { draw, itemOf } from '../../tests/component/draw';
import FileRow from './FileRow.svelte';

const row = (): HTMLElement => page.getByTestId('file').element() as HTMLElement;
const buttons = (): (string | null)[] =>
  [...row().querySelectorAll<HTMLButtonElement>('button:not(:disabled):not(.none)')].map(
    (one) => one.ariaLabel ?? one.textContent,
  );

test.each<[string, Partial<Item>, string, string[], number | null]>([
  ['waits', { phase: 'queued' }, 'Waiting', ['Pause a.txt', 'Cancel a.txt'], null],
  [
    'waits with a part',
    { phase: 'queued', confirmed: 400 },
    '40% · Waiting',
    ['Pause a.txt', 'Cancel a.txt'],
    40,
  ],
  [
    'is sent',
    { phase: 'sending', confirmed: 250, sent: 300 },
    '25%',
    ['Pause a.txt', 'Cancel a.txt'],
    25,
  ],
  [
    'waits in the server’s queue',
    { phase: 'sending', place: { ahead: 2, waiting: 3, estimate_ms: 30_000 } },
    '2 ahead of you, about 30 s',
    ['Pause a.txt', 'Cancel a.txt'],
    0,
  ],
  [
    'is paused',
    { phase: 'paused', confirmed: 250 },
    'Paused at 25%',
    ['Resume a.txt', 'Cancel a.txt'],
    25,
  ],
  [
    'failed',
    { phase: 'failed', failure: { code: 'gone' } },
    'Not uploaded',
    ['Retry a.txt', 'Cancel a.txt'],
    null,
  ],
  [
    'is too large for ever',
    { phase: 'failed', failure: { code: 'too-large' } },
    'Not uploaded',
    ['Cancel a.txt'],
    null,
  ],
  ['is cancelled', { phase: 'cancelled' }, 'Cancelled', ['Undo'], null],
  ['is being deleted', { phase: 'cancelled', before: 'done' }, 'Deleting…', ['Undo'], null],
  ['is done', { phase: 'done' }, 'Uploaded', ['Delete a.txt from the server'], null],
  [
    'is verified',
    { phase: 'done', check: 'verified' },
    'Uploaded and verified',
    ['Delete a.txt from the server'],
    null,
  ],
  [
    'has another name',
    { phase: 'done', savedAs: 'b.txt' },
    'Uploaded · saved as “b.txt”',
    ['Delete a.txt from the server'],
    null,
  ],
])('a file that %s', async (_, state, label, controls, percent) => {
  draw(FileRow, { item: itemOf('a.txt', state), live: true, inside: false });
  await expect.element(page.getByTestId('file')).toHaveAttribute('data-phase', state.phase);
  expect(row().querySelector('.text')?.textContent).toBe(label);
  expect(buttons()).toEqual(controls);
  expect(row().querySelector('[role=progressbar]')?.ariaValueNow ?? null).toBe(
    percent === null ? null : String(percent),
  );
});

test('what changes of a file is drawn, with nothing to be called for it', async () => {
  const item = itemOf('trip/day 1/a.txt', { phase: 'sending' });
  draw(FileRow, { item, live: true, inside: true });
  await expect.element(page.getByText('Starting…')).toBeVisible();
  await expect.element(page.getByText('day 1/')).toBeVisible();
  item.sent = item.confirmed = 500;
  await expect.element(page.getByText('50%')).toBeVisible();
  item.phase = 'done';
  item.check = 'verified';
  await expect.element(page.getByText('Uploaded and verified')).toBeVisible();
});

test('what no longer moves is told by time alone', async () => {
  const item = itemOf('a.txt', {
    phase: 'sending',
    sent: 500,
    confirmed: 500,
    movedAt: Date.now() - 3_500,
  });
  draw(FileRow, { item, live: true, inside: false });
  await expect
    .element(page.getByText('50% · No data is moving'), { timeout: 15_000 })
    .toBeVisible();
});

test('the buttons do what they say', async () => {
  const item = itemOf('a.txt', { phase: 'queued' });
  draw(FileRow, { item, live: true, inside: false });
  await userEvent.click(page.getByRole('button', { name: 'Pause a.txt' }));
  expect(item.phase).toBe('paused');
  await userEvent.click(page.getByRole('button', { name: 'Resume a.txt' }));
  expect(item.phase).toBe('queued');
  await userEvent.click(page.getByRole('button', { name: 'Cancel a.txt' }));
  expect(item.phase).toBe('cancelled');
  await userEvent.click(page.getByRole('button', { name: 'Undo' }));
  expect(item.phase).toBe('queued');
});
