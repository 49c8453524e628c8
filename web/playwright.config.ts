import { defineConfig } from '@playwright/test';

// Debian's own Chromium: nothing is downloaded, and CI has the same one. Each test starts its own
// server and holds its own transfer, so they share nothing and none is in a hurry: two at a time.
export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  workers: 2,
  fullyParallel: true,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  forbidOnly: true,
  use: {
    browserName: 'chromium',
    launchOptions: { executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium' },
    // The DOM of each step is kept anyway; a film of it costs a tenth of the time.
    trace: { mode: 'retain-on-failure', screenshots: false },
    viewport: { width: 1280, height: 800 },
  },
});
