/** The service worker: opens the page without a network. Only the page's own files are cached, no API answer. */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

const PAGE_FILES = [
  './', 'style.css', 'parts.css', 'manifest.webmanifest', 'icons/favicon.png', 'icons/icon-192.png',
  'texts/en.json', 'texts/de.json',
  ...['api', 'app', 'compare', 'compose', 'content', 'dom', 'draft', 'engine', 'gallery', 'history', 'instant', 'keys', 'mask', 'mask-dialog',
    'painting', 'result', 'saved-draft', 'schema', 'session', 'settings', 'sources', 'stored-draft', 'styles', 'texts', 'titles']
    .map((name) => `js/${name}.js`),
];
const CACHE = 'impasto-shell';
/** A proxy answers with one of these while the studio behind it is down. */
const GATEWAY_ERRORS = new Set([502, 503, 504]);
const cachedPaths = new Set(PAGE_FILES.map((path) => new URL(path, worker.registration.scope).pathname));

worker.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(PAGE_FILES)).then(() => worker.skipWaiting()));
});

worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener('fetch', (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== 'GET' || origin !== location.origin || !cachedPaths.has(pathname)) return;
  event.respondWith(fetchAndCache(event.request).catch(() => fromCache(event.request)));
});

/** @param {Request} request */
async function fetchAndCache(request) {
  const response = await fetch(request);
  if (GATEWAY_ERRORS.has(response.status)) throw new Error(`The studio is down: ${response.status}`);
  if (response.ok) (await caches.open(CACHE)).put(request, response.clone());
  return response;
}

/** @param {Request} request */
async function fromCache(request) {
  return await caches.match(request, { ignoreSearch: true }) ?? Response.error();
}
