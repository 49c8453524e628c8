// What the page says of an upload is so at that moment: speed, time left, what was deleted, what
// can't be sent.
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  expect,
  figure,
  give,
  hearing,
  link,
  phase,
  row,
  standstill,
  test,
  undoIsOver,
} from './page';
import { bytesOf, fileIn, Road } from './server';

const BYTES = 16 << 20;
const QUARTER = BYTES / 4;

test('a line that stalls shows no speed and no time left, and both come back', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await hearing(page);
  await page.clock.install();
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'stalls.bin', bytesOf(1, BYTES)));
  await standstill(road, server, await link(page));
  await expect.poll(() => figure(page)).toBe(25);
  await page.clock.fastForward(2_500);
  road.holdAt(QUARTER + (1 << 20));
  const sheet = page.getByTestId('share-card');
  await expect(sheet).toContainText(/B\/s/);
  await page.clock.fastForward(6_000);
  await expect(sheet).not.toContainText(/B\/s/);
  await expect(row(page, 'stalls.bin')).toContainText('No data is moving');
  road.holdAt(2 * QUARTER);
  await expect(row(page, 'stalls.bin')).not.toContainText('No data is moving');
  road.release();
  await phase(page, 'stalls.bin', 'done');
  road.remove();
});

test('the second upload of a visit does not inherit the time of the first', async ({
  page,
  server,
}) => {
  const road = await Road.to(server);
  await hearing(page);
  await page.clock.install();
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'first.bin', bytesOf(1, BYTES)));
  await phase(page, 'first.bin', 'done');
  await page.clock.fastForward(3_600_000);
  road.holdAt(BYTES + QUARTER);
  await give(page, await fileIn(server.folder, 'second.bin', bytesOf(2, BYTES)));
  await road.held();
  await expect.poll(() => figure(page)).toBe(25);
  await page.clock.fastForward(2_500);
  road.holdAt(BYTES + 2 * QUARTER);
  const sheet = page.getByTestId('share-card').first();
  await expect(sheet).toContainText(/B\/s/);
  await expect(sheet).not.toContainText(/\d (min|h|day)/);
  road.release();
  await phase(page, 'second.bin', 'done');
  road.remove();
});

test('what was deleted is not said to be under way, nor to be all here', async ({
  page,
  server,
}) => {
  await page.clock.install();
  await page.goto(server.url);
  await give(page, await fileIn(server.folder, 'gone.txt', Buffer.from('x')));
  await phase(page, 'gone.txt', 'done');
  const address = await link(page);
  await row(page, 'gone.txt').getByRole('button', { name: 'Delete gone.txt' }).click();
  const sheet = page.getByTestId('share-card');
  await expect(sheet).toHaveAttribute('data-state', 'empty');
  await expect(sheet.getByRole('heading', { level: 2 })).toHaveText('Deleting…');
  await expect(sheet.getByTestId('figure')).toHaveCount(0);
  await expect(sheet.getByRole('progressbar')).toHaveCount(0);
  await expect(sheet.getByLabel('Link to these files')).toHaveCount(0);
  await expect(row(page, 'gone.txt').locator('.good')).toHaveCount(0);
  await undoIsOver(page);
  await expect(sheet).toHaveCount(0);
  await expect
    .poll(async () => (await fetch(address, { headers: { accept: '*/*' } })).status)
    .toBe(404);
});

test('a delete is carried out also if the page closes before its five seconds are over', async ({
  page,
  server,
}) => {
  await page.goto(server.url);
  await give(page, await fileIn(server.folder, 'closes.txt', Buffer.from('x')));
  await phase(page, 'closes.txt', 'done');
  const address = await link(page);
  await row(page, 'closes.txt').getByRole('button', { name: 'Delete closes.txt' }).click();
  await phase(page, 'closes.txt', 'cancelled');
  await page.close({ runBeforeUnload: true });
  await expect
    .poll(async () => (await fetch(address, { headers: { accept: '*/*' } })).status)
    .toBe(404);
});

test('a delete that finds no server is made as soon as there is one', async ({ page, server }) => {
  await page.clock.install();
  await page.goto(server.url);
  await give(page, await fileIn(server.folder, 'later.txt', Buffer.from('x')));
  await phase(page, 'later.txt', 'done');
  const address = await link(page);
  await row(page, 'later.txt').getByRole('button', { name: 'Delete later.txt' }).click();
  await phase(page, 'later.txt', 'cancelled');
  await server.kill();
  await undoIsOver(page);
  await server.run();
  await expect
    .poll(async () => {
      await page.clock.fastForward(1_000);
      return (await fetch(address, { headers: { accept: '*/*' } })).status;
    })
    .toBe(404);
});

test('an open page of a link notices that a file was deleted, and that the last one was', async ({
  page,
  server,
  context,
}) => {
  const sender = await context.newPage();
  await sender.clock.install();
  await sender.goto(server.url);
  await give(sender, [
    await fileIn(server.folder, 'one.txt', Buffer.from('1')),
    await fileIn(server.folder, 'two.txt', Buffer.from('2')),
  ]);
  await phase(sender, 'one.txt', 'done');
  await phase(sender, 'two.txt', 'done');
  const address = await link(sender);
  await page.goto(address);
  await expect(page.getByTestId('file')).toHaveCount(2);
  for (const left of [1, 0]) {
    const name = left === 1 ? 'one.txt' : 'two.txt';
    await row(sender, name)
      .getByRole('button', { name: `Delete ${name}` })
      .click();
    await phase(sender, name, 'cancelled');
    await undoIsOver(sender);
    await page.bringToFront();
    await expect(page.getByTestId('file')).toHaveCount(left);
    await sender.bringToFront();
  }
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(
    'This link has expired or doesn’t exist.',
  );
});

test.describe('on a server with a limit', () => {
  test.use({ flags: ['--file-bytes-max', '10MB', '--file-expires', '6h'] });

  test('a file that is too large is told once, with the limit, and promises nothing', async ({
    page,
    server,
  }) => {
    await page.goto(server.url);
    await expect(page.getByText('Kept for 6 hours')).toBeVisible();
    await give(page, await fileIn(server.folder, 'large.bin', bytesOf(1, 12_000_000)));
    await phase(page, 'large.bin', 'failed');
    const sheet = page.getByTestId('share-card');
    await expect(sheet.getByText(/Too large \(limit 10\.0.MB\)/)).toHaveCount(1);
    await expect(sheet.getByTestId('figure')).toHaveCount(0);
    await expect(sheet.getByRole('progressbar')).toHaveCount(0);
    await expect(sheet).not.toContainText(/link/i);
  });

  test('when the rest is there, what failed is not part of a full green bar', async ({
    page,
    server,
  }) => {
    await page.goto(server.url);
    await give(page, [
      await fileIn(server.folder, 'large.bin', bytesOf(1, 12_000_000)),
      await fileIn(server.folder, 'small.txt', Buffer.from('s')),
    ]);
    await phase(page, 'small.txt', 'done');
    const sheet = page.getByTestId('share-card');
    await expect(sheet).toHaveAttribute('data-state', 'failed');
    await expect(sheet).toContainText('1 of 2 files');
    await expect(sheet.getByTestId('figure')).toHaveCount(0);
    await expect(sheet.getByRole('progressbar')).toHaveCount(0);
    await expect(sheet.getByLabel('Link to these files')).toHaveCount(1);
  });

  test('a limit that the page did not know is that of the refusal, not the size of the file', async ({
    page,
    server,
  }) => {
    await page.route('**/api/v1/limits', (route) => route.abort());
    await page.goto(server.url);
    await give(page, await fileIn(server.folder, 'large.bin', bytesOf(1, 12_000_000)));
    await phase(page, 'large.bin', 'failed');
    await expect(page.getByTestId('failures')).toContainText(/Too large \(limit 10\.0.MB\)/);
    await expect(page.getByLabel('Link to these files')).toHaveCount(0);
  });
});

test('another file than the ones asked for is not published under a new link', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'half.bin', bytesOf(1, BYTES)));
  await standstill(road, server, await link(page));
  await page.reload();
  await road.hungUp();
  road.release();
  const asked = page.getByTestId('unfinished');
  await asked
    .getByLabel('Files to upload')
    .setInputFiles(await fileIn(server.folder, 'private.txt', Buffer.from('secret')));
  await expect(asked).toContainText('These are not the files of this upload.');
  await expect(page.getByTestId('share-card')).toHaveCount(0);
  await asked
    .getByLabel('Files to upload')
    .setInputFiles(
      await Promise.all([
        fileIn(server.folder, 'private.txt', Buffer.from('secret')),
        Promise.resolve(`${server.folder}/half.bin`),
      ]),
    );
  await phase(page, 'half.bin', 'done');
  await expect(page.getByTestId('share-card')).toHaveCount(1);
  await expect(page.getByTestId('note')).toContainText('1 other file was not uploaded');
  road.remove();
});

test('a file whose name the server changes is verified, and says what it is called there', async ({
  page,
  server,
}) => {
  await page.goto(server.url);
  const odd = { name: 'a\u202eb.txt', mimeType: 'text/plain', buffer: Buffer.from('x') };
  await page
    .getByLabel('Files to upload')
    .first()
    .setInputFiles([odd, { ...odd, name: 'plain.txt' }]);
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
  await expect(page.getByTestId('file').filter({ hasText: 'saved as' })).toContainText('erified');
  await expect(page.getByRole('heading', { level: 2 })).toContainText('verified');
});

test('names from right to left keep their order, and short names have no gap', async ({
  page,
  server,
}) => {
  await page.goto(server.url);
  const names = ['דוח שנתי סופי.pdf', 'تقرير.docx', 'a.txt'];
  await page
    .getByLabel('Files to upload')
    .first()
    .setInputFiles(names.map((name) => ({ name, mimeType: '', buffer: Buffer.from('x') })));
  for (const name of names) await phase(page, name, 'done');
  await page.goto(await link(page));
  await expect(page.getByTestId('file')).toHaveCount(names.length);
  for (const name of names) {
    const parts = page.getByTestId('file').filter({ hasText: name }).locator('.name bdi');
    const boxes = await parts.evaluateAll((all) =>
      all.map((one) => ({
        text: one.textContent,
        left: one.getBoundingClientRect().left,
        right: one.getBoundingClientRect().right,
        scroll: one.scrollWidth - one.clientWidth,
      })),
    );
    expect(boxes.map((one) => one.text).join('')).toBe(name);
    expect(boxes.every((one) => one.scroll <= 0)).toBe(true);
    // One part stands right where the other ends.
    for (let n = 1; n < boxes.length; n++)
      expect(Math.abs(boxes[n]!.left - boxes[n - 1]!.right)).toBeLessThan(1);
  }
});

test('a file that is damaged says so to whoever looks for it', async ({ page, server }) => {
  const sent = await fetch(`${server.url}/broken.bin`, {
    method: 'PUT',
    body: new Uint8Array(bytesOf(1, 1 << 20)),
  });
  const address = (await sent.text()).trim();
  await server.kill();
  const segments = path.join(server.folder, 'data', 'segments');
  const found = (await readdir(segments, { recursive: true, withFileTypes: true })).filter((one) =>
    one.isFile(),
  );
  expect(found).not.toEqual([]);
  for (const one of found) await rm(path.join(one.parentPath, one.name));
  await server.run();
  await page.goto(address);
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'failed');
  await expect(page.getByTestId('file')).toContainText(
    'Can’t be downloaded: the file is damaged on the server',
  );
});

test('a line that stalls is no upload under way to whoever waits for it', async ({
  page,
  server,
  context,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  const sender = await context.newPage();
  await sender.goto(road.url);
  await give(sender, await fileIn(server.folder, 'half.bin', bytesOf(1, BYTES)));
  const address = (await link(sender)).replace(road.url, server.url);
  await page.goto(address);
  await standstill(road, server, address);
  await expect(async () => {
    road.holdAt(road.passed + (64 << 10));
    await expect(page.getByTestId('facts')).toContainText(/Uploading, \d+%, .+ left/, {
      timeout: 500,
    });
  }).toPass({ timeout: 20_000 });
  // Its connection stands, so the server has no news of it.
  await expect(page.getByTestId('facts')).toContainText('Sender’s connection has stalled.');
  await expect(page.getByTestId('file')).toContainText('Sender’s connection has stalled.');
  await expect(page.getByTestId('file')).not.toContainText('left');
  road.remove();
});
