// For everybody: machines that read pages aloud, keys instead of a mouse, light, dark, small.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { clean } from './clean';
import {
  drop,
  expect,
  give,
  link,
  listen,
  online,
  phase,
  row,
  standstill,
  test,
  undoIsOver,
} from './page';
import { bytesOf, digestAt, fileIn, Road, sha256 } from './server';

for (const scheme of ['light', 'dark'] as const) {
  test.describe(() => {
    test.use({ flags: ['--file-bytes-max', '20MiB'], colorScheme: scheme });
    test(`nothing stands in the way of anybody, ${scheme}`, async ({ page, server, context }) => {
      const road = await Road.to(server, { holdAt: 4 << 20 });
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.goto(road.url);
      await expect(page.getByText('Up to 21')).toBeVisible();
      await clean(page, 'empty');
      await mkdir(path.join(server.folder, 'folder'));
      await fileIn(path.join(server.folder, 'folder'), 'inside.txt', Buffer.from('i'));
      await drop(page, [
        await fileIn(server.folder, 'one.bin', bytesOf(1, 16 << 20)),
        await fileIn(server.folder, 'two.txt', Buffer.from('2')),
        await fileIn(server.folder, 'three.bin', bytesOf(3, 21 << 20)),
        path.join(server.folder, 'folder'),
      ]);
      const address = await link(page);
      await phase(page, 'two.txt', 'done');
      await standstill(road, server, address);
      await page.getByRole('button', { name: 'folder, 1 file' }).click();
      await expect(page.getByTestId('failures')).toBeVisible();
      await clean(page, 'running, with a failure and an open folder');
      const visitor = await context.newPage();
      await visitor.goto(address);
      await expect(visitor.getByTestId('file').first()).toBeVisible();
      await clean(visitor, 'arriving');
      await visitor.close();
      road.cut();
      await expect(page.getByTestId('outage')).toBeVisible();
      await clean(page, 'outage');
      road.mend();
      await online(page);
      await phase(page, 'one.bin', 'sending');
      await page.getByRole('button', { name: 'QR code' }).click();
      await clean(page, 'QR code');
      await page.keyboard.press('Escape');
      road.release();
      await phase(page, 'one.bin', 'done');
      expect(road.passed, 'nothing had to be sent again').toBe(16 << 20);
      await clean(page, 'done');
      await page.goto(address);
      await page.getByRole('button', { name: 'Checksum and command line for one.bin' }).click();
      await expect(page.getByTestId('digest')).toBeVisible();
      await clean(page, 'share');
      await page.goto(`${road.url}/d/aaaaaaaaaaaaaaaaaaaaaaaaaa`);
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
      await clean(page, 'missing');
      road.remove();
    });
  });
}

for (const scheme of ['light', 'dark'] as const) {
  test.describe(() => {
    test.use({ flags: ['--file-bytes-max', '1MB'], colorScheme: scheme });
    test(`nor where something was refused, deleted or not asked for, ${scheme}`, async ({
      page,
      server,
    }) => {
      await page.clock.install();
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.goto(server.url);
      await page.getByText('Help').click();
      await clean(page, 'help');
      await give(page, await fileIn(server.folder, 'large.bin', bytesOf(1, 2_000_000)));
      await phase(page, 'large.bin', 'failed');
      await clean(page, 'only too large');
      await page.getByRole('button', { name: 'Hide' }).click();
      const files: string[] = [];
      for (let n = 0; n < 5; n++)
        files.push(await fileIn(server.folder, `דוח ${n}.txt`, bytesOf(n, 100)));
      await give(page, files);
      await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
      await expect(page.getByTestId('file')).toHaveCount(0);
      await clean(page, 'done and folded');
      await page.getByRole('button', { name: '5 files uploaded' }).click();
      for (let n = 0; n < 5; n++)
        await row(page, `דוח ${n}.txt`)
          .getByRole('button', { name: /^Delete/ })
          .click();
      await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'empty');
      await clean(page, 'being deleted');
    });
  });
}

test('what is unfinished reads well too', async ({ page, server }) => {
  const road = await Road.to(server, { holdAt: 4 << 20 });
  await page.goto(road.url);
  await give(page, await fileIn(server.folder, 'later.bin', bytesOf(1, 16 << 20)));
  await standstill(road, server, await link(page));
  await page.reload();
  await road.hungUp();
  await expect(page.getByTestId('unfinished')).toContainText('later.bin');
  await clean(page, 'unfinished');
  await page
    .getByTestId('unfinished')
    .getByLabel('Files to upload')
    .setInputFiles(await fileIn(server.folder, 'other.txt', Buffer.from('o')));
  await expect(page.getByTestId('unfinished')).toContainText('These are not the files');
  await clean(page, 'not these files');
  road.remove();
});

test('a theme that was chosen is there from the first paint on, and after a reload', async ({
  page,
  server,
}) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto(server.url);
  const paper = (): Promise<string> =>
    page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await paper();
  await page.getByLabel('Theme').selectOption({ label: 'Dark theme' });
  const dark = await paper();
  expect(dark).not.toBe(light);
  await page.reload();
  expect(await paper()).toBe(dark);
  await page.getByLabel('Theme').selectOption({ label: 'System theme' });
  expect(await paper()).toBe(light);
});

test('all is done by the keyboard alone', async ({ page, server, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  // The picker of file handles can't be driven from outside; without it the button opens the input.
  await page.addInitScript(() => Reflect.deleteProperty(window, 'showOpenFilePicker'));
  const road = await Road.to(server, { holdAt: 4 << 20 });
  await page.goto(road.url);
  const focused = (): Promise<string> =>
    page.evaluate(() =>
      (
        document.activeElement?.getAttribute('aria-label') ??
        document.activeElement?.textContent ??
        ''
      ).trim(),
    );
  const tabTo = async (name: string, key = 'Tab'): Promise<void> => {
    for (let n = 0; n < 30; n++) {
      await page.keyboard.press(key);
      if ((await focused()).startsWith(name)) return;
    }
    throw new Error(`no way to "${name}" by ${key}`);
  };
  await page.keyboard.press('Tab');
  await expect(page.getByText('Skip to content')).toBeFocused();
  await tabTo('Select files');
  const chooser = page.waitForEvent('filechooser');
  await page.keyboard.press('Enter');
  const bytes = bytesOf(1, 16 << 20);
  await (await chooser).setFiles(await fileIn(server.folder, 'keys.bin', bytes));
  const address = await link(page);
  await standstill(road, server, address);
  await tabTo('Copy link');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Copied', { exact: true })).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(address);
  await tabTo('QR code');
  await page.keyboard.press('Space');
  await expect(page.getByRole('dialog')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toBeHidden();
  expect(await focused(), 'focus comes back to where it was').toBe('QR code');
  await tabTo('Pause keys.bin');
  await page.keyboard.press('Enter');
  await phase(page, 'keys.bin', 'paused');
  expect(await focused(), 'the button that was pressed now undoes what it did').toBe(
    'Resume keys.bin',
  );
  await road.hungUp();
  road.release();
  await page.keyboard.press('Enter');
  await phase(page, 'keys.bin', 'done');
  await expect
    .poll(focused, 'nor is it lost with its button, and no other button takes its place')
    .toMatch(/^Uploaded/);
  expect(await digestAt(address)).toBe(sha256(bytes));
  road.remove();
});

test('what goes leaves the focus to its neighbour, and is told', async ({ page, server }) => {
  await page.clock.install();
  await page.goto(server.url);
  const heard = await listen(page);
  const names = ['a.txt', 'b.txt', 'c.txt'];
  const files: string[] = [];
  for (const name of names) files.push(await fileIn(server.folder, name, Buffer.from(name)));
  await give(page, files);
  await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
  const button = (name: string) =>
    page.getByRole('button', { name: `Delete ${name} from the server` });
  await button('b.txt').focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: 'Undo' })).toBeFocused();
  await undoIsOver(page);
  await expect(button('c.txt'), 'the next row').toBeFocused();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  await expect(button('c.txt'), 'had back').toBeFocused();
  await page.keyboard.press('Enter');
  await undoIsOver(page);
  await expect(button('a.txt'), 'the row before').toBeFocused();
  await page.keyboard.press('Enter');
  await undoIsOver(page);
  await expect(page.getByRole('button', { name: 'Select files' }), 'the beginning').toBeFocused();
  await give(page, files[0]!);
  await phase(page, 'a.txt', 'done');
  await page.getByRole('button', { name: 'Hide' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: 'Select files' })).toBeFocused();
  await page.clock.fastForward(5_000);
  const end = 'You can undo this for 5 seconds.';
  for (const word of [
    `b.txt will be deleted. ${end}`,
    `c.txt will be deleted. ${end}`,
    'c.txt restored',
    'Upload of 1 file hidden. Its link still works.',
  ]) {
    await expect.poll(heard).toContain(word);
  }
});

for (const [width, height] of [
  [320, 640],
  [390, 844],
] as const) {
  test.describe(() => {
    test.use({ viewport: { width, height }, hasTouch: true, isMobile: true });
    test(`a screen of ${width} × ${height} is enough`, async ({ page, server }) => {
      const fits = async (where: string): Promise<void> => {
        expect(
          await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth),
          where,
        ).toBeLessThanOrEqual(0);
        const small = await page.evaluate(() =>
          [...document.querySelectorAll('button, a.button, a.icon-button, select')]
            .map((one) => ({
              box: one.getBoundingClientRect(),
              name: one.getAttribute('aria-label') ?? one.textContent,
            }))
            .filter(
              ({ box }) =>
                box.width > 0 && box.top >= 0 && (box.height < 32 || box.right > innerWidth),
            )
            .map(({ name }) => name),
        );
        expect(small, `${where}: what a finger can’t hit`).toEqual([]);
      };
      const name = 'a very long name of a file that somebody gave without any mercy at all.tar.gz';
      await mkdir(
        path.join(
          server.folder,
          'a folder whose name is long enough to be cut on every phone there is',
        ),
      );
      await fileIn(
        path.join(
          server.folder,
          'a folder whose name is long enough to be cut on every phone there is',
        ),
        name,
        bytesOf(2, 1000),
      );
      await page.goto(server.url);
      await expect(page.getByText('Upload files.')).toBeVisible();
      await expect(page.getByRole('button', { name: 'Take a photo' })).toBeVisible();
      await fits('empty');
      await drop(page, [
        await fileIn(server.folder, name, bytesOf(1, 1000)),
        path.join(
          server.folder,
          'a folder whose name is long enough to be cut on every phone there is',
        ),
      ]);
      const address = await link(page);
      await expect(page.getByTestId('share-card')).toHaveAttribute('data-state', 'done');
      await fits('done');
      await expect(row(page, name)).toContainText('tar.gz');
      await page.getByRole('button', { name: 'QR code' }).tap();
      await expect(page.getByRole('dialog').getByTestId('qr')).toBeInViewport({ ratio: 1 });
      await page.getByRole('button', { name: 'Close' }).tap();
      await page.goto(address);
      await expect(page.getByTestId('file')).toHaveCount(2);
      await fits('share');
    });
  });
}
