// A control that had the focus and goes hands it to its neighbour. Browsers drop it on the body,
// from where a keyboard begins at the top and a screen reader says nothing. One observer for all
// pages: rows, sheets and buttons go for many reasons (deleted, hidden, finished, heard from the
// server), and each would need the same care.

const CONTROLS = 'a[href], button:not(:disabled), input:not([hidden]), select, summary';
const HEADINGS = 'h1, h2';

/** Starts it; returns what ends it. */
export function keepFocus(root: HTMLElement): () => void {
  let last: HTMLElement | null = null;
  const taken = (event: FocusEvent): void => void (last = event.target as HTMLElement);
  const left = (event: FocusEvent): void => {
    const element = event.target as HTMLElement;
    queueMicrotask(() => {
      // Still there and usable: a person left it.
      if (
        last === element &&
        !isLost(element) &&
        document.activeElement !== element &&
        document.hasFocus()
      )
        last = null;
    });
  };
  const observer = new MutationObserver((records) => {
    if (!last || !isLost(last)) return;
    const { activeElement } = document;
    if (activeElement && activeElement !== document.body && activeElement !== last) return;
    const heir = heirOf(last, records, root);
    last = null;
    heir.focus({ preventScroll: true });
  });
  root.addEventListener('focusin', taken);
  root.addEventListener('focusout', left);
  observer.observe(root, {
    childList: true,
    subtree: true,
    attributes: true,
    attributeFilter: ['disabled'],
  });
  return () => {
    root.removeEventListener('focusin', taken);
    root.removeEventListener('focusout', left);
    observer.disconnect();
  };
}

function isLost(element: HTMLElement): boolean {
  return !element.isConnected || element.matches(':disabled');
}

function heirOf(lost: HTMLElement, records: MutationRecord[], root: HTMLElement): HTMLElement {
  // What is only disabled has neighbours that do something else: pressed once more, it must not
  // delete.
  const gap = lost.isConnected ? null : gapOf(lost, records);
  // Rows and sections lie among their like; anything else has chance neighbours.
  if (gap?.piece.matches('li, section')) {
    for (const sibling of [next(gap.after, gap.piece), previous(gap.before, gap.piece)]) {
      const found = sibling && heirIn(sibling, gap.piece, lost);
      if (found) return found;
    }
  }
  let up = gap ? gap.parent : lost.parentElement;
  while (up && up !== root && !up.querySelector(HEADINGS)) up = up.parentElement;
  const found =
    up?.querySelector<HTMLElement>(HEADINGS) ?? root.querySelector<HTMLElement>('main')!;
  found.tabIndex = -1;
  return found;
}

/** The same control of the next row; of the next section its heading, or what it begins with. */
function heirIn(sibling: HTMLElement, piece: HTMLElement, lost: HTMLElement): HTMLElement | null {
  const found = controls(sibling);
  if (piece.tagName !== 'LI') {
    const heading = sibling.querySelector<HTMLElement>(HEADINGS);
    if (heading) heading.tabIndex = -1;
    return heading ?? found[0] ?? null;
  }
  const before = controls(piece);
  return found.at(before.indexOf(lost) - before.length) ?? found[0] ?? null;
}

interface Gap {
  parent: Element;
  piece: HTMLElement;
  before: Node | null;
  after: Node | null;
}

/** Where the part of the page was that went with the control. */
function gapOf(lost: HTMLElement, records: MutationRecord[]): Gap | null {
  for (const { target, removedNodes, previousSibling, nextSibling } of records) {
    if (!target.isConnected || !(target instanceof Element)) continue;
    for (const piece of removedNodes) {
      if (piece.contains(lost) && piece instanceof HTMLElement)
        return { parent: target, piece, before: previousSibling, after: nextSibling };
    }
  }
  return null;
}

/** The nearest element of the same kind after (or before) the gap. */
function next(from: Node | null, like: HTMLElement): HTMLElement | null {
  for (let node = from; node; node = node.nextSibling) if (isLike(node, like)) return node;
  return null;
}
function previous(from: Node | null, like: HTMLElement): HTMLElement | null {
  for (let node = from; node; node = node.previousSibling) if (isLike(node, like)) return node;
  return null;
}
function isLike(node: Node, like: HTMLElement): node is HTMLElement {
  return (
    node !== like &&
    node instanceof HTMLElement &&
    node.isConnected &&
    node.tagName === like.tagName
  );
}

function controls(within: HTMLElement | Element): HTMLElement[] {
  const all = [...within.querySelectorAll<HTMLElement>(CONTROLS)];
  if (within.matches(CONTROLS)) all.unshift(within as HTMLElement);
  return all.filter((one) => !one.isConnected || one.checkVisibility({ visibilityProperty: true }));
}
