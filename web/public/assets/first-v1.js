// Loaded before the first paint, outside the bundle. The version is part of the name because assets
// are served as immutable.
(function () {
  // A chosen theme never flashes.
  try {
    var theme = localStorage.getItem('ddx-theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be blocked; the theme of the system applies then.
  }
  // A share's list is asked for while the bundle is on its way: see lib/api.ts.
  var share = /^(.*)\/d\/([a-z2-7]{26})\/?$/.exec(location.pathname);
  if (!share) return;
  var path = '/api/v1/shares/' + share[2];
  var answer = fetch(share[1] + path, { headers: { Accept: 'application/json' }, cache: 'no-store', signal: AbortSignal.timeout(60000) });
  answer.catch(function () {});
  window.ddxFirst = { path: path, answer: answer };
})();
