import { mergeConfig } from 'vite';
import { defineConfig } from 'vitest/config';
import pages from './vite.config';

export default mergeConfig(
  pages,
  defineConfig({
    // Runes as the browser has them, not as a server draws a page once.
    resolve: { conditions: ['browser'] },
    test: { include: ['src/**/*.test.ts'], environment: './tests/runes.ts' },
  }),
);
