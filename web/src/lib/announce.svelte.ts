// One polite region for the whole page. A screen reader hears what is put here, one message at a time.
let message = $state('');
let turn = 0;

export const announcer = {
  get message(): string {
    return message;
  },
};

export function announce(text: string): void {
  // A repeated text is only read again if the region changes.
  message = text + (turn++ % 2 ? '\u00a0' : '');
}
