// The page's side of the Python engine: starts the worker, reports boot stages, carries questions and answers.
//
// const engine = new Engine();
// engine.addEventListener('stage', ({detail}) => ...);   // {stage: 'download' | 'start' | 'package', loaded, total, fromCache}
// engine.addEventListener('ready', ({detail}) => ...);   // {milliseconds, snapshot}
// engine.addEventListener('failed', ({detail}) => ...);  // {message}
// engine.addEventListener('kept', ({detail}) => ...);    // {kept}: a snapshot for the next visit was stored, or not
// await engine.boot();
// const text = await engine.ask('answer', request);      // every question answered; waits until Python is ready
// const text = await engine.latest('update', request);   // newest wins: null when a newer one overtook this one
import {assets} from './assets.js';

const START_LIMIT = 120_000; // milliseconds without any sign of life before a start counts as failed

export class Engine extends EventTarget {
  #worker = null;
  #waiting = new Map(); // id -> {resolve, reject, name, text}
  #newest = new Map(); // name -> {running: id, next: {text, resolve, reject} | null}
  #sequence = 0;
  #watch = 0;
  #began = 0;
  #booted = null;
  state = 'idle'; // idle | booting | ready | failed

  static get assets() {
    return assets;
  }

  /** Starts Python once and resolves when it is ready; rejects when it fails, after which boot() tries again. */
  boot() {
    if (this.state === 'idle' || this.state === 'failed') {
      this.#booted = new Promise((resolve, reject) => {
        this.addEventListener('ready', () => resolve(this), {once: true});
        this.addEventListener('failed', ({detail}) => reject(new Error(detail.message)), {once: true});
      });
      this.#booted.catch(() => {}); // the 'failed' event has told
      this.#start();
    }
    return this.#booted;
  }

  #start() {
    this.state = 'booting';
    this.#began = performance.now();
    let said = [];
    try {
      const early = globalThis.computeGaugeEarly; // start.js began before this module had arrived
      globalThis.computeGaugeEarly = null;
      if (early?.failed) throw new Error(early.failed);
      this.#worker = early?.worker ?? new Worker(new URL('./worker.js', import.meta.url), {type: 'module', name: 'compute-gauge'});
      said = early?.said ?? [];
    } catch (error) {
      queueMicrotask(() => this.#fail(`the worker could not be started: ${error.message}`));
      return;
    }
    this.#worker.onmessage = ({data}) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || 'the worker could not be loaded');
    };
    this.#alive();
    queueMicrotask(() => said.forEach((data) => this.#receive(data)));
    for (const [id, {name, text}] of this.#waiting) this.#worker.postMessage({id, name, text});
  }

  /** Asks a named Python function of one text; questions asked before Python is ready wait their turn. */
  ask(name, text) {
    return new Promise((resolve, reject) => this.#send(name, text, resolve, reject));
  }

  /** As ask, but per name only the newest question counts: overtaken ones resolve to null. */
  latest(name, text) {
    return new Promise((resolve, reject) => {
      const line = this.#newest.get(name) ?? {running: 0, next: null};
      this.#newest.set(name, line);
      line.next?.resolve(null);
      line.next = {text, resolve, reject};
      if (!line.running) this.#advance(name, line);
    });
  }

  #advance(name, line) {
    const {text, resolve, reject} = line.next;
    line.next = null;
    const done = (settle) => (value) => {
      line.running = 0;
      settle(line.next ? null : value);
      if (line.next) this.#advance(name, line);
    };
    line.running = this.#send(name, text, done(resolve), done((problem) => (problem === null ? resolve(null) : reject(problem))));
  }

  #send(name, text, resolve, reject) {
    const id = ++this.#sequence;
    this.#waiting.set(id, {name, text, resolve, reject});
    this.#worker?.postMessage({id, name, text});
    return id;
  }

  #receive(data) {
    this.#alive();
    if (data.type === 'stage') this.#tell('stage', data);
    else if (data.type === 'failed') this.#fail(data.message);
    else if (data.type === 'kept') this.#tell('kept', {kept: data.kept});
    else if (data.type === 'ready') {
      this.state = 'ready';
      clearTimeout(this.#watch);
      this.#tell('ready', {milliseconds: Math.round(performance.now() - this.#began), snapshot: data.snapshot});
    } else if (this.#waiting.has(data.id)) {
      const {resolve, reject} = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ('error' in data) reject(new Error(data.error));
      else resolve(data.text);
    }
  }

  /** A start that goes silent is a failure too: a page must never wait for ever. */
  #alive() {
    clearTimeout(this.#watch);
    if (this.state === 'booting') this.#watch = setTimeout(() => this.#fail('Python did not start in time'), START_LIMIT);
  }

  /** Unanswered questions stay queued: a retry answers them. */
  #fail(message) {
    clearTimeout(this.#watch);
    this.#worker?.terminate();
    this.#worker = null;
    this.state = 'failed';
    this.#tell('failed', {message});
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}
