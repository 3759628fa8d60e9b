// Copies text and says so to everybody; focus stays where it is.

export const announce = (text) => {
  const place = document.getElementById('announce');
  place.textContent = '';
  requestAnimationFrame(() => (place.textContent = text));
};

/** Puts text on the clipboard; `button` shows for a moment that it worked. */
export async function copy(text, said, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    announce('Copying was refused by the browser; select the text instead.');
    return;
  }
  announce(said);
  if (!button) return;
  const label = button.textContent;
  button.textContent = 'Copied';
  setTimeout(() => (button.textContent = label), 1500);
}
