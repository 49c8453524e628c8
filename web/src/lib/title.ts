// The tab's title: how far the uploads of this page are, while any is under way; else what the view
// shows.
import { t } from './texts';

let busy: string | null = null;
let view: string | null = null;

function draw(): void {
  const first = busy ?? view;
  const title = first === null ? t.app : `${first} – ${t.app}`;
  if (document.title !== title) document.title = title;
}

export function titleOfUploads(text: string | null): void {
  busy = text;
  draw();
}

export function titleOfView(text: string | null): void {
  view = text;
  draw();
}
