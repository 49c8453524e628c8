import {
  drop,
  expect,
  figure,
  give,
  hearing,
  link,
  patches,
  phase,
  row,
  standstill,
  test,
  undoIsOver,
} from './page';
import { bytesOf, digestAt, fileIn, Road, sha256 } from './server';

interface Files {
  files: { path: string }[];
}
const filesOf = (address: string): string => `/api/v1/shares/${address.split('/').pop() ?? ''}`;

const BYTES = 16 << 20;
const QUARTER = BYTES / 4;

test('a pause stops the bytes, and it goes on from there', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  const bytes = bytesOf(1, BYTES);
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'pause.bin', bytes));
  const address = await link(page);
  await standstill(road, server, address);
  await row(page, 'pause.bin').getByRole('button', { name: 'Pause pause.bin' }).click();
  await phase(page, 'pause.bin', 'paused');
  await road.hungUp();
  road.release();
  await row(page, 'pause.bin').getByRole('button', { name: 'Resume pause.bin' }).click();
  await phase(page, 'pause.bin', 'done');
  expect(await digestAt(address)).toBe(sha256(bytes));
  expect(road.passed, 'what had arrived is not sent again').toBe(BYTES);
  road.remove();
});

test('a cancelled file leaves nothing on the server', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await page.clock.install();
  await page.goto(road.url);
  await give(page, [
    await fileIn(server.folder, 'gone.bin', bytesOf(1, BYTES)),
    await fileIn(server.folder, 'stays.bin', bytesOf(2, 1 << 20)),
  ]);
  const address = await link(page);
  await standstill(road, server, address);
  await row(page, 'gone.bin').getByRole('button', { name: 'Cancel gone.bin' }).click();
  await phase(page, 'gone.bin', 'cancelled');
  road.release();
  await phase(page, 'stays.bin', 'done');
  await undoIsOver(page);
  await expect
    .poll(async () => (await server.json<Files>(filesOf(address))).files.map((file) => file.path), {
      timeout: 30_000,
    })
    .toEqual(['stays.bin']);
  road.remove();
});

test('a lost network is waited out, and nothing that arrived is sent twice', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  const bytes = bytesOf(3, BYTES);
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'network.bin', bytes));
  const address = await link(page);
  await standstill(road, server, address.replace(road.url, server.url));
  road.cut();
  await expect(page.getByTestId('outage')).toBeVisible();
  road.release();
  road.mend();
  await phase(page, 'network.bin', 'done');
  expect(await digestAt(address.replace(road.url, server.url))).toBe(sha256(bytes));
  expect(road.passed).toBe(BYTES);
  road.remove();
});

test('a server that is killed and started again is continued', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  const bytes = bytesOf(4, BYTES);
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'killed.bin', bytes));
  const address = await link(page);
  await standstill(road, server, address);
  await server.kill();
  await expect(page.getByTestId('outage')).toBeVisible();
  road.release();
  await server.run();
  await phase(page, 'killed.bin', 'done');
  expect(await digestAt(address)).toBe(sha256(bytes));
  road.remove();
});

test('a server that comes back with nothing is sent everything again, under a new link', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  const bytes = bytesOf(11, BYTES);
  await page.goto(road.url);
  await give(page, [
    await fileIn(server.folder, 'first.txt', Buffer.from('first')),
    await fileIn(server.folder, 'second.bin', bytes),
  ]);
  await phase(page, 'first.txt', 'done');
  const before = await link(page);
  await standstill(road, server, before);
  await server.kill();
  await server.empty();
  road.release();
  await server.run();
  await phase(page, 'second.bin', 'done');
  expect(await link(page)).not.toBe(before);
  expect(await digestAt(`${await link(page)}/second.bin`)).toBe(sha256(bytes));
  await phase(page, 'first.txt', 'failed');
  await page.getByRole('button', { name: 'Retry 1 file' }).click();
  await phase(page, 'first.txt', 'done');
  expect(await digestAt(`${await link(page)}/first.txt`)).toBe(sha256(Buffer.from('first')));
  road.remove();
});

test('after a closed page the same file, given again, continues', async ({
  page,
  server,
  context,
}) => {
  const stop = Math.floor(BYTES * 0.45);
  const road = await Road.to(server, { holdAt: stop });
  const bytes = bytesOf(5, BYTES);
  const file = await fileIn(server.folder, 'again.bin', bytes);
  await page.goto(road.url);
  await give(page, file);
  const address = await link(page);
  await standstill(road, server, address);
  await page.close({ runBeforeUnload: false });
  await road.hungUp();
  road.release();
  const next = await context.newPage();
  const offsets = patches(next);
  await next.goto(road.url);
  await expect(next.getByTestId('unfinished')).toContainText(/1 file unfinished, 4[45]% saved/);
  await drop(next, [file]);
  await phase(next, 'again.bin', 'done');
  expect(await link(next)).toBe(address);
  expect(await digestAt(address)).toBe(sha256(bytes));
  expect(offsets[0], 'it begins where the first page was stopped').toBe(stop);
  expect(road.passed, 'and the first bytes do not travel again').toBe(BYTES);
  await expect(next.getByTestId('unfinished')).toHaveCount(0);
  road.remove();
});

test('after a reload one click continues, without picking the file again', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  const bytes = bytesOf(6, BYTES);
  await page.goto(road.url);
  await drop(page, [await fileIn(server.folder, 'kept.bin', bytes)]);
  const address = await link(page);
  await standstill(road, server, address);
  const offsets = patches(page);
  await page.reload();
  await road.hungUp();
  road.release();
  await page.getByTestId('unfinished').getByRole('button', { name: 'Continue' }).click();
  await phase(page, 'kept.bin', 'done');
  expect(offsets[0]).toBe(QUARTER);
  expect(road.passed).toBe(BYTES);
  expect(await digestAt(address)).toBe(sha256(bytes));
  road.remove();
});

test('what an earlier visit left can be discarded, on the server too', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'left.bin', bytesOf(7, BYTES)));
  const address = await link(page);
  await standstill(road, server, address);
  await page.reload();
  await road.hungUp();
  await page.getByTestId('unfinished').getByRole('button', { name: 'Discard' }).click();
  await expect(page.getByTestId('unfinished')).toHaveCount(0);
  // Its last file takes the share along.
  await expect.poll(async () => (await fetch(server.url + filesOf(address))).status).toBe(404);
  await page.reload();
  await expect(page.getByText('Drop files here.')).toBeVisible();
  await expect(page.getByTestId('unfinished')).toHaveCount(0);
  road.remove();
});

test('a cancelled file can be had back, as if nothing had happened', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  const bytes = bytesOf(8, BYTES);
  const deleted: string[] = [];
  page.on('request', (request) => request.method() === 'DELETE' && deleted.push(request.url()));
  await page.clock.install();
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'undo.bin', bytes));
  const address = await link(page);
  await standstill(road, server, address);
  await row(page, 'undo.bin').getByRole('button', { name: 'Cancel undo.bin' }).click();
  await phase(page, 'undo.bin', 'cancelled');
  await road.hungUp();
  road.release();
  await row(page, 'undo.bin').getByRole('button', { name: 'Undo' }).click();
  await phase(page, 'undo.bin', 'done');
  expect(await digestAt(address)).toBe(sha256(bytes));
  await undoIsOver(page);
  expect(await digestAt(address), 'nor is it deleted later').toBe(sha256(bytes));
  expect(deleted).toEqual([]);
  expect(road.passed).toBe(BYTES);
  road.remove();
});

test('all are paused by one button, and go on by one', async ({ page, server }) => {
  const BYTES_EACH = 1 << 20;
  const road = await Road.to(server, { holdAt: (5 * BYTES_EACH * 15) / 100 });
  await hearing(page);
  await page.goto(road.url);
  const files: string[] = [];
  for (let n = 0; n < 5; n++)
    files.push(await fileIn(server.folder, `all-${n}.bin`, bytesOf(n, BYTES_EACH)));
  await give(page, files);
  await expect.poll(() => figure(page)).toBe(15);
  await standstill(road, server, await link(page));
  await page.getByRole('button', { name: 'Pause all', exact: true }).click();
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'paused');
  const stood = await figure(page);
  await expect(page.getByText('Paused', { exact: true })).toBeVisible();
  await road.hungUp();
  road.release();
  await page.getByRole('button', { name: 'Resume', exact: true }).click();
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
  expect(stood).toBeLessThan(100);
  expect(road.passed).toBe(5 * BYTES_EACH);
  road.remove();
});

test('what was refused says why, and is sent when it is tried again', async ({ page, server }) => {
  // Something between here and the server takes offence, as firewalls do.
  await page.route('**/files', async (route) => {
    if (route.request().headers()['upload-length'] !== '777') return route.fallback();
    await route.fulfill({
      status: 422,
      contentType: 'application/problem+json',
      body: JSON.stringify({
        type: '/problems/odd',
        title: 'Odd',
        status: 422,
        detail: 'This name looks odd.',
      }),
    });
  });
  await page.goto(server.url);
  await give(page, [
    await fileIn(server.folder, 'odd.bin', bytesOf(1, 777)),
    await fileIn(server.folder, 'fine.bin', bytesOf(2, 1000)),
  ]);
  await phase(page, 'odd.bin', 'failed');
  await phase(page, 'fine.bin', 'done');
  await expect(page.getByTestId('failures')).toContainText('This name looks odd.');
  await expect(page.getByTestId('share-card')).toContainText('1 file was not uploaded');
  await page.unroute('**/files');
  await page.getByRole('button', { name: 'Retry 1 file' }).click();
  await phase(page, 'odd.bin', 'done');
  await expect(page.getByTestId('failures')).toHaveCount(0);
  expect(await digestAt(`${await link(page)}/odd.bin`)).toBe(sha256(bytesOf(1, 777)));
});

test('a file that changes while it is sent is not passed off as whole', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await page.goto(road.url);
  const file = await fileIn(server.folder, 'moving.bin', bytesOf(9, BYTES));
  await give(page, file);
  await standstill(road, server, await link(page));
  await row(page, 'moving.bin').getByRole('button', { name: 'Pause moving.bin' }).click();
  await phase(page, 'moving.bin', 'paused');
  await road.hungUp();
  road.release();
  await fileIn(server.folder, 'moving.bin', bytesOf(10, BYTES));
  await row(page, 'moving.bin').getByRole('button', { name: 'Resume moving.bin' }).click();
  await phase(page, 'moving.bin', 'failed');
  await expect(page.getByTestId('failures')).toContainText('Select it again');
  road.remove();
});

test.describe('on a server with little memory for buffers', () => {
  test.use({ flags: ['--uploads-max', '1'] });
  test('who waits sees his place', async ({ page, server }) => {
    // Clients that don't fall silent: the one that is let in keeps its place, so the others wait.
    const road = await Road.to(server, { holdAt: 1 << 20, drip: true });
    await page.goto(road.url);
    const files: string[] = [];
    for (let n = 0; n < 3; n++)
      files.push(await fileIn(server.folder, `wait-${n}.bin`, bytesOf(n, 6 << 20)));
    await give(page, files);
    await expect(page.getByText(/ahead of you|You are next/).first()).toBeVisible({
      timeout: 30_000,
    });
    road.release();
    await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done', {
      timeout: 45_000,
    });
    for (let n = 0; n < 3; n++)
      expect(await digestAt(`${await link(page)}/wait-${n}.bin`)).toBe(sha256(bytesOf(n, 6 << 20)));
    road.remove();
  });
});
