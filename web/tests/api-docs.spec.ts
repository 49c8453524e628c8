// The page that shows the API: all of the contract, found by words, keys and address.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Page } from '@playwright/test';
import { clean } from './clean';
import { expect, test } from './page';
import { bytesOf, digestAt, fileIn, sha256, type Server } from './server';

const CONTRACT = '/api/v1/openapi.json';

interface Document {
  paths: Record<string, Record<string, { operationId: string; summary: string }>>;
  'x-problem-kinds': { type: string }[];
  components: { schemas: Record<string, unknown> };
}

async function open(page: Page, server: Server, hash = ''): Promise<void> {
  await page.goto(`${server.url}/api/docs${hash}`);
  await expect(page.getByRole('article').first()).toBeVisible();
}

test('each operation of the contract is there, and each kind of problem', async ({
  page,
  server,
}) => {
  const document = await server.json<Document>(CONTRACT);
  const hosts = new Set<string>();
  page.on('request', (request) => hosts.add(new URL(request.url()).origin));
  await open(page, server);
  let operations = 0;
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, { operationId, summary }] of Object.entries(item)) {
      const part = page.locator(`article[id="${operationId}"]`);
      const title = part.getByRole('heading', { level: 3 });
      await expect(title).toContainText(method.toUpperCase());
      await expect(title).toContainText(path);
      const plain = summary.replaceAll('`', '');
      await expect(part).toContainText(plain);
      await expect(part.getByTestId('curl')).toContainText(server.url);
      operations++;
    }
  }
  expect(operations).toBeGreaterThan(10);
  await expect(page.getByRole('article')).toHaveCount(operations);
  await expect(page.getByTestId('problems').locator('tbody tr')).toHaveCount(
    document['x-problem-kinds'].length,
  );
  expect(document['x-problem-kinds'].length).toBeGreaterThan(20);
  // This contract has nothing that the page does not know.
  await expect(page.getByTestId('unknown')).toHaveCount(0);
  expect([...hosts], 'all comes from the server').toEqual([server.url]);
});

test('bounds stand beside a parameter, and shapes unfold by name', async ({ page, server }) => {
  await open(page, server);
  const send = page.locator('#send_file');
  await expect(send.getByRole('listitem').filter({ hasText: 'Max-Days' })).toContainText(
    /header.*integer \(int64\).*≥ 1.*≤ 3650.*For how many days/s,
  );
  await send.getByText('UploadReceipt', { exact: true }).click();
  await send.locator('summary', { hasText: 'UploadedFile' }).click();
  await expect(send.getByText('delete_link')).toBeVisible();
  await send.locator('summary', { hasText: /^File$/ }).click();
  await send.locator('summary', { hasText: 'FileState' }).click();
  await expect(send.getByText('one of "receiving", "joining", "complete", "failed"')).toBeVisible();
});

test('an address with an operation opens at its place, also while the page is open', async ({
  page,
  server,
}) => {
  await open(page, server, '#download_file');
  const download = page.locator('#download_file');
  await expect(download).toBeFocused();
  await expect(download.getByRole('heading', { level: 3 })).toBeInViewport();
  await page.getByRole('searchbox').fill('metrics');
  await expect(download).toHaveCount(0);
  await page.evaluate(() => (location.hash = '#send_form'));
  await expect(page.locator('#send_form')).toBeFocused();
  await expect(page.locator('#send_form').getByRole('heading', { level: 3 })).toBeInViewport();
});

test('all is reached by the keyboard alone', async ({ page, server, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await open(page, server);
  const all = await page.getByRole('article').count();
  await page.keyboard.press('/');
  await expect(page.getByRole('searchbox')).toBeFocused();
  await page.keyboard.type('put send_file');
  await expect(page.getByRole('article')).toHaveCount(1);
  await expect(page.getByTestId('found')).toHaveText(`1 of ${all} operations`);
  await page.keyboard.type(' nothing/of it');
  await expect(page.getByText('No operation matches.')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('article')).toHaveCount(all);
  await page.keyboard.type('send_file');
  await expect(page.getByRole('article')).toHaveCount(1);
  const copy = page.getByRole('button', { name: 'Copy the example of send_file' });
  for (let n = 0; n < 10; n++) {
    await page.keyboard.press('Tab');
    if (await copy.evaluate((one) => one === document.activeElement)) break;
    if (await page.evaluate(() => document.activeElement?.textContent === 'UploadReceipt'))
      await page.keyboard.press('Enter');
  }
  await expect(copy).toBeFocused();
  await expect(page.locator('#send_file').getByText('What was stored.')).toBeVisible();
  await page.keyboard.press('Enter');
  await expect(copy).toHaveText('Copied');
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('curl -T');
});

test('the example of send_file works as it is copied', async ({ page, server, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await open(page, server);
  await page.getByRole('button', { name: 'Copy the example of send_file' }).click();
  await expect(page.getByText('Copied', { exact: true })).toBeVisible();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const bytes = bytesOf(1, 70_000);
  await fileIn(server.folder, 'file.bin', bytes);
  const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd: server.folder });
  expect(stdout.trim()).toMatch(/\/d\/[a-z2-7]{26}$/);
  expect(await digestAt(stdout.trim())).toBe(sha256(bytes));
});

for (const scheme of ['light', 'dark'] as const) {
  test(`nothing stands in the way of anybody, ${scheme}`, async ({ page, server }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await open(page, server);
    await page.locator('#send_file summary').first().click();
    await clean(page, 'all');
    await page.getByRole('searchbox').fill('xyz');
    await expect(page.getByText('No operation matches.')).toBeVisible();
    await clean(page, 'nothing found');
    await page.route(`**${CONTRACT}`, (route) => route.abort());
    await page.reload();
    await expect(page.getByRole('alert')).toBeVisible();
    await clean(page, 'no contract');
  });
}

test.describe(() => {
  test.use({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  test('a phone shows all without scrolling sideways', async ({ page, server }) => {
    await open(page, server);
    for (const summary of await page.locator('article summary').all()) await summary.tap();
    await page.locator('details.contents > summary').tap();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    await page.getByRole('navigation').getByRole('link', { name: 'delete_file' }).tap();
    await expect(page.locator('#delete_file')).toBeInViewport();
    await expect(page.getByRole('navigation')).toBeHidden();
    await clean(page, 'phone');
  });
});

test('a contract that does not come is told, and fetched again', async ({ page, server }) => {
  let isAway = true;
  await page.route(`**${CONTRACT}`, (route) =>
    isAway ? route.fulfill({ status: 503, body: 'no' }) : route.fallback(),
  );
  await page.goto(`${server.url}/api/docs#send_file`);
  await expect(page.getByRole('alert')).toContainText('HTTP 503');
  isAway = false;
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.locator('#send_file')).toBeFocused();
});

test('what a later contract says is shown as it stands, and circles unfold by hand', async ({
  page,
  server,
}) => {
  const self = { $ref: '#/components/schemas/Folder' };
  await page.route(`**${CONTRACT}`, (route) =>
    route.fulfill({
      json: {
        openapi: '3.1.0',
        info: { title: 'Later', version: '9' },
        webhooks: { arrived: {} },
        paths: {
          '/tree': {
            query: {
              operationId: 'show_tree',
              security: [{ key: [] }],
              responses: {
                200: {
                  description: 'It.',
                  headers: { 'X-New': {} },
                  content: { 'application/json': { schema: self } },
                },
              },
            },
          },
        },
        components: {
          schemas: { Folder: { properties: { folders: { type: 'array', items: self } } } },
        },
      },
    }),
  );
  await open(page, server);
  const tree = page.locator('#show_tree');
  await expect(tree.getByTestId('unknown').filter({ hasText: 'security' })).toBeVisible();
  await expect(tree.getByTestId('unknown').filter({ hasText: 'headers' })).toBeVisible();
  await expect(page.getByTestId('unknown').filter({ hasText: 'webhooks' })).toBeVisible();
  await tree.locator('summary', { hasText: /^Folder$/ }).click();
  await expect(tree.getByText('shown above')).toBeVisible();
});

test.describe(() => {
  test.use({ flags: ['--path-prefix', '/box'] });
  test('below a prefix its addresses, files and examples are too', async ({ page, server }) => {
    await page.goto(`${server.url}/box/`);
    const opened = page.waitForEvent('popup');
    await page.getByRole('link', { name: 'API' }).click();
    const docs = await opened;
    await expect(docs).toHaveURL(`${server.url}/box/api/docs`);
    await expect(docs.locator('#send_file').getByTestId('curl')).toHaveText(
      `curl -T file.bin '${server.url}/box/file.bin'`,
    );
    await expect(docs.getByText(`${server.url}/box/files`)).toBeVisible();
  });
});
