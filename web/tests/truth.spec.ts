// What the page says of an upload is so at that moment: speed, time left, what was deleted, what can't be sent.
import { expect, figure, give, hearing, link, phase, row, standstill, test } from './page';
import { bytesOf, fileIn, Road } from './server';

const BYTES = 16 << 20;
const QUARTER = BYTES / 4;

test('a line that stalls shows no speed and no time left, and both come back', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await hearing(page);
  await page.clock.install();
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'stalls.bin', bytesOf(1, BYTES)));
  await standstill(road, server, await link(page));
  await page.clock.fastForward(2_500);
  road.holdAt(QUARTER + (1 << 20));
  const sheet = page.getByTestId('sheet');
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

test('the second upload of a visit does not inherit the time of the first', async ({ page, server }) => {
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
  const sheet = page.getByTestId('sheet').first();
  await expect(sheet).toContainText(/B\/s/);
  await expect(sheet).not.toContainText(/\d (min|h|day)/);
  road.release();
  await phase(page, 'second.bin', 'done');
  road.remove();
});
