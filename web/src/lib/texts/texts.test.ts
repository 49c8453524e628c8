import { afterEach, describe, expect, test, vi } from 'vitest';
import { span } from '../span';
import { en as api } from './api.en';
import { en } from './en';
import { language, LANGUAGES, loadLanguage, rememberLanguage, t } from '.';

describe('English', () => {
  test('counts one and many', () => {
    expect(en.files('1', true)).toBe('1 file');
    expect(en.files('12', false)).toBe('12 files');
    expect(en.failures.retry('37', false)).toBe('Retry 37 files');
    expect(en.failures.retry('1', true)).toBe('Retry 1 file');
    expect(en.send.skipped(1)).toBe('Skipped 1 system file such as .DS_Store.');
    expect(en.send.skipped(2)).toContain('2 system files such');
    expect(en.unfinished.title('3', false, '62%')).toBe('3 files unfinished, 62% saved');
    expect(en.unfinished.title('1', true, '62%')).toBe('1 file unfinished, 62% saved');
  });

  test.each([
    [1, 'a moment'],
    [20, 'about 20 s'],
    [61, 'about 1 min'],
    [150, 'about 2 min 30 s'],
    [600, 'about 10 min'],
    [3600, 'about 1 h'],
    [5400, 'about 1 h 30 min'],
    [40 * 3600, 'about 40 h'],
    [80 * 3600, 'about 3 days'],
  ])('%d seconds left', (seconds, text) => {
    expect(en.span(span(seconds))).toBe(text);
  });

  test.each([
    [6 * 3_600_000, '6 hours'],
    [86_400_000, '1 day'],
    [7 * 86_400_000, '7 days'],
    [36 * 3_600_000, '36 hours'],
    [3_600_000, '1 hour'],
    [90_000, '90 seconds'],
    [600_000, '10 minutes'],
    [500, '1 second'],
  ])('a setting of %d ms reads %s', (ms, text) => {
    expect(en.duration(ms)).toBe(text);
  });

  test('the time left is never "0 s"', () => {
    for (let seconds = 0; seconds < 100; seconds += 0.5) {
      expect(en.span(span(seconds))).not.toMatch(/\b0 /);
      expect(en.shortSpan(span(seconds))).not.toMatch(/\b0 /);
    }
  });

  test('the title of the tab leaves the time out until there is one', () => {
    expect(en.titleBusy(43, '2 min')).toBe('43% · 2 min');
    expect(en.titleBusy(43, null)).toBe('43%');
  });

  test('who waits learns how many are ahead', () => {
    expect(en.row.place(4, 'about 3 min')).toContain('4 ahead');
    expect(en.row.place(0, 'a moment')).toBe('You are next, a moment');
  });

  test('every failure has words of its own, and those with a limit name it', () => {
    const codes = [
      'too-large',
      'no-space',
      'name-too-long',
      'source-lost',
      'gone',
      'taken',
      'differs',
      'forbidden',
      'server',
      'refused',
    ] as const;
    const texts = codes.map((code) => en.failure(code, null));
    expect(texts.every((text) => text.length > 10)).toBe(true);
    expect(new Set(texts).size).toBe(codes.length);
    expect(en.failure('too-large', '1 MB')).toContain('1 MB');
    expect(en.failure('no-space', '2 MB')).toContain('2 MB');
  });

  test('no text is empty, and none has a space at its ends', () => {
    const look = (value: unknown, path: string): void => {
      if (typeof value === 'string')
        expect(value.trim() === value && value !== '', path).toBe(true);
      else if (typeof value === 'object' && value !== null)
        for (const [key, inner] of Object.entries(value)) look(inner, `${path}.${key}`);
    };
    look(en, 'en');
    look(api, 'api');
  });
});

describe('the choice of language', () => {
  afterEach(() => vi.unstubAllGlobals());

  function browser(languages: string[], stored: string | null | Error): Record<string, string> {
    const kept: Record<string, string> = {};
    vi.stubGlobal('navigator', { languages });
    vi.stubGlobal('document', { documentElement: { lang: '' } });
    vi.stubGlobal('localStorage', {
      getItem: () => {
        if (stored instanceof Error) throw stored;
        return stored;
      },
      setItem: (key: string, value: string) => {
        if (stored instanceof Error) throw stored;
        kept[key] = value;
      },
    });
    return kept;
  }

  test('a language that is not there falls back to English, and the document says so', async () => {
    browser(['xx-YY'], null);
    await loadLanguage();
    expect(language()).toBe('en');
    expect(t).toBe(en);
    expect(document.documentElement.lang).toBe('en');
  });

  test('a blocked storage is no obstacle', async () => {
    browser(['en-GB'], new Error('blocked'));
    await loadLanguage();
    expect(language()).toBe('en');
    expect(() => rememberLanguage('en')).not.toThrow();
  });

  test('what was chosen is kept', () => {
    const kept = browser(['en'], null);
    rememberLanguage('en');
    expect(Object.values(kept)).toEqual(['en']);
  });

  test('languages are listed by a name of their own', () => {
    expect(LANGUAGES.map((one) => one.id)).toContain('en');
    expect(new Set(LANGUAGES.map((one) => one.name)).size).toBe(LANGUAGES.length);
  });
});
