/** The first look: the instant picture over the photograph, before anything is queued. */

import { isNotFound, postImage } from './api.js';
import { $, debounce, h, context2d } from './dom.js';
import { draft, onDraftChange, orderedStyles } from './draft.js';
import { chosenSettings } from './settings.js';

/** @typedef {import('./draft.js').Content} Content */
/** What a first look is painted from. @typedef {{content: Content, styles: import('./draft.js').DraftStyle[], recipe: Record<string, any>, regions: import('./draft.js').Region[] | null, key: string}} Look */

/** Longer sides in pixels of what is sent; the studio paints no larger picture than this. */
const CONTENT_SIDE = 384;
const STYLE_SIDE = 512;
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
/** @type {WeakMap<Content | import('./draft.js').DraftStyle, Promise<Blob>>} */
const smallFiles = new WeakMap();

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
  if (isOff) return;
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
    while (wanted && wanted.key !== shown?.look.key) await paintOne(wanted);
  } catch (error) {
    isOff = isNotFound(error);
    wanted = null; // the next change tries again
    remove();
  } finally {
    isPainting = false;
    $('frame').removeAttribute('aria-busy');
  }
}

/** @param {Look} look */
async function paintOne(look) {
  const image = h('img', { src: URL.createObjectURL(await postImage('/v1/instant', await createForm(look))), className: 'instant' });
  image.alt = `First look at your photograph in the style ${look.styles.map(({ title }) => title).join(' and ')}`;
  await image.decode();
  if (look.content !== draft.content || wanted === null) return;
  remove();
  shown = { look, image };
  $('frame').append(image, toggle);
  showChoice();
}

/** @param {Look} look */
async function createForm({ content, styles, recipe, regions }) {
  const form = new FormData();
  form.append('content', await smallFile(content, content.url, CONTENT_SIDE));
  for (const style of styles) {
    if (style.id) form.append('style_id', style.id);
    else if (style.learned && style.file) form.append('style', style.file);
    else form.append('style', await smallFile(style, style.thumbnail, STYLE_SIDE));
  }
  for (const region of regions ?? []) form.append('mask', region.blob, 'mask.png');
  form.append('recipe', JSON.stringify(recipe));
  return form;
}

/**
 * A JPEG of a picture, made once.
 * @param {Content | import('./draft.js').DraftStyle} of
 * @param {string} address
 * @param {number} side at most, in pixels
 */
function smallFile(of, address, side) {
  const file = smallFiles.get(of) ?? makeSmallFile(address, side);
  smallFiles.set(of, file);
  file.catch(() => smallFiles.delete(of));
  return file;
}

/** @param {string} address @param {number} side @returns {Promise<Blob>} */
async function makeSmallFile(address, side) {
  const image = h('img', { src: address });
  await image.decode();
  const scale = Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight));
  const [width, height] = [image.naturalWidth, image.naturalHeight].map((length) => Math.max(1, Math.round(length * scale)));
  const canvas = h('canvas', { width, height });
  const context = context2d(canvas);
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, width, height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('no memory'))), 'image/jpeg', 0.92);
  });
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
  toggle.textContent = isHidden ? 'Show the first look' : 'First look: show the photograph';
}
