// Offline use and updates: registers the service worker once Python is ready and reports what it does.
//
// const offline = new Offline();
// offline.addEventListener('ready', ...);   // everything is stored: the page works without a network
// offline.addEventListener('update', ...);  // a new version is stored and waits: offer "reload" and call offline.update()
// offline.start();                           // after the engine's 'ready'

import {assets} from './assets.js';

export class Offline extends EventTarget {
  #registration = null;

  /** Registers the worker; silently does nothing where it is unsupported, denied, or in another site's frame. */
  async start(groups = []) {
    if (!('serviceWorker' in navigator) || framedElsewhere()) return false;
    try {
      this.#registration = await navigator.serviceWorker.register(new URL('./sw.js', import.meta.url), {updateViaCache: 'none'});
    } catch {
      return false;
    }
    this.#follow(this.#registration);
    const {active} = await navigator.serviceWorker.ready;
    for (const name of await caches.keys()) await caches.open(name); // in a private session WebKit drops what no page has opened
    await settled(active, {type: 'keep', build: assets.build, groups: ['core', ...groups]}); // a browser may have dropped what was stored
    this.dispatchEvent(new Event('ready'));
    return true;
  }

  /** Switches to the waiting version and reloads: only ever called by a person's click. */
  update() {
    const waiting = this.#registration?.waiting;
    if (!waiting) return;
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), {once: true});
    waiting.postMessage({type: 'switch'});
  }

  #follow(registration) {
    const tell = () => this.dispatchEvent(new Event('update'));
    if (registration.waiting && navigator.serviceWorker.controller) tell();
    registration.addEventListener('updatefound', () => {
      const fresh = registration.installing;
      fresh?.addEventListener('statechange', () => {
        if (fresh.state === 'installed' && navigator.serviceWorker.controller) tell();
      });
    });
  }
}

/** Whether this page sits in a frame of another site, where a second copy of everything would be stored. */
export function framedElsewhere() {
  if (window.top === window) return false;
  try {
    return window.top.location.origin !== location.origin;
  } catch {
    return true;
  }
}

function settled(worker, message) {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = resolve;
    worker.postMessage(message, [channel.port2]);
  });
}
