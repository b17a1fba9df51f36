/** The worker: holds the network, remembers statistics, and paints what the page asks for. */

import { Models, hasWebGpu } from './models.js';
import { blend, contentStatistics, mapsBetween, paint, styleStatistics } from './painting.js';
import { mixMoments, tilesOf } from './tiles.js';

/** @typedef {import('./painting.js').Statistics} Statistics */
/** @typedef {import('./painting.js').StyleStatistics} StyleStatistics */
/** @typedef {import('./painting.js').Task} Task */
/** @typedef {{kind: 'start', id: number, base: string, facts: import('./models.js').Facts, backend?: string}} StartMessage */
/** @typedef {{kind: 'stop', id: number}} StopMessage */
/** @typedef {{kind: 'paint' | 'frame', id: number, task: Task}} PaintMessage */

const worker = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** Statistics of at most this many styles and pictures are kept. */
const KEPT = 24;
/** Frames of a live view after which the statistics of the camera's picture are computed again. */
const FRAMES_BETWEEN_STATISTICS = 4;
/** Share of the new statistics in the smoothed ones of a live view. */
const NEWEST_SHARE = 0.3;

/** @type {Promise<Models> | null} */
let models = null;
/** @type {StartMessage | null} */
let start = null;
/** @type {Map<string, Promise<Statistics | StyleStatistics>>} */
const remembered = new Map();
/** @type {{key: string, tensors: import('./models.js').Tensors} | null} */
let latestMaps = null;
let latestTask = 0;
/** @type {{key: string, frames: number, statistics: Statistics} | null} */
let live = null;

/** The work was given up because another picture is wanted. */
class Superseded extends Error {}

/** One task after the other: a session must not run twice at the same time. */
let queue = Promise.resolve();

worker.addEventListener('message', ({ data }) => {
  const message = /** @type {StartMessage | PaintMessage | StopMessage} */ (data);
  latestTask = message.id;
  if (message.kind === 'stop') return;
  queue = queue.then(() => answer(message)).catch((error) => {
    worker.postMessage({ kind: 'failed', id: message.id, reason: reasonOf(error), detail: String(error) });
  });
});

/** @param {StartMessage | PaintMessage} message */
async function answer(message) {
  if (message.kind === 'start') {
    start = message;
    const { backend, threads } = await loadOnce();
    worker.postMessage({ kind: 'ready', id: message.id, backend, threads });
    return;
  }
  if (message.id !== latestTask) throw new Superseded('Another picture is wanted.');
  const painted = await withFallback((loaded) => (message.kind === 'frame' ? paintFrame(loaded, message.task) : paintPicture(loaded, message)));
  worker.postMessage({ kind: 'painted', id: message.id, painted }, [painted.data.buffer]);
}

/** @param {unknown} error */
function reasonOf(error) {
  if (error instanceof Superseded) return 'superseded';
  return /memory|allocat|bad_alloc|RangeError/i.test(String(error)) ? 'memory' : 'engine';
}

/** The models on the graphics card, if the browser offers it and it computes rightly; `webgpu` takes any adapter. */
async function load() {
  if (!start) throw new Error('The worker was not started.');
  const { base, facts, backend } = start;
  const isForced = backend === 'webgpu';
  if (isForced || (backend !== 'wasm' && await hasWebGpu())) {
    try {
      return await Models.load(base, facts, 'webgpu', isForced);
    } catch (error) {
      console.info(`WebGPU is not used: ${error}`);
    }
  }
  return Models.load(base, facts, 'wasm');
}

/** As `load`, but a second time only if the first one failed. */
function loadOnce() {
  models ??= load();
  models.catch(() => { models = null; });
  return models;
}

/**
 * Do some work; if the graphics card fails, do it again without, and say so.
 * @template Result
 * @param {(models: Models) => Promise<Result>} work
 */
async function withFallback(work) {
  const loaded = await loadOnce();
  try {
    return await loaded.use(() => work(loaded));
  } catch (error) {
    if (error instanceof Superseded || loaded.backend === 'wasm' || !start) throw error;
    start = { ...start, backend: 'wasm' };
    models = null;
    remembered.clear(); // what is there may wait for the graphics card
    latestMaps = null;
    const { backend, threads } = await loadOnce();
    worker.postMessage({ kind: 'changed', id: start.id, backend, threads });
    return work(await loadOnce());
  }
}

/**
 * The statistics of this name, computed at most once while they are kept.
 * @template {Statistics | StyleStatistics} Kind
 * @param {string} key
 * @param {() => Promise<Kind>} compute
 */
function remember(key, compute) {
  const known = remembered.get(key);
  remembered.delete(key);
  const statistics = known ?? compute();
  remembered.set(key, statistics);
  statistics.catch(() => remembered.delete(key));
  if (remembered.size > KEPT) remembered.delete(/** @type {string} */ (remembered.keys().next().value));
  return /** @type {Promise<Kind>} */ (statistics);
}

/** @param {Models} loaded @param {Task} task */
async function blendedStyle(loaded, { styles }) {
  const used = styles.filter(({ weight }) => weight > 0);
  const chosen = used.length ? used : styles.map((style) => ({ ...style, weight: 1 }));
  const statistics = [];
  for (const style of chosen) statistics.push(await remember(`style ${style.key}`, () => styleStatistics(loaded, style)));
  return blend(statistics, chosen.map(({ weight }) => weight));
}

/** @param {Task} task */
const styleKey = ({ styles }) => styles.map(({ key, weight }) => `${key} ${weight}`).join(', ');

/** @param {Models} loaded @param {PaintMessage} message */
async function paintPicture(loaded, { id, task }) {
  const { picture } = task;
  const total = 2 * tilesOf(picture.height, picture.width, loaded.facts).length;
  let done = 0;
  const onStep = () => {
    if (id !== latestTask) throw new Superseded('Another picture is wanted.');
    done += 1;
    worker.postMessage({ kind: 'progress', id, share: done / total });
  };
  const mapsKey = `${picture.key} | ${styleKey(task)}`;
  if (latestMaps?.key !== mapsKey) {
    const style = await blendedStyle(loaded, task);
    const content = await remember(`content ${picture.key}`, () => contentStatistics(loaded, picture, onStep));
    latestMaps = { key: mapsKey, tensors: await mapsBetween(loaded, content, style) };
  }
  done = total / 2;
  return paint(loaded, picture, latestMaps.tensors, { ...task, onStep });
}

/** Paint a frame of a live view with statistics that are smoothed over time. @param {Models} loaded @param {Task} task */
async function paintFrame(loaded, task) {
  const key = `${task.picture.key} | ${styleKey(task)}`;
  if (!live || live.key !== key || live.frames % FRAMES_BETWEEN_STATISTICS === 0 || latestMaps?.key !== `live ${key}`) {
    const newest = await contentStatistics(loaded, task.picture);
    const before = live?.key === key ? live : null;
    const statistics = before ? mixed(before.statistics, newest) : newest;
    live = { key, frames: before?.frames ?? 0, statistics };
    latestMaps = { key: `live ${key}`, tensors: await mapsBetween(loaded, statistics, await blendedStyle(loaded, task)) };
  }
  live.frames += 1;
  return paint(loaded, task.picture, /** @type {NonNullable<typeof latestMaps>} */ (latestMaps).tensors, task);
}

/** @param {Statistics} before @param {Statistics} newest @returns {Statistics} */
const mixed = (before, newest) => Object.fromEntries(Object.keys(before).map((layer) => (
  [layer, mixMoments([before[layer], newest[layer]], [1 - NEWEST_SHARE, NEWEST_SHARE])]
)));
