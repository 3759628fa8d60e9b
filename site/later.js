// What may take longer than a frame: asked one small piece at a time after the answer, dropped as soon as the question changes.
import {swap} from './swap.js';

const QUIET = 250;

export class Later {
  #round = 0;
  #timer = 0;
  #jobs = [];

  constructor(engine) {
    this.engine = engine;
  }

  /** `job(page, ask)` is an async function; `ask` throws away the rest of the job once the question has changed. */
  add(job) {
    this.#jobs.push(job);
  }

  cancel() {
    this.#round += 1;
    clearTimeout(this.#timer);
    stale(true);
  }

  start(page) {
    this.cancel();
    const round = this.#round;
    this.#timer = setTimeout(() => this.#run(page, round), QUIET);
  }

  async #run(page, round) {
    const ask = async (name, question) => {
      if (round !== this.#round) throw new Stale();
      const text = await this.engine.ask(name, JSON.stringify(question));
      if (round !== this.#round) throw new Stale();
      return JSON.parse(text);
    };
    try {
      for (const job of this.#jobs) await job(page, ask);
    } catch (problem) {
      if (!(problem instanceof Stale)) throw problem;
    }
  }
}

class Stale extends Error {}

const LATE = document.querySelectorAll('[data-late]');

let held = null;
let greying = 0;
const GREY = 400; // milliseconds after which what is out of date looks it: most answers are there before

/** What belongs to the question before cannot be pressed until it is answered anew; who stood there stands there again. */
function stale(on) {
  const focused = document.activeElement;
  if (on && focused?.closest('[data-late]')) held = focused;
  for (const part of LATE) part.inert = on;
  if (on) {
    greying ||= setTimeout(() => grey(true), GREY);
    return;
  }
  grey(false);
  if (held?.isConnected && (!document.activeElement || document.activeElement === document.body)) held.focus({preventScroll: true});
  held = null;
}

function grey(on) {
  clearTimeout(greying);
  greying = 0;
  for (const part of LATE) part.classList.toggle('stale', on);
}

/** A job that puts the fragments of one ask into the page. */
export function fragmentsOf(name) {
  return async (page, ask) => {
    swap((await ask(name, page.request())).fragments);
    stale(false);
  };
}
