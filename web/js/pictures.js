/** Pictures of the user: read, limited and scaled. */

import { context2d, h } from './dom.js';
import { UserError } from './texts.js';

/** @typedef {import('./engine/tiles.js').Pixels} Pixels */
/** @typedef {{file: Blob, frames: number}} Clip */
/** A picture that was read, or the first frame of a clip; `key` tells it from all others. @typedef {{key: string, name: string, url: string, width: number, height: number, image: HTMLImageElement, clip?: Clip}} Picture */

const SMALLEST_SIDE = 16;
const MOST_PIXELS = 64e6;
let count = 0;

/**
 * Read a picture; the browser turns it upright.
 * @param {Blob} blob
 * @param {string} name
 * @returns {Promise<Picture>}
 */
export async function readPicture(blob, name) {
  const url = URL.createObjectURL(blob);
  try {
    const image = h('img', { src: url, alt: '' });
    await new Promise((resolve, reject) => { image.onload = resolve; image.onerror = reject; })
      .catch(() => { throw new UserError('errorFormat', { name }); });
    const { naturalWidth: width, naturalHeight: height } = image;
    if (Math.min(width, height) < SMALLEST_SIDE) throw new UserError('errorTiny', { name, width, height });
    if (width * height > MOST_PIXELS) throw new UserError('errorHuge', { name, megapixels: Math.round(width * height / 1e6) });
    await image.decode().catch(() => { throw new UserError('errorFormat', { name }); });
    count += 1;
    return { key: `picture ${count}`, name, url, width, height, image };
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
}

/** Width and height with this long side. @param {{width: number, height: number}} size @param {number} longSide */
export function fitted({ width, height }, longSide) {
  const factor = longSide / Math.max(width, height);
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/** The long side, at most this. @param {{width: number, height: number}} size @param {number} most */
export const longSideOf = ({ width, height }, most) => Math.min(most, Math.max(width, height));

/**
 * A picture's pixels at this long side; transparent ones lie on white.
 * @param {Picture} picture
 * @param {number} longSide
 * @returns {Pixels & {key: string}}
 */
export function pixelsOf(picture, longSide) {
  const { width, height } = fitted(picture, longSide);
  const canvas = h('canvas', { width, height });
  const context = context2d(canvas);
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(picture.image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  canvas.width = 0; // some browsers free a canvas's memory late
  return { key: `${picture.key} ${width}×${height}`, data, width, height };
}

/** A canvas that shows these pixels. @param {Pixels} pixels */
export function canvasOf({ data, width, height }) {
  const canvas = h('canvas', { width, height });
  context2d(canvas).putImageData(new ImageData(/** @type {any} */ (data), width, height), 0, 0);
  return canvas;
}
