// Loaded before the first paint, outside the bundle, so that a chosen theme never flashes. The version is part of
// the name because assets are served as immutable.
(function () {
  try {
    var theme = localStorage.getItem('ddx-theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be blocked; the theme of the system applies then.
  }
})();
