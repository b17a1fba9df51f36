/** The style gallery: the studio's styles and the user's pictures; one is chosen, or several with weights. */

import { getBlob, getJson, isNotFound, messageOf, postImage, previewUpload } from './api.js';
import { $, announce, h, showMessage } from './dom.js';
import { draft, draftChanged, onDraftChange } from './draft.js';

/** @typedef {import('./draft.js').DraftStyle} DraftStyle */

/** @type {Map<string, {style: DraftStyle, button: HTMLButtonElement}>} by the style's key */
const tiles = new Map();
let uploads = 0;
const LEARNED_NAME = /\.safetensors$/i;

const blendSwitch = () => $('blend', HTMLInputElement);

export async function startGallery() {
  const fileInput = $('style-file', HTMLInputElement);
  fileInput.addEventListener('change', () => {
    const files = [...fileInput.files ?? []];
    fileInput.value = '';
    addStyleFiles(files);
  });
  blendSwitch().addEventListener('change', () => {
    if (!blendSwitch().checked && draft.styles.length > 1) draft.styles.length = 1;
    draftChanged();
  });
  window.addEventListener('styles-needed', (event) => {
    for (const key of /** @type {CustomEvent<string[]>} */ (event).detail) {
      const style = tiles.get(key)?.style;
      if (style && !draft.styles.includes(style)) draft.styles.push(style);
    }
    if (draft.styles.length > 1) blendSwitch().checked = true;
  });
  onDraftChange(showChoice);
  const plus = h('span', { className: 'plus', 'aria-hidden': 'true' });
  const button = h('button', { type: 'button', className: 'upload-tile' }, plus, h('span', {}, 'Your own'));
  button.addEventListener('click', () => fileInput.click());
  $('gallery').append(h('li', { id: 'upload-tile' }, button));
  /** @type {import('./api.js').Sample[]} */
  const styles = await getJson('/v1/styles');
  for (const style of styles) addTile({ ...style, key: `id:${style.id}`, weight: 1 });
}

/**
 * Add a style to the end of the gallery, or to its beginning; returns the style's key.
 * @param {DraftStyle} style
 */
function addTile(style, atBeginning = false) {
  const image = h('img', { src: style.thumbnail, alt: '', width: 256, height: 256, decoding: 'async' });
  const button = h('button', { type: 'button', 'aria-pressed': 'false', 'data-style': style.key }, image, h('span', {}, style.title));
  button.addEventListener('click', () => toggle(style));
  const item = h('li', {}, button);
  if (atBeginning) $('gallery').prepend(item);
  else $('upload-tile').before(item);
  tiles.set(style.key, { style, button });
  return style.key;
}

/** A click selects the style; while styles are blended it adds or removes the style. @param {DraftStyle} style */
function toggle(style) {
  const isBlending = blendSwitch().checked;
  const isChosen = draft.styles.some(({ key }) => key === style.key);
  if (!isChosen) draft.styles = isBlending ? [...draft.styles, style] : [style];
  else if (isBlending && draft.styles.length > 1) draft.styles = draft.styles.filter(({ key }) => key !== style.key);
  showMessage('style-error', '');
  if (!isChosen && style.learned) window.dispatchEvent(new CustomEvent('preset-needed', { detail: 'instant' }));
  draftChanged();
}

/** Add the user's pictures and learned styles to the gallery and choose them. @param {File[]} files */
export async function addStyleFiles(files) {
  showMessage('style-error', '');
  for (const file of files) {
    try {
      const tile = tiles.get(await addStyleFile(file, file.name.replace(/\.[^.]*$/, '')));
      if (tile) toggle(tile.style);
      announce(`${file.name} added to the styles`);
    } catch (error) {
      showMessage('style-error', messageOf(error));
    }
  }
}

/**
 * Add one of the user's pictures or learned styles to the gallery; returns its key.
 * @param {File} file
 * @param {string} title
 */
export async function addStyleFile(file, title) {
  const learned = LEARNED_NAME.test(file.name);
  const thumbnail = learned ? await sampleOfStyle(file) : await thumbnailOf(file);
  uploads += 1;
  return addTile({ key: `upload:${uploads}`, title, file, thumbnail, learned, weight: 1 }, true);
}

/**
 * Choose styles by key, with their weights; unknown keys are left out.
 * @param {string[]} keys
 * @param {number[]} [weights]
 */
export function chooseStyles(keys, weights) {
  /** @type {Set<DraftStyle>} */
  const chosen = new Set();
  keys.forEach((key, index) => {
    const style = tiles.get(key)?.style;
    if (!style) return;
    style.weight = weights?.[index] ?? 1;
    chosen.add(style);
  });
  draft.styles = [...chosen];
  if (draft.styles.length > 1) blendSwitch().checked = true;
  draftChanged();
}

/** An address at which the browser can show the file. @param {File} file */
async function thumbnailOf(file) {
  const url = URL.createObjectURL(file);
  try {
    await h('img', { src: url }).decode();
    return url;
  } catch {
    URL.revokeObjectURL(url);
    const form = new FormData();
    form.append('content', file);
    return URL.createObjectURL(await (await previewUpload(form)).blob());
  }
}

/** A photograph painted in a learned style, which has no picture of its own. @param {File} file */
async function sampleOfStyle(file) {
  /** @type {import('./api.js').Sample[]} */
  const [sample] = await getJson('/v1/samples');
  const form = new FormData();
  form.append('content', await getBlob(sample.picture));
  form.append('style', file);
  try {
    return URL.createObjectURL(await postImage('/v1/instant', form));
  } catch (error) {
    if (isNotFound(error)) return 'icons/icon-192.png'; // this studio paints no first looks
    throw error;
  }
}

/**
 * Choose the styles of an earlier job, with their weights.
 * @param {import('./api.js').Style[]} styles
 * @param {number[]} [weights]
 */
export function chooseStylesOfJob(styles, weights) {
  chooseStyles(styles.map((style, index) => {
    const key = style.id ? `id:${style.id}` : `job:${style.thumbnail}`;
    return tiles.has(key) ? key : addTile({ ...style, key, indexInJob: index, weight: 1 }, true);
  }), weights);
}

/** Mark the chosen tiles, and show the sliders of their weights if there are several. */
function showChoice() {
  for (const [key, { button }] of tiles) {
    button.setAttribute('aria-pressed', String(draft.styles.some((style) => style.key === key)));
  }
  const container = $('weights');
  container.hidden = draft.styles.length < 2 || Boolean(draft.regions);
  const keys = draft.styles.map((style) => style.key).join();
  if (container.hidden || container.dataset.keys === keys) return;
  container.dataset.keys = keys;
  container.replaceChildren(...draft.styles.map(weightSlider));
}

/** @param {DraftStyle} style */
function weightSlider(style) {
  const output = h('output', {}, `${Math.round(style.weight * 100)}`);
  const input = h('input', { type: 'range', min: 0, max: 300, step: 5, value: style.weight * 100 });
  input.addEventListener('input', () => {
    style.weight = input.valueAsNumber / 100;
    output.textContent = input.value;
  });
  return h('label', { className: 'weight' }, h('span', {}, style.title), input, output);
}
