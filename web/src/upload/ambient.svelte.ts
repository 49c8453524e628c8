// What the rest of the browser sees of an upload: the tab's title, a warning before leaving, a
// screen that stays awake, a word to the screen reader, and another try when the network or the
// person comes back.
import { announce } from '../lib/announce.svelte';
import { percent, span } from '../lib/format';
import { t } from '../lib/texts';
import { Throttle } from '../lib/throttle';
import { titleOfUploads } from '../lib/title';
import { WakeLock } from '../lib/wake-lock';
import { News } from './news';
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

function look(uploads: Uploads) {
  const sum = overall(uploads);
  return { sum, title: sum.active > 0 ? shortProgress(uploads) : null, open: uploads.gate.open };
}

/** Starts it all, for as long as the component lives that calls it as it is made. */
export function ambient(uploads: Uploads): void {
  const news = new News();
  const wakeLock = new WakeLock();

  function tell({ sum, title, open }: ReturnType<typeof look>): void {
    titleOfUploads(title);
    for (const word of news.since({ ...sum, open })) announce(word);
    wakeLock.set(sum.active > 0);
  }
  // Ten times a second at the most: of what changes in one moment a screen reader hears once.
  let seen: ReturnType<typeof look>;
  const telling = new Throttle(() => tell(seen));
  $effect(() => {
    seen = look(uploads);
    telling.call();
  });

  function leaving(event: BeforeUnloadEvent): void {
    const sum = overall(uploads);
    if (sum.active + sum.paused > 0) event.preventDefault();
  }
  function back(): void {
    if (document.hidden) return;
    uploads.gate.tryNow();
    telling.call();
  }
  $effect(() => {
    const end = new AbortController();
    const { signal } = end;
    addEventListener('beforeunload', leaving, { signal });
    addEventListener('online', () => uploads.gate.tryNow(), { signal });
    document.addEventListener('visibilitychange', back, { signal });
    return () => {
      end.abort();
      telling.stop();
    };
  });
}
