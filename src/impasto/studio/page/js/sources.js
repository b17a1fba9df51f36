/** The ways in which pictures come in: buttons, camera, paste, drop and samples; for the studio's page and the static site. */

import { $, h } from './dom.js';

/**
 * Connect buttons, paste and drop.
 * @param {(file: File) => void} onFile gets what is to be painted
 * @param {(files: File[]) => void} onStyleFiles gets files dropped or pasted on the gallery
 */
export function startSources(onFile, onStyleFiles) {
  $('choose').addEventListener('click', () => $('file').click());
  $('change').addEventListener('click', () => $('file').click());
  $('take').addEventListener('click', () => $('camera').click());
  for (const input of [$('file', HTMLInputElement), $('camera', HTMLInputElement)]) {
    input.addEventListener('change', () => {
      const file = input.files?.[0];
      input.value = '';
      if (file) onFile(file);
    });
  }
  document.addEventListener('paste', (event) => {
    const file = event.clipboardData?.files[0];
    if (!file || isInDialog()) return;
    if ($('gallery').contains(document.activeElement)) onStyleFiles([file]);
    else onFile(file);
  });
  startDrop(onFile, onStyleFiles);
}

const isInDialog = () => Boolean(document.querySelector('dialog[open]'));

/** @param {(file: File) => void} onFile @param {(files: File[]) => void} onStyleFiles */
function startDrop(onFile, onStyleFiles) {
  let depth = 0; // dragenter and dragleave also fire for every element inside the page
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files');
  const setDepth = (/** @type {number} */ value) => { depth = Math.max(0, value); $('drop-overlay').hidden = !depth || isInDialog(); };
  document.addEventListener('dragenter', (event) => hasFiles(event) && setDepth(depth + 1));
  document.addEventListener('dragleave', (event) => hasFiles(event) && setDepth(depth - 1));
  document.addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // else the browser would open the file in place of the page
    setDepth(0);
    if (isInDialog()) return;
    const files = [...event.dataTransfer?.files ?? []];
    if (event.target instanceof Node && $('gallery').contains(event.target)) onStyleFiles(files);
    else if (files[0]) onFile(files[0]);
  });
}

/**
 * Add a picture to try; its button is busy until the promise of `choose` is settled.
 * @param {string} thumbnail
 * @param {() => Promise<void>} choose
 */
export function addSample(thumbnail, choose) {
  const button = h('button', { type: 'button' }, h('img', { src: thumbnail, alt: '', loading: 'lazy', width: 256, height: 256 }));
  button.addEventListener('click', async () => {
    button.setAttribute('aria-busy', 'true');
    await choose().finally(() => button.removeAttribute('aria-busy'));
  });
  $('samples').append(h('li', {}, button));
  return button;
}
