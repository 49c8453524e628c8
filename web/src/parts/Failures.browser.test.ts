import { expect, test } from 'vitest';
import { page, userEvent } from 'vitest/browser';
import type { FailureCode } from '$upload/failures';
import type { Item } from '$upload/item.svelte';
import { ItemList } from '$upload/item-list.svelte';
import { draw, itemOf } from '../../tests/component/draw';
import Failures from './Failures.svelte';

const failed = (path: string, code: FailureCode): Item =>
  itemOf(path, { phase: 'failed', failure: { code } });
function failures(...items: Item[]): void {
  const list = new ItemList(() => true);
  list.add(items);
  draw(Failures, { groups: list.failed });
}
const lines = (): string[] =>
  [...page.getByRole('list').element().children].map((one) =>
    one.textContent.replace(/\s+/g, ' ').trim(),
  );

test('are told by reason, the most frequent first, with the first three names', () => {
  failures(
    failed('a', 'taken'),
    failed('b', 'gone'),
    failed('d/c', 'gone'),
    failed('e', 'gone'),
    failed('f', 'gone'),
  );
  expect(lines()).toEqual([
    '4 No longer on the server b, c, e … Remove',
    '1 A file with this name already exists under this link a Remove',
  ]);
});

test('are tried again together, but for those that no try can help', async () => {
  const [a, b, c] = [failed('a', 'gone'), failed('b', 'no-space'), failed('c', 'too-large')];
  failures(a, b, c);
  await userEvent.click(page.getByRole('button', { name: 'Retry 2 files' }));
  await expect.poll(() => [a.phase, b.phase, c.phase]).toEqual(['queued', 'queued', 'failed']);
});

test('offer no try where none can help', () => {
  failures(failed('a', 'too-large'), failed('b', 'name-too-long'));
  expect(
    page
      .getByRole('button')
      .elements()
      .map((one) => one.textContent),
  ).toEqual(['Remove', 'Remove']);
});

test('go by reason', async () => {
  const [a, b] = [failed('a', 'gone'), failed('b', 'taken')];
  failures(a, b);
  await userEvent.click(page.getByRole('button', { name: 'Remove' }).first());
  expect([a.phase, b.phase]).toEqual(['cancelled', 'failed']);
});
