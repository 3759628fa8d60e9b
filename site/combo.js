// Search over a static list, usable before Python is ready. Keyboard and roles come from @github/combobox-nav.
import Combobox from './vendor/combobox-nav/index.js';
import {memory} from './state.js';

const MOST = 50;
const lists = new Map();

const load = (url) => {
  if (!lists.has(url)) lists.set(url, fetch(url).then((reply) => reply.json()).then((rows) => rows.map(prepared)).catch(() => (lists.delete(url), [])));
  return lists.get(url);
};

const prepared = (row) => ({...row, group: row.family || row.vendor || '', hay: spelled(plain([row.title, row.id, ...(row.aliases ?? []), row.family, row.organisation, row.vendor, row.kind, row.words].join(' ')))});
const plain = (text) => text.toLowerCase().replaceAll(/[^a-z0-9.]+/g, ' ');
const apart = (text) => text.replaceAll(/([a-z])(?=\d)|(\d)(?=[a-z])/g, '$1$2 ');

const spelled = (text) => ` ${text} ${apart(text)} `;

/** How well a row matches the words typed: lower is better, `null` is not at all. */
export function rank(row, words) {
  let score = 0;
  for (const word of words) {
    const at = row.hay.indexOf(word);
    if (at < 0) return subsequence(row.hay, word) ? score + 500 : null;
    const whole = row.hay.indexOf(` ${word} `);
    const start = row.hay.indexOf(` ${word}`);
    score += whole >= 0 ? Math.min(whole, 60) / 2 : start >= 0 ? 40 + Math.min(start, 60) / 2 : 120;
  }
  return score;
}

function subsequence(hay, word) {
  if (word.length < 4) return false;
  let at = 0;
  for (const letter of word) {
    const next = hay.indexOf(letter, at);
    if (next < 0 || next - at > 6 && at) return false;
    at = next + 1;
  }
  return true;
}

export function amount(row) {
  const short = (n) => (n >= 1e12 ? [n / 1e12, 'T'] : n >= 1e9 ? [n / 1e9, 'B'] : [n / 1e6, 'M']);
  const spell = (n) => ((v, u) => `${v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2)}\u00a0${u}`)(...short(n));
  if (row.parameters) {
    const active = row.active_parameters && row.active_parameters < row.parameters * 0.95;
    return spell(row.parameters) + (active ? `, ${spell(row.active_parameters)} active` : '');
  }
  const bytes = row.reported_bytes ?? row.usable_bytes;
  return bytes ? `${(Math.floor(bytes / 2 ** 30 * 10) / 10).toFixed(1)}\u00a0GiB` : '';
}

/** Makes an input and the list after it a combobox. `chosen` hears the picked id. */
export function combobox(input, chosen) {
  const list = input.parentElement.querySelector('[role="listbox"]');
  const nav = new Combobox(input, list, {tabInsertsSuggestions: false});
  const key = `recent.${input.name}`;
  const recent = () => JSON.parse(memory.get(key) || '[]');
  let open = false;

  const close = () => {
    if (!open) return;
    open = false;
    nav.stop();
    list.hidden = true;
  };
  const show = async (words) => {
    const rows = await load(input.dataset.search);
    if (document.activeElement !== input) return;
    const found = rows.map((row) => [rank(row, words), row]).filter(([score]) => score !== null);
    if (words.length) found.sort((a, b) => a[0] - b[0]);
    const mine = words.length ? [] : recent().map((id) => rows.find((row) => row.id === id)).filter(Boolean);
    draw(list, mine, found.slice(0, MOST - mine.length).map(([, row]) => row), !words.length);
    if (!open) {
      open = true;
      list.hidden = false;
      nav.start();
    } else nav.resetSelection();
    if (!list.querySelector('[role="option"]')) close();
  };

  input.addEventListener('focus', () => load(input.dataset.search));
  input.addEventListener('click', () => open || show([]));
  input.addEventListener('input', () => show(plain(input.value).split(' ').filter(Boolean)));
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && open) (close(), event.stopPropagation());
    else if (event.key === 'ArrowDown' && !open) (event.preventDefault(), show([]));
  });
  input.addEventListener('blur', () => setTimeout(close, 150));
  list.addEventListener('mousedown', (event) => event.preventDefault());
  list.addEventListener('combobox-commit', (event) => {
    const id = event.target.closest('[data-id]').dataset.id;
    memory.set(key, JSON.stringify([id, ...recent().filter((other) => other !== id)].slice(0, 5)));
    close();
    chosen(id);
  });
}

function draw(list, mine, rows, grouped) {
  const parts = [];
  if (mine.length) parts.push(heading('Recent'), ...mine.map((row, n) => option(row, `${list.id}-r${n}`)));
  let group = null;
  rows.forEach((row, n) => {
    if (grouped && row.group !== group) parts.push(heading((group = row.group)));
    parts.push(option(row, `${list.id}-${n}`));
  });
  list.replaceChildren(...parts);
}

function heading(text) {
  const item = Object.assign(document.createElement('li'), {textContent: text});
  item.setAttribute('role', 'presentation');
  return item;
}

function option(row, id) {
  const item = Object.assign(document.createElement('li'), {id});
  item.setAttribute('role', 'option');
  item.dataset.id = row.id;
  const small = Object.assign(document.createElement('small'), {textContent: amount(row)});
  item.append(Object.assign(document.createElement('span'), {textContent: row.title}), small);
  if (row.id !== row.title) item.append(Object.assign(document.createElement('small'), {className: 'id', textContent: row.id}));
  return item;
}
