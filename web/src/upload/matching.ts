// Knows a file again that was given in an earlier visit: same path, size and time of last change.
// Picked alone, without its folder, it is known by its name if only one file fits. What was in the
// middle changes nothing: the check value at the end tells if the content is another.
import type { Given } from './intake';
import type { StoredShare } from './store';

export interface Matched {
  /** By share id, under the paths that the share knows them by. */
  known: Map<string, Given[]>;
  rest: Given[];
}

export function match(given: Given[], shares: Iterable<StoredShare>): Matched {
  const byPath = new Map<string, Spot>();
  const byName = new Map<string, Spot | null>();
  for (const { shareId, manifest } of shares) {
    for (const [path, size, modifiedAt] of manifest) {
      const spot = { shareId, path };
      byPath.set(key(path, size, modifiedAt), spot);
      const name = key(nameOf(path), size, modifiedAt);
      byName.set(name, byName.has(name) ? null : spot);
    }
  }
  const matched: Matched = { known: new Map(), rest: [] };
  const used = new Set<string>();
  for (const one of given) {
    const { size, lastModified } = one.file;
    const spot =
      byPath.get(key(one.path, size, lastModified)) ??
      byName.get(key(nameOf(one.path), size, lastModified));
    const mark = spot && `${spot.shareId}/${spot.path}`;
    if (!spot || used.has(mark!)) {
      matched.rest.push(one);
      continue;
    }
    used.add(mark!);
    const list = matched.known.get(spot.shareId) ?? [];
    list.push({ file: one.file, path: spot.path });
    matched.known.set(spot.shareId, list);
  }
  return matched;
}

interface Spot {
  shareId: string;
  path: string;
}

function key(path: string, size: number, modifiedAt: number): string {
  return `${size}|${modifiedAt}|${path}`;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
