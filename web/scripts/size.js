// Weighs what a first visit of each page fetches: the page and everything it names, compressed with
// gzip. Fails past the budget, so that a heavy import is noticed when it is made and not a year
// later.
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const BUDGETS_BYTES = { 'index.html': 62 * 1024, 'api-docs.html': 34 * 1024 };
const dist = new URL('../dist', import.meta.url).pathname;
const weigh = (name) => statSync(join(dist, `${name}.gz`)).size;
const line = (bytes, text) => console.log(`${String(bytes).padStart(8)}  ${text}`);
const told = new Set();

for (const [page, budget] of Object.entries(BUDGETS_BYTES)) {
  const html = readFileSync(join(dist, page), 'utf8');
  const named = [...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((found) => found[1]);
  let total = 0;
  for (const name of [page, ...named]) {
    told.add(name);
    total += weigh(name);
    line(weigh(name), name);
  }
  line(total, `first view of ${page}, gzip (budget ${budget})`);
  if (total > budget) {
    console.error(`The first view of ${page} is over its budget.`);
    process.exitCode = 1;
  }
}
for (const file of readdirSync(join(dist, 'assets'))) {
  const name = `assets/${file.slice(0, -3)}`;
  if (file.endsWith('.gz') && !told.has(name)) line(weigh(name), `later: ${name}`);
}
