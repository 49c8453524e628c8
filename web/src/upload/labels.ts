// What the page says about a share and its files, as texts.
import { bytes, percent, rate } from '$lib/format';
import { span } from '$lib/span';
import { t } from '$lib/texts';
import type { Failure } from './failures';
import type { Item } from './item.svelte';

export function failureLabel(failure: Failure): string {
  const own = t.failure(
    failure.code,
    failure.limitBytes === undefined ? null : bytes(failure.limitBytes),
  );
  const vague =
    failure.code === 'refused' || failure.code === 'server' || failure.code === 'forbidden';
  return vague && failure.detail ? `${own}: ${failure.detail}` : own;
}

export function itemLabel(item: Item, live: boolean): string {
  switch (item.phase) {
    case 'queued':
      return item.confirmed > 0
        ? `${t.percent(percent(item.confirmed, item.size))} · ${t.row.queued}`
        : t.row.queued;
    case 'sending':
      return sendingText(item, live);
    case 'paused':
      return t.row.pausedAt(t.percent(percent(item.shown(live), item.size)));
    case 'failed':
      // Why is said once, above the list.
      return t.row.failed;
    case 'cancelled':
      return item.before === 'done' ? t.row.deleting : t.row.cancelled;
    case 'done':
      return doneText(item);
  }
}

function doneText(item: Item): string {
  const state = {
    verified: t.row.verified,
    running: t.row.checking,
    none: t.row.received,
    differs: t.row.received,
  }[item.check];
  return item.savedAs === null ? state : `${state} · ${t.row.savedAs(item.savedAs)}`;
}

function sendingText(item: Item, live: boolean): string {
  if (item.place) return t.row.place(item.place.ahead, t.span(span(item.place.estimate_ms / 1000)));
  if (item.sent === 0 && item.confirmed === 0) return t.row.connecting;
  const shown = item.shown(live);
  // A system may take megabytes that go nowhere: where the server tells what it has, that counts.
  const isOut = item.sent >= item.size && !(live && item.confirmed < item.size);
  if (item.stands() && !isOut) return `${t.percent(percent(shown, item.size))} · ${t.row.stands}`;
  if (item.sent >= item.size && item.confirmed < item.size && item.meter.rate() === null)
    return t.row.finishing;
  const parts = [t.percent(percent(shown, item.size))];
  const speed = item.meter.rate();
  if (speed !== null) parts.push(rate(speed));
  const left = item.meter.secondsLeft(item.size - shown);
  if (left !== null) parts.push(t.shortSpan(span(left)));
  return parts.join(' · ');
}
