import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { drop, expect, give, link, phase, row, standstill, test, undoIsOver } from './page';
import { bytesOf, digestAt, fileIn, Road, sha256, type Server } from './server';

/** Sends bytes as curl does; the answer is the link. */
async function put(server: Server, name: string, bytes: Buffer): Promise<string> {
  const sent = await fetch(`${server.url}/${encodeURIComponent(name)}`, {
    method: 'PUT',
    body: new Uint8Array(bytes),
  });
  expect(sent.ok).toBe(true);
  return (await sent.text()).trim();
}

test('whoever opens the link sees the file and downloads it', async ({ page, server }) => {
  const bytes = bytesOf(1, 3 << 20);
  const address = await put(server, 'report.pdf', bytes);
  await page.goto(address);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('report.pdf');
  await expect(page.getByTestId('file')).toContainText('report.pdf');
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'complete');
  await expect(page.getByTestId('facts')).toContainText('1 file, 3.15');
  const waiting = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download report.pdf' }).first().click();
  const download = await waiting;
  expect(download.suggestedFilename()).toBe('report.pdf');
  expect(sha256(await readFile(await download.path()))).toBe(sha256(bytes));
});

test('all files of a folder come by one click, each whole', async ({ page, server }) => {
  await mkdir(path.join(server.folder, 'trip', 'day 1'), { recursive: true });
  const names = ['a & b.bin', 'été #1.bin', 'c%20d.bin'];
  for (const [n, name] of names.entries())
    await fileIn(path.join(server.folder, 'trip', 'day 1'), name, bytesOf(n, 5000 + n));
  await page.goto(server.url);
  await drop(page, [path.join(server.folder, 'trip')]);
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
  await page.goto(await link(page));
  await expect(page.getByTestId('file')).toHaveCount(3);
  await expect(page.getByTestId('file').first()).toContainText('trip/day 1');
  const got = new Map<string, string>();
  page.on(
    'download',
    (download) =>
      void download
        .path()
        .then(async (file) => got.set(download.suggestedFilename(), sha256(await readFile(file)))),
  );
  await page.getByRole('button', { name: 'Download all 3' }).click();
  await expect.poll(() => got.size).toBe(3);
  expect([...got.values()].sort()).toEqual(
    names.map((_, n) => sha256(bytesOf(n, 5000 + n))).sort(),
  );
  expect([...got.keys()].sort()).toEqual([...names].sort());
});

test('a file can be watched as it arrives, while it is paused, and downloaded when it is there', async ({
  page,
  server,
  context,
}) => {
  const road = await Road.to(server, { holdAt: 4 << 20 });
  const sender = await context.newPage();
  const bytes = bytesOf(2, 16 << 20);
  await sender.goto(road.url);
  await give(sender, await fileIn(server.folder, 'live.bin', bytes));
  const address = (await link(sender)).replace(road.url, server.url);
  await page.goto(address);
  const file = page.getByTestId('file');
  await expect(file).toHaveAttribute('data-state', 'receiving');
  await standstill(road, server, address);
  // How fast it is shows as soon as bytes have come for a moment.
  await expect(async () => {
    road.holdAt(road.passed + (64 << 10));
    await expect(file).toContainText(/Uploading, \d+%, (about \d+ s|a moment)/, { timeout: 500 });
  }).toPass({ timeout: 20_000 });
  await expect(page.getByRole('link', { name: /^Download/ })).toHaveCount(0);
  await row(sender, 'live.bin').getByRole('button', { name: 'Pause live.bin' }).click();
  await road.hungUp();
  road.release();
  await expect(file).toContainText(/[1-9]\d?% uploaded\. Sender is paused or offline\./);
  // One who comes now sees the same as those who were there.
  await page.reload();
  await expect(file).toContainText(/[1-9]\d?% uploaded\. Sender is paused or offline\./);
  await row(sender, 'live.bin').getByRole('button', { name: 'Resume live.bin' }).click();
  await expect(file).toHaveAttribute('data-state', 'complete', { timeout: 30_000 });
  await phase(sender, 'live.bin', 'done');
  expect(road.passed).toBe(bytes.length);
  const waiting = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download live.bin' }).first().click();
  expect(sha256(await readFile(await (await waiting).path()))).toBe(sha256(bytes));
  road.remove();
});

test('a file that is deleted leaves the page of whoever looks at it', async ({
  page,
  server,
  context,
}) => {
  const road = await Road.to(server, { holdAt: 1 << 20 });
  const sender = await context.newPage();
  await sender.clock.install();
  await sender.goto(road.url);
  await give(sender, [
    await fileIn(server.folder, 'goes.txt', Buffer.from('x')),
    await fileIn(server.folder, 'comes.bin', bytesOf(1, 16 << 20)),
  ]);
  await phase(sender, 'goes.txt', 'done');
  await page.goto((await link(sender)).replace(road.url, server.url));
  await expect(page.getByTestId('file')).toHaveCount(2);
  await row(sender, 'goes.txt')
    .getByRole('button', { name: 'Delete goes.txt from the server' })
    .click();
  await phase(sender, 'goes.txt', 'cancelled');
  await expect(page.getByTestId('file')).toHaveCount(2);
  await undoIsOver(sender);
  await expect(page.getByTestId('file')).toHaveCount(1, { timeout: 20_000 });
  await expect(page.getByTestId('file')).toContainText('comes.bin');
  road.remove();
});

test('a digest, and the words for a command line, are at hand for every file', async ({
  page,
  server,
  context,
}) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const address = await put(server, "it's here.txt", Buffer.from('hello'));
  await page.goto(address);
  await page.getByRole('button', { name: "Checksum and command line for it's here.txt" }).click();
  const dialog = page.getByRole('dialog');
  // BLAKE3 of "hello".
  await expect(dialog).toContainText(
    'ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f',
  );
  await dialog.getByRole('button', { name: 'Copy command' }).click();
  await expect(dialog.getByText('Copied')).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
    `curl -f -C - -o 'it'\\''s here.txt' '${address}/it'\\''s%20here.txt?download=1'`,
  );
  await page.keyboard.press('Escape');
  await expect(dialog).toHaveCount(0);
});

test('more files than one answer holds are all there, and only those in view are drawn', async ({
  page,
  server,
}) => {
  const made = (await (await fetch(`${server.url}/api/v1/shares`, { method: 'POST' })).json()) as {
    share_key: string;
    link: string;
  };
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const numbers = Array.from({ length: 1_100 }, (_, n) => n);
  const worker = async (): Promise<void> => {
    for (let n = numbers.pop(); n !== undefined; n = numbers.pop()) {
      const sent = await fetch(`${server.url}/files`, {
        method: 'POST',
        headers: {
          'Tus-Resumable': '1.0.0',
          'Upload-Length': '3',
          'Upload-Metadata': `filename ${base64(`${String(n).padStart(4, '0')}.txt`)},share ${base64(made.share_key)}`,
          'Content-Type': 'application/offset+octet-stream',
        },
        body: 'abc',
      });
      expect(sent.status).toBe(201);
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  // The second part of the list is held: the first one is drawn meanwhile.
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  await page.route('**/api/v1/shares/*?after=*', async (route) => {
    await released;
    await route.continue();
  });
  await page.goto(made.link);
  await expect(page.getByTestId('file').first()).toContainText('0000.txt');
  await expect(page.getByTestId('facts')).toContainText(
    /3\.00.kB so far\. More files are being listed…/,
  );
  await expect(
    page.getByRole('button', { name: /^Download all/ }),
    'not before all are known',
  ).toHaveCount(0);
  release();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('1,100 files');
  await expect(page.getByTestId('facts')).toContainText('3.30');
  await expect(page.getByTestId('file').first()).toContainText('0000.txt');
  expect(await page.getByTestId('file').count()).toBeLessThan(60);
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await expect(page.getByText('1099.txt')).toBeVisible();
  expect(await page.getByTestId('file').count()).toBeLessThan(60);
});

test('a link that leads nowhere says so', async ({ page, server }) => {
  await page.goto(`${server.url}/d/aaaaaaaaaaaaaaaaaaaaaaaaaa`);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(
    'This link has expired or doesn’t exist.',
  );
  await expect(page.getByTestId('file')).toHaveCount(0);
});

test('a server that is away is told from a link that is wrong, and asked again', async ({
  page,
  server,
}) => {
  const address = await put(server, 'a.txt', Buffer.from('a'));
  // By the button at once: no try of its own comes.
  await page.clock.install({ time: 0 });
  await page.clock.pauseAt(1_000);
  await page.route('**/api/v1/shares/*', (route) => route.abort());
  await page.goto(address);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Can’t reach the server.');
  await page.unroute('**/api/v1/shares/*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByTestId('file')).toContainText('a.txt');
  await expect(
    page.getByRole('heading', { name: 'a.txt' }),
    'it had the focus, and went',
  ).toBeFocused();
});

test('a link that is opened while the server is away says so, and goes on when it is back', async ({
  page,
  server,
}) => {
  await page.clock.install();
  await page.goto(server.url);
  await give(page, await fileIn(server.folder, 'a.txt', Buffer.from('a')));
  await phase(page, 'a.txt', 'done');
  await server.kill();
  await page.getByRole('link', { name: 'Open', exact: true }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Can’t reach the server.');
  await server.run();
  const soon = (see: () => Promise<void>): Promise<void> =>
    expect(async () => {
      await page.clock.fastForward(3_000);
      await see();
    }).toPass();
  await soon(() => expect(page.getByTestId('file')).toContainText('a.txt', { timeout: 500 }));
  // Nor is it silent where it goes away later.
  await server.kill();
  await soon(() =>
    expect(page.getByTestId('away')).toContainText('Can’t reach the server.', { timeout: 500 }),
  );
  await server.run();
  await soon(() => expect(page.getByTestId('away')).toHaveCount(0, { timeout: 500 }));
});

test('the list is asked for while the bundle is on its way', async ({ page, server }) => {
  const address = await put(server, 'a.txt', Buffer.from('a'));
  const lists: string[] = [];
  page.on(
    'request',
    (request) =>
      request.url().includes('/api/v1/shares/') &&
      !request.url().endsWith('/events') &&
      lists.push(request.url()),
  );
  const asked = page.waitForRequest('**/api/v1/shares/*');
  await page.route('**/assets/index-*.js', async (route) => {
    await asked;
    await route.continue();
  });
  await page.goto(address);
  await expect(page.getByTestId('file')).toContainText('a.txt');
  expect(lists, 'and once').toHaveLength(1);
});

test('a stranger’s page is never run in our origin', async ({ page, server }) => {
  const evil = '<script>document.title = "run"; fetch("/api/v1/limits")</script>';
  const address = await put(server, 'evil.html', Buffer.from(evil));
  const answer = await fetch(`${address}/evil.html`);
  expect(answer.headers.get('content-security-policy')).toContain('sandbox');
  const waiting = page.waitForEvent('download').catch(() => null);
  await page.goto(`${address}/evil.html`).catch(() => null);
  await Promise.race([waiting, page.waitForLoadState()]);
  expect(await page.title()).not.toBe('run');
});

test('a name is shown as it is, and never read as a page', async ({ page, server }) => {
  const name = '<img src=x onerror=alert(1)>.txt';
  const address = await put(server, name, Buffer.from('x'));
  page.on(
    'dialog',
    (dialog) => void dialog.dismiss().then(() => expect(dialog.message()).toBe('no dialog at all')),
  );
  await page.goto(address);
  await expect(page.getByTestId('file')).toContainText(name);
  await expect(page.locator('img')).toHaveCount(0);
  expect(await digestAt(address)).toBe(sha256(Buffer.from('x')));
});
