/** A remaining time, rounded to what an estimate can carry. */
export type Span =
  | { unit: 'moment' }
  | { unit: 's' | 'min' | 'h' | 'd'; value: number; minutes?: number; seconds?: number };

export function span(seconds: number): Span {
  if (seconds < 4) return { unit: 'moment' };
  if (seconds < 10) return { unit: 's', value: Math.ceil(seconds) };
  if (seconds < 55) return { unit: 's', value: Math.ceil(seconds / 5) * 5 };
  // In quarters of a minute first: "2 min" for 65 s would be twice as long as it takes.
  const quarters = Math.round(seconds / 15);
  if (quarters < 12) {
    const rest = (quarters % 4) * 15;
    return { unit: 'min', value: Math.floor(quarters / 4), ...(rest > 0 ? { seconds: rest } : {}) };
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return { unit: 'min', value: minutes };
  const hours = Math.floor(minutes / 60);
  if (hours < 72) return { unit: 'h', value: hours, minutes: minutes % 60 };
  return { unit: 'd', value: Math.round(hours / 24) };
}
