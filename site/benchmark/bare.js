// What everything is measured against: Pyodide as shipped, on the page's own thread, up to its first result.
import {assets} from '../assets.js';

const at = (path) => new URL('../' + path, import.meta.url).href;
const {loadPyodide} = await import(at(assets.pyodide) + 'pyodide.mjs');
const python = await loadPyodide({
  indexURL: at(assets.pyodide),
  stdLibURL: new URL('./python_stdlib.zip', import.meta.url).href,
});
const line = document.getElementById('bare');
line.textContent = `Python says ${python.runPython('1 + 1')}`;
line.dataset.milliseconds = performance.now();
line.dataset.state = 'live';
