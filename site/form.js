// The form as a flat map of what differs from the defaults. It knows kinds of fields, never their names.

export class Form extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.extra = {};
    this.known = new Map();
    this.said = new Map(); // what Python last said of each field
    this.fields = new Map([...root.querySelectorAll('[data-field]')].map((box) => [box.dataset.field, box]));
    root.addEventListener('submit', (event) => event.preventDefault());
    root.addEventListener('input', (event) => this.#changed(event));
    root.addEventListener('keydown', (event) => step(event));
  }

  #changed(event) {
    const control = event.target;
    if (!control.name) return;
    const chosen = control.matches('select, [type="radio"], [type="checkbox"]');
    this.dispatchEvent(new CustomEvent('change', {detail: {name: control.name, chosen, searched: 'search' in control.dataset}}));
  }

  /** The controls of a field; those of the schema never change, so they are looked up once. */
  controls(name) {
    const known = this.known.get(name);
    if (known) return known;
    const found = [...this.root.querySelectorAll(`[name="${CSS.escape(name)}"]`)];
    if (this.fields.has(name)) this.known.set(name, found);
    return found;
  }

  read(name) {
    const [first, ...others] = this.controls(name);
    if (!first) return this.extra[name] ?? '';
    if (first.type === 'radio') return [first, ...others].find((control) => control.checked)?.value ?? '';
    if (first.type === 'checkbox') return String(first.checked);
    return first.value.trim();
  }

  write(name, value) {
    const controls = this.controls(name);
    if (!controls.length) {
      if (value === '') delete this.extra[name];
      else this.extra[name] = value;
    }
    for (const control of controls) {
      if (control.type === 'radio') control.checked = control.value === value;
      else if (control.type === 'checkbox') control.checked = value === 'true';
      else if (control.value !== value) control.value = value;
      if (control.tagName === 'SELECT' && control.value !== value) this.#offer(control, value);
    }
  }

  /** A value from a link that the list does not know is shown as it is, so that Python can say what is wrong with it. */
  #offer(select, value) {
    select.append(new Option(value, value, false, true));
  }

  default(name) {
    return this.fields.get(name)?.dataset.default ?? '';
  }

  /** Every value that differs from its default, in the form's order, then what has no control. */
  values() {
    const found = {};
    for (const name of this.fields.keys()) {
      const value = this.read(name);
      if (value !== '' && value !== this.default(name)) found[name] = value;
    }
    const edits = [...this.root.querySelectorAll('[data-edit]')].filter((control) => control.value.trim());
    return {...found, ...this.extra, ...Object.fromEntries(edits.map((control) => [control.name, control.value.trim()]))};
  }

  /** Puts a whole state into the form: what it does not name goes back to its default. */
  fill(values) {
    this.extra = {};
    for (const name of this.fields.keys()) this.write(name, values[name] ?? this.default(name));
    for (const control of this.root.querySelectorAll('[data-edit]')) control.value = values[control.name] ?? '';
    for (const [name, value] of Object.entries(values)) if (!this.fields.has(name)) this.write(name, value);
  }

  /** What Python says beside each field: relevant or not, how it was read, what is wrong. */
  annotate(states, groups) {
    let kept = 0;
    for (const [name, box] of this.fields) {
      const state = states[name];
      if (!state) continue;
      const value = this.read(name);
      if (!state.relevant && value !== '' && value !== this.default(name)) kept += 1;
      const same = JSON.stringify([state, value]);
      if (this.said.get(name) === same) continue;
      this.said.set(name, same);
      put(box, 'hidden', !state.relevant);
      if (state.echo !== null) put(box.querySelector('.echo'), 'textContent', state.echo);
      put(box.querySelector('.error'), 'innerHTML', state.error);
      for (const control of this.controls(name)) {
        if (state.error) control.setAttribute('aria-invalid', 'true');
        else control.removeAttribute('aria-invalid');
        if ('placeholder' in control && state.placeholder && control.placeholder !== state.placeholder) control.placeholder = state.placeholder;
        if (control.tagName === 'SELECT') narrow(control, state.choices);
      }
    }
    for (const group of this.root.querySelectorAll('[data-group]')) {
      group.hidden = ![...group.querySelectorAll('[data-field]')].some((box) => !box.hidden);
      put(group.querySelector('.changed'), 'textContent', groups[group.dataset.group] ?? '');
      if (group.querySelector('[aria-invalid]')) group.open = true;
    }
    put(this.root.querySelector('.hidden-note'), 'textContent', kept ? `${kept} changed ${kept === 1 ? 'value does' : 'values do'} not matter here and ${kept === 1 ? 'is' : 'are'} kept for later.` : '');
  }

  label(name) {
    return this.root.querySelector(`#label-${CSS.escape(name)}`)?.textContent ?? name;
  }

  focus(name) {
    const control = this.controls(name)[0];
    if (!control) return;
    control.closest('details.group')?.setAttribute('open', '');
    control.focus();
    control.select?.();
  }
}

function put(element, property, value) {
  if (element && element[property] !== value) element[property] = value;
}

/** Choices that do not go with the rest of the question are hidden, unless one of them is chosen. */
function narrow(select, allowed) {
  if (!allowed) return;
  for (const option of select.options) option.hidden = option.disabled = !allowed.includes(option.value) && !option.selected;
}

/** Arrow keys step a number: tokens by powers of two, others by one (ten with Shift). */
function step(event) {
  const input = event.target;
  const up = event.key === 'ArrowUp';
  if (!(up || event.key === 'ArrowDown') || event.ctrlKey || event.altKey || event.metaKey) return;
  const kind = input.dataset?.step;
  if (kind !== 'tokens' && kind !== 'count') return;
  const shown = (input.value || input.placeholder).replaceAll(/[,\s]/g, '');
  const match = /^(\d+)([kKmM]?)$/.exec(shown);
  if (!match) return;
  event.preventDefault();
  const unit = {k: 1024, m: 1048576}[match[2].toLowerCase()] ?? 1;
  const now = Number(match[1]) * unit;
  const by = event.shiftKey ? 10 : 1;
  const next = kind === 'tokens' ? power(now, up, event.shiftKey ? 2 : 1) : now + (up ? by : -by);
  input.value = String(Math.max(1, next));
  input.dispatchEvent(new Event('input', {bubbles: true}));
}

function power(now, up, times) {
  const exponent = Math.log2(now);
  return 2 ** Math.max(0, up ? Math.floor(exponent) + times : Math.ceil(exponent) - times);
}
