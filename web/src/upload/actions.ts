// What a person does that takes something off the page, and the word of it to the screen reader:
// what goes is not seen to go by one who listens.
import { announce } from '$lib/announce.svelte';
import { count } from '$lib/format';
import { t } from '$lib/texts';
import type { Unfinished } from './unfinished.svelte';
import type { Item } from './item.svelte';
import type { Share } from './share.svelte';
import type { Uploads } from './uploads.svelte';

function named(items: readonly Item[]): string {
  return items.length === 1 ? items[0]!.name : t.files(count(items.length), false);
}

export function cancel(uploads: Uploads, items: readonly Item[]): void {
  const gone = items.filter((item) => item.phase !== 'cancelled');
  const isDeleted = gone.length > 0 && gone.every((item) => item.phase === 'done');
  uploads.cancel(items);
  if (gone.length > 0) announce((isDeleted ? t.live.deleted : t.live.cancelled)(named(gone)));
}

export function undo(uploads: Uploads, items: readonly Item[]): void {
  uploads.undo(items);
  announce(t.live.undone(named(items)));
}

export function hide(uploads: Uploads, share: Share): void {
  const { files } = share.totals;
  uploads.dismiss(share);
  announce(t.live.hidden(t.files(count(files), files === 1)));
}

export function discard(uploads: Uploads, one: Unfinished): void {
  void uploads.forget(one);
  announce(t.live.discarded(t.files(count(one.files), one.files === 1)));
}
