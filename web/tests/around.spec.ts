// What the rest of the browser sees of an upload: the tab, the warning before leaving, the screen
// reader, the drag.
import { drag, expect, figure, give, hearing, link, listen, phase, standstill, test } from './page';
import { bytesOf, fileIn, Road } from './server';

const BYTES = 16 << 20;
const QUARTER = BYTES / 4;

test('the tab tells how far it is, and a leave is warned of while bytes are unsent, not after', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await page.clock.install();
  await page.goto(road.url);
  await page.getByText('Drop files here.').click();
  await give(page, await fileIn(server.folder, 'tab.bin', bytesOf(1, BYTES)));
  await standstill(road, server, await link(page));
  await expect.poll(() => figure(page)).toBe(25);
  // Time left is told after two seconds; what moves then makes the page draw it.
  await page.clock.fastForward(2_500);
  road.holdAt(2 * QUARTER);
  await expect(page).toHaveTitle(/^\d+% · .+ – DirectDriveX$/);
  const asked = page.waitForEvent('dialog');
  const closing = page.close({ runBeforeUnload: true });
  const dialog = await asked;
  expect(dialog.type()).toBe('beforeunload');
  await dialog.dismiss();
  await closing;
  road.release();
  await phase(page, 'tab.bin', 'done');
  await expect(page).toHaveTitle('DirectDriveX');
  const gone = page.waitForEvent('close');
  await page.close({ runBeforeUnload: true });
  await gone;
  road.remove();
});

test('a screen reader hears start, quarters and end, each once', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: 0 });
  await hearing(page);
  await page.goto(road.url);
  const heard = await listen(page);
  await give(page, await fileIn(server.folder, 'said.bin', bytesOf(1, BYTES)));
  for (const quarter of [1, 2, 3]) {
    road.holdAt(quarter * QUARTER);
    await expect.poll(async () => (await heard()).at(-1)).toBe(`${quarter * 25} percent uploaded`);
  }
  road.release();
  await phase(page, 'said.bin', 'done');
  await expect.poll(async () => (await heard()).at(-1)).toBe('Upload finished: 1 file.');
  expect(await heard()).toEqual([
    'Upload of 1 file started. The link is ready to copy.',
    '25 percent uploaded',
    '50 percent uploaded',
    '75 percent uploaded',
    'Upload finished: 1 file.',
  ]);
  road.remove();
});

test('an outage is told as a calm state, with what is safe and when it is tried again', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await hearing(page);
  await page.goto(road.url);
  const heard = await listen(page);
  await give(page, await fileIn(server.folder, 'calm.bin', bytesOf(1, BYTES)));
  await expect.poll(() => figure(page)).toBe(25);
  const before = await figure(page);
  await server.kill();
  await expect(page.getByTestId('outage')).toContainText('Can’t reach the server');
  await expect(page.getByTestId('outage')).toContainText(
    /[1-9]\d*(\.\d+)?.MB saved\.\s+(Reconnecting in [1-9]\d* s\.|Reconnecting…)/,
  );
  await expect(page.getByTestId('failures')).toHaveCount(0);
  expect(await figure(page), 'the figure neither goes back nor runs ahead').toBe(before);
  await server.run();
  // Pressed, unless the page has tried by itself before.
  const back = expect.poll(heard).toContain('Reconnected.');
  await Promise.race([
    back,
    page.getByTestId('outage').getByRole('button', { name: 'Retry now' }).click(),
  ]);
  await back;
  road.release();
  await phase(page, 'calm.bin', 'done');
  const said = await heard();
  expect(said.indexOf('Reconnected.')).toBeGreaterThan(
    said.indexOf('Can’t reach the server. Retrying.'),
  );
  road.remove();
});

test('moving inside the app stops nothing', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'moves.bin', bytesOf(1, BYTES)));
  await standstill(road, server, await link(page));
  await page.getByRole('link', { name: 'Open', exact: true }).click();
  await expect(page).toHaveURL(/\/d\/[a-z2-7]{26}$/);
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'receiving');
  await page.getByRole('link', { name: /^\d+%/ }).click();
  await expect(page.getByTestId('share-card')).toBeVisible();
  await page.goBack();
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'receiving');
  road.release();
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'complete', {
    timeout: 30_000,
  });
  expect(road.passed, 'nothing had to be sent again').toBe(BYTES);
  road.remove();
});

test('the whole window takes files, and nothing else', async ({ page, server }) => {
  await page.goto(server.url);
  const overlay = page.getByTestId('overlay');
  const text = await drag(page, { items: [{ mimeType: 'text/plain', data: 'words' }] });
  await expect(overlay).toHaveCount(0);
  await text.drop(400, 300);
  await expect(overlay).toHaveCount(0);
  await expect(page.getByTestId('share-card')).toHaveCount(0);
  const files = await drag(page, {
    files: [await fileIn(server.folder, 'a.txt', Buffer.from('a'))],
  });
  await expect(overlay).toContainText('New upload');
  await files.over(-20, 300);
  await expect(overlay).toHaveCount(0);
});

test('what is dropped on the half for it is added to the link that is there', async ({
  page,
  server,
}) => {
  await page.goto(server.url);
  await give(page, await fileIn(server.folder, 'first.txt', Buffer.from('1')));
  const address = await link(page);
  await phase(page, 'first.txt', 'done');
  const added = await drag(page, {
    files: [await fileIn(server.folder, 'second.txt', Buffer.from('22'))],
  });
  await expect(page.getByTestId('overlay')).toContainText('Add to the latest upload');
  await added.over(1000, 300);
  await added.drop(1000, 300);
  await phase(page, 'second.txt', 'done');
  await expect(page.getByTestId('share-card')).toHaveCount(1);
  expect(await (await fetch(`${address}/second.txt`)).text()).toBe('22');
  const other = await drag(page, {
    files: [await fileIn(server.folder, 'third.txt', Buffer.from('333'))],
  });
  await other.over(200, 300);
  await other.drop(200, 300);
  await expect(page.getByTestId('share-card')).toHaveCount(2);
  await expect.poll(() => link(page)).not.toBe(address);
  await phase(page, 'third.txt', 'done');
  expect(await (await fetch(`${await link(page)}/third.txt`)).text()).toBe('333');
});

test('controls stand still while figures change', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: 0 });
  await hearing(page);
  await page.clock.install();
  await page.goto(road.url);
  await give(page, [
    await fileIn(server.folder, 'still.bin', bytesOf(1, BYTES)),
    await fileIn(server.folder, 'small.txt', Buffer.from('s')),
  ]);
  await phase(page, 'still.bin', 'sending');
  await phase(page, 'small.txt', 'done');
  await road.held();
  const places = async (): Promise<(number | undefined)[]> => {
    const copy = await page.getByRole('button', { name: 'Copy link' }).boundingBox();
    const cancel = await page
      .getByRole('button', { name: /^(Cancel|Delete) still\.bin/ })
      .boundingBox();
    const pause = await page.getByRole('button', { name: 'Pause all', exact: true }).boundingBox();
    return [copy?.x, copy?.width, cancel?.x, cancel?.y, pause?.x];
  };
  await link(page);
  const first = await places();
  expect(first.every((one) => typeof one === 'number')).toBe(true);
  for (const mark of [10, 40, 70]) {
    road.holdAt(Math.ceil((BYTES * (mark + 2)) / 100));
    await expect.poll(() => figure(page)).toBeGreaterThan(mark);
    expect(await places()).toEqual(first);
    // Speed and time left are told after two seconds: they must not push anything either.
    await page.clock.fastForward(2_500);
  }
  await expect(page.getByTestId('share-card')).toContainText(/B\/s/);
  road.remove();
});

test('the screen stays awake while bytes move, and no longer', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: QUARTER });
  // A browser without a screen gives no lock; this one counts who asks.
  await page.addInitScript(() => {
    const held = new Set<object>();
    Object.defineProperty(navigator, 'wakeLock', {
      value: {
        request: async () => {
          const lock = { released: false, release: async () => void held.delete(lock) };
          held.add(lock);
          return lock;
        },
      },
    });
    Reflect.set(window, 'locks', () => held.size);
  });
  const locks = (): Promise<number> =>
    page.evaluate(() => (Reflect.get(window, 'locks') as () => number)());
  await page.goto(road.url);
  expect(await locks()).toBe(0);
  await give(page, await fileIn(server.folder, 'awake.bin', bytesOf(1, BYTES)));
  await expect.poll(locks).toBe(1);
  await road.held();
  expect(await locks()).toBe(1);
  road.release();
  await phase(page, 'awake.bin', 'done');
  await expect.poll(locks).toBe(0);
  road.remove();
});
