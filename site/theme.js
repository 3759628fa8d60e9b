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
  /** Pages that work without scripts have the choice only where it works. */
  const made = (place) => {
    if (!place) return null;
    const label = Object.assign(document.createElement('label'), {className: 'theme'});
    const select = document.createElement('select');
    select.setAttribute('aria-label', 'Light or dark');
    for (const [value, text] of [['', 'Auto'], ['light', 'Light'], ['dark', 'Dark']]) select.append(new Option(text, value));
    label.append(select);
    place.append(label);
    return select;
  };
  show(kept());
  addEventListener('DOMContentLoaded', () => {
    const select = document.getElementById('theme') ?? made(document.querySelector('[data-theme-here]'));
    if (!select) return;
    select.value = root.dataset.theme ?? '';
    select.addEventListener('change', () => {
      show(select.value);
      keep(select.value);
    });
  });
})();
