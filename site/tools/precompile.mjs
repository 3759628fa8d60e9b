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
import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';

const [pyodideFolder, wheel, output] = process.argv.slice(2);
const {loadPyodide} = await import(pathToFileURL(resolve(pyodideFolder, 'pyodide.mjs')).href);
const here = (name) => new URL(name, import.meta.url);
const program = readFileSync(here('./precompile.py'), 'utf8');
const site = '/lib/python3.14/site-packages';
mkdirSync(output, {recursive: true});

/** A Python with the package's sources and the functions of precompile.py. */
async function python(settings) {
  const py = await loadPyodide({indexURL: resolve(pyodideFolder) + '/', ...settings});
  py.globals.set('source', program);
  py.runPython('exec(source, globals())');
  return py;
}

const py = await python({});
py.unpackArchive(new Uint8Array(readFileSync(wheel)), 'wheel', {extractDir: site});
py.FS.mkdirTree('/lean/pyodide');
for (const name of readdirSync(here('./lean/'), {recursive: true})) {
  if (name.endsWith('.py')) py.FS.writeFile('/lean/' + name.replaceAll('\\', '/'), readFileSync(here('./lean/' + name)));
}
py.runPython("compile_all('/lean')");
writeFileSync(resolve(output, 'lean.zip'), py.FS.readFile('/out/lean.zip'));

// Which modules a lean start and the package load can only be seen in one.
const lean = await python({stdLibURL: resolve(output, 'lean.zip')});
lean.FS.mkdirTree('/package');
copy('/lib/python3.14/site-packages/gauge', '/package/gauge');
const kept = lean.runPython("json.dumps(sorted(kept_modules('/package')))");
writeFileSync(resolve(output, 'modules.json'), kept);
py.globals.set('kept', kept);
console.log(py.runPython(`main('${site}', set(json.loads(kept)))`));
for (const name of ['stdlib.zip', 'stdlib-rest.zip', 'gauge.zip', 'bytecode.json']) {
  writeFileSync(resolve(output, name), py.FS.readFile('/out/' + name));
}

/** Copies a folder from the one Python's files to the other's. */
function copy(from, to) {
  lean.FS.mkdirTree(to);
  for (const name of py.FS.readdir(from)) {
    if (name === '.' || name === '..') continue;
    if (py.FS.isDir(py.FS.stat(`${from}/${name}`).mode)) copy(`${from}/${name}`, `${to}/${name}`);
    else lean.FS.writeFile(`${to}/${name}`, py.FS.readFile(`${from}/${name}`));
  }
}

// The trimmed archive must carry the package on its own: start once more with nothing else, and ask.
const trimmed = await loadPyodide({
  indexURL: resolve(pyodideFolder) + '/',
  stdLibURL: resolve(output, 'stdlib.zip'),
  env: {PYTHONPATH: '/lib/gauge.zip'},
  fsInit: (system) => system.writeFile('/lib/gauge.zip', readFileSync(resolve(output, 'gauge.zip'))),
});
trimmed.globals.set('source', program);
trimmed.runPython(`
names = {}
exec(source, names)
names['exercise']()
`);
