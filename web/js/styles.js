/** The style gallery: the site's styles and the user's pictures; one is chosen, or several with weights. */

import { $, announce, h, showMessage } from './dom.js';
import { readPicture } from './pictures.js';
import { siteFacts } from './site.js';
import { messageOf, text, UserError } from './texts.js';
import { onWish, wish, wishChanged } from './wish.js';

/** @typedef {import('./pictures.js').Picture} Picture */
/** A tile of the gallery; its picture is read when it is first chosen. @typedef {{key: string, title: () => string, read: () => Promise<Picture>, button: HTMLButtonElement}} Tile */

/** @type {Tile[]} */
const tiles = [];
/** Of the tiles that are chosen. @type {Map<string, number>} */
const weights = new Map([]);
let latestChoice = 0;

const blendSwitch = () => $('blend', HTMLInputElement);

export async function startStyles() {
  const fileInput = $('style-file', HTMLInputElement);
  fileInput.addEventListener('change', () => {
    const files = [...fileInput.files ?? []];
    fileInput.value = '';
    addStyleFiles(files);
  });
  blendSwitch().addEventListener('change', () => {
    for (const key of [...weights.keys()].slice(0, blendSwitch().checked ? 0 : -1)) weights.delete(key);
    apply();
  });
  onWish(showStyles);
  const plus = h('span', { className: 'plus', 'aria-hidden': 'true' });
  const button = h('button', { type: 'button', className: 'upload-tile' }, plus, h('span', { 'data-text': 'ownStyle' }, text('ownStyle')));
  button.addEventListener('click', () => fileInput.click());
  $('gallery').append(h('li', { id: 'upload-tile' }, button));
  for (const name of (await siteFacts()).styles) {
    addTile(name, `styles/${name}.webp`, () => text(`sample-${name}`), () => readStyle(name));
  }
}

/** @param {string} name */
async function readStyle(name) {
  const response = await fetch(`styles/${name}.jpg`).catch(() => null);
  if (!response?.ok) throw new UserError('errorLoad');
  return readPicture(await response.blob(), name);
}

/**
 * @param {string} key
 * @param {string} thumbnail
 * @param {() => string} title
 * @param {() => Promise<Picture>} read
 */
function addTile(key, thumbnail, title, read, atBeginning = false) {
  const image = h('img', { src: thumbnail, alt: '', width: 256, height: 256, decoding: 'async' });
  const button = h('button', { type: 'button', 'aria-pressed': 'false', 'data-style': key }, image, h('span', {}, title()));
  button.addEventListener('click', () => toggle(key));
  const item = h('li', {}, button);
  if (atBeginning) $('gallery').prepend(item);
  else $('upload-tile').before(item);
  /** @type {Promise<Picture> | null} */
  let reading = null;
  const readOnce = () => {
    reading ??= read();
    reading.catch(() => { reading = null; });
    return reading;
  };
  tiles.push({ key, title, read: readOnce, button });
}

/** A click selects the style; while styles are blended it adds or removes the style. @param {string} key */
function toggle(key) {
  if (!blendSwitch().checked) weights.clear();
  if (!weights.has(key)) weights.set(key, 1);
  else if (weights.size > 1) weights.delete(key);
  apply();
}

/** Add the user's pictures to the gallery and choose them. @param {File[]} files */
export async function addStyleFiles(files) {
  showMessage('style-error', '');
  $('gallery').setAttribute('aria-busy', 'true');
  for (const file of files) {
    try {
      const picture = await readPicture(file, file.name);
      const title = file.name.replace(/\.[^.]*$/, '');
      addTile(picture.key, picture.url, () => title, async () => picture, true);
      announce(text('styleAdded', { name: title }));
      toggle(picture.key);
    } catch (error) {
      $('gallery').removeAttribute('aria-busy');
      showMessage('style-error', messageOf(error));
    }
  }
}

/** Read the chosen styles and make them the wish. */
async function apply() {
  latestChoice += 1;
  const choice = latestChoice;
  showMessage('style-error', '');
  $('gallery').setAttribute('aria-busy', 'true');
  showStyles();
  try {
    const chosen = await Promise.all([...weights].map(async ([key, weight]) => {
      const tile = /** @type {Tile} */ (tiles.find((candidate) => candidate.key === key));
      return { picture: await tile.read(), title: tile.title(), weight };
    }));
    if (choice !== latestChoice) return;
    wish.styles = chosen;
    wishChanged();
  } catch (error) {
    if (choice === latestChoice) showMessage('style-error', messageOf(error));
  } finally {
    if (choice === latestChoice) $('gallery').removeAttribute('aria-busy');
  }
}

/** Mark the chosen tiles, and show the sliders of their weights if there are several. */
export function showStyles() {
  for (const { key, button, title } of tiles) {
    button.setAttribute('aria-pressed', String(weights.has(key)));
    /** @type {HTMLElement} */ (button.lastChild).textContent = title();
  }
  const container = $('weights');
  container.hidden = weights.size < 2;
  const shown = `${document.documentElement.lang} ${[...weights.keys()].join()}`;
  if (container.hidden || container.dataset.shown === shown) return;
  container.dataset.shown = shown;
  container.replaceChildren(...tiles.filter(({ key }) => weights.has(key)).map(weightSlider));
}

/** @param {Tile} tile */
function weightSlider({ key, title }) {
  const weight = weights.get(key) ?? 1;
  const output = h('output', {}, String(Math.round(weight * 100)));
  const input = h('input', { type: 'range', min: 0, max: 300, step: 5, value: weight * 100 });
  input.addEventListener('input', () => {
    weights.set(key, input.valueAsNumber / 100);
    output.textContent = input.value;
    apply();
  });
  return h('label', { className: 'weight' }, h('span', {}, title()), input, output);
}
