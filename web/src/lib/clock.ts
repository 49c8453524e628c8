// The time for what is drawn. Figures get old though nothing happens: a speed, a time left, a row
// that stands still.
import { createSubscriber } from 'svelte/reactivity';

const TICK_MS = 1_000;

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, TICK_MS);
  // Timers of a page in the background are late by up to a minute.
  const seen = (): void => {
    if (!document.hidden) update();
  };
  document.addEventListener('visibilitychange', seen);
  return () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', seen);
  };
});

/** Now, in milliseconds. What reads it in a template or an effect runs again every second. */
export function clock(): number {
  subscribe();
  return Date.now();
}
