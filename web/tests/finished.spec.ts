// What is left to do when an upload is done is to hand on its link; who has the link sees what it
// is, and how far.
import { expect, give, link, phase, row, standstill, test } from './page';
import { bytesOf, fileIn, Road } from './server';

const BYTES = 16 << 20;

test('once all is done the link is what the page is about, and the files fold', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: BYTES / 4 });
  await page.goto(road.url);
  const files = [await fileIn(server.folder, 'large.bin', bytesOf(1, BYTES))];
  for (let n = 0; n < 3; n++)
    files.push(await fileIn(server.folder, `small-${n}.txt`, bytesOf(n, 100)));
  await give(page, files);
  const field = page.getByLabel('Link to these files');
  await standstill(road, server, await link(page));
  const before = (await field.boundingBox())!.height;
  await expect(page.getByTestId('figure')).toBeVisible();
  await expect(page.getByTestId('file')).toHaveCount(4);
  road.release();
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
  expect((await field.boundingBox())!.height).toBeGreaterThan(before);
  await expect(page.getByTestId('figure')).toHaveCount(0);
  await expect(page.getByTestId('share-card').getByRole('progressbar')).toHaveCount(0);
  await expect(page.getByTestId('file')).toHaveCount(0);
  await page.getByRole('button', { name: '4 files uploaded' }).click();
  await expect(page.getByTestId('file')).toHaveCount(4);
  road.remove();
});

test.describe('on a phone', () => {
  test.use({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  test('beside an upload the picker is one button', async ({ page, server }) => {
    await page.goto(server.url);
    await give(page, await fileIn(server.folder, 'a.txt', Buffer.from('a')));
    await phase(page, 'a.txt', 'done');
    await expect(page.getByRole('button', { name: 'New upload' })).toHaveCount(1);
    await expect(page.getByRole('button', { name: 'Select files' })).toHaveCount(0);
    await expect(page.getByText('New upload')).toHaveCount(1);
  });
});

test.describe('on a server with a limit', () => {
  test.use({ flags: ['--file-bytes-max', '10MB'] });
  test('the foot of every page tells limit, space, version, and how to go on', async ({
    page,
    server,
  }) => {
    for (const address of ['/', '/d/aaaaaaaaaaaaaaaaaaaaaaaaaa']) {
      await page.goto(server.url + address);
      const foot = page.getByRole('main').locator('footer').last();
      await expect(foot).toContainText(/Up to 10\.0.MB per file/);
      await expect(foot).toContainText(/\d.[kMGTP]?B free/);
      await expect(foot).toContainText(/Version \d+\.\d+/);
      await foot.getByText('Help').click();
      await expect(foot.getByText(`curl -T file.zip ${server.url}/`)).toBeVisible();
    }
  });
});

test('a receiver with the link sees its name, how far all of it is, and that the sender has gone', async ({
  page,
  server,
  context,
}) => {
  const road = await Road.to(server, { holdAt: BYTES / 4 });
  const sender = await context.newPage();
  await sender.goto(road.url);
  await give(sender, await fileIn(server.folder, 'film.mov', bytesOf(1, BYTES)));
  const address = (await link(sender)).replace(road.url, server.url);
  await standstill(road, server, address);
  await page.goto(address);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('film.mov');
  await expect(page).toHaveTitle('film.mov – DirectDriveX');
  await expect(page.getByRole('progressbar', { name: 'Overall progress' })).toHaveAttribute(
    'aria-valuenow',
    '25',
  );
  await expect(async () => {
    road.holdAt(road.passed + (64 << 10));
    await expect(page.getByTestId('facts')).toContainText(/Uploading, \d+%, .+ left/, {
      timeout: 500,
    });
  }).toPass({ timeout: 20_000 });
  await row(sender, 'film.mov').getByRole('button', { name: 'Pause film.mov' }).click();
  await road.hungUp();
  await expect(page.getByTestId('facts')).toContainText('Sender is paused or offline.');
  road.release();
  await row(sender, 'film.mov').getByRole('button', { name: 'Resume film.mov' }).click();
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'complete');
  await expect(page.getByRole('progressbar')).toHaveCount(0);
  road.remove();
});
