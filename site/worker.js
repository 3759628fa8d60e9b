// The Python engine: a module worker that boots Pyodide with the precompiled standard library and package, and
// answers {id, name, text} with {id, text} or {id, error}. Starts by itself; reports {type: 'stage' | 'ready' | 'failed'}.
//
// All files are fetched at once. After a normal start it may keep a memory snapshot, with which the next start skips
// Python's own start-up; whenever that snapshot is missing, stale or broken, the normal start runs.
import {assets} from './assets.js';
import {readSnapshot, dropSnapshot, keepSnapshot} from './snapshot.js';

const at = (path) => new URL(path, import.meta.url).href;
const PYODIDE = at(assets.pyodide);
const STDLIB = at(assets.python + 'stdlib.zip');
const PACKAGE = at(assets.python + 'gauge.zip');
const WASM = PYODIDE + 'pyodide.asm.wasm';

const DOOR = `
def _door():
    import gc
    import gauge.api
    import gauge.view.page as page
    def ask(name, text):
        if name == "answer":
            return gauge.api.answer(text)
        function = None if name.startswith("_") else getattr(page, name, None)
        if getattr(function, "__module__", "") != "gauge.view.page":
            raise LookupError(f"the engine has no question named {name}")
        return function(text)
    gc.freeze()  # what is loaded stays: no keystroke waits for a search for garbage in it
    gc.set_threshold(50_000)
    return ask

_door()
`;

const questions = []; // asked before Python is ready
let door = null;
let later = () => {}; // puts off keeping the snapshot: set once Python runs

self.onmessage = ({data}) => {
  later();
  if (door) answer(data);
  else questions.push(data);
};

function answer({id, name, text}) {
  try {
    self.postMessage({id, text: door(name, text)});
  } catch (error) {
    self.postMessage({id, error: lastLine(error)});
  }
}

/** The line of a Python traceback that a person can use: the last one that names an exception. */
function lastLine(error) {
  const lines = String(error?.message ?? error).trim().split('\n');
  return lines.findLast((line) => /^[\w.]*(Error|Exception)\b/.test(line)) ?? lines.at(-1);
}

// Downloads -----------------------------------------------------------------------------------------------------------

const progress = {loaded: 0, total: 0, told: 0, stage: 'download'};
const inFlight = new Map();

/** Starts a download and counts its bytes (as sent) for the progress line. */
function download(url) {
  const [raw, sent] = Object.entries(assets.sizes).find(([name]) => url.endsWith(name))?.[1] ?? [0, 0];
  progress.total += sent;
  const response = fetch(url).then((found) => {
    if (!found.ok) throw new Error(`${new URL(url).pathname} could not be fetched (status ${found.status})`);
    if (raw) count(found.clone(), raw, sent);
    return found;
  });
  response.catch(() => {});
  if (url !== PACKAGE) inFlight.set(url, response);
  return response;
}

async function count(response, raw, sent) {
  try {
    const reader = response.body.getReader();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      progress.loaded += (chunk.value.length / raw) * sent;
      tellProgress();
    }
  } catch {
    // The other half of the response reports the failure.
  }
}

const LABELS = {download: 'Downloading Python', start: 'Starting Python', package: 'Loading the calculator'};

/** Reports a boot stage; only the download has bytes to show. */
function stage(name, detail = {}) {
  progress.stage = name;
  self.postMessage({type: 'stage', stage: name, label: LABELS[name], ...detail});
}

function tellProgress() {
  if (progress.stage !== 'download' || performance.now() - progress.told < 100) return;
  progress.told = performance.now();
  stage('download', {loaded: Math.round(progress.loaded), total: progress.total});
}

/** Pyodide fetches its own files: hand it the downloads already under way, once each. */
const plainFetch = self.fetch.bind(self);
function handOver() {
  self.fetch = (resource, options) => {
    const url = String(resource?.url ?? resource);
    const found = inFlight.get(new URL(url, PYODIDE).href);
    if (!found) return plainFetch(resource, options);
    inFlight.delete(new URL(url, PYODIDE).href);
    return found;
  };
}

// Boot ----------------------------------------------------------------------------------------------------------------

async function boot() {
  stage('download', {loaded: 0, total: assets.bytes});
  const snapshot = readSnapshot(assets);
  download(WASM);
  download(STDLIB);
  const archive = download(PACKAGE).then((response) => response.arrayBuffer());
  archive.catch(() => {}); // awaited by the start, which reports it
  const script = import(PYODIDE + 'pyodide.asm.mjs');
  script.catch(() => {});
  const {loadPyodide} = await import(PYODIDE + 'pyodide.mjs');
  handOver();
  const memory = await snapshot;
  if (memory) {
    try {
      return await restore(loadPyodide, archive, memory);
    } catch (error) {
      console.warn(`The saved start could not be used (${lastLine(error)}); starting normally.`);
      await dropSnapshot();
    }
  }
  return start(loadPyodide, archive);
}

const PACKAGE_PATH = '/lib/gauge.zip';

function settings(archive, more) {
  return {
    indexURL: PYODIDE,
    stdLibURL: STDLIB,
    lockFileContents: JSON.stringify(assets.lock),
    packageBaseUrl: PYODIDE,
    env: {PYTHONPATH: PACKAGE_PATH},
    fsInit: async (system) => system.writeFile(PACKAGE_PATH, new Uint8Array(await archive), {canOwn: true}),
    ...more,
  };
}

async function start(loadPyodide, archive) {
  stage('start');
  const python = await loadPyodide(settings(archive, {_makeSnapshot: true}));
  stage('package');
  return {python, snapshot: false};
}

/** The saved memory holds every imported module; the archives that it may still read are not inside. */
async function restore(loadPyodide, archive, memory) {
  stage('start', {fromCache: true});
  return {python: await loadPyodide(settings(archive, {_loadSnapshot: memory})), snapshot: true};
}

/** Once nothing has been asked for a while: the saved memory then holds what answering has already loaded. */
function keepWhenIdle(python) {
  const IDLE = 1500;
  let kept = false;
  later = () => {
    if (kept) return;
    clearTimeout(keeping);
    keeping = setTimeout(async () => {
      kept = true;
      self.postMessage({type: 'kept', kept: await keepSnapshot(assets, python)});
    }, IDLE);
  };
  later();
}
let keeping = 0;

try {
  const {python, snapshot} = await boot();
  door = python.runPython(DOOR);
  self.postMessage({type: 'ready', snapshot});
  for (const question of questions.splice(0)) answer(question);
  if (!snapshot) keepWhenIdle(python);
} catch (error) {
  self.postMessage({type: 'failed', message: lastLine(error)});
}
