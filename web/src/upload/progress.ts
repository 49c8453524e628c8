// How far all uploads of this page are, as one figure.
import { percent } from '$lib/format';
import { span } from '$lib/span';
import { t } from '$lib/texts';
import type { Share } from './share.svelte';
import type { Uploads } from './uploads.svelte';

export interface Overall {
  files: number;
  active: number;
  paused: number;
  failed: number;
  bytes: number;
  shown: number;
  percent: number;
}

/** All shares of this page as one. */
export function overall(uploads: { readonly shares: readonly Share[] }): Overall {
  const sum = { files: 0, active: 0, paused: 0, failed: 0, bytes: 0, shown: 0, percent: 0 };
  for (const { totals } of uploads.shares) {
    sum.files += totals.files;
    sum.active += totals.active;
    sum.paused += totals.paused;
    sum.failed += totals.failed;
    sum.bytes += totals.bytes;
    sum.shown += totals.shown;
  }
  sum.percent = percent(sum.shown, sum.bytes);
  return sum;
}

export function shortProgress(uploads: Uploads): string {
  const sum = overall(uploads);
  const left = uploads.connection.open ? uploads.meter.secondsLeft(sum.bytes - sum.shown) : null;
  return t.titleBusy(Math.min(99, sum.percent), left === null ? null : t.shortSpan(span(left)));
}
