/** The page without network: its own files, newest first. Nothing of the API is ever kept. */

const SHELL = [
  './', 'style.css', 'parts.css', 'manifest.webmanifest', 'icons/favicon.png', 'icons/icon-192.png',
  ...['api', 'app', 'compare', 'compose', 'dom', 'draft', 'easel', 'gallery', 'history', 'keep', 'masks',
    'painting', 'result', 'schema', 'settings', 'source'].map((name) => `js/${name}.js`),
];
const CACHE = 'impasto-shell';
const addresses = new Set(SHELL.map((path) => new URL(path, self.registration.scope).pathname));

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== 'GET' || origin !== location.origin || !addresses.has(pathname)) return;
  event.respondWith(fromServer(event.request).catch(() => caches.match(event.request, { ignoreSearch: true })));
});

async function fromServer(request) {
  const answer = await fetch(request);
  if (answer.ok) (await caches.open(CACHE)).put(request, answer.clone());
  return answer;
}
