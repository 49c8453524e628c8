// Which language the page speaks: the one chosen here before, else the browser's, else English.
// English is part of the bundle; others are fetched before the first view is drawn.
import { en, type Texts } from './en';

export type Language = 'en';

const LOADERS: Record<Exclude<Language, 'en'>, () => Promise<Texts>> = {};
export const LANGUAGES: readonly { id: Language; name: string }[] = [{ id: 'en', name: 'English' }];
const KEY = 'ddx-language';

let current: Language = 'en';

/**
 * All texts. Filled before the first component is made, and never changed in place after: a switch
 * reloads the view.
 */
export let t: Texts = en;

export function language(): Language {
  return current;
}

function wanted(): Language {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(KEY);
  } catch {
    // Storage may be blocked.
  }
  for (const tag of [stored, ...navigator.languages]) {
    const id = tag?.slice(0, 2).toLowerCase();
    const known = LANGUAGES.find((one) => one.id === id);
    if (known) return known.id;
  }
  return 'en';
}

export async function loadLanguage(id: Language = wanted()): Promise<void> {
  try {
    t = id === 'en' ? en : await (LOADERS as Record<string, () => Promise<Texts>>)[id]!();
    current = id;
  } catch {
    t = en;
    current = 'en';
  }
  document.documentElement.lang = current;
}

export function rememberLanguage(id: Language): void {
  try {
    localStorage.setItem(KEY, id);
  } catch {
    // Then it holds for this visit only.
  }
}
