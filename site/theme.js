// Light, dark or as the system says: set before the first paint, chosen in the page's head, kept in this browser.
(() => {
  const KEY = 'gauge.theme';
  const root = document.documentElement;
  const show = (theme) => (theme === 'light' || theme === 'dark' ? (root.dataset.theme = theme) : delete root.dataset.theme);
  const kept = () => {
    try {
      return localStorage.getItem(KEY) ?? '';
    } catch {
      return '';
    }
  };
  const keep = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Nothing is lost but convenience.
    }
  };
  show(kept());
  addEventListener('DOMContentLoaded', () => {
    const select = document.getElementById('theme');
    if (!select) return;
    select.value = root.dataset.theme ?? '';
    select.addEventListener('change', () => {
      show(select.value);
      keep(select.value);
    });
  });
})();
