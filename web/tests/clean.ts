// What makes a page hard to use, as far as a machine can tell.
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { expect } from './page';

/**
 * Controls with an edge or a ground of their own that does not stand out 3:1 from what they lie on
 * (WCAG 1.4.11).
 */
function faintControls(): string[] {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
  // In sRGB, whatever notation the style has.
  const rgba = (colour: string): number[] => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]: number[]): number => {
    const [x, y, z] = [r!, g!, b!].map((one) =>
      one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * x! + 0.7152 * y! + 0.0722 * z!;
  };
  const ratio = (a: number[], b: number[]): number =>
    (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const ground = (element: Element | null): number[] => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba('canvas');
  };
  const faint: string[] = [];
  for (const control of document.querySelectorAll<HTMLElement>('button, .button, input, select')) {
    if (!control.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(control);
    const edge = rgba(style.borderTopColor);
    const own = rgba(style.backgroundColor);
    const hasEdge = parseFloat(style.borderTopWidth) > 0 && edge[3]! > 0;
    // What has neither is text or a sign, which axe looks at; the ground of one under the pointer
    // says no more.
    if (!hasEdge && (own[3] === 0 || control.matches(':hover'))) continue;
    const best = Math.max(
      ...[hasEdge ? edge : own, own]
        .filter((one) => one[3]! > 0)
        .map((one) => ratio(one, ground(control.parentElement))),
    );
    if (best < 3)
      faint.push(`${control.textContent?.trim() || control.ariaLabel}: ${best.toFixed(2)}`);
  }
  return faint;
}

export async function clean(page: Page, where: string): Promise<void> {
  // All rules run. "Legacy" is without frames of other origins, which there are none of here; the
  // other mode opens one more tab each time.
  const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
  expect(
    violations.map((one) => `${one.id}: ${one.nodes[0]?.html ?? ''}`),
    where,
  ).toEqual([]);
  expect(await page.evaluate(faintControls), where).toEqual([]);
}
