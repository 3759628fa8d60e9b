// Everything around the answer, each in its own file.
import * as charts from './charts.js';
import * as compare from './compare.js';
import * as files from './files.js';
import * as keys from './keys.js';
import {fragmentsOf} from './later.js';
import * as math from './math.js';
import {memory} from './state.js';
import {swap} from './swap.js';
import * as share from './share.js';

export function install(page) {
  math.install(page);
  page.later.add(fragmentsOf('deepen'));
  page.later.add(fragmentsOf('rule'));
  page.later.add(edits);
  page.later.add(fragmentsOf('reality'));
  for (const part of [compare, share, files, keys, charts]) part.install(page);
}

/** The controls that edit the architecture follow the model; what is typed into them stays. */
async function edits(page, ask) {
  const typed = page.form.values();
  swap((await ask('edits', page.request())).fragments);
  for (const control of page.form.root.querySelectorAll('[data-edit]')) control.value = typed[control.name] ?? '';
}

/** The last question of this browser is offered, never put in place of a link or of the default. */
export function offerLast(page) {
  const last = memory.get('last');
  if (!last || last === location.hash) return;
  const button = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Continue with your last question'});
  button.addEventListener('click', () => {
    location.hash = last;
    button.remove();
  });
  document.getElementById('last').replaceChildren(button);
}
