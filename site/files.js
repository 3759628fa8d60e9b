// A model of one's own: a config.json, or the header of a .gguf or .safetensors, read here; nothing is uploaded.
// What a header means is Python's business; here slices are cut off the file as it wants them, some hundred kilobytes in all.
import {announce} from './copy.js';

const byId = (id) => document.getElementById(id);
const MOST_SLICES = 400;
const LARGEST_CONFIG = 4_000_000;

export function install(page) {
  const zone = byId('files');
  const said = (text) => {
    byId('files-status').textContent = text;
  };

  const ask = async (question) => JSON.parse(await page.engine.ask('read', JSON.stringify(question)));
  const done = ({changes, message}) => {
    said(message);
    if (changes) page.apply(changes);
  };
  const take = async (question) => done(await ask(question));

  /** Hands over slices until nothing more is wanted. */
  const takeHeader = async (file) => {
    const slices = [];
    for (;;) {
      const found = await ask({name: file.name, size: file.size, slices});
      if (!found.want) return done(found);
      if (slices.length === MOST_SLICES) throw new Error('its header has no end');
      const {offset, size} = found.want;
      slices.push({offset, data: base64(await file.slice(offset, offset + size).arrayBuffer())});
    }
  };

  const read = async (file) => {
    said(`Reading ${file.name}`);
    try {
      if (/\.(gguf|safetensors)$/i.test(file.name)) await takeHeader(file);
      else if (file.size > LARGEST_CONFIG) said(`${file.name} is too large to be a config.json.`);
      else await take({name: file.name, kind: 'config', text: await file.text()});
    } catch (problem) {
      said(`${file.name} could not be read: ${problem.message}`);
    }
  };

  byId('file').addEventListener('change', (event) => {
    const [file] = event.target.files;
    if (file) read(file);
    event.target.value = '';
  });
  for (const name of ['dragover', 'dragleave', 'drop']) {
    document.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      zone.classList.toggle('over', name === 'dragover');
      if (name === 'drop' && event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
    });
  }

  const box = page.form.root.querySelector('[data-kind="config"] textarea');
  byId('paste').addEventListener('click', async () => {
    let text = '';
    try {
      text = await navigator.clipboard.readText();
    } catch {
      // Refused or not there: the field is for pasting by hand.
    }
    if (/^\s*\{/.test(text)) await take({name: 'the clipboard', kind: 'config', text});
    else if (box) {
      page.form.focus(box.name);
      said('Paste the contents of a config.json into the field.');
    }
  });

  hub(page, take, said);
}

function base64(buffer) {
  const bytes = new Uint8Array(buffer);
  const parts = [];
  for (let at = 0; at < bytes.length; at += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  return btoa(parts.join(''));
}

/** Asks the hub for one config.json, only when the button is pressed; the button appears for an id that the catalogue lacks. */
function hub(page, take, said) {
  const button = byId('hub');
  const input = page.form.root.querySelector('[data-search]');
  const wanted = () => /^[\w.-]+\/[\w.-]+$/.exec(input.value.trim())?.[0];
  page.form.addEventListener('change', () => (button.hidden = true));
  new MutationObserver(() => {
    button.hidden = !(wanted() && input.getAttribute('aria-invalid'));
    button.textContent = `Look up ${wanted() ?? ''} on Hugging Face`;
  }).observe(input, {attributes: true, attributeFilter: ['aria-invalid']});
  button.addEventListener('click', async () => {
    const id = wanted();
    if (!navigator.onLine) return said('You are offline. Paste the config.json instead.');
    said(`Asking huggingface.co for the config.json of ${id}`);
    try {
      const reply = await fetch(`https://huggingface.co/${id}/resolve/main/config.json`, {credentials: 'omit', referrerPolicy: 'no-referrer'});
      if (!reply.ok) throw new Error(reply.status === 401 || reply.status === 403 ? 'it is private or gated' : `the hub answered ${reply.status}`);
      await take({name: id, kind: 'config', text: await reply.text(), model: id});
      announce(`The config of ${id} is in place.`);
    } catch (problem) {
      said(`No config.json for ${id}: ${problem.message}. Paste it instead.`);
    }
  });
}
