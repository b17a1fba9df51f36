/** The styles of the gallery: the studio's, the user's pictures, and those of earlier jobs. */

import { getJson, messageOf, previewUpload } from './api.js';
import { announce, h, showMessage } from './dom.js';
import { draft, draftChanged, onDraftChange } from './draft.js';
import { Gallery } from './gallery.js';

/** @typedef {import('./draft.js').DraftStyle} DraftStyle */

/** @type {Gallery<DraftStyle>} */
let gallery;
let uploads = 0;

export async function startStyles() {
  gallery = new Gallery(h('span', {}, 'Your own'), addStyleFiles, () => {
    showMessage('style-error', '');
    draft.styles = gallery.chosen;
    draftChanged();
  });
  window.addEventListener('styles-needed', (event) => gallery.include(/** @type {CustomEvent<string[]>} */ (event).detail));
  onDraftChange(() => gallery.show(!draft.regions));
  /** @type {import('./api.js').Sample[]} */
  const styles = await getJson('/v1/styles');
  for (const style of styles) gallery.add({ ...style, key: `id:${style.id}`, weight: 1 });
}

/** Add the user's pictures to the gallery and choose them. @param {File[]} files */
export async function addStyleFiles(files) {
  showMessage('style-error', '');
  for (const file of files) {
    try {
      gallery.toggle(await addStyleFile(file, file.name.replace(/\.[^.]*$/, '')));
      announce(`${file.name} added to the styles`);
    } catch (error) {
      showMessage('style-error', messageOf(error));
    }
  }
}

/**
 * Add one of the user's pictures to the gallery; returns its key.
 * @param {File} file
 * @param {string} title
 */
export async function addStyleFile(file, title) {
  const thumbnail = await thumbnailOf(file);
  uploads += 1;
  return gallery.add({ key: `upload:${uploads}`, title, file, thumbnail, weight: 1 }, true);
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

/**
 * Choose the styles of an earlier job, with their weights.
 * @param {import('./api.js').Style[]} styles
 * @param {number[]} [weights]
 */
export function chooseStylesOfJob(styles, weights) {
  gallery.choose(styles.map((style, index) => {
    const key = style.id ? `id:${style.id}` : `job:${style.thumbnail}`;
    return gallery.has(key) ? key : gallery.add({ ...style, key, indexInJob: index, weight: 1 }, true);
  }), weights);
}
