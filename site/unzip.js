// Reads a zip archive (our wheel) in the browser, so that unpacking runs while Python's own files are still arriving.
// Understands what build.py writes: stored or deflated entries, no encryption, no zip64.

const END = 0x06054b50;
const DEFLATED = 8;

/** All files of an archive as [name, Uint8Array] pairs; directories are left out. */
export async function unzip(archive) {
  const view = new DataView(archive);
  let end = archive.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw new Error('not a zip archive');
  const files = [];
  let at = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count > 0; count -= 1) {
    const [names, extras, comments] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const name = new TextDecoder().decode(new Uint8Array(archive, at + 46, names));
    if (!name.endsWith('/')) files.push(content(archive, view, at).then((bytes) => [name, bytes]));
    at += 46 + names + extras + comments;
  }
  return Promise.all(files);
}

async function content(archive, view, at) {
  const [method, size] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true)];
  const local = view.getUint32(at + 42, true);
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const packed = new Uint8Array(archive, start, size);
  if (method !== DEFLATED) return packed;
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}
