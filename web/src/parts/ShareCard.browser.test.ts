import { expect, test } from 'vitest';
import { page, userEvent } from 'vitest/browser';
import type { Item } from '$upload/item.svelte';
import type { Share } from '$upload/share.svelte';
import { draw, shareOf, uploadsOf } from '../../tests/component/draw';
import ShareCard from './ShareCard.svelte';

function card(paths: readonly string[]): Share {
  const share = shareOf(paths);
  draw(ShareCard, { share, take: () => undefined }, uploadsOf(share));
  return share;
}
function made(share: Share): void {
  share.id = 's';
  share.link = 'http://ddx.test/d/s';
}
const headline = (text: string): Promise<unknown> =>
  expect.element(page.getByRole('heading', { level: 2 })).toHaveTextContent(text);
const state = (name: string): Promise<unknown> =>
  expect.element(page.getByTestId('share-card')).toHaveAttribute('data-state', name);

test('a share goes from its link to its end, with nothing to be called for it', async () => {
  const share = card(['a.txt', 'b.txt']);
  const [a, b] = share.items as [Item, Item];
  await state('preparing');
  await headline('Creating link…');
  made(share);
  await state('sending');
  await expect
    .element(page.getByLabelText('Link to these files'))
    .toHaveValue('http://ddx.test/d/s');
  a.phase = 'done';
  b.phase = 'sending';
  b.movedAt = Date.now();
  b.sent = b.confirmed = 500;
  await headline('Uploading');
  await expect.element(page.getByTestId('figure')).toHaveTextContent('75%');
  await userEvent.click(page.getByRole('button', { name: 'Pause all' }));
  await state('paused');
  await expect.element(page.getByRole('button', { name: 'Resume', exact: true })).toBeVisible();
  b.phase = 'done';
  await headline('Uploaded');
  a.check = b.check = 'verified';
  await headline('Uploaded and verified');
  await state('done');
});

test('what failed is told above the list, and the rest is whole', async () => {
  const share = card(['a.txt', 'b.txt']);
  made(share);
  const [a, b] = share.items as [Item, Item];
  a.phase = 'done';
  b.phase = 'failed';
  b.failure = { code: 'taken' };
  await state('failed');
  await headline('1 file was not uploaded');
  await expect
    .element(page.getByTestId('failures'))
    .toHaveTextContent('A file with this name already exists under this link');
});

test('of which all was taken out tells so, and offers no link', async () => {
  const share = card(['a.txt']);
  made(share);
  await userEvent.click(page.getByRole('button', { name: 'Cancel all' }));
  await state('empty');
  await headline('Cancelled');
  expect(page.getByLabelText('Link to these files').elements()).toHaveLength(0);
});

test('a server that is away is told at once', async () => {
  const share = shareOf(['a.txt']);
  made(share);
  const uploads = uploadsOf(share);
  draw(ShareCard, { share, take: () => undefined }, uploads);
  await headline('Uploading');
  uploads.connection.state = 'down';
  await headline('Waiting for the server');
});

test('a folder is one row that opens', async () => {
  const share = card(['trip/a.txt', 'trip/b.txt']);
  await expect.element(page.getByTestId('group')).toHaveTextContent('0 of 2 files · 0%');
  share.items[0]!.phase = 'done';
  await expect.element(page.getByTestId('group')).toHaveTextContent('1 of 2 files · 50%');
  expect(page.getByTestId('file').elements()).toHaveLength(0);
  await userEvent.click(page.getByRole('button', { name: 'trip, 2 files' }));
  await expect.poll(() => page.getByTestId('file').elements().length).toBe(2);
});

test(
  '20,000 files are a card with a few rows, and one that ends is drawn at once',
  { timeout: 60_000 },
  async () => {
    const share = card(Array.from({ length: 20_000 }, (_, n) => `f${n}`));
    made(share);
    await expect.element(page.getByTestId('share-card')).toHaveTextContent('0 of 20,000 files');
    expect(page.getByTestId('file').elements().length).toBeLessThan(100);
    share.items[17_777]!.phase = 'done';
    await expect.element(page.getByTestId('share-card')).toHaveTextContent('1 of 20,000 files');
  },
);
