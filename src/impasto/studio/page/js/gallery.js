/** The styles: the studio's own, pictures of one's own, one of them or several with weights. */

import { get, look } from './api.js';
import { $, h, say, tell } from './dom.js';
import { changed, draft, onDraft } from './draft.js';

const tiles = new Map(); // key → {style, button}
let own = 0;

export async function startGallery() {
  $('style-file').addEventListener('change', (event) => {
    const files = [...event.target.files];
    event.target.value = '';
    addStyles(files);
  });
  $('blend').addEventListener('change', () => {
    if (!$('blend').checked && draft.styles.length > 1) draft.styles.length = 1;
    changed();
  });
  window.addEventListener('styles-named', ({ detail }) => {
    for (const key of detail) if (!draft.styles.some((style) => style.key === key)) draft.styles.push(tiles.get(key).style);
    if (draft.styles.length > 1) $('blend').checked = true;
  });
  onDraft(show);
  const plus = h('span', { className: 'plus', 'aria-hidden': 'true' });
  const button = h('button', { type: 'button', className: 'own' }, plus, h('span', {}, 'Your own'));
  button.addEventListener('click', () => $('style-file').click());
  $('gallery').append(h('li', { id: 'own-style' }, button));
  for (const style of await get('/v1/styles')) addTile({ ...style, key: `id:${style.id}`, weight: 1 });
}

function addTile(style, where = 'before') {
  const image = h('img', { src: style.thumbnail, alt: '', width: 256, height: 256, decoding: 'async' });
  const button = h('button', { type: 'button', 'aria-pressed': 'false', 'data-style': style.key }, image, h('span', {}, style.title));
  button.addEventListener('click', () => toggle(style));
  const item = h('li', {}, button);
  if (where === 'first') $('gallery').prepend(item);
  else $('own-style').before(item);
  tiles.set(style.key, { style, button });
  return style;
}

/** Tap: the one style; with blending (or for regions) one of several. */
function toggle(style) {
  const at = draft.styles.findIndex((one) => one.key === style.key);
  const several = $('blend').checked;
  if (at < 0) draft.styles = several ? [...draft.styles, style] : [style];
  else if (several && draft.styles.length > 1) draft.styles = draft.styles.filter((one) => one.key !== style.key);
  tell('style-error', '');
  changed();
}

/** Pictures of one's own become tiles, chosen at once. */
export async function addStyles(files) {
  tell('style-error', '');
  for (const file of files) {
    try {
      toggle(tiles.get(await addStyle(file, file.name.replace(/\.[^.]*$/, ''))).style);
      say(`${file.name} added to the styles`);
    } catch (error) {
      tell('style-error', error.message);
    }
  }
}

/** A picture of one's own as a tile; its key. */
export async function addStyle(file, title) {
  const thumbnail = await address(file);
  own += 1;
  return addTile({ key: `own:${own}`, title, file, thumbnail, weight: 1 }, 'first').key;
}

/** Choose by key, with weights. */
export function chooseStyles(keys, weights) {
  draft.styles = [...new Set(keys.map((key, index) => {
    const style = tiles.get(key)?.style;
    if (style) style.weight = weights?.[index] ?? 1;
    return style;
  }))].filter(Boolean);
  if (draft.styles.length > 1) $('blend').checked = true;
  changed();
}

async function address(file) {
  const url = URL.createObjectURL(file);
  try {
    await h('img', { src: url }).decode();
    return url;
  } catch {
    URL.revokeObjectURL(url);
    const form = new FormData();
    form.append('content', file);
    return URL.createObjectURL(await (await look(form)).blob());
  }
}

/** The styles of an earlier job, with their weights. */
export function setStyles(styles, weights) {
  chooseStyles(styles.map((style, index) => {
    const key = style.id ? `id:${style.id}` : `job:${style.thumbnail}`;
    return tiles.has(key) ? key : addTile({ ...style, key, of: index }, 'first').key;
  }), weights);
}

function show() {
  for (const [key, { button }] of tiles) {
    button.setAttribute('aria-pressed', String(draft.styles.some((style) => style.key === key)));
  }
  const box = $('weights');
  box.hidden = draft.styles.length < 2 || Boolean(draft.regions);
  const keys = draft.styles.map((style) => style.key).join();
  if (box.hidden || box.dataset.keys === keys) return;
  box.dataset.keys = keys;
  box.replaceChildren(...draft.styles.map(weight));
}

function weight(style) {
  const out = h('output', {}, `${Math.round(style.weight * 100)}`);
  const input = h('input', { type: 'range', min: 0, max: 300, step: 5, value: style.weight * 100 });
  input.addEventListener('input', () => {
    style.weight = input.value / 100;
    out.textContent = input.value;
  });
  return h('label', { className: 'weight' }, h('span', {}, style.title), input, out);
}
