// One polite region for the whole page. A screen reader hears what is put here, one message at a
// time.
import { Messages } from './messages';

let message = $state('');
let turn = 0;

export const announcer = {
  get message(): string {
    return message;
  },
};

// A repeated text is only read again if the region changes.
const messages = new Messages((text) => (message = text + (turn++ % 2 ? '\u00a0' : '')), 500);

export function announce(text: string): void {
  messages.add(text);
}
