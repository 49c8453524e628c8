import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { drop, expect, give, link, phase, row, test } from './page';
import { bytesOf, digestAt, fileIn, sha256, type Server } from './server';

interface Share {
  files: { path: string; size_bytes: number; state: string }[];
}

async function shareOf(server: Server, address: string): Promise<Share> {
  return server.json<Share>(`/api/v1/shares/${address.split('/').pop() ?? ''}`);
}

test('a picked file has its link at once and arrives whole', async ({ page, server }) => {
  const bytes = bytesOf(1, 30 << 20);
  const file = await fileIn(server.folder, 'holiday film.mp4', bytes);
  await page.goto(server.url);
  await expect(page.getByText('Drop files here.')).toBeVisible();
  await give(page, file);
  const address = await link(page);
  await phase(page, 'holiday film.mp4', 'done');
  expect(await digestAt(address)).toBe(sha256(bytes));
  await expect(row(page, 'holiday film.mp4')).toContainText('Uploaded and verified');
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
});

test('dropped files and folders become one link with all of them', async ({ page, server }) => {
  const folder = path.join(server.folder, 'trip', 'day 1');
  await mkdir(folder, { recursive: true });
  await fileIn(folder, 'été.txt', bytesOf(2, 1000));
  await fileIn(path.join(server.folder, 'trip'), 'map.png', bytesOf(3, 200_000));
  await fileIn(path.join(server.folder, 'trip'), '.DS_Store', bytesOf(4, 10));
  const single = await fileIn(server.folder, 'note.txt', Buffer.from('hello'));
  await page.goto(server.url);
  await drop(page, [path.join(server.folder, 'trip'), single]);
  const address = await link(page);
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
  const { files } = await shareOf(server, address);
  expect(files.map((file) => file.path).sort()).toEqual(
    ['note.txt', 'trip/day 1/été.txt', 'trip/map.png'].sort(),
  );
  expect(files.every((file) => file.state === 'complete')).toBe(true);
  // A folder is one row with its count, and opens.
  await expect(page.getByTestId('group')).toContainText('2 files · Uploaded and verified');
  await expect(page.getByTestId('file')).toHaveCount(1);
  await page.getByRole('button', { name: 'trip, 2 files' }).click();
  await expect(page.getByTestId('file')).toHaveCount(3);
  await expect(page.getByTestId('note')).toContainText('Skipped 1 system file');
});

test('what is pasted is sent', async ({ page, server }) => {
  await page.goto(server.url);
  await page.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File(['from the clipboard'], 'pasted.txt', { type: 'text/plain' }));
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
  });
  const address = await link(page);
  await phase(page, 'pasted.txt', 'done');
  expect(await (await fetch(address, { headers: { accept: '*/*' } })).text()).toBe(
    'from the clipboard',
  );
});

test('the link is copied with one click, and shown as a code', async ({
  page,
  server,
  context,
}) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.goto(server.url);
  await give(page, await fileIn(server.folder, 'a.txt', Buffer.from('a')));
  const address = await link(page);
  await page.getByRole('button', { name: 'Copy link' }).click();
  await expect(page.getByText('Copied', { exact: true })).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(address);
  // By hand it is as whole, scheme and all.
  await expect(page.getByLabel('Link to these files')).toHaveValue(address);
  await page.getByRole('button', { name: 'QR code' }).click();
  await expect(page.getByRole('dialog').getByTestId('qr')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toBeHidden();
});

test('an empty file is a file', async ({ page, server }) => {
  await page.goto(server.url);
  await give(page, await fileIn(server.folder, 'empty.bin', Buffer.alloc(0)));
  const address = await link(page);
  await phase(page, 'empty.bin', 'done');
  expect(await digestAt(address)).toBe(sha256(Buffer.alloc(0)));
});

test('two hundred small files are one link', async ({ page, server }) => {
  const files: string[] = [];
  for (let n = 0; n < 200; n++)
    files.push(await fileIn(server.folder, `small-${n}.txt`, bytesOf(n, 100 + n)));
  await page.goto(server.url);
  await give(page, files);
  const address = await link(page);
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done', {
    timeout: 45_000,
  });
  const share = await shareOf(server, address);
  expect(share.files.filter((file) => file.state === 'complete')).toHaveLength(200);
  // What is done folds into one row, which opens.
  await expect(page.getByTestId('group')).toContainText('200 files uploaded');
  await expect(page.getByTestId('file')).toHaveCount(0);
  await page.getByTestId('group').getByRole('button').first().click();
  await expect(row(page, 'small-0.txt')).toContainText('Uploaded and verified');
});

test.describe('below a prefix', () => {
  test.use({ flags: ['--path-prefix', '/box/up'] });
  test('the page sends, and its link shows the file', async ({ page, server }) => {
    const bytes = bytesOf(15, 300_000);
    const file = await fileIn(server.folder, 'boxed.bin', bytes);
    await page.goto(`${server.url}/box/up/`);
    await give(page, file);
    const address = await link(page);
    expect(address).toContain(`${server.url}/box/up/d/`);
    await phase(page, 'boxed.bin', 'done');
    expect(await digestAt(address)).toBe(sha256(bytes));
    await page.goto(address);
    await expect(page.getByTestId('file')).toContainText('boxed.bin');
  });
});

test.describe('on a server with a limit', () => {
  test.use({ flags: ['--file-bytes-max', '1MiB'] });
  test('a file that is too large says so, and the others go on', async ({ page, server }) => {
    await page.goto(server.url);
    await expect(page.getByText('Up to 1')).toBeVisible();
    await give(page, [
      await fileIn(server.folder, 'large.bin', bytesOf(1, 2 << 20)),
      await fileIn(server.folder, 'small.bin', bytesOf(2, 1000)),
    ]);
    await phase(page, 'small.bin', 'done');
    await expect(page.getByTestId('failures')).toContainText('Too large (limit');
  });
});
