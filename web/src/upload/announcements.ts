// What the screen reader is told of an upload: all that has changed between two looks, also where
// they fall together.
import { count } from '$lib/format';
import { t } from '$lib/texts';

export interface Look {
  files: number;
  active: number;
  paused: number;
  failed: number;
  percent: number;
  /** The server can be reached. */
  open: boolean;
}

const QUARTERS = [25, 50, 75];
const filesOf = (n: number): string => t.files(count(n), n === 1);

export class Announcements {
  #was: Look | null = null;
  #told = 0;

  /** What there is to say since the last look. */
  since(now: Look): string[] {
    const was = this.#was ?? { files: 0, active: 0, paused: 0, failed: 0, percent: 0, open: true };
    this.#was = now;
    const words: string[] = [];
    if (now.active > 0 && was.active === 0) {
      this.#told = now.percent;
      words.push(t.live.started(filesOf(now.files)));
    }
    const quarter =
      now.active > 0 && QUARTERS.findLast((one) => now.percent >= one && this.#told < one);
    if (quarter) {
      this.#told = quarter;
      words.push(t.live.at(quarter));
    }
    if (now.failed > was.failed) words.push(t.live.failed(filesOf(now.failed)));
    const ends = now.active === 0 && was.active > 0 && now.paused === 0 && now.files > 0;
    if (ends && now.failed === 0) words.push(t.live.done(filesOf(now.files)));
    else if (ends && now.failed === was.failed) words.push(t.live.failed(filesOf(now.failed)));
    if (now.active > 0 && now.open !== was.open) words.push(now.open ? t.live.back : t.live.outage);
    return words;
  }
}
