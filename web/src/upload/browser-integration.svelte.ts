// What the rest of the browser sees of an upload: the tab's title, a warning before leaving, a
// screen that stays awake, a word to the screen reader, and another try when the network or the
// person comes back.
import { announce } from '$lib/announce.svelte';
import { Throttle } from '$lib/throttle';
import { titleOfUploads } from '$lib/title';
import { WakeLock } from '$lib/wake-lock';
import { Announcements } from './announcements';
import { overall, shortProgress } from './progress';
import type { Uploads } from './uploads.svelte';

function look(uploads: Uploads) {
  const sum = overall(uploads);
  return {
    sum,
    title: sum.active > 0 ? shortProgress(uploads) : null,
    open: uploads.connection.open,
  };
}

/** Starts it all, for as long as the component lives that calls it as it is made. */
export function integrateWithBrowser(uploads: Uploads): void {
  const announcements = new Announcements();
  const wakeLock = new WakeLock();

  function tell({ sum, title, open }: ReturnType<typeof look>): void {
    titleOfUploads(title);
    for (const word of announcements.since({ ...sum, open })) announce(word);
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
    uploads.connection.tryNow();
    telling.call();
  }
  $effect(() => {
    const end = new AbortController();
    const { signal } = end;
    addEventListener('beforeunload', leaving, { signal });
    addEventListener('online', () => uploads.connection.tryNow(), { signal });
    document.addEventListener('visibilitychange', back, { signal });
    return () => {
      end.abort();
      telling.stop();
    };
  });
}
