// The arithmetic under the table: groups that open into their parts, all derivations at once, words that explain themselves.
import {copy} from './copy.js';

const byId = (id) => document.getElementById(id);

export function install(page) {
  const opened = () => new Set((page.view.open || '').split(',').filter(Boolean));
  const show = (groups) => {
    page.view = {...page.view, open: [...groups].join(',')};
    page.refresh();
  };

  byId('breakdown').addEventListener('click', (event) => {
    const group = event.target.closest('[data-parts]')?.dataset.parts;
    if (!group) return;
    const groups = opened();
    const was = event.target.closest('[data-parts]').getAttribute('aria-expanded') === 'true';
    if (groups.delete('all')) for (const other of document.querySelectorAll('[data-parts]')) groups.add(other.dataset.parts);
    if (was) groups.delete(group);
    else groups.add(group);
    show(groups);
  });

  const every = byId('math-open');
  every.addEventListener('click', () => {
    const open = every.getAttribute('aria-expanded') !== 'true';
    every.setAttribute('aria-expanded', String(open));
    every.textContent = open ? 'Close all arithmetic' : 'Open all arithmetic';
    page.shown = () => {
      for (const part of document.querySelectorAll('.breakdown .math')) part.open = open;
      page.shown = null;
    };
    show(open ? new Set(['all']) : new Set());
  });

  for (const button of document.querySelectorAll('[data-arithmetic]')) {
    button.addEventListener('click', async () => {
      const said = JSON.parse(await page.engine.ask('arithmetic', JSON.stringify(page.request())));
      copy(said[button.dataset.arithmetic], 'The arithmetic is copied.', button);
    });
  }

  byId('breakdown').addEventListener('click', async (event) => {
    const symbol = event.target.closest('[data-symbol]')?.dataset.symbol;
    if (!symbol) return;
    const steps = event.target.closest('.steps');
    const {html} = JSON.parse(await page.engine.ask('glossary', JSON.stringify({symbol})));
    let note = steps.querySelector('.symbol-note');
    if (!note) {
      note = Object.assign(document.createElement('p'), {className: 'symbol-note'});
      note.setAttribute('role', 'status');
      steps.append(note);
    }
    note.innerHTML = html;
  });
}
