// Browsers open six connections to a host over HTTP/1.1, for all tabs together.
import type { Page, Request } from '@playwright/test';
import { expect, give, link, phase, standstill, test } from './page';
import { bytesOf, fileIn, Road } from './server';

const BYTES = 1 << 20;

/** The tabs that have an event stream open. */
function listening(page: Page): () => Set<Page> {
  const open = new Map<Request, Page>();
  const context = page.context();
  context.on(
    'request',
    (request) => request.url().endsWith('/events') && open.set(request, request.frame().page()),
  );
  const ended = (request: Request): boolean => open.delete(request);
  context.on('requestfinished', ended).on('requestfailed', ended);
  return () => new Set(open.values());
}

/** The tabs of an origin that asked for a share's events, in order. */
function streams(page: Page, origin: string): Page[] {
  const asked: Page[] = [];
  page.context().on('request', (request) => {
    const url = request.url();
    if (url.startsWith(origin) && url.endsWith('/events')) asked.push(request.frame().page());
  });
  return asked;
}

test('beside four tabs that upload and watch, a fifth loads at once', async ({
  page,
  server,
  context,
}) => {
  const road = await Road.to(server, { holdAt: 0 });
  const open = listening(page);
  const files: string[] = [];
  for (let n = 0; n < 3; n++)
    files.push(await fileIn(server.folder, `${n}.bin`, bytesOf(n, BYTES)));
  const tabs = [page, await context.newPage(), await context.newPage(), await context.newPage()];
  for (const tab of tabs) {
    await tab.goto(road.url);
    await give(tab, tab === page ? files : files[0]!);
    await link(tab);
    await tab.getByRole('link', { name: 'Open', exact: true }).dispatchEvent('click');
    await expect(tab.getByTestId('facts')).toBeVisible();
  }
  await road.held();
  const fifth = await context.newPage();
  const begun = Date.now();
  await fifth.goto(road.url);
  await expect(fifth.getByText('Drop files here.')).toBeVisible();
  await expect(fifth.locator('footer').last()).toContainText('Version');
  expect(Date.now() - begun, 'without a free connection it would wait for ever').toBeLessThan(
    5_000,
  );
  // On a busy machine two may do so for a moment, until one has heard of the other.
  await expect.poll(() => open().size, 'one tab listens for all').toBe(1);
  road.release();
  for (const tab of tabs) {
    await expect(tab.getByTestId('file')).toHaveCount(tab === page ? 3 : 1);
    for (const file of await tab.getByTestId('file').all())
      await expect(file).toHaveAttribute('data-state', 'complete');
  }
  road.remove();
});

test('when the tab that listens for all closes, another one does', async ({
  page,
  server,
  context,
}) => {
  const road = await Road.to(server, { holdAt: BYTES / 4 });
  const sender = await context.newPage();
  await sender.goto(road.url);
  await give(sender, await fileIn(server.folder, 'over.bin', bytesOf(1, BYTES)));
  const address = (await link(sender)).replace(road.url, server.url);
  await standstill(road, server, address);
  // Not the sender's, which has another origin.
  const asked = streams(page, server.url);
  await page.goto(address);
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'receiving');
  await expect.poll(() => asked.length).toBe(1);
  const other = await context.newPage();
  await other.goto(address);
  const bar = other.getByRole('progressbar', { name: 'Overall progress' });
  await expect(bar).toHaveAttribute('aria-valuenow', '25');
  road.holdAt(BYTES / 2);
  await expect(bar).toHaveAttribute('aria-valuenow', '50');
  expect(asked).toEqual([page]);
  await page.close();
  await expect.poll(() => asked.length).toBe(2);
  expect(asked[1]).toBe(other);
  road.release();
  await expect(other.getByTestId('file')).toHaveAttribute('data-state', 'complete');
  await phase(sender, 'over.bin', 'done');
  expect(asked).toEqual([page, other]);
  road.remove();
});
