// Puts new fragments into the page, keeping what the reader holds: focus, open arithmetic, gliding widths; and shows what moved.
import {Idiomorph} from './vendor/idiomorph/idiomorph.esm.js';

const last = new Map();
const SHOWN_FOR = 4000;
let fade = 0;

const KEEP = {
  morphStyle: 'innerHTML',
  callbacks: {beforeAttributeUpdated: (name, element) => !(name === 'open' && element.tagName === 'DETAILS')},
};

/** Swaps fragments by element id; a fragment that did not change is not touched. */
export function swap(fragments) {
  for (const [id, html] of Object.entries(fragments)) {
    if (last.get(id) === html) continue;
    const element = document.getElementById(id);
    if (!element) continue;
    last.set(id, html);
    if (html === '' || !element.firstElementChild) element.innerHTML = html;
    else Idiomorph.morph(element, html, KEEP);
  }
}

/** Sizes of the rows shown, by key. */
export function sizes(root) {
  return new Map([...root.querySelectorAll('[data-key]')].map((row) => [row.dataset.key, Number(row.dataset.bytes)]));
}

/** A signed difference beside every row that moved, for some seconds. */
export function deltas(root, before, {unit, bytes, places}) {
  clearTimeout(fade);
  for (const row of root.querySelectorAll('[data-key]')) {
    const was = before.get(row.dataset.key);
    const by = was === undefined ? 0 : Number(row.dataset.bytes) - was;
    const size = Math.abs(by) / bytes;
    const shown = size.toLocaleString('en', {minimumFractionDigits: places, maximumFractionDigits: places});
    const cell = row.querySelector('.delta');
    if (cell) cell.textContent = Number(size.toFixed(places)) ? `${by > 0 ? '+' : '−'}${shown}\u00a0${unit}` : '';
  }
  fade = setTimeout(() => root.querySelectorAll('.delta').forEach((cell) => (cell.textContent = '')), SHOWN_FOR);
}
