import { createRawSnippet } from 'svelte';
import { expect, test } from 'vitest';
import { page } from 'vitest/browser';
import { draw } from '../../tests/component/draw';
import VirtualList from './VirtualList.svelte';

interface Row {
  key: string;
}
const ROWS = 100_000;
const HEIGHT_PX = 58;
const row = createRawSnippet<[Row]>((one) => ({ render: () => `<span>${one().key}</span>` }));

function list(length: number): void {
  draw(VirtualList as never, {
    rows: Array.from({ length }, (_, n) => ({ key: `row ${n}` })),
    label: 'Rows',
    row,
  });
}
const shown = (): Element[] => [...page.getByRole('list', { name: 'Rows' }).element().children];

test('of 100,000 rows only those in view exist, wherever the page is', async () => {
  list(ROWS);
  const inView = Math.ceil(innerHeight / HEIGHT_PX);
  await expect.poll(() => shown().length).toBeLessThan(inView + 20);
  expect(page.getByRole('list', { name: 'Rows' }).element().clientHeight).toBe(ROWS * HEIGHT_PX);
  for (const at of [50_000, 99_990, 0]) {
    scrollTo(0, at * HEIGHT_PX);
    await expect.poll(() => shown().some((one) => one.textContent === `row ${at}`)).toBe(true);
    expect(shown().length).toBeLessThan(inView + 20);
    const one = shown().find((each) => each.textContent === `row ${at}`)!;
    expect([one.ariaSetSize, one.ariaPosInSet]).toEqual([String(ROWS), String(at + 1)]);
    const { top } = one.getBoundingClientRect();
    expect(top).toBeGreaterThanOrEqual(-HEIGHT_PX);
    expect(top).toBeLessThan(innerHeight);
  }
});

test('a short list is there as a whole', () => {
  list(3);
  expect(shown().map((one) => one.textContent)).toEqual(['row 0', 'row 1', 'row 2']);
});
