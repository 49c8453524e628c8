import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

// The server embeds dist/ and answers with
// `default-src 'none'; script-src 'self'; style-src 'self'`, so nothing may be inlined: no data:
// assets, no inline style, no inline script.
export default defineConfig({
  plugins: [svelte()],
  // As in tsconfig.json: an import from another folder names it.
  resolve: {
    alias: Object.fromEntries(
      ['lib', 'parts', 'tabs', 'upload'].map((name) => [
        `$${name}`,
        fileURLToPath(new URL(`src/${name}`, import.meta.url)),
      ]),
    ),
  },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  experimental: {
    // index.html is served at several depths (/, /d/{id}), so it names its assets from the root,
    // where a server with --path-prefix can put the prefix in front. Scripts find their chunks
    // beside themselves.
    renderBuiltUrl(filename, { hostType }) {
      return hostType === 'html' ? `/${filename}` : { relative: true };
    },
  },
  server: {
    // A test of a component has no server.
    proxy: Object.fromEntries(
      (process.env['VITEST'] ? [] : ['/files', '/api', '/healthz', '/readyz', '/delete']).map(
        (path) => [path, process.env['DDX_DEV_SERVER'] ?? 'http://127.0.0.1:8000'],
      ),
    ),
  },
});
