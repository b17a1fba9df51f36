/**
 * The first look: the instant picture over the photograph, before anything is queued. The studio paints it, or this
 * browser where it has the network and is faster.
 */

import { isNotFound, postImage } from './api.js';
import { $, blobOf, debounce, h, context2d } from './dom.js';
import { draft, onDraftChange, orderedStyles } from './draft.js';
import { isEngineReady, loadEngine, loadEngineSoon, paintHere } from './engine.js';
import { chosenSettings } from './settings.js';
import { listed, text } from './texts.js';

/** @typedef {import('./draft.js').Content} Content */
/** What a first look is painted from. @typedef {{content: Content, styles: import('./draft.js').DraftStyle[], recipe: Record<string, any>, regions: import('./draft.js').Region[] | null, key: string}} Look */

/** Longer sides in pixels of what is sent; the studio paints no larger picture than this. */
const CONTENT_SIDE = 384;
const STYLE_SIDE = 512;
/** Sides of the styles as the browser's network reads them: at the picture's size. */
const STYLE_SIDE_HERE = CONTENT_SIDE;
/** The settings of the form that also apply to an instant picture. */
const SETTINGS = ['colours', 'seed', 'style_scale', 'style_rotation', 'region_weights', 'feather'];

/** @type {Look | null} what is wanted now; null: no first look */
let wanted = null;
let isPainting = false;
let isOff = false; // this studio paints none
let isHidden = false; // the user wants to see the photograph
/** @type {{look: Look, image: HTMLImageElement} | null} */
let shown = null;
const toggle = h('button', { id: 'instant-toggle', type: 'button', className: 'plain slim' });
/** @typedef {Content | import('./draft.js').DraftStyle} Source */
/** Small copies by their side in pixels. @type {WeakMap<Source, Map<number, Promise<HTMLCanvasElement>>>} */
const smallCopies = new WeakMap();
/** Seconds that the latest first look took. */
const seconds = { studio: Infinity, browser: 0 };

/** Show a first look whenever a photograph and a style are chosen, and keep it up to date. */
export function startInstant() {
  const updateSoon = debounce(120, update);
  onDraftChange(() => { hideIfOutdated(); updateSoon(); });
  for (const type of ['input', 'change']) $('form').addEventListener(type, updateSoon);
  toggle.addEventListener('click', () => { isHidden = !isHidden; showChoice(); });
}

/** The picture of the present choice, for the time until the first preview of its job; null if there is none. */
export function instantPicture() {
  return shown && !isHidden && shown.look.key === wanted?.key ? shown.image : null;
}

/** @returns {Look | null} */
function presentLook() {
  const { content, regions } = draft;
  const styles = orderedStyles();
  // A clip is watched, and what a former job masked or had learned is known to the studio alone.
  if (styles.some(({ learned, file }) => learned && !file)) return null;
  if (!content || content.kind === 'video' || !styles.length || draft.keptMasks || !draft.settings) return null;
  const chosen = chosenSettings();
  const settings = { ...draft.settings.presets.find(({ name }) => name === chosen.preset)?.settings, ...chosen.recipe };
  /** @type {Record<string, any>} */
  const recipe = Object.fromEntries(SETTINGS.filter((name) => settings[name] !== undefined).map((name) => [name, settings[name]]));
  const weights = styles.map((style) => style.weight);
  if (!regions && new Set(weights).size > 1) recipe.style_blend = weights;
  if (settings.strength !== undefined) recipe.strength = instantStrength(settings.strength, settings.method);
  const regionKeys = regions?.map(({ style, blob }) => [style, blob.size]);
  const key = JSON.stringify([content.url, styles.map((style) => style.key), recipe, regionKeys]);
  return { content, styles, recipe, regions, key };
}

/** Of the optimiser's strengths, ½ is the usual balance; of the network's, 1. @param {number} strength @param {string} method */
const instantStrength = (strength, method) => (method === 'instant' ? strength : Math.min(1, 2 * strength));

function update() {
  if (isOff && !draft.settings?.site) return;
  wanted = presentLook();
  hideIfOutdated();
  if (wanted && wanted.key !== shown?.look.key) paint();
}

/** Paint what is wanted, one picture at a time; what was wanted in between is skipped. */
async function paint() {
  if (isPainting) return;
  isPainting = true;
  $('frame').setAttribute('aria-busy', 'true');
  try {
    loadEngineSoon();
    while (wanted && wanted.key !== shown?.look.key) await tryToPaint(wanted);
  } finally {
    isPainting = false;
    $('frame').removeAttribute('aria-busy');
  }
}

/** @param {Look} look */
async function tryToPaint(look) {
  try {
    await paintOne(look);
  } catch {
    remove();
    if (wanted === look) wanted = null; // the next change tries again
  }
}

/** @param {Look} look */
async function paintOne(look) {
  const image = h('img', { src: URL.createObjectURL(await painted(look)), className: 'instant' });
  image.alt = text('firstLookAlt', { styles: listed(look.styles.map(({ title }) => title)) });
  await image.decode();
  if (look.content !== draft.content || wanted === null) return;
  remove();
  shown = { look, image };
  $('frame').append(image, toggle);
  showChoice();
}

/** The picture as a file, from whoever is faster. @param {Look} look */
async function painted(look) {
  const start = performance.now();
  if (isPlain(look) && isEngineReady() && (isOff || seconds.browser <= seconds.studio)) {
    try {
      const blob = await paintedHere(look);
      seconds.browser = (performance.now() - start) / 1000;
      return blob;
    } catch (error) {
      if (isOff) throw error;
      seconds.browser = Infinity;
    }
  }
  try {
    if (isOff) throw new Error('This studio paints no first looks.');
    const blob = await postImage('/v1/instant', await createForm(look));
    seconds.studio = (performance.now() - start) / 1000;
    return blob;
  } catch (error) {
    isOff ||= isNotFound(error);
    if (!isPlain(look)) throw error;
    await loadEngine();
    return paintedHere(look);
  }
}

/** Whether this browser's network can paint it: the whole picture after pictures, with no setting but strength and weights. @param {Look} look */
function isPlain({ recipe, regions, styles }) {
  const { strength, style_blend, seed, ...others } = recipe; // a seed changes where samples are taken, here it cannot
  const defaults = draft.settings?.recipe.properties ?? {};
  if (regions || styles.some(({ learned }) => learned)) return false;
  return Object.entries(others).every(([name, value]) => JSON.stringify(value) === JSON.stringify(defaults[name]?.default));
}

/** @param {Look} look @returns {Promise<Blob>} */
async function paintedHere({ content, styles, recipe }) {
  const copies = await Promise.all(styles.map(async (style) => (
    { key: `${style.key} ${style.thumbnail}`, weight: style.weight, canvas: await smallCopy(style, addressOf(style), STYLE_SIDE_HERE) }
  )));
  const small = await smallPhotograph(content);
  return blobOf(await paintHere(small, copies, recipe.strength ?? 1, content.url), 'image/jpeg');
}

/** The studio's styles have thumbnails of 256 pixels, which would do for no painting. @param {import('./draft.js').DraftStyle} style */
const addressOf = (style) => (style.id ? `/v1/styles/${style.id}/picture` : style.thumbnail);

/** @param {Look} look */
async function createForm({ content, styles, recipe, regions }) {
  const form = new FormData();
  form.append('content', await blobOf(await smallPhotograph(content), 'image/jpeg'));
  for (const style of styles) {
    if (style.id) form.append('style_id', style.id);
    else if (style.learned && style.file) form.append('style', style.file);
    else form.append('style', await blobOf(await smallCopy(style, style.thumbnail, STYLE_SIDE), 'image/jpeg'));
  }
  for (const region of regions ?? []) form.append('mask', region.blob, 'mask.png');
  form.append('recipe', JSON.stringify(recipe));
  return form;
}

/** From what is shown: the address is freed as soon as there is another photograph. @param {Content} content */
const smallPhotograph = (content) => (
  smallCopy(content, /** @type {HTMLImageElement} */ (content.element), CONTENT_SIDE) // clips have no first look
);

/**
 * A picture with this longer side at most, made once.
 * @param {Source} of
 * @param {string | HTMLImageElement} picture or its address
 * @param {number} side in pixels
 */
function smallCopy(of, picture, side) {
  const copies = smallCopies.get(of) ?? new Map();
  smallCopies.set(of, copies);
  const copy = copies.get(side) ?? makeSmallCopy(picture, side);
  copies.set(side, copy);
  copy.catch(() => copies.delete(side));
  return copy;
}

/** @param {string | HTMLImageElement} picture @param {number} side @returns {Promise<HTMLCanvasElement>} */
async function makeSmallCopy(picture, side) {
  const image = typeof picture === 'string' ? h('img', { src: picture }) : picture;
  await image.decode();
  const scale = Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight));
  const [width, height] = [image.naturalWidth, image.naturalHeight].map((length) => Math.max(1, Math.round(length * scale)));
  const canvas = h('canvas', { width, height });
  const context = context2d(canvas, { willReadFrequently: true });
  context.fillStyle = '#fff'; // under what is transparent
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, width, height);
  return canvas;
}

/** Take the picture away as soon as there is another photograph, or no style. */
function hideIfOutdated() {
  if (shown && presentLook()?.content !== shown.look.content) remove();
}

function remove() {
  if (shown) URL.revokeObjectURL(shown.image.src);
  shown?.image.remove();
  toggle.remove();
  shown = null;
  showChoice();
}

/** Show the picture or the photograph under it, and what the button does. */
function showChoice() {
  if (shown) shown.image.style.visibility = isHidden ? 'hidden' : 'visible';
  toggle.textContent = text(isHidden ? 'firstLookShow' : 'firstLookHide');
}
