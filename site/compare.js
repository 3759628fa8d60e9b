// Up to four questions side by side: Compare freezes the present one, editing goes on beside it; all of it is in the link.
import {announce} from './copy.js';
import {line, parse} from './state.js';
import {swap} from './swap.js';

const MOST = 3; // beside the one being edited

export function install(page) {
  const place = document.getElementById('comparison');
  const fields = (text) => parse(`#${text}`).fields;

  // On a phone one column is seen at a time: the one being edited, until another is chosen.
  const tab = (column) => {
    const buttons = [...place.querySelectorAll('[data-column]')];
    const shown = Math.min(column ?? buttons.length - 1, buttons.length - 1);
    place.dataset.shown = String(shown);
    for (const button of buttons) button.setAttribute('aria-pressed', String(Number(button.dataset.column) === shown));
  };

  const draw = async (ask) => {
    place.hidden = !page.compare.length;
    if (place.hidden) return;
    const states = [...page.compare.map(fields), page.form.values()];
    const before = place.querySelectorAll('[data-column]').length;
    swap((await ask('compare', {states, view: page.view})).fragments);
    tab(before === states.length ? Number(place.dataset.shown) : undefined);
  };
  page.later.add((_, ask) => draw(ask));

  const freeze = (fields) => {
    if (page.compare.length >= MOST) return announce('Four questions are side by side already. Remove one first.');
    page.compare = [...page.compare, line(fields) || 'v=1'];
    announce('Frozen for comparison. What you change now stands beside it.');
    place.hidden = false;
    page.refresh({push: true});
  };
  document.getElementById('compare-add').addEventListener('click', () => freeze(page.form.values()));
  document.getElementById('rule').addEventListener('click', (event) => {
    const changes = event.target.closest('[data-compare]')?.dataset.compare;
    if (!changes) return;
    freeze({...page.form.values(), ...JSON.parse(changes)});
    place.scrollIntoView({block: 'nearest'});
  });

  place.addEventListener('click', (event) => {
    const {open, remove, column} = event.target.closest('button')?.dataset ?? {};
    if (column !== undefined) return tab(Number(column));
    if (remove !== undefined) page.compare = page.compare.filter((_, n) => n !== Number(remove));
    else if (open !== undefined) {
      const chosen = page.compare[Number(open)];
      page.compare = page.compare.map((other, n) => (n === Number(open) ? line(page.form.values()) || 'v=1' : other));
      page.form.fill(fields(chosen));
    } else return;
    page.refresh({push: true});
  });
}
