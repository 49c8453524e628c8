// What the rest of the browser sees of an upload: the tab's title, a warning before leaving, a
// screen that stays awake, a word to the screen reader, and another try when the network or the
// person comes back.
import { announce } from '../lib/announce.svelte';
import { percent, span } from '../lib/format';
import { t } from '../lib/texts';
import { titleOfUploads } from '../lib/title';
import { News } from './news';
import type { Uploads } from './uploads';

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
export function overall(uploads: Uploads): Overall {
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
  const left = uploads.gate.open ? uploads.meter.secondsLeft(sum.bytes - sum.shown) : null;
  return t.titleBusy(Math.min(99, sum.percent), left === null ? null : t.shortSpan(span(left)));
}

/** Starts it all; returns what ends it. */
export function ambient(uploads: Uploads): () => void {
  const end = new AbortController();
  const { signal } = end;
  const news = new News();
  let lock: WakeLockSentinel | null = null;
  let locking = false;

  const stop = uploads.pulse.listen(() => {
    const sum = overall(uploads);
    const active = sum.active > 0;
    titleOfUploads(active ? shortProgress(uploads) : null);
    for (const word of news.since({ ...sum, open: uploads.gate.open })) announce(word);
    void awake(active);
  });

  async function awake(wanted: boolean): Promise<void> {
    if (locking || !('wakeLock' in navigator) || document.hidden) return;
    if (wanted === (lock !== null && !lock.released)) return;
    locking = true;
    try {
      if (wanted) lock = await navigator.wakeLock.request('screen');
      else await lock?.release();
    } catch {
      // Low battery, or not allowed: the upload goes on all the same.
    }
    if (!wanted) lock = null;
    locking = false;
  }

  addEventListener(
    'beforeunload',
    (event) => {
      const sum = overall(uploads);
      if (sum.active + sum.paused > 0) event.preventDefault();
    },
    { signal },
  );
  addEventListener('online', () => uploads.gate.tryNow(), { signal });
  document.addEventListener(
    'visibilitychange',
    () => {
      if (document.hidden) return;
      uploads.gate.tryNow();
      uploads.touch();
    },
    { signal },
  );
  return () => {
    stop();
    end.abort();
  };
}
