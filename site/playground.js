// The playground page: carries the snippet to PyScript's worker and shows what comes back as text, table or picture.
// A snippet from a link is only put into the editor; running it takes a click.
import {Offline} from './offline.js';

const KEY = 'code=';
const element = (id) => document.getElementById(id);
const [code, run, stop, share, status, result] = ['code', 'run', 'stop', 'share', 'status', 'result'].map(element);

let python = null;

async function start() {
  await readLink();
  addEventListener('hashchange', readLink);
  run.addEventListener('click', runSnippet);
  stop.addEventListener('click', restart);
  share.addEventListener('click', copyLink);
  code.addEventListener('keydown', keys);
  for (const button of document.querySelectorAll('[data-example]')) button.addEventListener('click', () => example(button));
  try {
    python = await worker();
    run.disabled = false;
    status.textContent = 'Python is ready.';
    new Offline().start(['playground']);
  } catch (error) {
    status.textContent = `Python could not start here (${error.message}). Reload to try again.`;
  }
}

/** PyScript attaches its worker to the script element some time after the module has run. */
async function worker() {
  const script = document.querySelector('script[type="py"]');
  while (!script.xworker) await new Promise((resolve) => setTimeout(resolve, 50));
  await script.xworker.ready;
  return script.xworker.sync;
}

async function runSnippet() {
  if (!python || run.disabled) return;
  run.disabled = true;
  stop.hidden = false;
  result.dataset.state = 'running';
  status.textContent = 'Running.';
  const began = performance.now();
  const found = JSON.parse(await python.run(code.value));
  show(found);
  run.disabled = false;
  stop.hidden = true;
  status.textContent = `${found.error ? 'Stopped with an error' : 'Done'} after ${((performance.now() - began) / 1000).toFixed(2)} s.`;
}

/** A running snippet cannot be interrupted from here: start afresh, with the text kept. */
async function restart() {
  history.replaceState(null, '', '#' + KEY + (await pack(code.value)));
  location.reload();
}

function show({printed, shown, error}) {
  result.replaceChildren();
  if (printed) result.append(text(printed));
  if (shown?.kind === 'text') result.append(text(shown.text));
  if (shown?.kind === 'table') result.append(table(shown));
  if (shown?.kind === 'svg') result.append(picture(shown.svg));
  if (error) result.append(text(error, 'problem'));
  if (!result.childNodes.length) result.append(text('It ran and showed nothing: end with an expression, or print something.'));
  result.dataset.state = error ? 'error' : 'done';
}

function text(content, kind = '') {
  return Object.assign(document.createElement('pre'), {textContent: content, className: kind});
}

function table({columns, rows}) {
  const made = document.createElement('table');
  const head = made.createTHead().insertRow();
  for (const column of columns) head.append(Object.assign(document.createElement('th'), {textContent: column, scope: 'col'}));
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const cell of row) line.insertCell().textContent = cell;
  }
  return made;
}

/** As an image an SVG runs no script and fetches nothing. */
function picture(svg) {
  return Object.assign(new Image(), {src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`, alt: 'Picture made by the snippet'});
}

async function example(button) {
  const response = await fetch(new URL(`./playground/${button.dataset.example}.py`, import.meta.url));
  code.value = await response.text();
  element('origin').hidden = true;
  code.focus();
}

function keys(event) {
  if (!event.ctrlKey && !event.metaKey) return;
  if (event.key === 'Enter') runSnippet();
  else if (event.key === ']') code.setRangeText('    ', code.value.lastIndexOf('\n', code.selectionStart - 1) + 1, code.value.lastIndexOf('\n', code.selectionStart - 1) + 1, 'preserve');
  else return;
  event.preventDefault();
}

// Links ---------------------------------------------------------------------------------------------------------------

async function readLink() {
  const packed = location.hash.slice(1);
  if (!packed.startsWith(KEY)) return;
  try {
    code.value = await unpack(packed.slice(KEY.length));
    element('origin').hidden = false;
  } catch {
    status.textContent = 'The snippet in this link could not be read.';
  }
}

async function copyLink() {
  const link = new URL(location.href);
  link.hash = KEY + (await pack(code.value));
  history.replaceState(null, '', link);
  try {
    await navigator.clipboard.writeText(link.href);
    status.textContent = 'Link copied.';
  } catch {
    status.textContent = 'The link is in the address bar: copy it from there.';
  }
}

async function pack(content) {
  const bytes = await through(new TextEncoder().encode(content), new CompressionStream('deflate-raw'));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
  return new TextDecoder('utf-8', {fatal: true}).decode(await through(bytes, new DecompressionStream('deflate-raw')));
}

async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

start();
