// Says how far Python is, honestly and in one line; the form works meanwhile and its edits wait.
import {Offline} from './offline.js';

const line = document.getElementById('status');
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

export function status(text, button) {
  line.replaceChildren(text);
  if (button) line.append(' ', button);
}

/** Stores the site for use without a network, and offers a new version without ever switching by itself. */
function keepOffline() {
  const offline = new Offline();
  offline.addEventListener('update', () => {
    const reload = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Reload'});
    reload.addEventListener('click', () => offline.update());
    status('A new version is ready.', reload);
  });
  offline.start();
}

export async function boot(engine, {ready, failed}) {
  engine.addEventListener('stage', ({detail}) => {
    const part = detail.total ? ` ${megabytes(detail.loaded ?? 0)} of ${megabytes(detail.total)} MB` : '';
    status(`Showing a prepared answer. ${detail.label ?? detail.stage}${part}${detail.fromCache ? ', from cache' : detail.total ? ', once, then it works offline' : ''}`);
  });
  try {
    await engine.boot();
    status('');
    ready();
    keepOffline();
  } catch (problem) {
    const retry = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Try again'});
    retry.addEventListener('click', () => location.reload());
    status(`Python could not start here (${problem.message}). The prepared answer stays; python -m gauge answers the same question on the command line.`, retry);
    failed();
  }
}
