// A memory snapshot of the started Python, kept in Cache Storage: an optional fast path for the next visit.
//
// Every function is harmless where storage is denied (private windows, third-party frames): reading finds nothing and
// keeping does nothing. The key names the build, so a new release never meets an old snapshot; only the newest is kept.

const STORE = 'compute-gauge-start';

const key = (assets) => new URL(`./start/${assets.build}`, import.meta.url).href;

/** The saved memory as a Uint8Array, or null. */
export async function readSnapshot(assets) {
  try {
    const found = await (await caches.open(STORE)).match(key(assets));
    return found ? unpack(await found.arrayBuffer()) : null;
  } catch {
    return null;
  }
}

export async function dropSnapshot() {
  try {
    await caches.delete(STORE);
  } catch {
    // Nothing was kept where storage is denied.
  }
}

/** Keep the memory of this start for the next one; the memory must hold no reference to the page's objects. */
export async function keepSnapshot(assets, python) {
  try {
    const packed = pack(python.makeMemorySnapshot());
    await caches.delete(STORE);
    await (await caches.open(STORE)).put(key(assets), new Response(packed));
    return true;
  } catch (error) {
    console.info(`The start could not be saved for the next visit (${error.message}).`);
    return false;
  }
}

// About half of the memory is untouched zeros: only the other pages are kept, after a header of
// [total bytes, page count, page numbers...] in 32-bit words.
const PAGE = 1 << 16;

function pack(memory) {
  const words = new Uint32Array(memory.buffer, memory.byteOffset, memory.byteLength / 4);
  const used = [];
  for (let page = 0; page * PAGE < memory.byteLength; page += 1) {
    if (words.subarray((page * PAGE) / 4, ((page + 1) * PAGE) / 4).some((word) => word !== 0)) used.push(page);
  }
  const header = new Uint32Array([memory.byteLength, used.length, ...used]);
  return new Blob([header, ...used.map((page) => memory.subarray(page * PAGE, (page + 1) * PAGE))]);
}

function unpack(packed) {
  const [total, count] = new Uint32Array(packed, 0, 2);
  const memory = new Uint8Array(total);
  const pages = new Uint32Array(packed, 8, count);
  let from = 8 + 4 * count;
  for (const page of pages) {
    const size = Math.min(PAGE, total - page * PAGE);
    memory.set(new Uint8Array(packed, from, size), page * PAGE);
    from += size;
  }
  if (from !== packed.byteLength) throw new Error('the saved start is incomplete');
  return memory;
}
