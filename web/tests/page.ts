// A server for each test, and the few things that every test does on the page.
import { expect, test as base, type Locator, type Page } from '@playwright/test';
import { Server } from './server';

interface Fixtures {
  /** Flags of the server. */
  flags: string[];
  server: Server;
}

export const test = base.extend<Fixtures>({
  flags: [[], { option: true }],
  server: async ({ flags, page }, use) => {
    const server = await Server.start(...flags);
    const broken: string[] = [];
    // A page that breaks its own policy, or throws, has failed whatever else it shows.
    page.on('console', (message) => {
      if (message.type() === 'error' && /Content Security Policy|Trusted/.test(message.text())) broken.push(message.text());
    });
    page.on('pageerror', (error) => broken.push(error.message));
    await use(server);
    await server.remove();
    expect(broken).toEqual([]);
  },
});

export { expect };

/** Gives the page files as its own input does. */
export async function give(page: Page, files: string | string[]): Promise<void> {
  await page.getByLabel('Files to send').first().setInputFiles(files);
}

/** Drops files or folders from outside, as a desktop does. */
export async function drop(page: Page, paths: string[]): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await session.send('Input.dispatchDragEvent', { type, x: 400, y: 300, data });
  }
}

export function row(page: Page, path: string): Locator {
  return page.locator(`[data-testid=file][data-path="${path}"]`);
}

export async function phase(page: Page, path: string, wanted: string): Promise<void> {
  await expect(row(page, path)).toHaveAttribute('data-phase', wanted, { timeout: 45_000 });
}

/** The link of the first sheet, once it is there. */
export async function link(page: Page): Promise<string> {
  const field = page.getByLabel('Link to these files').first();
  await expect(field).toHaveAttribute('data-link', /\/d\/[a-z2-7]{26}$/);
  return (await field.getAttribute('data-link')) ?? '';
}

/** How many percent of the first sheet are safe. */
export async function figure(page: Page): Promise<number> {
  const text = await page.getByTestId('figure').first().textContent();
  return Number((text ?? '').replace(/[^0-9]/g, ''));
}
