// A server for each test, and the few things that every test does on the page.
import { expect, test as base, type Locator, type Page } from '@playwright/test';
import { Server, type Road } from './server';

interface Fixtures {
  /** Flags of the server. */
  flags: string[];
  server: Server;
}

export const test = base.extend<Fixtures>({
  flags: [[], { option: true }],
  server: async ({ flags, context }, use) => {
    const server = await Server.start(...flags);
    const broken: string[] = [];
    // A page that breaks its own policy, or throws, has failed whatever else it shows: this one and
    // every other of its tabs.
    context.on('console', (message) => {
      if (/Content Security Policy|TrustedScript|Trusted Type/i.test(message.text()))
        broken.push(message.text());
    });
    context.on('weberror', (error) => broken.push(error.error().message));
    await use(server);
    await server.remove();
    expect(broken).toEqual([]);
  },
});

export { expect };

/** Gives the page files as its own input does. */
export async function give(page: Page, files: string | string[]): Promise<void> {
  await page.getByLabel('Files to upload').first().setInputFiles(files);
}

interface Dragged {
  items: { mimeType: string; data: string }[];
  files: string[];
  dragOperationsMask: number;
}

/**
 * A drag from outside, as a desktop does it: it comes over the page, moves, and is let go or leaves
 * it.
 */
export async function drag(page: Page, what: Partial<Dragged>) {
  const session = await page.context().newCDPSession(page);
  const data: Dragged = { items: [], files: [], dragOperationsMask: 1, ...what };
  const at = async (
    type: 'dragEnter' | 'dragOver' | 'drop',
    x: number,
    y: number,
  ): Promise<void> => {
    await session.send('Input.dispatchDragEvent', { type, x, y, data });
    // What the page makes of it is drawn by then.
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => resolve(null))));
  };
  await at('dragEnter', 150, 300);
  await at('dragOver', 150, 300);
  return {
    over: (x: number, y: number) => at('dragOver', x, y),
    drop: (x: number, y: number) => at('drop', x, y),
  };
}

/** Drops files or folders. */
export async function drop(page: Page, paths: string[]): Promise<void> {
  await (await drag(page, { files: paths })).drop(150, 300);
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

/** The road holds, and the server has all that it let through: nothing moves by itself. */
export async function standstill(road: Road, server: Server, address: string): Promise<void> {
  await road.held();
  await expect.poll(() => server.received(address)).toBe(road.passed);
}

/**
 * No file is begun before the page hears from the server what has arrived. Until then it draws what
 * it has handed to the system, which may be megabytes more. To be called before it is opened.
 */
export async function hearing(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const Stream = EventSource;
    window.EventSource = class extends Stream {
      constructor(address: string | URL) {
        super(address);
        this.addEventListener('open', () => Reflect.set(window, 'hears', true));
      }
    };
  });
  await page.route('**/files', async (route) => {
    await expect.poll(() => page.evaluate(() => Reflect.get(window, 'hears') === true)).toBe(true);
    await route.fallback();
  });
}

/** The five seconds go by after which what was cancelled is deleted. Needs `page.clock.install`. */
export async function undoIsOver(page: Page): Promise<void> {
  await page.clock.fastForward(5_000);
}

/** The browser says that there is a network: the page tries at once. Its own tries get rarer. */
export async function online(page: Page): Promise<void> {
  await page.evaluate(() => dispatchEvent(new Event('online')));
}

/** Everything that the page's one polite region says from now on. */
export async function listen(page: Page): Promise<() => Promise<string[]>> {
  const heard = await page.evaluateHandle(() => {
    const said: string[] = [];
    const region = document.querySelector('[data-testid=announcer]');
    if (region)
      new MutationObserver(() => said.push((region.textContent ?? '').trim())).observe(region, {
        childList: true,
        characterData: true,
        subtree: true,
      });
    return said;
  });
  return () => heard.jsonValue();
}

/** Where each PATCH began, and how many there were. */
export function patches(page: Page): number[] {
  const offsets: number[] = [];
  page.on('request', (request) => {
    if (request.method() === 'PATCH') offsets.push(Number(request.headers()['upload-offset']));
  });
  return offsets;
}
