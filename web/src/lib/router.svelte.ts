// Three views need no router library. Links are plain anchors; one listener turns those that stay
// inside the app into a change of view, so that uploads go on and "open in a new tab" works as
// ever.
import { at, prefix } from './base';

export type View = { page: 'send' } | { page: 'share'; id: string } | { page: 'missing' };

export function viewOf(pathname: string): View {
  // At its end, not within a name: /sharex is not below /share.
  const path = `${pathname}/`.startsWith(`${prefix}/`) ? pathname.slice(prefix.length) : pathname;
  if (path === '' || path === '/') return { page: 'send' };
  const share = /^\/d\/([a-z2-7]{26})\/?$/.exec(path);
  if (share) return { page: 'share', id: share[1]! };
  return { page: 'missing' };
}

let view = $state.raw(viewOf(location.pathname));

export const router = {
  get view(): View {
    return view;
  },
  go(path: string): void {
    history.pushState(null, '', at(path));
    show();
  },
};

function show(): void {
  view = viewOf(location.pathname);
  scrollTo(0, 0);
}

export function startRouter(): void {
  addEventListener('popstate', show);
  document.addEventListener('click', (event) => {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const anchor = event.target instanceof Element ? event.target.closest('a') : null;
    if (
      !anchor ||
      anchor.target ||
      anchor.hasAttribute('download') ||
      anchor.origin !== location.origin
    )
      return;
    if (anchor.pathname === location.pathname && anchor.hash) return;
    if (viewOf(anchor.pathname).page === 'missing') return;
    event.preventDefault();
    history.pushState(null, '', anchor.href);
    show();
  });
}
