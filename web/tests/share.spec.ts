import { readFile } from 'node:fs/promises';
import AxeBuilder from '@axe-core/playwright';
import { drop, expect, give, link, phase, test } from './page';
import { bytesOf, fileIn, Road, sha256 } from './server';

test('whoever opens the link sees the file and downloads it', async ({ page, server }) => {
  const bytes = bytesOf(1, 3 << 20);
  const sent = await fetch(`${server.url}/report.pdf`, { method: 'PUT', body: new Uint8Array(bytes) });
  const address = (await sent.text()).trim();
  await page.goto(address);
  await expect(page.getByTestId('file')).toContainText('report.pdf');
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'complete');
  const waiting = page.waitForEvent('download');
  await page.getByRole('link', { name: /download/i }).first().click();
  const download = await waiting;
  expect(download.suggestedFilename()).toBe('report.pdf');
  expect(sha256(await readFile(await download.path()))).toBe(sha256(bytes));
});

test('a file can be watched as it arrives', async ({ page, server, context }) => {
  const road = await Road.to(server, 4 << 20);
  const sender = await context.newPage();
  await sender.goto(road.url);
  await give(sender, await fileIn(server.folder, 'live.bin', bytesOf(2, 24 << 20)));
  const address = await link(sender);
  await page.goto(address.replace(road.url, server.url));
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'receiving');
  await expect(page.getByTestId('file')).toHaveAttribute('data-state', 'complete', { timeout: 45_000 });
  await phase(sender, 'live.bin', 'done');
  road.remove();
});

test('a link that leads nowhere says so', async ({ page, server }) => {
  await page.goto(`${server.url}/d/aaaaaaaaaaaaaaaaaaaaaaaaaa`);
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
  await expect(page.getByTestId('file')).toHaveCount(0);
});

test('a stranger’s page is never run in our origin', async ({ page, server }) => {
  const evil = '<script>document.title = "run"; fetch("/api/v1/limits")</script>';
  const sent = await fetch(`${server.url}/evil.html`, { method: 'PUT', body: evil, headers: { 'content-type': 'text/html' } });
  const address = (await sent.text()).trim();
  const answer = await fetch(`${address}/evil.html`);
  expect(answer.headers.get('content-security-policy')).toContain('sandbox');
  const waiting = page.waitForEvent('download').catch(() => null);
  await page.goto(`${address}/evil.html`).catch(() => null);
  await Promise.race([waiting, page.waitForLoadState()]);
  expect(await page.title()).not.toBe('run');
});

for (const scheme of ['light', 'dark'] as const) {
  test(`nothing stands in the way of anybody, ${scheme}`, async ({ page, server }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await page.goto(server.url);
    const empty = await new AxeBuilder({ page }).analyze();
    expect(empty.violations.map((one) => `${one.id}: ${one.nodes[0]?.html ?? ''}`)).toEqual([]);
    await drop(page, [await fileIn(server.folder, 'one.txt', Buffer.from('1')), await fileIn(server.folder, 'two.bin', bytesOf(1, 5000))]);
    const address = await link(page);
    await expect(page.getByTestId('sheet')).toHaveAttribute('data-state', 'done');
    const done = await new AxeBuilder({ page }).analyze();
    expect(done.violations.map((one) => `${one.id}: ${one.nodes[0]?.html ?? ''}`)).toEqual([]);
    await page.goto(address);
    await expect(page.getByTestId('file').first()).toBeVisible();
    const share = await new AxeBuilder({ page }).analyze();
    expect(share.violations.map((one) => `${one.id}: ${one.nodes[0]?.html ?? ''}`)).toEqual([]);
  });
}

test('all is done by the keyboard alone', async ({ page, server }) => {
  await page.goto(server.url);
  await page.keyboard.press('Tab');
  await expect(page.getByText('Skip to the content')).toBeFocused();
  const chooser = page.waitForEvent('filechooser');
  for (let n = 0; n < 12; n++) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate(() => document.activeElement?.textContent)) === 'Choose files') break;
  }
  // The picker of file handles can't be driven from outside; without it the button opens the input.
  await page.evaluate(() => Reflect.deleteProperty(window, 'showOpenFilePicker'));
  await page.keyboard.press('Enter');
  await (await chooser).setFiles(await fileIn(server.folder, 'keys.txt', Buffer.from('keys')));
  await phase(page, 'keys.txt', 'done');
});

test('on a phone nothing is wider than the screen', async ({ page, server }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto(server.url);
  await give(page, await fileIn(server.folder, 'a very long name of a file that somebody gave without any mercy at all.tar.gz', bytesOf(1, 1000)));
  await link(page);
  await expect(page.getByTestId('sheet')).toHaveAttribute('data-state', 'done');
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
});
