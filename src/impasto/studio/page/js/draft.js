/** The draft of the next job: the state that the parts of the first view share. */

/**
 * The photograph or clip to paint: a `file`, or the upload of an earlier `job`.
 * @typedef {object} Content
 * @property {'image' | 'video'} kind
 * @property {string} url
 * @property {HTMLImageElement | HTMLVideoElement} element  shows it
 * @property {number} width
 * @property {number} height
 * @property {string} title
 * @property {File} [file]
 * @property {File} [original]  the file before it was scaled down
 * @property {number} [size]  bytes of the file
 * @property {string} [scaledFrom]  "width × height" before it was scaled down
 * @property {import('./api.js').Job} [job]
 * @property {string} [submittedAs]  id of the last job that was painted from it
 */

/**
 * A style of the gallery: the studio's (`id`), a `file`, or one that was uploaded for an earlier job (neither).
 * @typedef {object} DraftStyle
 * @property {string} key
 * @property {string} title
 * @property {string} thumbnail
 * @property {number} weight
 * @property {string | null} [id]
 * @property {File} [file]
 * @property {boolean} [learned]  a file of `impasto learn`, which the preset "instant" alone can use
 */

/**
 * A part of the picture: its mask as a PNG (white is painted) and the key of its style; '': the chosen style.
 * @typedef {{style: string, blob: Blob}} Region
 */

/** A painted frame of the clip. @typedef {{file: File, frame: number}} Key */

export const draft = {
  /** @type {Content | null} */
  content: null,
  /** @type {DraftStyle[]} in the order in which they were chosen */
  styles: [],
  /** @type {Region[] | null} */
  regions: null,
  /** How many masks of the earlier job stay in use. */
  keptMasks: 0,
  /** @type {Key[]} */
  keys: [],
  /** @type {number[]} the painted frames of the earlier job, used if there are no new ones */
  keptKeys: [],
  /** @type {import('./api.js').Settings | null} what the server answered: presets, schemas, limits */
  settings: null,
};

/** @type {Set<() => void>} */
const listeners = new Set();

/** Call `listener` after each change of the draft. @param {() => void} listener */
export const onDraftChange = (listener) => listeners.add(listener);
export const draftChanged = () => listeners.forEach((listener) => listener());

/** The styles as the server takes them: one for each region, or one for all; without regions all for the whole picture. */
export function orderedStyles() {
  const { regions, styles } = draft;
  if (!regions || !styles.length) return styles;
  const ofRegions = regions.map((region) => styles.find((style) => style.key === region.style) ?? styles[0]);
  return new Set(ofRegions).size === 1 ? ofRegions.slice(0, 1) : ofRegions;
}

/**
 * Whether these are the styles of the earlier job, all and in its order: then the server takes its own.
 * @param {DraftStyle[]} styles
 * @param {import('./api.js').Job} job
 */
export const areStylesOf = (styles, job) => styles.length === job.styles.length
  && styles.every(({ thumbnail }, index) => thumbnail === job.styles[index].thumbnail);
