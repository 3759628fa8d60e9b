// The page: what is typed goes to Python at once, what Python says goes into the page. Newest question wins.
import {Engine} from './engine.js';
import {Form} from './form.js';
import {combobox} from './combo.js';
import {deltas, sizes, swap} from './swap.js';
import {format, memory, packed, parse, unpacked} from './state.js';
import {Later} from './later.js';
import {status, boot} from './boot.js';
import * as extras from './extras.js';

const byId = (id) => document.getElementById(id);
const answer = byId('answer');
const form = new Form(byId('question'));
const engine = new Engine();
const later = new Later(engine);
const preset = JSON.parse(form.root.dataset.preset);

export const page = {form, engine, later, answer, view: {}, compare: [], last: null, request, apply, refresh, shortLink};

let wanted = null;
let running = false;
let spoken = '';
let speak = 0;
let written = 0;
let pending = null;
let typing = ''; // the field whose edits are one step of Undo

/** The question as Python gets it: what differs from the defaults, and how to show it. */
function request() {
  return {...form.values(), view: shown()};
}

function shown() {
  return {...page.view, code: answer.dataset.code};
}

/** The page as it stands, as a fragment; the state that the page opens with has none. */
function hash(fields) {
  const same = JSON.stringify(fields) === JSON.stringify(preset);
  const text = format({fields, view: page.view, compare: page.compare});
  return same && text === format({fields, view: {}, compare: []}) ? '' : text || '#v=1';
}

function link(fields = form.values()) {
  return new URL(format({fields, view: page.view, compare: page.compare}) || '#v=1', location.href).href;
}

/** The link to pass on, as short as it can be. */
async function shortLink() {
  return link(await packed(form.values()));
}

/** Asks anew. `push` makes it a step that Undo takes back; typing only replaces the address. */
function refresh({push = false} = {}) {
  const fields = form.values();
  wanted = JSON.stringify({...fields, view: shown()});
  if (!running && engine.state === 'ready') pump(); // Python works while the page does the rest
  if (answer.dataset.state !== 'error') answer.dataset.state = 'waiting';
  later.cancel();
  record(hash(fields), push);
}

async function pump() {
  running = true;
  while (wanted !== null) {
    const asked = wanted;
    wanted = null;
    try {
      show(JSON.parse(await engine.ask('update', asked)), wanted !== null);
    } catch (problem) {
      status(`The calculation failed: ${problem.message}`);
      answer.dataset.state = 'error';
    }
  }
  running = false;
  if (answer.dataset.state === 'live') later.start(page);
}

function show(said, stale) {
  form.annotate(said.fields, said.groups);
  if (said.answer.errors) {
    swap(said.fragments); // a link that cannot be read has no last answer: what was prepared stays unseen
    answer.dataset.state = 'error';
    return;
  }
  const table = byId('breakdown');
  document.documentElement.classList.add('live');
  delete document.documentElement.dataset.prepared;
  const before = sizes(table);
  const known = answer.dataset.unit;
  swap(said.fragments);
  for (const [key, value] of Object.entries(said.facts)) answer.setAttribute(`data-${key}`, value);
  const {unit, places} = answer.dataset;
  if (known === unit && page.last) deltas(table, before, {unit, bytes: Number(answer.dataset.unitBytes), places: Number(places)});
  page.last = said;
  page.shown?.();
  answer.dataset.state = stale ? 'waiting' : 'live';
  say(said.sentence);
}

/** Tells a screen reader the verdict once typing has stopped, and only if it changed. */
function say(sentence) {
  clearTimeout(speak);
  speak = setTimeout(() => {
    if (spoken && spoken !== sentence) byId('announce').textContent = sentence;
    spoken = sentence;
  }, 700);
}

/** Sets several fields at once: buttons that apply a limit, a remedy, a preset. */
function apply(values) {
  typing = '';
  tell([]);
  for (const [name, value] of Object.entries(values)) form.write(name, value ?? form.default(name));
  refresh({push: true});
}

// The address and its history -----------------------------------------------------------------------------------------

/** Writes the state into the address: at once where it is a step of its own, after a pause while typing. */
function record(next, push) {
  clearTimeout(written);
  if (push) {
    flush();
    write(next, true);
  } else {
    pending = next;
    written = setTimeout(flush, 200);
  }
}

function flush() {
  if (pending !== null) write(pending, false);
  pending = null;
}

function write(next, push) {
  const depth = history.state?.depth ?? 0;
  memory.set('last', next);
  if (next === location.hash) return;
  const to = next || location.pathname + location.search;
  if (push) history.pushState({depth: depth + 1}, '', to);
  else history.replaceState({depth}, '', to);
  byId('undo').disabled = !history.state?.depth;
}

/** What a link gave that is not taken as it stands. */
function tell(notes) {
  byId('link-notes').textContent = notes.join(' ');
}

function restore() {
  const state = parse(location.hash);
  tell(state.notes);
  unpack(state);
  form.fill(location.hash ? state.fields : preset);
  page.view = {...state.view, open: page.view.open ?? ''};
  page.compare = state.compare;
  press();
  byId('undo').disabled = !history.state?.depth;
}

/** Compressed values of a link take a moment; the question is put again with them. */
async function unpack(state) {
  try {
    const found = Object.entries(await unpacked(state.fields));
    for (const [name, value] of found) form.write(name, value);
    if (found.length) refresh();
  } catch {
    tell([...state.notes, 'What the link carries compressed cannot be read; the link may have been cut.']);
  }
}

function press() {
  for (const button of document.querySelectorAll('.switch [data-view]')) {
    const [key, value] = button.dataset.view.split('=');
    button.setAttribute('aria-pressed', String((page.view[key] || 'GiB') === value));
  }
}

window.addEventListener('pagehide', flush);
window.addEventListener('popstate', () => {
  pending = null;
  typing = '';
  restore();
  refresh();
});

// What can be pressed -------------------------------------------------------------------------------------------------

const PAUSE = 400; // milliseconds after which what stands in a search field is taken for a name
let searching = 0;
form.addEventListener('change', ({detail}) => {
  clearTimeout(searching);
  tell([]);
  const begins = typing !== detail.name;
  typing = detail.chosen ? '' : detail.name;
  if (!detail.searched) return refresh({push: detail.chosen || begins});
  if (answer.dataset.state === 'live') answer.dataset.state = 'waiting';
  searching = setTimeout(() => refresh({push: begins}), PAUSE);
});

document.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.change) apply(JSON.parse(button.dataset.change));
  else if (button.dataset.view) {
    const [key, value] = button.dataset.view.split('=');
    page.view = {...page.view, [key]: value === 'GiB' ? '' : value};
    press();
    refresh();
  } else if (button.dataset.focus) form.focus(button.dataset.focus);
});

window.addEventListener('beforeprint', () => (byId('print-link').textContent = link()));
byId('undo').addEventListener('click', () => history.back());

for (const input of document.querySelectorAll('[data-search]')) {
  combobox(input, (id) => {
    input.value = id;
    clearTimeout(searching);
    refresh({push: true});
  });
}

for (const [on, lit] of [['mouseover', true], ['mouseout', false], ['focusin', true], ['focusout', false]]) {
  answer.addEventListener(on, (event) => {
    const group = event.target.closest('[data-group]')?.dataset.group;
    if (!group) return;
    for (const part of answer.querySelectorAll(`[data-group="${group}"]`)) part.classList.toggle('lit', lit);
    answer.querySelector('.bar')?.classList.toggle('has-lit', lit);
  });
}

// Start ---------------------------------------------------------------------------------------------------------------

// The prepared answer is the default's: for another question it would be wrong, so it waits unseen.
if (location.hash.length > 1) document.documentElement.dataset.prepared = 'no';
extras.install(page);
restore();
if (location.hash) refresh();
else extras.offerLast(page);
boot(engine, {
  ready() {
    refresh();
  },
  failed() {
    answer.dataset.state = 'error';
  },
});
