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
    if (!found) return null;
    return new Uint8Array(await found.arrayBuffer());
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
    const memory = python.makeMemorySnapshot();
    await caches.delete(STORE);
    await (await caches.open(STORE)).put(key(assets), new Response(memory));
    return true;
  } catch (error) {
    console.info(`The start could not be saved for the next visit (${error.message}).`);
    return false;
  }
}
