// Precompiles the standard library and the package with the very Pyodide that will run them.
//
// node precompile.mjs <pyodide folder> <plain wheel> <output folder>
//
// Writes to the output folder:
//   stdlib.zip       bytecode of what boot and the package import (whole top-level packages, so imports stay local)
//   stdlib-rest.zip  bytecode of everything else, for the playground
//   gauge.zip        the package's bytecode and data, imported by the calculator straight from the archive
//   bytecode.json    {"gauge/__pycache__/x.cpython-314.pyc": "<base64>"} to be added to the wheel
//   modules.json     which modules went into stdlib.zip and why
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';

const [pyodideFolder, wheel, output] = process.argv.slice(2);
const {loadPyodide} = await import(pathToFileURL(resolve(pyodideFolder, 'pyodide.mjs')).href);
const py = await loadPyodide({indexURL: resolve(pyodideFolder) + '/'});
const site = '/lib/python3.14/site-packages';
py.unpackArchive(new Uint8Array(readFileSync(wheel)), 'wheel', {extractDir: site});
py.FS.writeFile('/precompile.py', readFileSync(new URL('./precompile.py', import.meta.url)));
const text = py.runPython(`
import sys, runpy
runpy.run_path('/precompile.py')['main']('${site}')
`);
mkdirSync(output, {recursive: true});
for (const name of ['stdlib.zip', 'stdlib-rest.zip', 'gauge.zip', 'bytecode.json', 'modules.json']) {
  writeFileSync(resolve(output, name), py.FS.readFile('/out/' + name));
}

// The trimmed archive must carry the package on its own: start once more with nothing else, and ask.
const trimmed = await loadPyodide({
  indexURL: resolve(pyodideFolder) + '/',
  stdLibURL: resolve(output, 'stdlib.zip'),
  env: {PYTHONPATH: '/lib/gauge.zip'},
  fsInit: (system) => system.writeFile('/lib/gauge.zip', readFileSync(resolve(output, 'gauge.zip'))),
});
trimmed.globals.set('source', readFileSync(new URL('./precompile.py', import.meta.url), 'utf8'));
trimmed.runPython(`
names = {}
exec(source, names)
names['exercise']()
`);
console.log(text);
