// Everything around the answer: opening the arithmetic, sharing, comparing, files, shortcuts.
import {fragmentsOf} from './later.js';
import {memory} from './state.js';
import {status} from './boot.js';
import {swap} from './swap.js';

const byId = (id) => document.getElementById(id);

export function install(page) {
  arithmetic();
  symbols(page);
  page.later.add(fragmentsOf('rule'));
}

function arithmetic() {
  const all = () => [...document.querySelectorAll('.breakdown .math')];
  const button = byId('math-open');
  button.addEventListener('click', () => {
    const open = button.getAttribute('aria-expanded') !== 'true';
    all().forEach((part) => (part.open = open));
    button.setAttribute('aria-expanded', String(open));
    button.textContent = open ? 'Close all arithmetic' : 'Open all arithmetic';
  });
  byId('math-copy').addEventListener('click', () => copy(all().map(derivation).join('\n\n'), 'The arithmetic is copied.'));
}

function derivation(part) {
  const name = part.closest('tr').previousElementSibling.querySelector('th').textContent;
  const lines = part.querySelector('.sum').innerHTML.split(/<br>/).map((html) => Object.assign(document.createElement('i'), {innerHTML: html}).textContent);
  return [name, ...lines.map((line) => `  ${line}`), `  ${part.querySelector('.why').textContent}`].join('\n');
}

/** Copies and says so; focus stays where it is. */
export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    byId('announce').textContent = said;
    return true;
  } catch {
    byId('announce').textContent = 'Copying was refused by the browser.';
    return false;
  }
}

function symbols(page) {
  document.addEventListener('click', async (event) => {
    const symbol = event.target.closest('[data-symbol]')?.dataset.symbol;
    if (!symbol || !(page.engine.state === 'ready')) return;
    const {html} = JSON.parse(await page.engine.ask('glossary', JSON.stringify({symbol})));
    const steps = event.target.closest('.steps');
    let note = steps.querySelector('.symbol-note');
    if (!note) steps.append((note = Object.assign(document.createElement('p'), {className: 'symbol-note'})));
    note.setAttribute('role', 'status');
    note.innerHTML = html;
  });
}

/** The last question of this browser is offered, never put in place of a link or of the default. */
export function offerLast(page) {
  const last = memory.get('last');
  if (!last || last === location.hash) return;
  const button = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Continue with your last question'});
  button.addEventListener('click', () => {
    location.hash = last;
    status('');
  });
  status('', button);
}

export {swap};
