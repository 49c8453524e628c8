import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  // Runes as the browser has them, not as a server draws a page once.
  resolve: { conditions: ['browser'] },
  test: { include: ['src/**/*.test.ts'], environment: './tests/runes.ts' },
});
