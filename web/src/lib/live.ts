import { createSubscriber } from 'svelte/reactivity';
import type { Pulse } from './pulse';

/** Makes a pulse readable inside `$derived` and templates: call the result to depend on it. */
export function live(pulse: Pulse): () => number {
  const subscribe = createSubscriber((update) => pulse.listen(update));
  return () => {
    subscribe();
    return pulse.version;
  };
}
