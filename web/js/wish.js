/** What the user wants painted: the photograph, the styles and the settings. */

import { longSideOf, pixelsOf } from './pictures.js';

/** @typedef {import('./pictures.js').Picture} Picture */
/** @typedef {{picture: Picture, title: string, weight: number}} WishedStyle */

/** Styles are read at the painting's size, never enlarged, and never larger than this: they are processed in one piece. */
const LARGEST_STYLE = 1024;

/** Largest long side of a painting. */
const LARGEST = 2048;
const LARGEST_CLIP = 1024;

/** `size` is the painting's long side; null: the photograph's own. @type {{content: Picture | null, styles: WishedStyle[], strength: number, keepColours: boolean, size: number | null}} */
export const wish = { content: null, styles: [], strength: 1, keepColours: false, size: 1024 };

/** Long side of the painting of this photograph. @param {Picture} content */
export function wishedSide(content) {
  const side = wish.size ?? longSideOf(content, LARGEST);
  return content.clip ? Math.min(side, LARGEST_CLIP) : side;
}

/** @type {(() => void)[]} */
const listeners = [];

/** @param {() => void} listener */
export const onWish = (listener) => { listeners.push(listener); };

export const wishChanged = () => { for (const listener of listeners) listener(); };

/**
 * The styles and settings of a task, for a painting with this long side.
 * @param {number} longSide
 */
export const stylesAndSettings = (longSide) => ({
  styles: wish.styles.map(({ picture, weight }) => ({ ...pixelsOf(picture, longSideOf(picture, Math.min(longSide, LARGEST_STYLE))), weight })),
  strength: wish.strength,
  keepColours: wish.keepColours,
});
