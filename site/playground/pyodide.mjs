// What PyScript takes for its interpreter: the vendored Pyodide with our precompiled standard library, of which the
// part that the calculator leaves out is added here, since a visitor's snippet may import anything.
import {assets} from '../assets.js';
import {loadPyodide as load, version} from '__PYODIDE__pyodide.mjs';

export {version};

const at = (path) => new URL('../' + path, import.meta.url).href;
const REST = '/lib/python314-rest.zip';

export async function loadPyodide(options) {
  const python = await load({
    ...options,
    indexURL: at(assets.pyodide),
    stdLibURL: at(assets.python + 'stdlib.zip'),
    env: {...options?.env, HOME: '/home/pyodide', PYTHONPATH: REST},
    fsInit: async (files) => files.writeFile(REST, new Uint8Array(await rest())),
  });
  python.runPython(`import encodings; encodings.__path__.append('${REST}/encodings')`);
  return python;
}

async function rest() {
  const response = await fetch(at(assets.python + 'stdlib-rest.zip'));
  if (!response.ok) throw new Error(`the rest of the standard library: status ${response.status}`);
  return response.arrayBuffer();
}
