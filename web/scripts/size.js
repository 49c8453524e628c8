// Weighs what a first visit fetches: index.html and everything it names, compressed with gzip.
// Fails past the budget, so that a heavy import is noticed when it is made and not a year later.
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const BUDGET_BYTES = 62 * 1024;
const dist = new URL('../dist', import.meta.url).pathname;
const html = readFileSync(join(dist, 'index.html'), 'utf8');
const first = ['index.html', ...[...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((m) => m[1])];

let total = 0;
for (const name of first) {
  const bytes = statSync(join(dist, `${name}.gz`)).size;
  total += bytes;
  console.log(`${String(bytes).padStart(8)}  ${name}`);
}
console.log(`${String(total).padStart(8)}  first view, gzip (budget ${BUDGET_BYTES})`);
for (const name of readdirSync(join(dist, 'assets'))) {
  const path = `assets/${name}`;
  if (name.endsWith('.gz') && !first.includes(path.slice(0, -3))) {
    console.log(
      `${String(statSync(join(dist, path)).size).padStart(8)}  later: ${path.slice(0, -3)}`,
    );
  }
}
if (total > BUDGET_BYTES) {
  console.error('The first view is over its budget.');
  process.exit(1);
}
