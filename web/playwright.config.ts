import { defineConfig } from '@playwright/test';

// Debian's own Chromium: nothing is downloaded, and CI has the same one. Each test starts its own server, so they share
// nothing; one worker, since two uploads at full speed would only measure each other.
export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  forbidOnly: true,
  use: {
    browserName: 'chromium',
    launchOptions: { executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium' },
    trace: 'retain-on-failure',
    viewport: { width: 1280, height: 800 },
  },
});
