/**
 * The service worker: keeps the site's files, so that it opens without a network, and isolates the page, so that
 * WebAssembly may use threads. A new version of the site brings a new list of files and replaces all of them.
 */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.importScripts('files.js');
/** Made by build.py. @type {{version: string, files: string[]}} */
const site = /** @type {any} */ (worker).SITE;
const PREFIX = 'impasto-site-';
const CACHE = PREFIX + site.version;
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

worker.addEventListener('install', (event) => {
  event.waitUntil(Promise.all([keep(site.files), keepRuntime()]).then(() => worker.skipWaiting()));
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(removeOld().then(() => worker.clients.claim()));
});

worker.addEventListener('message', ({ data, ports }) => {
  keep(data.keep).then(() => ports[0].postMessage(true), () => ports[0].postMessage(false));
});

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method === 'GET' && new URL(request.url).origin === location.origin) event.respondWith(answer(request));
});

/** Put files into the cache that are not there yet. @param {string[]} files */
async function keep(files) {
  const cache = await caches.open(CACHE);
  const known = await Promise.all(files.map((file) => cache.match(file)));
  // Without 'no-cache' the browser's own cache could still give files of an older version.
  await cache.addAll(files.filter((_, index) => !known[index]).map((file) => new Request(file, { cache: 'no-cache' })));
}

/** Keep, of this version, what the page asked for in older ones: it asks before this worker is there. */
async function keepRuntime() {
  const requests = await Promise.all((await oldCaches()).map(async (name) => (await caches.open(name)).keys()));
  const files = requests.flat().map(({ url }) => url).filter((url) => url.includes('/runtime/'));
  await Promise.allSettled(files.map((file) => keep([file]))); // this version may lack one
}

const oldCaches = async () => (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);

async function removeOld() {
  await Promise.all((await oldCaches()).map((name) => caches.delete(name)));
}

/** @param {Request} request */
async function answer(request) {
  const cache = await caches.open(CACHE);
  const isPage = request.mode === 'navigate';
  const kept = await cache.match(request, { ignoreSearch: isPage });
  return isolated(kept ?? await fetch(request));
}

/** @param {Response} response */
function isolated(response) {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
