// Shortcuts that work where nothing is being typed; each is a button as well, and they can be switched off.
import {memory} from './state.js';

const KEYS = {
  '/': ['Search a model', (page) => page.form.root.querySelector('[data-search]').focus()],
  c: ['Compare', () => press('compare-add')],
  s: ['Share', () => press('share-open')],
  m: ['Open or close all arithmetic', () => press('math-open')],
  u: ['Switch between GiB and GB', () => document.querySelector('.switch [aria-pressed="false"]').click()],
  z: ['Undo', () => press('undo')],
  '?': ['This list', () => press('keys-open')],
};

const byId = (id) => document.getElementById(id);
const press = (id) => byId(id).click();

export function install(page) {
  const panel = byId('keys');
  const button = byId('keys-open');
  const off = () => memory.get('keys') === 'off';
  const toggle = (open) => {
    if (open) draw(panel, off());
    panel.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
    (open ? panel.querySelector('input') : button).focus();
  };
  button.addEventListener('click', () => toggle(panel.hidden));
  panel.addEventListener('change', (event) => memory.set('keys', event.target.checked ? 'on' : 'off'));
  panel.addEventListener('keydown', (event) => event.key === 'Escape' && toggle(false));
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || off() || event.target.closest('input, textarea, select')) return;
    const [, act] = KEYS[event.key] ?? [];
    if (!act) return;
    event.preventDefault();
    act(page);
  });
}

function draw(panel, off) {
  const list = document.createElement('dl');
  for (const [key, [text]] of Object.entries(KEYS)) {
    const term = document.createElement('dt');
    term.append(Object.assign(document.createElement('kbd'), {textContent: key}));
    list.append(term, Object.assign(document.createElement('dd'), {textContent: text}));
  }
  const label = document.createElement('label');
  const box = Object.assign(document.createElement('input'), {type: 'checkbox', checked: !off, name: 'shortcuts'});
  label.append(box, ' Single-key shortcuts are on');
  const title = Object.assign(document.createElement('h2'), {textContent: 'Keyboard shortcuts'});
  panel.replaceChildren(title, list, label);
}
