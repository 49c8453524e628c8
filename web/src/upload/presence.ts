// Two tabs must not send the same upload: the server would let each take over from the other for
// ever. A tab that comes up asks the others which shares they hold and leaves those alone.
// BroadcastChannel also exists on plain http, where Web Locks do not.

const ANSWER_WITHIN_MS = 150;

type Message = { ask: true } | { hold: string[] };

export class Presence {
  #channel: BroadcastChannel | null =
    typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('ddx-shares');

  constructor(private readonly held: () => string[]) {
    this.#channel?.addEventListener('message', (event: MessageEvent<Message>) => {
      if ('ask' in event.data) this.#post({ hold: this.held() });
    });
  }

  /** Ids of the shares that other tabs hold. */
  others(): Promise<Set<string>> {
    const channel = this.#channel;
    const found = new Set<string>();
    if (!channel) return Promise.resolve(found);
    return new Promise((resolve) => {
      const hear = (event: MessageEvent<Message>): void => {
        if ('hold' in event.data) for (const id of event.data.hold) found.add(id);
      };
      channel.addEventListener('message', hear);
      this.#post({ ask: true });
      setTimeout(() => {
        channel.removeEventListener('message', hear);
        resolve(found);
      }, ANSWER_WITHIN_MS);
    });
  }

  #post(message: Message): void {
    this.#channel?.postMessage(message);
  }
}
