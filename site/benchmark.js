// Measures start-up here and now: bare Pyodide and the calculator, in turn, each in a fresh frame.

const ROUNDS = 5;
const LIMIT = 120_000;
const KINDS = {
  'bare Pyodide': {path: './benchmark/bare.html', ready: '#bare[data-state="live"]'},
  'Compute Gauge': {path: './index.html', ready: '#answer[data-state="live"]'},
};
const [go, status, result, stage] = ['go', 'status', 'result', 'stage'].map((id) => document.getElementById(id));

go.addEventListener('click', async () => {
  go.disabled = true;
  const times = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const kind of Object.keys(KINDS)) {
      status.textContent = `Round ${round} of ${ROUNDS}: ${kind}`;
      times[kind].push(await measure(KINDS[kind]));
      show(times);
    }
  }
  status.textContent = 'Done.';
  go.disabled = false;
});

/** Milliseconds from the frame's creation to its first live result. */
async function measure({path, ready}) {
  const frame = Object.assign(document.createElement('iframe'), {src: path, width: 800, height: 600, title: 'measured page'});
  const began = performance.now();
  stage.replaceChildren(frame);
  while (!frame.contentDocument?.querySelector(ready)) {
    if (performance.now() - began > LIMIT) throw new Error(`${path} did not start`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const took = performance.now() - began;
  await new Promise((resolve) => setTimeout(resolve, 3000)); // lets it store what speeds up the next start
  stage.replaceChildren();
  return took;
}

function show(times) {
  const table = document.createElement('table');
  const head = table.createTHead().insertRow();
  const rounds = Array.from({length: ROUNDS}, (_, round) => `round ${round + 1}`);
  for (const title of ['milliseconds', ...rounds, 'median', 'ratio'])
    head.append(Object.assign(document.createElement('th'), {textContent: title, scope: 'col'}));
  const base = median(times['bare Pyodide']);
  for (const [kind, values] of Object.entries(times)) {
    const row = table.createTBody().insertRow();
    row.append(Object.assign(document.createElement('th'), {textContent: kind, scope: 'row'}));
    for (let round = 0; round < ROUNDS; round += 1) row.insertCell().textContent = values[round]?.toFixed(0) ?? '';
    row.insertCell().textContent = median(values).toFixed(0);
    row.insertCell().textContent = (median(values) / base).toFixed(2);
  }
  result.replaceChildren(table);
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : NaN;
}
