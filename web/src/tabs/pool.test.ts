import { expect, test } from 'vitest';
import { Pool, type Wish } from './pool';

/**
 * Tabs that start what they are allowed to, and stop at the end of a request when they are to give
 * back.
 */
class Model {
  readonly pool = new Pool(3);
  readonly allowed = new Map<string, number>();
  readonly wishes = new Map<string, Wish>();

  wish(tab: string, wants: number): void {
    this.wishes.set(tab, { wants, holds: this.wishes.get(tab)?.holds ?? 0 });
    this.tell(tab);
  }
  tell(tab: string): void {
    this.take(this.pool.set(tab, this.wishes.get(tab)!));
  }
  take(grants: Map<string, number>): void {
    for (const [to, n] of grants) this.allowed.set(to, n);
    for (const to of grants.keys()) {
      const wish = this.wishes.get(to);
      const may = Math.min(wish?.wants ?? 0, this.allowed.get(to) ?? 0);
      if (!wish || wish.holds >= may) continue;
      wish.holds = may;
      this.tell(to);
    }
    expect(this.running()).toBeLessThanOrEqual(3);
  }
  /** A request of this tab ends. */
  ends(tab: string): void {
    const wish = this.wishes.get(tab)!;
    wish.holds = Math.min(wish.holds, this.allowed.get(tab) ?? 0);
    this.tell(tab);
  }
  running(): number {
    return [...this.wishes.values()].reduce((sum, { holds }) => sum + holds, 0);
  }
  holds(): string {
    return [...this.wishes].map(([tab, { holds }]) => tab + holds).join(' ');
  }
}

test('a tab alone gets all that it wants, up to the limit', () => {
  const model = new Model();
  model.wish('a', 1);
  expect(model.holds()).toBe('a1');
  model.wish('a', 3);
  expect(model.holds()).toBe('a3');
});

test('another tab gets its part as soon as a request of the first one ends, not before', () => {
  const model = new Model();
  model.wish('a', 3);
  model.wish('b', 3);
  expect(model.holds()).toBe('a3 b0');
  model.ends('a');
  expect(model.holds()).toBe('a2 b1');
  model.wish('a', 0);
  model.wishes.get('a')!.holds = 0;
  model.tell('a');
  expect(model.holds()).toBe('a0 b3');
});

test('never are there more than three, and four tabs all get their turn', () => {
  const model = new Model();
  const served = new Set<string>();
  for (const tab of ['a', 'b', 'c', 'd']) model.wish(tab, 3);
  for (let round = 0; round < 8; round++) {
    model.take(model.pool.rotate());
    for (const tab of ['a', 'b', 'c', 'd']) model.ends(tab);
    expect(model.running(), 'none lies idle').toBe(3);
    for (const [tab, { holds }] of model.wishes) if (holds > 0) served.add(tab);
  }
  expect([...served].sort()).toEqual(['a', 'b', 'c', 'd']);
});

test('what a closed tab held goes to the others', () => {
  const model = new Model();
  model.wish('a', 3);
  model.wish('b', 2);
  model.wishes.delete('a');
  model.take(model.pool.leave('a'));
  expect(model.holds()).toBe('b2');
});
