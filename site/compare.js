// Up to four questions side by side: Compare freezes the present one, editing goes on beside it; all of it is in the link.
import {announce} from './copy.js';
import {line, parse} from './state.js';
import {swap} from './swap.js';

const MOST = 3; // beside the one being edited

export function install(page) {
  const place = document.getElementById('comparison');
  const fields = (text) => parse(`#${text}`).fields;

  const draw = async (ask) => {
    place.hidden = !page.compare.length;
    if (place.hidden) return;
    const states = [...page.compare.map(fields), page.form.values()];
    swap((await ask('compare', {states, view: page.view})).fragments);
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
    const {open, remove} = event.target.closest('button')?.dataset ?? {};
    if (remove !== undefined) page.compare = page.compare.filter((_, n) => n !== Number(remove));
    else if (open !== undefined) {
      const chosen = page.compare[Number(open)];
      page.compare = page.compare.map((other, n) => (n === Number(open) ? line(page.form.values()) || 'v=1' : other));
      page.form.fill(fields(chosen));
    } else return;
    page.refresh({push: true});
  });
}
