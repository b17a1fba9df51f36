/** Keeps the site for visits without a network. */

import { CLIP_LIBRARY } from './clips.js';
import { RUNTIME_FILES } from './engine/models.js';
import { $ } from './dom.js';
import { text } from './texts.js';

/** Start the service worker, and let it keep the runtime that this browser uses. @param {'webgpu' | 'wasm'} backend */
export async function startOffline(backend) {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register('sw.js', { updateViaCache: 'none' });
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => { port1.onmessage = ({ data }) => resolve(data); });
    active?.postMessage({ keep: [...RUNTIME_FILES[backend], CLIP_LIBRARY].map((name) => `runtime/${name}`) }, [port2]);
    if (!await answer) return;
    document.body.dataset.offline = '';
    $('engine').append(`. ${text('offline')}.`);
  } catch {
    // Where nothing may be stored the page works as before, with a network.
  }
}
