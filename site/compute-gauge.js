// <compute-gauge model="…" task="training" size="compact">: the calculator inside another page.
//
// One script tag: <script async src="https://…/compute-gauge.js"></script> (a classic script, so that the host of the
// calculator need not allow cross-origin reads). Attributes are request fields, except
//   size="full|compact"   theme="auto|light|dark"   label="title of the frame"   and those every element has.
// What stands inside the element (a static table, say) is shown until the frame has an answer, in print, and without scripts.
// Events: 'compute-gauge:answer' with {allocated, device} in bytes.

(() => {
  const BASE = new URL('./', document.currentScript.src);
  const OWN = new Set(['size', 'theme', 'label', 'id', 'class', 'style', 'slot', 'hidden', 'lang', 'dir', 'title', 'role', 'tabindex']);
  const SMALLEST = 120;
  const TALLEST = 6000;

  class ComputeGauge extends HTMLElement {
    #frame = null;
    #observer = new MutationObserver(() => this.#load());
    #receive = (event) => this.#heard(event);

    connectedCallback() {
      if (!this.#frame) this.#build();
      this.#load();
      this.#observer.observe(this, {attributes: true});
      addEventListener('message', this.#receive);
    }

    disconnectedCallback() {
      this.#observer.disconnect();
      removeEventListener('message', this.#receive);
    }

    #build() {
      const root = this.attachShadow({mode: 'open'});
      const sheet = new CSSStyleSheet(); // constructed: a page that forbids inline styles still allows it
      sheet.replaceSync(`
        :host { display: block; }
        :host([hidden]) { display: none; }
        iframe { display: block; inline-size: 100%; block-size: 320px; border: 0; }
        :host([data-loaded]) slot { display: none; }
        @media print { iframe { display: none; } :host([data-loaded]) slot { display: contents; } }`);
      root.adoptedStyleSheets = [sheet];
      this.#frame = Object.assign(document.createElement('iframe'), {loading: 'lazy'});
      root.append(this.#frame, document.createElement('slot'));
    }

    #load() {
      const source = address(this);
      this.#frame.title = this.getAttribute('label') ?? 'Memory of a neural network, by Compute Gauge';
      if (this.#frame.src !== source) this.#frame.src = source;
    }

    /** Only our own frame, from the calculator's own origin, is believed, and a height only within bounds. */
    #heard({data, source, origin}) {
      if (source !== this.#frame.contentWindow || origin !== BASE.origin) return;
      if (data?.type === 'compute-gauge:height' && Number.isFinite(data.height)) {
        this.#frame.style.blockSize = `${Math.min(TALLEST, Math.max(SMALLEST, Math.ceil(data.height)))}px`;
        if (data.shown) this.toggleAttribute('data-loaded', true);
      }
      if (data?.type === 'compute-gauge:answer') {
        const detail = {allocated: Number(data.allocated), device: Number(data.device)};
        this.dispatchEvent(new CustomEvent('compute-gauge:answer', {bubbles: true, detail}));
      }
    }
  }

  /** The frame's address: how it looks in the query, what it asks in the fragment. */
  function address(element) {
    const url = new URL('embed.html', BASE);
    for (const name of ['size', 'theme']) if (element.hasAttribute(name)) url.searchParams.set(name, element.getAttribute(name));
    const fields = new URLSearchParams();
    for (const {name, value} of element.attributes) {
      if (!OWN.has(name) && !/^(data|aria|on)/.test(name)) fields.set(name, value);
    }
    if (fields.size) url.hash = `v=1&${fields}`;
    return url.href;
  }

  if (!customElements.get('compute-gauge')) customElements.define('compute-gauge', ComputeGauge);
})();
