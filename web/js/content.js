/** The photograph or clip to paint. */

import { isClip, readClip } from './clips.js';
import { $, announce, showMessage } from './dom.js';
import { messageOf } from './messages.js';
import { readPicture } from './pictures.js';
import { siteFacts } from './site.js';
import { addSample, startSources } from './sources.js';
import { text, UserError } from './texts.js';
import { wish, wishChanged } from './wish.js';

let latestChoice = 0; // a slow file must not replace one that was chosen after it

/** @param {(files: File[]) => void} onStyleFiles gets files dropped or pasted on the gallery */
export async function startContent(onStyleFiles) {
  startSources((file) => choosePicture(file, file.name), onStyleFiles);
  $('back').addEventListener('click', () => { setContent(null); $('choose').focus(); });
  for (const name of (await siteFacts()).photographs) {
    const address = `photographs/${name}.jpg`;
    const button = addSample(address, () => choosePicture(load(address), text(`sample-${name}`)));
    button.setAttribute('data-sample', name);
  }
}

/** Sample photographs are named in the page's language. */
export function nameSamples() {
  for (const button of document.querySelectorAll('[data-sample]')) {
    button.setAttribute('aria-label', text('try', { name: text(`sample-${button.getAttribute('data-sample')}`) }));
  }
}

/** @param {string} address */
async function load(address) {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) throw new UserError('errorLoad');
  return response.blob();
}

/** Make a picture the photograph, or a clip what is painted. @param {Blob | Promise<Blob>} chosen @param {string} name */
export async function choosePicture(chosen, name) {
  latestChoice += 1;
  const choice = latestChoice;
  showMessage('source-error', '');
  try {
    const blob = await chosen;
    const picture = isClip(blob, name) ? await readClip(blob, name) : await readPicture(blob, name);
    if (choice === latestChoice) setContent(picture);
  } catch (error) {
    if (choice === latestChoice) showMessage('source-error', messageOf(error));
  }
}

/** @param {import('./pictures.js').Picture | null} picture */
function setContent(picture) {
  latestChoice += 1; // what is still being loaded is no longer wanted
  if (wish.content) URL.revokeObjectURL(wish.content.url);
  wish.content = picture;
  showMessage('source-error', '');
  if (picture) announce(`${picture.name}, ${picture.width} × ${picture.height}`);
  wishChanged();
}
