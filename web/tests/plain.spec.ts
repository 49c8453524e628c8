// Plain http on a LAN is no "secure context": browsers take the clipboard, the pickers of handles
// and more away.
import { expect, give, link, phase, standstill, test } from './page';
import { bytesOf, digestAt, fileIn, Road, sha256 } from './server';

const HOST = 'ddx.test';
test.use({
  launchOptions: {
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [`--host-resolver-rules=MAP ${HOST} 127.0.0.1`],
  },
});

test('an upload works, is verified, continues after a reload, and its link can be copied', async ({
  page,
  server,
}) => {
  const road = await Road.to(server, { holdAt: 4 << 20 });
  const url = road.url.replace('127.0.0.1', HOST);
  const bytes = bytesOf(1, 16 << 20);
  const file = await fileIn(server.folder, 'lan.bin', bytes);
  await page.goto(url);
  expect(await page.evaluate(() => [isSecureContext, 'clipboard' in navigator])).toEqual([
    false,
    false,
  ]);
  await give(page, file);
  await standstill(road, server, await link(page));
  await page.reload();
  await road.hungUp();
  road.release();
  await expect(page.getByTestId('unfinished')).toBeVisible();
  await give(page, file);
  await phase(page, 'lan.bin', 'done');
  await expect(page.getByRole('heading', { level: 2 })).toHaveText('Uploaded and verified');
  const address = await link(page);
  expect(address).toContain(HOST);
  expect(await digestAt(address.replace(HOST, '127.0.0.1'))).toBe(sha256(bytes));
  expect(road.passed, 'what had arrived is not sent again').toBe(bytes.length);
  await page.getByRole('button', { name: 'Copy link' }).click();
  await expect(page.getByText('Copied', { exact: true })).toBeVisible();
  // What is on the clipboard is learnt by pasting it.
  await page.evaluate(() => {
    const field = document.createElement('textarea');
    field.id = 'paste-here';
    document.body.append(field);
    field.focus();
  });
  await page.keyboard.press('Control+V');
  await expect(page.locator('#paste-here')).toHaveValue(address);
  road.remove();
});
