import { playwright } from '@vitest/browser-playwright';
import { mergeConfig } from 'vite';
import { defineConfig } from 'vitest/config';
import pages from './vite.config.ts';

const BROWSER_TESTS = 'src/**/*.browser.test.ts';

export default mergeConfig(
  pages,
  defineConfig({
    // Runes as the browser has them, not as a server draws a page once.
    resolve: { conditions: ['browser'] },
    test: {
      projects: [
        {
          extends: true,
          test: {
            name: 'units',
            include: ['src/**/*.test.ts'],
            exclude: [BROWSER_TESTS],
            environment: './tests/runes.ts',
          },
        },
        {
          extends: true,
          // Found late, a dependency would load the page anew in the middle of a test.
          optimizeDeps: { include: ['svelte', 'svelte/reactivity', 'uqr'] },
          test: {
            name: 'components',
            include: [BROWSER_TESTS],
            browser: {
              enabled: true,
              headless: true,
              screenshotFailures: false,
              // Debian's own, as in playwright.config.ts.
              provider: playwright({
                launchOptions: { executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium' },
              }),
              instances: [{ browser: 'chromium' }],
              viewport: { width: 1280, height: 800 },
            },
          },
        },
      ],
    },
  }),
);
