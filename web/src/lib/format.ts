// Numbers as people read them. Sizes are decimal (1 MB = 10^6 bytes), as disks and data plans
// count.
import { language } from './texts';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;
const formats = new Map<string, Intl.NumberFormat>();

function number(value: number, fractionDigits: number): string {
  const key = `${language()}${fractionDigits}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(language(), {
      minimumFractionDigits: fractionDigits,
      maximumFractionDigits: fractionDigits,
    });
    formats.set(key, format);
  }
  return format.format(value);
}

export function count(value: number): string {
  return number(value, 0);
}

/** 0 B, 999 B, 1.2 kB, 34.5 MB, 812 MB, 1.24 GB: never more than four digits wide. */
export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  while (scaled >= 999.5 && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit++;
  }
  const digits = unit === 0 ? 0 : scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
  return `${number(scaled, digits)}\u00a0${UNITS[unit]}`;
}

export function rate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

/** Whole percent, rounded down: 100 only when it is all there. */
export function percent(part: number, whole: number): number {
  if (whole <= 0) return 100;
  return Math.max(0, Math.min(100, Math.floor((part / whole) * 100)));
}

export function date(ms: number): string {
  return new Intl.DateTimeFormat(language(), { dateStyle: 'medium', timeStyle: 'short' }).format(
    ms,
  );
}

/** Up to four letters that say what a file is; stands where others have an icon. */
export function extension(name: string): string {
  const dot = name.lastIndexOf('.');
  const end = dot > 0 ? name.slice(dot + 1) : '';
  return /^[\p{L}\p{N}]{1,4}$/u.test(end) ? end.toUpperCase() : '';
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
/**
 * Hebrew, Arabic and the other scripts that run from right to left, and the marks that make text do
 * so.
 */
const RIGHT_TO_LEFT =
  /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}\u200f\u202b\u202e\u2067]/u;
const SPLIT_FROM = 24;
const TAIL = 10;

/**
 * Splits a name so that its end stays readable when the middle has to go. What a person sees as one
 * letter stays whole; a short name does too, and of one that runs from right to left only the
 * extension is parted, since a cut through its words would change their order and their shapes.
 */
export function splitName(name: string): [head: string, tail: string] {
  if (RIGHT_TO_LEFT.test(name)) {
    const dot = name.lastIndexOf('.');
    return dot > 0 && /^\.[\p{ASCII}]{1,10}$/u.test(name.slice(dot))
      ? [name.slice(0, dot), name.slice(dot)]
      : [name, ''];
  }
  const letters = [...graphemes.segment(name)];
  const cut = letters.length < SPLIT_FROM ? undefined : letters[letters.length - TAIL];
  return cut ? [name.slice(0, cut.index), name.slice(cut.index)] : [name, ''];
}
