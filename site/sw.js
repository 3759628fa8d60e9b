// Keeps a whole version of the site for use without a network. build.py fills in the version and the files.
//
// A version is stored completely or not at all, under its own cache; unchanged files are taken over from the version
// before instead of being downloaded again. A new version waits until the person asks for it or closes every tab.

const BUILD = '__BUILD__';
const GROUPS = '__GROUPS__'; // {core: [[path, hash], ...], playground: [...]}
const HOME = new URL('./', self.location.href);
const PREFIX = `compute-gauge ${HOME.pathname} `;
const CACHE = PREFIX + BUILD;
const HASHES = new Map(Object.values(GROUPS).flat());
const AT_ONCE = 4;

const key = (path) => `${new URL(path, HOME).href}?hash=${HASHES.get(path)}`;

self.addEventListener('install', (event) => event.waitUntil(install()));
self.addEventListener('activate', (event) => event.waitUntil(activate()));
self.addEventListener('message', (event) => {
  if (event.data?.type === 'switch') self.skipWaiting();
  if (event.data?.type === 'keep') {
    const same = event.data.build === BUILD; // another version's files are not this one's
    const groups = event.data.groups.filter((name) => same && Object.hasOwn(GROUPS, name));
    event.waitUntil(Promise.all(groups.map(fill)).finally(() => event.ports[0]?.postMessage('kept')));
  }
});
self.addEventListener('fetch', (event) => {
  const path = pathOf(event.request);
  if (path !== null) event.respondWith(respond(event.request, path));
  else if (event.request.method === 'GET' && event.request.url.startsWith(HOME.href + 'models/')) event.respondWith(visited(event.request));
});

async function install() {
  await fill('core');
  for (const name of Object.keys(GROUPS)) if (name !== 'core' && (await wasKept(name))) await fill(name);
}

/** Whether the version before had this optional group. */
async function wasKept(name) {
  const [first] = GROUPS[name];
  for (const cache of await earlier()) {
    const known = await (await caches.open(cache)).keys();
    if (first && known.some((request) => request.url.startsWith(new URL(first[0], HOME).href + '?'))) return true;
  }
  return false;
}

async function earlier() {
  return (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
}

async function fill(group) {
  const cache = await caches.open(CACHE);
  const left = GROUPS[group].map(([path]) => path);
  const work = async () => {
    for (let path = left.pop(); path !== undefined; path = left.pop()) await store(cache, path);
  };
  await Promise.all(Array.from({length: AT_ONCE}, work));
}

async function store(cache, path) {
  if (await cache.match(key(path))) return;
  let response = await caches.match(key(path)); // unchanged since the version before
  if (!response) {
    response = await fetch(new URL(path, HOME), {cache: 'no-cache'});
    if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  }
  await cache.put(key(path), response);
}

async function activate() {
  for (const name of await earlier()) await caches.delete(name);
  await self.clients.claim();
}

/** The listed file that a request means, or null: queries are the pages' own business and never reach the host. */
function pathOf(request) {
  const url = new URL(request.url);
  if (request.method !== 'GET' || !url.href.startsWith(HOME.href)) return null;
  let path = decodeURI(url.pathname.slice(HOME.pathname.length));
  if (path === '' || path.endsWith('/')) path += 'index.html';
  return HASHES.has(path) ? path : null;
}

async function respond(request, path) {
  const cache = await caches.open(CACHE);
  return (await cache.match(key(path))) ?? fetch(request);
}

/** Model pages are too many to store ahead: fresh from the network, and as last seen without one. */
async function visited(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const found = await cache.match(request, {ignoreSearch: true});
    if (found) return found;
    throw error;
  }
}
