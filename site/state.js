// The address is the state: `#v=1&field=value` with only what differs from the defaults, how it is shown, and what is compared.

export const VERSION = '1';
const VIEW = ['unit', 'moment'];

const READABLE = {'%2F': '/', '%3A': ':', '%2C': ',', '%20': '+', '%40': '@'};
const encode = (text) => encodeURIComponent(text).replace(/%(2F|3A|2C|20|40)/g, (code) => READABLE[code]);
const decode = (text) => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
};

/**
 * A fragment as `{fields, view, compare, notes}`; what no control knows stays in `fields`, so that Python can speak about
 * it. `notes` are sentences about what is not taken as it stands.
 */
export function parse(hash) {
  const state = {fields: {}, view: {}, compare: [], notes: []};
  for (const pair of hash.replace(/^#/, '').split('&')) {
    if (!pair.includes('=')) continue;
    const at = pair.indexOf('=');
    const key = decode(pair.slice(0, at));
    const value = decode(pair.slice(at + 1));
    if (key === 'v') {
      if (value !== VERSION) state.notes.push(`The link is written in version ${value} of this page's links; this page reads version ${VERSION}.`);
      continue;
    }
    if (key === 'compare') {
      state.compare.push(value);
      continue;
    }
    const kept = VIEW.includes(key) ? state.view : state.fields;
    if (Object.hasOwn(kept, key)) state.notes.push(`The link gives ${key} more than once; ${value} is taken.`);
    kept[key] = value;
  }
  return state;
}

/** The fields alone as a fragment without its version: what a compared state is stored as. */
export function line(fields) {
  return Object.entries(fields).map(([key, value]) => `${encode(key)}=${encode(value)}`).join('&');
}

/** A state as a fragment; the default state has none. */
export function format({fields, view, compare}) {
  const parts = [line(fields)];
  for (const key of VIEW) if (view[key]) parts.push(`${key}=${encode(view[key])}`);
  for (const other of compare) parts.push(`compare=${encodeURIComponent(other)}`);
  const text = parts.filter(Boolean).join('&');
  return text ? `#v=${VERSION}&${text}` : '';
}

// A pasted config would make a link of many kilobytes: long values travel compressed, marked by their first letters.
const PACKED = 'z:';
const LONG = 200;

/** Fields for a link to pass on: long values compressed. */
export async function packed(fields) {
  const entries = Object.entries(fields).map(async ([name, value]) => [name, value.length > LONG ? PACKED + (await deflated(value)) : value]);
  return Object.fromEntries(await Promise.all(entries));
}

/** Takes the compressed values out of fields; resolves to them, readable again. */
export async function unpacked(fields) {
  const found = Object.entries(fields).filter(([, value]) => value.startsWith(PACKED));
  for (const [name] of found) delete fields[name];
  const entries = found.map(async ([name, value]) => [name, await inflated(value.slice(PACKED.length))]);
  return Object.fromEntries(await Promise.all(entries));
}

const through = async (data, stream) => new Uint8Array(await new Response(new Blob([data]).stream().pipeThrough(stream)).arrayBuffer());

async function deflated(text) {
  const bytes = await through(text, new CompressionStream('deflate-raw'));
  const letters = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  return letters.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

async function inflated(letters) {
  const bytes = Uint8Array.from(atob(letters.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
  return new TextDecoder().decode(await through(bytes, new DecompressionStream('deflate-raw')));
}

/** Storage that may be refused: in frames of other sites even reading throws. */
export const memory = {
  get(key) {
    try {
      return localStorage.getItem(`gauge.${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`gauge.${key}`, value);
    } catch {
      // Nothing is lost but convenience.
    }
  },
};
