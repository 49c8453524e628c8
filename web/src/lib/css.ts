/**
 * Sets custom properties through the CSSOM, which a strict CSP allows where it forbids `style=""`.
 * For `{@attach}`.
 */
export function vars(
  values: Record<string, string | number>,
): (node: HTMLElement | SVGElement) => void {
  return (node) => {
    for (const [name, value] of Object.entries(values)) node.style.setProperty(name, String(value));
  };
}
