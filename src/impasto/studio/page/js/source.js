/** The photograph or clip: chosen, dropped, pasted, from the camera or from the samples. */

import { get, look, Refused } from './api.js';
import { $, bytes, h, say, tell } from './dom.js';
import { changed, draft } from './draft.js';

const LONGEST = 4096;
const VIDEO = /\.(mp4|m4v|mov|webm|mkv|avi|3gp)$/i;
let turn = 0;

/** Wire the buttons; `styleDropped(files)` gets what is dropped on the gallery. */
export function startSource(styleDropped) {
  $('choose').addEventListener('click', () => $('file').click());
  $('change').addEventListener('click', () => $('file').click());
  $('take').addEventListener('click', () => $('camera').click());
  for (const id of ['file', 'camera']) {
    $(id).addEventListener('change', (event) => {
      const [file] = event.target.files;
      event.target.value = '';
      if (file) takeFile(file);
    });
  }
  document.addEventListener('paste', (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (!file || document.querySelector('dialog[open]')) return;
    if ($('gallery').contains(document.activeElement)) styleDropped([file]);
    else takeFile(file);
  });
  startDrop(styleDropped);
  get('/v1/samples').then(showSamples, () => {});
}

function startDrop(styleDropped) {
  const veil = $('veil');
  let depth = 0;
  const carries = (event) => event.dataTransfer?.types.includes('Files') && !document.querySelector('dialog[open]');
  const over = (by) => { depth = by ? Math.max(0, depth + by) : 0; veil.hidden = !depth; };
  document.addEventListener('dragenter', (event) => carries(event) && over(1));
  document.addEventListener('dragleave', (event) => carries(event) && over(-1));
  document.addEventListener('dragover', (event) => carries(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    over(0);
    const files = [...event.dataTransfer.files];
    if ($('gallery').contains(event.target)) styleDropped(files);
    else if (files[0]) takeFile(files[0]);
  });
}

function showSamples(samples) {
  for (const sample of samples) {
    const image = h('img', { src: sample.thumbnail, alt: '', loading: 'lazy', width: 256, height: 256 });
    const button = h('button', { type: 'button', 'aria-label': `Try ${sample.title}` }, image);
    button.addEventListener('click', async () => {
      button.setAttribute('aria-busy', 'true');
      try {
        const blob = await get(sample.picture, 'blob');
        await takeFile(new File([blob], `${sample.id}.jpg`, { type: blob.type }), sample.title);
      } catch (error) {
        tell('source-error', error.message);
      } finally {
        button.removeAttribute('aria-busy');
      }
    });
    $('samples').append(h('li', {}, button));
  }
  $('samples-box').hidden = !samples.length;
}

/** Make a file the content: look at it, shrink it if wished, show it. */
export async function takeFile(file, title = file.name) {
  const mine = ++turn;
  tell('source-error', '');
  $('compose').setAttribute('aria-busy', 'true');
  try {
    const shown = await show(file);
    const fit = shown.kind === 'image' && shown.decoded ? await shrunk(file, shown) : file;
    const limit = draft.settings?.limits?.upload_bytes;
    if (limit && fit.size > limit) {
      throw new Error(`${title} has ${bytes(fit.size)}; this studio takes ${bytes(limit)} at most. Choose a smaller one.`);
    }
    if (mine !== turn) return;
    if (location.hash) history.pushState(null, '', location.pathname);
    setSource({ ...shown, file: fit, title, size: fit.size });
    say(`${title} chosen`);
  } catch (error) {
    if (mine === turn) tell('source-error', error.message);
  } finally {
    if (mine === turn) $('compose').removeAttribute('aria-busy');
  }
}

/** Put a source into the draft and onto the page. */
export function setSource(source) {
  const before = draft.source;
  if (before?.url !== source.url) release(before);
  draft.source = source;
  draft.regions = null;
  draft.keptMasks = source.job?.masks ?? 0;
  $('frame').replaceChildren(source.element);
  const size = source.width ? `${source.width} × ${source.height}` : '';
  const scaled = source.scaledFrom ? `scaled from ${source.scaledFrom}` : '';
  $('about').textContent = [source.title, size, scaled, source.size ? bytes(source.size) : ''].filter(Boolean).join(' · ');
  $('start').hidden = true;
  $('chosen').hidden = false;
  tell('source-error', '');
  window.dispatchEvent(new Event('compose'));
  changed();
}

/** A clip's address stays: the player beside its result needs it. */
function release(source) {
  if (source?.kind === 'image' && source.url.startsWith('blob:')) URL.revokeObjectURL(source.url);
}

/** Forget the content. */
export function clearSource() {
  release(draft.source);
  Object.assign(draft, { source: null, regions: null, keptMasks: 0 });
  $('frame').replaceChildren();
  $('start').hidden = false;
  $('chosen').hidden = true;
  changed();
}

/** An element that shows the file: the browser's own eye first, then the server's. */
async function show(file) {
  const url = URL.createObjectURL(file);
  const clip = file.type.startsWith('video/') || VIDEO.test(file.name);
  try {
    return clip ? await film(url) : await photo(url, 'image', true);
  } catch {
    URL.revokeObjectURL(url);
  }
  const form = new FormData();
  form.append('content', file);
  let answer;
  try {
    answer = await look(form);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) throw new Error('This browser cannot show that file.');
    throw error;
  }
  const kind = answer.headers.get('X-Impasto-Kind') ?? 'image';
  const shown = await photo(URL.createObjectURL(await answer.blob()), kind, false);
  const [width, height] = (answer.headers.get('X-Impasto-Size') ?? '').split('x');
  return height ? { ...shown, width: +width, height: +height } : shown;
}

async function photo(url, kind, decoded) {
  const element = h('img', { src: url, alt: kind === 'video' ? 'First frame of your clip' : 'Your photograph' });
  await element.decode();
  return { kind, decoded, url, element, width: element.naturalWidth, height: element.naturalHeight };
}

function film(url) {
  const element = h('video', {
    src: url, muted: true, loop: true, controls: true, playsInline: true, preload: 'auto', 'aria-label': 'Your clip',
  });
  return new Promise((resolve, reject) => {
    element.onerror = () => reject(new Error('This browser cannot play that clip.'));
    element.onloadeddata = () => (element.videoWidth
      ? resolve({ kind: 'video', decoded: true, url, element, width: element.videoWidth, height: element.videoHeight })
      : element.onerror());
  });
}

/** The photograph at no more than LONGEST pixels, if that is wished and makes it smaller. */
async function shrunk(file, shown) {
  const long = Math.max(shown.width, shown.height);
  if (!$('shrink').checked || long <= LONGEST) return file;
  const [width, height] = [shown.width, shown.height].map((side) => Math.round((side * LONGEST) / long));
  const canvas = h('canvas', { width, height });
  const brush = canvas.getContext('2d');
  if (!brush) return file;
  brush.imageSmoothingQuality = 'high';
  brush.drawImage(shown.element, 0, 0, width, height);
  const type = file.type === 'image/png' ? 'image/png' : 'image/jpeg'; // a PNG may be transparent
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, 0.95));
  if (!blob || blob.size >= file.size) return file;
  shown.scaledFrom = `${shown.width} × ${shown.height}`;
  Object.assign(shown, { width, height });
  return new File([blob], file.name, { type });
}
