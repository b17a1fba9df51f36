/** The styles of the gallery: the studio's, the user's pictures, and those of earlier jobs. */

import { getBlob, getJson, isNotFound, messageOf, postImage, previewUpload } from './api.js';
import { announce, h, showMessage } from './dom.js';
import { draft, draftChanged, onDraftChange } from './draft.js';
import { Gallery } from './gallery.js';
import { text } from './texts.js';
import { titleOf } from './titles.js';

/** @typedef {import('./draft.js').DraftStyle} DraftStyle */

/** @type {Gallery<DraftStyle>} */
let gallery;
let uploads = 0;
const LEARNED_NAME = /\.safetensors$/i;

export async function startStyles() {
  gallery = new Gallery(h('span', {}, text('ownStyle')), addStyleFiles, () => {
    showMessage('style-error', '');
    const isLearned = gallery.chosen.some((style) => style.learned && !draft.styles.includes(style));
    draft.styles = gallery.chosen;
    if (isLearned) window.dispatchEvent(new CustomEvent('preset-needed', { detail: 'instant' }));
    draftChanged();
  });
  window.addEventListener('styles-needed', (event) => gallery.include(/** @type {CustomEvent<string[]>} */ (event).detail));
  onDraftChange(() => gallery.show(!draft.regions));
  /** @type {import('./api.js').Sample[]} */
  const styles = await getJson('/v1/styles');
  for (const style of styles) gallery.add({ ...style, title: titleOf(style), key: `id:${style.id}`, weight: 1 });
}

/** Add the user's pictures and learned styles to the gallery and choose them. @param {File[]} files */
export async function addStyleFiles(files) {
  showMessage('style-error', '');
  let failure = '';
  for (const file of files) {
    try {
      gallery.toggle(await addStyleFile(file, file.name.replace(/\.[^.]*$/, '')));
      announce(text('styleAdded', { name: file.name }));
    } catch (error) {
      failure = messageOf(error);
    }
  }
  if (failure) showMessage('style-error', failure); // at the end, because choosing a good one takes messages away
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
  return gallery.add({ key: `upload:${uploads}`, title, file, thumbnail, learned, weight: 1 }, true);
}

/**
 * Choose styles by key, with their weights; unknown keys are left out.
 * @param {string[]} keys
 * @param {number[]} [weights]
 */
export const chooseStyles = (keys, weights) => gallery.choose(keys, weights);

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
  gallery.choose(styles.map((style) => {
    const key = style.id ? `id:${style.id}` : `job:${style.thumbnail}`;
    return gallery.has(key) ? key : gallery.add({ ...style, title: titleOf(style), key, weight: 1 }, true);
  }), weights);
}
