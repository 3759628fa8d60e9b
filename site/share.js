// The share panel: Python writes every text and the picture; here they are copied or saved.
import {announce, copy} from './copy.js';
import {swap} from './swap.js';

const byId = (id) => document.getElementById(id);

export function install(page) {
  const panel = byId('share');
  const button = byId('share-open');
  let svg = '';

  const fill = async () => {
    const said = JSON.parse(await page.engine.ask('shared', JSON.stringify({...page.request(), link: await page.shortLink()})));
    ({svg} = said);
    swap(said.fragments);
  };
  const toggle = async (open) => {
    if (open) await fill();
    panel.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
    if (open) panel.querySelector('button')?.focus();
    else button.focus();
  };
  button.addEventListener('click', () => toggle(panel.hidden));
  panel.addEventListener('keydown', (event) => event.key === 'Escape' && toggle(false));
  page.later.add(async () => panel.hidden || fill());

  panel.addEventListener('click', (event) => {
    const pressed = event.target.closest('button');
    if (!pressed) return;
    if (pressed.dataset.copy) copy(byId(pressed.dataset.copy).value, `${pressed.getAttribute('aria-label').replace('Copy ', '')} copied.`, pressed);
    else if (pressed.dataset.close) toggle(false);
    else if (pressed.id === 'save-svg') save(new Blob([svg], {type: 'image/svg+xml'}), 'svg');
    else if (pressed.id === 'save-png') raster(svg).then((blob) => save(blob, 'png'));
    else if (pressed.id === 'print') print();
  });
}

function save(blob, ending) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement('a'), {href: url, download: `compute-gauge.${ending}`}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  announce('The picture is saved.');
}

async function raster(svg, factor = 2) {
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = Object.assign(document.createElement('canvas'), {width: image.width * factor, height: image.height * factor});
  canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, 'image/png'));
}
