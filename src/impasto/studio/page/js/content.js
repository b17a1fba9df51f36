/** The photograph or clip to paint. */

import { ApiError, getBlob, getJson, messageOf, previewUpload } from './api.js';
import { $, announce, blobOf, formatBytes, h, showMessage } from './dom.js';
import { draft, draftChanged } from './draft.js';
import { addSample, startSources } from './sources.js';
import { text, UserError } from './texts.js';
import { titleOf } from './titles.js';

/** @typedef {import('./draft.js').Content} Content */
/** A file as it is shown. @typedef {Omit<Content, 'title'> & {isDecoded: boolean}} Preview */

const MAX_SIDE = 4096;
const VIDEO_NAME = /\.(mp4|m4v|mov|webm|mkv|avi|3gp)$/i;
let latestChoice = 0; // a slow file must not replace one that was chosen after it

/** @param {(files: File[]) => void} onStyleFiles gets files dropped or pasted on the gallery */
export function startContent(onStyleFiles) {
  startSources(chooseFile, onStyleFiles);
  $('shrink').addEventListener('change', () => {
    const { content } = draft;
    const isLarge = content?.kind === 'image' && (content.scaledFrom || Math.max(content.width, content.height) > MAX_SIDE);
    if (content?.original && isLarge) chooseFile(content.original, content.title);
  });
  getJson('/v1/samples').then(showSamples, () => {});
}

/** @param {import('./api.js').Sample[]} samples */
function showSamples(samples) {
  for (const sample of samples) {
    const load = async () => {
      const blob = await getBlob(sample.picture);
      return new File([blob], `${sample.id}.jpg`, { type: blob.type });
    };
    const button = addSample(sample.thumbnail, () => chooseFile(load(), titleOf(sample)));
    button.setAttribute('aria-label', text('try', { name: titleOf(sample) }));
  }
  $('samples-box').hidden = !samples.length;
}

/**
 * Make a file the content: decode it, scale it down if asked to, show it.
 * @param {File | Promise<File>} chosen
 * @param {string} [name] if not the file's
 */
export async function chooseFile(chosen, name) {
  endChoice();
  const choice = latestChoice;
  showMessage('source-error', '');
  $('compose').setAttribute('aria-busy', 'true');
  try {
    const file = await chosen;
    const title = name ?? file.name;
    const { isDecoded, ...shown } = await preview(file);
    const upload = shown.kind === 'image' && isDecoded ? await scaledDown(file, shown) : file;
    const limit = draft.settings?.limits?.upload_bytes;
    if (limit && upload.size > limit) {
      throw new UserError('errorBytes', { name: title, size: formatBytes(upload.size), limit: formatBytes(limit) });
    }
    if (choice !== latestChoice) return;
    if (location.hash) history.pushState(null, '', location.pathname);
    setContent({ ...shown, file: upload, original: file, title, size: upload.size });
    announce(text('chosen', { name: title }));
  } catch (error) {
    if (choice !== latestChoice) return;
    endChoice();
    showMessage('source-error', messageOf(error));
  }
}

/** What is still being loaded is no longer wanted. */
function endChoice() {
  latestChoice += 1;
  $('compose').removeAttribute('aria-busy');
}

/** Put a content into the draft and onto the page. @param {Content} content */
export function setContent(content) {
  endChoice();
  const previous = draft.content;
  if (previous?.url !== content.url) release(previous);
  draft.content = content;
  draft.regions = null;
  draft.keptMasks = content.job?.masks ?? 0;
  draft.keys = [];
  draft.keptKeys = content.job?.keys ?? [];
  $('frame').replaceChildren(content.element);
  const size = content.width ? `${content.width} × ${content.height}` : '';
  const scaled = content.scaledFrom ? text('scaledFrom', { size: content.scaledFrom }) : '';
  $('about').textContent = [content.title, size, scaled, content.size ? formatBytes(content.size) : ''].filter(Boolean).join(' · ');
  $('start').hidden = true;
  $('chosen').hidden = false;
  showMessage('source-error', '');
  window.dispatchEvent(new Event('content-chosen'));
  draftChanged();
}

/** Free a picture's memory. A clip is kept: the player beside its result needs it. @param {Content | null} content */
function release(content) {
  if (content?.kind === 'image' && content.url.startsWith('blob:')) URL.revokeObjectURL(content.url);
}

/** Remove the content from the draft and from the page. */
export function clearContent() {
  endChoice();
  release(draft.content);
  Object.assign(draft, { content: null, regions: null, keptMasks: 0, keys: [], keptKeys: [] });
  $('frame').replaceChildren();
  $('start').hidden = false;
  $('chosen').hidden = true;
  draftChanged();
}

/** Show a file by means of the browser or, if it cannot decode it, of the server. @param {File} file @returns {Promise<Preview>} */
async function preview(file) {
  const url = URL.createObjectURL(file);
  const isVideo = file.type.startsWith('video/') || VIDEO_NAME.test(file.name);
  try {
    return isVideo ? await loadVideo(url) : await loadPhoto(url, 'image', true);
  } catch {
    URL.revokeObjectURL(url);
  }
  const form = new FormData();
  form.append('content', file);
  let response;
  try {
    response = await previewUpload(form);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) throw new UserError('errorShowFile');
    throw error;
  }
  const kind = response.headers.get('X-Impasto-Kind') === 'video' ? 'video' : 'image';
  const shown = await loadPhoto(URL.createObjectURL(await response.blob()), kind, false);
  const [width, height] = (response.headers.get('X-Impasto-Size') ?? '').split('x');
  return height ? { ...shown, width: Number(width), height: Number(height) } : shown;
}

/**
 * @param {string} url
 * @param {'image' | 'video'} kind
 * @param {boolean} isDecoded by this browser, from the file itself
 * @returns {Promise<Preview>}
 */
async function loadPhoto(url, kind, isDecoded) {
  const element = h('img', { src: url, alt: text(kind === 'video' ? 'firstFrame' : 'yourPhotograph') });
  await element.decode();
  return { kind, isDecoded, url, element, width: element.naturalWidth, height: element.naturalHeight };
}

/** @param {string} url @returns {Promise<Preview>} */
function loadVideo(url) {
  const element = h('video', {
    src: url, muted: true, loop: true, controls: true, playsInline: true, preload: 'auto', 'aria-label': text('yourClip'),
  });
  return new Promise((resolve, reject) => {
    const fail = () => reject(new UserError('errorPlay'));
    element.onerror = fail;
    element.onloadeddata = () => (element.videoWidth
      ? resolve({ kind: 'video', isDecoded: true, url, element, width: element.videoWidth, height: element.videoHeight })
      : fail());
  });
}

/**
 * The photograph with a long side of at most MAX_SIDE, if the switch asks for it and the file gets smaller.
 * Writes the new size into `shown`.
 * @param {File} file
 * @param {Omit<Preview, 'isDecoded'>} shown
 */
async function scaledDown(file, shown) {
  const longSide = Math.max(shown.width, shown.height);
  if (!$('shrink', HTMLInputElement).checked || longSide <= MAX_SIDE) return file;
  const [width, height] = [shown.width, shown.height].map((side) => Math.round((side * MAX_SIDE) / longSide));
  const canvas = h('canvas', { width, height });
  const context = canvas.getContext('2d');
  if (!context) return file; // no memory for the canvas: the photograph is sent as it is
  context.imageSmoothingQuality = 'high';
  context.drawImage(shown.element, 0, 0, width, height);
  // What may be transparent must not become a JPEG.
  const type = /webp|avif|gif/.test(file.type) ? 'image/webp' : file.type === 'image/png' ? 'image/png' : 'image/jpeg';
  const blob = await blobOf(canvas, type, 0.95).catch(() => null);
  if (!blob || blob.size >= file.size) return file;
  shown.scaledFrom = `${shown.width} × ${shown.height}`;
  Object.assign(shown, { width, height });
  return new File([blob], file.name, { type: blob.type });
}
