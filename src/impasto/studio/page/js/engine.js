/** The network in this browser: that of the static site, where the studio has it. It is loaded once it may be of use. */

import { context2d } from './dom.js';
import { draft } from './draft.js';

/** @typedef {typeof import('../../../../../web/js/painter.js')} Painter */

/** @type {Promise<Painter> | null} */
let loading = null;
/** @type {Painter | null} */
let painter = null;

/** Load runtime and network; rejects if the studio has none or the browser cannot use them. */
export function loadEngine() {
  loading ??= (async () => {
    if (!draft.settings?.site) throw new Error('The studio has no network for browsers.');
    /** @type {Painter} */
    const loaded = await import(new URL('/web/js/painter.js', location.origin).href);
    await loaded.startPainter();
    painter = loaded;
    return loaded;
  })();
  loading.catch(() => { loading = null; }); // the next first look tries again
  return loading;
}

/** As `loadEngine`, in the background; not where the user saves data. */
export function loadEngineSoon() {
  if (!(/** @type {any} */ (navigator).connection?.saveData)) loadEngine().catch(() => {});
}

export const isEngineReady = () => painter !== null;

/**
 * Paint a picture with this browser's network.
 * @param {HTMLCanvasElement} content
 * @param {{canvas: HTMLCanvasElement, key: string, weight: number}[]} styles
 * @param {number} strength from 0 to 1
 * @param {string} key tells this content from all others
 */
export async function paintHere(content, styles, strength, key) {
  const { paintPicture } = await loadEngine();
  const painted = await paintPicture({
    picture: { key, ...pixelsOf(content) },
    styles: styles.map((style) => ({ key: style.key, weight: style.weight, ...pixelsOf(style.canvas) })),
    strength,
    keepColours: false,
  });
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width: painted.width, height: painted.height });
  context2d(canvas).putImageData(new ImageData(/** @type {any} */ (painted.data), painted.width, painted.height), 0, 0);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
function pixelsOf(canvas) {
  const { data, width, height } = context2d(canvas).getImageData(0, 0, canvas.width, canvas.height);
  return { data, width, height };
}
