/** The styles of the gallery: the site's and the user's pictures. */

import { $, announce, h, showMessage } from './dom.js';
import { Gallery } from './gallery.js';
import { messageOf } from './messages.js';
import { readPicture } from './pictures.js';
import { siteFacts } from './site.js';
import { text, UserError } from './texts.js';
import { wish, wishChanged } from './wish.js';

/** @typedef {import('./pictures.js').Picture} Picture */
/** A style of the site (`name`), or a picture that was read. @typedef {import('./gallery.js').Tile & {name?: string, picture?: Promise<Picture>}} SiteStyle */

/** @type {Gallery<SiteStyle>} */
let gallery;
/** @type {SiteStyle[]} */
let siteStyles = [];
let latestChoice = 0;

export async function startStyles() {
  gallery = new Gallery(h('span', { 'data-text': 'ownStyle' }, text('ownStyle')), addStyleFiles, apply);
  siteStyles = (await siteFacts()).styles.map((name) => (
    { key: name, name, title: text(`sample-${name}`), thumbnail: `styles/${name}.webp`, weight: 1 }
  ));
  for (const style of siteStyles) gallery.add(style);
}

/** The site's styles are named in the page's language. */
export function nameStyles() {
  for (const style of siteStyles) style.title = text(`sample-${style.name}`);
  gallery.show();
}

/** Add the user's pictures to the gallery and choose them. @param {File[]} files */
export async function addStyleFiles(files) {
  showMessage('style-error', '');
  let failure = '';
  $('gallery').setAttribute('aria-busy', 'true');
  for (const file of files) {
    try {
      const picture = await readPicture(file, file.name);
      const title = file.name.replace(/\.[^.]*$/, '');
      gallery.add({ key: picture.key, title, thumbnail: picture.url, weight: 1, picture: Promise.resolve(picture) }, true);
      announce(text('styleAdded', { name: title }));
      gallery.toggle(picture.key);
    } catch (error) {
      $('gallery').removeAttribute('aria-busy');
      failure = messageOf(error);
    }
  }
  if (failure) showMessage('style-error', failure); // at the end, because choosing a good one takes messages away
}

/** Read the chosen styles and make them the wish. */
async function apply() {
  latestChoice += 1;
  const choice = latestChoice;
  showMessage('style-error', '');
  $('gallery').setAttribute('aria-busy', 'true');
  try {
    const chosen = await Promise.all(gallery.chosen.map(async (style) => (
      { picture: await pictureOf(style), title: style.title, weight: style.weight }
    )));
    if (choice !== latestChoice) return;
    wish.styles = chosen;
    wishChanged();
  } catch (error) {
    if (choice === latestChoice) showMessage('style-error', messageOf(error));
  } finally {
    if (choice === latestChoice) $('gallery').removeAttribute('aria-busy');
  }
}

/** A style's picture, which is read when the style is first chosen. @param {SiteStyle} style */
function pictureOf(style) {
  style.picture ??= readStyle(String(style.name));
  style.picture.catch(() => { delete style.picture; });
  return style.picture;
}

/** @param {string} name @returns {Promise<Picture>} */
async function readStyle(name) {
  const response = await fetch(`styles/${name}.jpg`).catch(() => null);
  if (!response?.ok) throw new UserError('errorLoad');
  return readPicture(await response.blob(), name);
}
