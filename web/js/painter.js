/**
 * The page's side of the worker: one picture is painted at a time, and the newest wish counts. The studio's page uses it
 * too, from another address.
 */

import { SITE, siteFacts } from './site.js';

/** @typedef {import('./engine/tiles.js').Pixels} Pixels */
/** @typedef {import('./engine/painting.js').Task} Task */
/** @typedef {{backend: 'webgpu' | 'wasm', threads: number}} Engine */
/** @typedef {{kind: 'start' | 'paint' | 'frame', resolve: (value: any) => void, reject: (reason: unknown) => void, onProgress?: ((share: number) => void) | undefined}} Waiting */

/** The picture was given up because another is wanted. */
export class Superseded extends Error {}

/** The picture could not be painted. */
export class EngineError extends Error {
  /** @param {'load' | 'memory' | 'engine'} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** @type {Worker | null} */
let worker = null;
/** @type {Map<number, Waiting>} */
const waiting = new Map();
let count = 0;
let stops = 0;
/** @type {Promise<Engine> | null} */
let started = null;
/** Called where the graphics card fails, with what paints from then on. @type {(engine: Engine) => void} */
let onChange = () => {};

/** @param {(engine: Engine) => void} listener called where the graphics card fails, with what paints from then on */
export function onEngineChange(listener) { onChange = listener; }

/** Load runtime and models; resolves to what they run on. @returns {Promise<Engine>} */
export function startPainter() {
  started ??= (async () => {
    const { facts } = await siteFacts();
    const backend = new URLSearchParams(location.search).get('backend') ?? undefined;
    return /** @type {Promise<Engine>} */ (ask({ kind: 'start', base: SITE, facts, backend }));
  })().catch((error) => {
    started = null;
    throw error instanceof EngineError ? error : new EngineError('load');
  });
  return started;
}

/**
 * Paint a picture, or a frame of a live view, whose statistics are smoothed over time.
 * @param {Task} task
 * @param {{isFrame?: boolean, onProgress?: (share: number) => void}} [options]
 * @returns {Promise<Pixels>}
 */
export async function paintPicture(task, { isFrame = false, onProgress } = {}) {
  const stopsBefore = stops;
  await startPainter();
  if (stops !== stopsBefore) throw new Superseded();
  const { painted } = await ask({ kind: isFrame ? 'frame' : 'paint', task }, onProgress);
  return painted;
}

/** Give up what is being painted; the worker ends the tile that it is at. The network goes on loading. */
export function stopPainting() {
  rejectAll(new Superseded(), ['paint', 'frame']);
  stops += 1;
  count += 1;
  worker?.postMessage({ kind: 'stop', id: count });
}

/** @param {Error} reason @param {Waiting['kind'][]} kinds */
function rejectAll(reason, kinds = ['start', 'paint', 'frame']) {
  for (const [id, { kind, reject }] of waiting) {
    if (!kinds.includes(kind)) continue;
    reject(reason);
    waiting.delete(id);
  }
}

/**
 * @param {Record<string, unknown> & {kind: Waiting['kind']}} message
 * @param {(share: number) => void} [onProgress]
 * @returns {Promise<any>}
 */
function ask(message, onProgress) {
  worker ??= startWorker();
  count += 1;
  const id = count;
  return new Promise((resolve, reject) => {
    waiting.set(id, { kind: message.kind, resolve, reject, onProgress });
    worker?.postMessage({ ...message, id });
  });
}

function startWorker() {
  const created = new Worker(new URL('./engine/worker.js', import.meta.url), { type: 'module' });
  created.addEventListener('message', ({ data }) => {
    const asked = waiting.get(data.id);
    if (data.kind === 'progress') {
      asked?.onProgress?.(data.share);
      return;
    }
    if (data.kind === 'changed') {
      started = Promise.resolve(data);
      onChange(data);
      return;
    }
    waiting.delete(data.id);
    if (data.kind !== 'failed') asked?.resolve(data);
    else if (data.reason === 'superseded') asked?.reject(new Superseded());
    else asked?.reject(new EngineError(data.reason));
    if (data.kind === 'failed' && data.reason !== 'superseded') console.info(data.detail);
  });
  created.addEventListener('error', (event) => {
    event.preventDefault();
    created.terminate();
    worker = null;
    started = null;
    rejectAll(new EngineError('engine'));
  });
  return created;
}
