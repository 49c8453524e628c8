import { drop, expect, figure, give, link, phase, row, test } from './page';
import { bytesOf, digestAt, fileIn, Road, sha256 } from './server';

const BYTES = 24 << 20;
const RATE = 6 << 20;

test('a pause stops the bytes, and it goes on from there', async ({ page, server }) => {
  const road = await Road.to(server, RATE);
  const bytes = bytesOf(1, BYTES);
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'pause.bin', bytes));
  const address = await link(page);
  await expect.poll(() => figure(page)).toBeGreaterThan(15);
  await row(page, 'pause.bin').getByRole('button', { name: 'Pause pause.bin' }).click();
  await phase(page, 'pause.bin', 'paused');
  await row(page, 'pause.bin').getByRole('button', { name: 'Resume pause.bin' }).click();
  await phase(page, 'pause.bin', 'done');
  expect(await digestAt(address)).toBe(sha256(bytes));
  expect(road.sent, 'what had arrived is not sent again').toBeLessThan(BYTES * 1.6);
  road.remove();
});

test('a cancelled file leaves nothing on the server', async ({ page, server }) => {
  const road = await Road.to(server, RATE);
  await page.goto(road.url);
  await give(page, [
    await fileIn(server.folder, 'gone.bin', bytesOf(1, BYTES)),
    await fileIn(server.folder, 'stays.bin', bytesOf(2, 1 << 20)),
  ]);
  const address = await link(page);
  await expect.poll(() => figure(page)).toBeGreaterThan(10);
  await row(page, 'gone.bin').getByRole('button', { name: 'Cancel gone.bin' }).click();
  await phase(page, 'stays.bin', 'done');
  const share = address.split('/').pop() ?? '';
  await expect
    .poll(async () => (await server.json<{ files: { path: string }[] }>(`/api/v1/shares/${share}`)).files.map((file) => file.path), {
      timeout: 30_000,
    })
    .toEqual(['stays.bin']);
  road.remove();
});

test('a lost network is waited out, and nothing that arrived is sent twice', async ({ page, server }) => {
  const road = await Road.to(server, RATE);
  const bytes = bytesOf(3, BYTES);
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'network.bin', bytes));
  const address = await link(page);
  await expect.poll(() => figure(page)).toBeGreaterThan(20);
  road.cut();
  await expect(page.getByTestId('outage')).toBeVisible();
  road.mend();
  await phase(page, 'network.bin', 'done');
  expect(await digestAt(address.replace(road.url, server.url))).toBe(sha256(bytes));
  expect(road.sent).toBeLessThan(BYTES * 1.6);
  road.remove();
});

test('a server that is killed and started again is continued', async ({ page, server }) => {
  const road = await Road.to(server, RATE);
  const bytes = bytesOf(4, BYTES);
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'killed.bin', bytes));
  const address = await link(page);
  await expect.poll(() => figure(page)).toBeGreaterThan(30);
  await server.kill();
  await expect(page.getByTestId('outage')).toBeVisible();
  await server.run();
  await phase(page, 'killed.bin', 'done');
  expect(await digestAt(address)).toBe(sha256(bytes));
  road.remove();
});

test('after a closed page the same file, given again, continues', async ({ page, server, context }) => {
  const road = await Road.to(server, RATE);
  const bytes = bytesOf(5, BYTES);
  const file = await fileIn(server.folder, 'again.bin', bytes);
  await page.goto(road.url);
  await give(page, file);
  const address = await link(page);
  await expect.poll(() => figure(page)).toBeGreaterThan(40);
  await page.close({ runBeforeUnload: false });
  const sentBefore = road.sent;
  const next = await context.newPage();
  await next.goto(road.url);
  await expect(next.getByTestId('unfinished')).toBeVisible();
  await drop(next, [file]);
  await phase(next, 'again.bin', 'done');
  expect(await link(next)).toBe(address);
  expect(await digestAt(address)).toBe(sha256(bytes));
  expect(road.sent - sentBefore, 'the second page sends the rest only').toBeLessThan(BYTES * 0.9);
  road.remove();
});

test.describe('on a server with little memory for buffers', () => {
  test.use({ flags: ['--uploads-max', '1'] });
  test('who waits sees his place', async ({ page, server }) => {
    const road = await Road.to(server, 2 << 20);
    await page.goto(road.url);
    const files: string[] = [];
    for (let n = 0; n < 3; n++) files.push(await fileIn(server.folder, `wait-${n}.bin`, bytesOf(n, 6 << 20)));
    await give(page, files);
    await expect(page.getByText(/ahead in the server’s queue|Next to be let in/).first()).toBeVisible({ timeout: 30_000 });
    await expect(page.getByTestId('sheet')).toHaveAttribute('data-state', 'done', { timeout: 45_000 });
    road.remove();
  });
});
