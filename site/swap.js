// Puts new fragments into the page, keeping what the reader holds: focus, open arithmetic, gliding widths; and shows what moved.
import {Idiomorph} from './vendor/idiomorph/idiomorph.esm.js';

const last = new Map();
const SHOWN_FOR = 4000;
let fade = 0;

const KEEP = {
  morphStyle: 'innerHTML',
  callbacks: {beforeAttributeUpdated: (name, element) => !kept(element, name)},
};

/** Swaps fragments by element id; a fragment that did not change is not touched. */
export function swap(fragments) {
  for (const [id, html] of Object.entries(fragments)) {
    if (last.get(id) === html) continue;
    const element = document.getElementById(id);
    if (!element) continue;
    last.set(id, html);
    if (html === '' || !element.firstElementChild) element.innerHTML = html;
    else follow(element, parsed(html));
  }
}

function parsed(html) {
  const holder = document.createElement('template');
  holder.innerHTML = html;
  return document.adoptNode(holder.content);
}

/** What the reader decides and no fragment: whether a disclosure stands open. */
function kept(element, name) {
  return name === 'open' && element.tagName === 'DETAILS';
}

/**
 * Makes the children of `now` those of `next`. Most keystrokes change only figures, so nodes are matched by their place;
 * where the shape has changed, Idiomorph finds what stays.
 */
function follow(now, next) {
  if (!next.firstChild) return now.replaceChildren();
  if (!now.firstChild) return now.append(...next.childNodes);
  if (!alike(now, next)) return void Idiomorph.morph(now, [...next.childNodes], KEEP);
  let to = next.firstChild;
  for (let from = now.firstChild; from; from = from.nextSibling, to = to.nextSibling) {
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.data !== to.data) from.data = to.data;
    } else {
      attributes(from, to);
      follow(from, to);
    }
  }
}

function alike(now, next) {
  let to = next.firstChild;
  for (let from = now.firstChild; from; from = from.nextSibling, to = to.nextSibling) {
    if (!to || from.nodeName !== to.nodeName || from.nodeName === 'TEXTAREA') return false;
    if (from.dataset && (from.id !== to.id || from.dataset.key !== to.dataset.key || from.dataset.group !== to.dataset.group)) return false;
  }
  return !to;
}

function attributes(from, to) {
  for (const {name, value} of to.attributes) if (from.getAttribute(name) !== value && !kept(from, name)) from.setAttribute(name, value);
  if (from.attributes.length === to.attributes.length) return;
  for (const {name} of [...from.attributes]) if (!to.hasAttribute(name) && !kept(from, name)) from.removeAttribute(name);
}

/** Sizes of the rows shown, by key. */
export function sizes(root) {
  return new Map([...root.querySelectorAll('[data-key]')].map((row) => [row.dataset.key, Number(row.dataset.bytes)]));
}

/** A signed difference beside every row that moved, for some seconds. */
export function deltas(root, before, {unit, bytes, places}) {
  clearTimeout(fade);
  const figures = new Intl.NumberFormat('en', {minimumFractionDigits: places, maximumFractionDigits: places});
  for (const row of root.querySelectorAll('[data-key]')) {
    const was = before.get(row.dataset.key);
    const by = was === undefined ? 0 : Number(row.dataset.bytes) - was;
    const size = Math.abs(by) / bytes;
    const said = Number(size.toFixed(places)) ? `${by > 0 ? '+' : '−'}${figures.format(size)}\u00a0${unit}` : '';
    const cell = row.querySelector('.delta');
    if (cell && cell.textContent !== said) cell.textContent = said;
  }
  fade = setTimeout(() => root.querySelectorAll('.delta').forEach((cell) => (cell.textContent = '')), SHOWN_FOR);
}
