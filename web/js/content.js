/** The photograph: chosen, dropped, pasted, taken with the camera, or one of the samples. */

import { isClip, readClip } from './clips.js';
import { $, announce, h, showMessage } from './dom.js';
import { readPicture } from './pictures.js';
import { siteFacts } from './site.js';
import { messageOf, text } from './texts.js';
import { wish, wishChanged } from './wish.js';

let latestChoice = 0; // a slow file must not replace one that was chosen after it

/** @param {(files: File[]) => void} onStyleFiles gets files dropped or pasted on the gallery */
export async function startContent(onStyleFiles) {
  $('choose').addEventListener('click', () => $('file').click());
  $('change').addEventListener('click', () => $('file').click());
  $('take').addEventListener('click', () => $('camera').click());
  $('back').addEventListener('click', () => { setContent(null); $('choose').focus(); });
  for (const input of [$('file', HTMLInputElement), $('camera', HTMLInputElement)]) {
    input.addEventListener('change', () => {
      const file = input.files?.[0];
      input.value = '';
      if (file) choosePicture(file, file.name);
    });
  }
  document.addEventListener('paste', (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return;
    if ($('gallery').contains(document.activeElement)) onStyleFiles([file]);
    else choosePicture(file, file.name);
  });
  startDrop(onStyleFiles);
  for (const name of (await siteFacts()).photographs) addSample(name);
}

/** @param {(files: File[]) => void} onStyleFiles */
function startDrop(onStyleFiles) {
  let depth = 0; // dragenter and dragleave also fire for every element inside the page
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files');
  const setDepth = (/** @type {number} */ value) => { depth = Math.max(0, value); $('drop-overlay').hidden = !depth; };
  document.addEventListener('dragenter', (event) => hasFiles(event) && setDepth(depth + 1));
  document.addEventListener('dragleave', (event) => hasFiles(event) && setDepth(depth - 1));
  document.addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setDepth(0);
    const files = [...event.dataTransfer?.files ?? []];
    if (event.target instanceof Node && $('gallery').contains(event.target)) onStyleFiles(files);
    else if (files[0]) choosePicture(files[0], files[0].name);
  });
}

/** @param {string} name */
function addSample(name) {
  const image = h('img', { src: `photographs/${name}.jpg`, alt: '', loading: 'lazy', width: 256, height: 256 });
  const button = h('button', { type: 'button', 'data-sample': name }, image);
  button.addEventListener('click', async () => {
    const response = await fetch(`photographs/${name}.jpg`).catch(() => null);
    if (response?.ok) await choosePicture(await response.blob(), text(`sample-${name}`));
    else showMessage('source-error', text('errorLoad'));
  });
  $('samples').append(h('li', {}, button));
}

/** Sample photographs are named in the page's language. */
export function nameSamples() {
  for (const button of document.querySelectorAll('[data-sample]')) {
    button.setAttribute('aria-label', text('try', { name: text(`sample-${button.getAttribute('data-sample')}`) }));
  }
}

/** Make a picture the photograph, or a clip what is painted. @param {Blob} blob @param {string} name */
export async function choosePicture(blob, name) {
  latestChoice += 1;
  const choice = latestChoice;
  showMessage('source-error', '');
  try {
    const picture = isClip(blob, name) ? await readClip(blob, name) : await readPicture(blob, name);
    if (choice === latestChoice) setContent(picture);
  } catch (error) {
    if (choice === latestChoice) showMessage('source-error', messageOf(error));
  }
}

/** @param {import('./pictures.js').Picture | null} picture */
function setContent(picture) {
  if (wish.content) URL.revokeObjectURL(wish.content.url);
  wish.content = picture;
  showMessage('source-error', '');
  if (picture) announce(`${picture.name}, ${picture.width} × ${picture.height}`);
  wishChanged();
}
