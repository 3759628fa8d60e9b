// Charts with axes, drawn by Observable Plot when they come into view. Rows, titles and tables are Python's.

const CHUNK = 1; // points a question, so that typing never waits long behind them
let library = null;

const load = () => (library ??= script('d3.min.js').then(() => script('plot.umd.min.js')).then(() => window.Plot));

function script(name) {
  return new Promise((done, failed) => {
    const element = Object.assign(document.createElement('script'), {src: new URL(`./vendor/plot/${name}`, import.meta.url).href});
    element.onload = done;
    element.onerror = () => failed(new Error(`${name} could not be loaded`));
    document.head.append(element);
  });
}

export function install(page) {
  const body = document.getElementById('charts-body');
  let near = false;
  let drawn = '';
  page.later.add(async (_, ask) => {
    const question = page.request();
    const key = JSON.stringify({...question, view: {unit: page.view.unit}});
    if (!near || drawn === key) return;
    body.classList.add('stale');
    const Plot = await load();
    for (const {id, points} of await ask('plan', question)) {
      const results = [];
      for (let from = 0; from < points; from += CHUNK) results.push(...(await ask('points', {...question, chart: id, from, to: from + CHUNK})));
      place(body, await ask('chart', {...question, chart: id, results}), Plot);
    }
    body.classList.remove('stale');
    drawn = key;
  });
  new IntersectionObserver(
    ([entry]) => {
      near = entry.isIntersecting;
      if (near && page.answer.dataset.state === 'live') page.later.start(page);
    },
    {rootMargin: '200px'},
  ).observe(document.getElementById('charts'));
}

function place(body, said, Plot) {
  let box = body.querySelector(`[data-of="${said.id}"]`);
  if (!box) {
    if (!body.querySelector('[data-of]')) body.replaceChildren();
    box = document.createElement('div');
    box.dataset.of = said.id;
    body.append(box);
  }
  const open = box.querySelector('.as-table')?.open;
  box.innerHTML = said.html;
  if (open) box.querySelector('.as-table').open = true;
  const plot = box.querySelector('.plot');
  if (!plot) return;
  const width = Math.max(280, Math.min(plot.clientWidth, 900));
  const drawing = DRAW[said.shape](Plot, said, width);
  for (const style of drawing.querySelectorAll('style')) style.remove(); // the page's policy allows no inline style
  drawing.setAttribute('role', 'img');
  drawing.setAttribute('aria-label', `${box.querySelector('h3').textContent}; the table below holds the same figures`);
  plot.replaceChildren(drawing);
}

const fill = ({group}) => `var(--${group})`;
const tokens = (n) => (n >= 1024 && n % 1024 === 0 ? `${n / 1024}k` : String(n));
const paper = {background: 'transparent', color: 'var(--soft)', fontSize: '12px', fontFamily: 'inherit'};

const capacity = (Plot, said, axis) =>
  said.usable === null ? [] : [Plot[axis === 'y' ? 'ruleY' : 'ruleX']([said.usable], {stroke: 'var(--ink)', strokeDasharray: '3 3'})];

const DRAW = {
  stack: (Plot, said, width) =>
    Plot.plot({
      width,
      height: 280,
      marginLeft: 52,
      style: paper,
      x: {type: 'band', label: 'tokens', tickFormat: tokens, padding: 0.18},
      y: {label: said.unit, grid: true, nice: true},
      marks: [Plot.barY(said.rows, {x: 'x', y: 'y', fill, order: said.groups.map(({id}) => id), z: 'group'}), ...capacity(Plot, said, 'y'), Plot.ruleY([0], {stroke: 'var(--ink)'})],
    }),
  bars: (Plot, said, width) =>
    Plot.plot({
      width,
      height: 40 + 17 * new Set(said.rows.map(({name}) => name)).size,
      marginLeft: Math.min(170, width * 0.4),
      style: paper,
      x: {label: said.unit, grid: true, axis: 'top'},
      y: {type: 'band', label: null, domain: [...new Set(said.rows.map(({name}) => name))], padding: 0.25},
      marks: [Plot.barX(said.rows, {y: 'name', x: 'x', fill, z: 'group', order: said.groups.map(({id}) => id)}), ...capacity(Plot, said, 'x'), Plot.ruleX([0], {stroke: 'var(--ink)'})],
    }),
  map: (Plot, said, width) =>
    Plot.plot({
      width,
      height: 60 + 30 * new Set(said.rows.map(({batch}) => batch)).size,
      marginLeft: 52,
      style: paper,
      x: {type: 'band', label: 'tokens', tickFormat: tokens, axis: 'top', padding: 0.04},
      y: {type: 'band', label: 'batch', padding: 0.06},
      marks: [
        Plot.cell(said.rows, {x: 'tokens', y: 'batch', fill: ({word}) => (word === 'no' ? 'var(--well)' : 'var(--activations)'), fillOpacity: ({word, share}) => (word === 'no' ? 1 : 0.15 + 0.55 * Math.min(share, 1)), inset: 0.5}),
        Plot.text(said.rows, {x: 'tokens', y: 'batch', text: ({word, need}) => (width > 640 ? `${word === 'no' ? '✕ ' : ''}${need}` : word), fill: ({word}) => (word === 'no' ? 'var(--soft)' : 'var(--ink)')}),
      ],
    }),
  course: (Plot, said, width) =>
    Plot.plot({
      width,
      height: 240,
      marginLeft: 52,
      style: paper,
      x: {label: 'events, in order', ticks: 0},
      y: {label: said.unit, grid: true, nice: true},
      marks: [
        Plot.areaY(said.rows, {x: 'x', y: 'y', fill, z: 'group', order: said.groups.map(({id}) => id), curve: 'step-after'}),
        ...capacity(Plot, said, 'y'),
        Plot.ruleY([0], {stroke: 'var(--ink)'}),
      ],
    }),
};
