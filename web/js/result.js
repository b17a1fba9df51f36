/** The painting: a first look as soon as photograph and style are there, then at full size; saved and shared. */

import { clipSize, paintClip } from './clips.js';
import { startComparison, stopComparison } from './compare.js';
import { $, announce, blobOf, debounce, h, showMessage } from './dom.js';
import { messageOf } from './messages.js';
import { paintPicture, stopPainting, Superseded } from './painter.js';
import { canvasOf, fitted, longSideOf, pixelsOf } from './pictures.js';
import { decimal, text, UserError } from './texts.js';
import { onWish, stylesAndSettings, wish, wishedSide } from './wish.js';

/** @typedef {import('./pictures.js').Picture} Picture */

/** @typedef {import('./clips.js').Painted} PaintedClip */

/** Long side of the first look. */
const FIRST_LOOK = 384;
/** @type {Record<string, {type: string, ending: string}>} */
const FORMATS = { png: { type: 'image/png', ending: 'png' }, jpeg: { type: 'image/jpeg', ending: 'jpg' } };

/** The painting that is shown; `canvas` is empty where there is a clip. @type {{canvas: HTMLCanvasElement, isFull: boolean, seconds: number, clip?: PaintedClip} | null} */
let painting = null;
let isPainting = false;
/** Ends the clip that is being painted. */
let ending = new AbortController();
let progressText = '';
let clipUrl = ''; // of the clip that is shown
let shownContent = '';
/** Counts the wishes and what was stopped, to tell whether a picture is still wanted. */
let version = 0;
/** The wish that is or was painted at full size. */
let fullVersion = -1;

export function startResult() {
  $('paint').addEventListener('click', () => {
    if (isPainting) stop();
    else if (!wish.content) $('file').click();
    else if (!wish.styles.length) $('gallery').querySelector('button')?.focus();
    else paint(wishedSide(wish.content), true);
  });
  $('save').addEventListener('click', () => save().catch((error) => showMessage('paint-error', messageOf(error))));
  $('share').addEventListener('click', share);
  const lookSoon = debounce(150, () => { if (fullVersion !== version && wish.content) paint(longSideOf(wish.content, FIRST_LOOK), false); });
  onWish(() => {
    version += 1;
    ending.abort();
    painting = null;
    setPainting(false);
    showMessage('paint-error', '');
    const isWanted = Boolean(wish.content && wish.styles.length);
    setBusy(isWanted);
    if (isWanted) lookSoon();
    else stopComparison($('result-frame'));
    show();
  });
  show();
}

/** Paint with this long side, as a first look or in full. @param {number} longSide @param {boolean} isFull */
async function paint(longSide, isFull) {
  if (!wish.content || !wish.styles.length) return;
  const { content } = wish;
  const mine = version;
  const start = performance.now();
  setBusy(true);
  if (isFull) {
    fullVersion = version;
    setPainting(true);
  }
  showMessage('paint-error', '');
  let painted = null;
  try {
    const { clip: clipFile } = content;
    painted = isFull && clipFile ? await clipPainting({ ...content, clip: clipFile }, longSide) : await picturePainting(content, longSide, isFull);
  } catch (error) {
    if (!(error instanceof Superseded) && mine === version) showMessage('paint-error', messageOf(error));
  }
  if (mine !== version) return;
  if (isFull) setPainting(false);
  if (!isPainting) setBusy(false); // else a first look has given way to the painting
  if (painted) {
    painting = { ...painted, isFull, seconds: (performance.now() - start) / 1000 };
    showPainting(content);
  }
  show();
}

/** @param {Picture} content @param {number} longSide @param {boolean} isFull */
async function picturePainting(content, longSide, isFull) {
  const task = { picture: pixelsOf(content, longSide), ...stylesAndSettings(longSide) };
  const onProgress = isFull ? (/** @type {number} */ share) => { $('progress', HTMLProgressElement).value = share; } : () => {};
  return { canvas: canvasOf(await paintPicture(task, { onProgress })) };
}

/** @param {Picture & {clip: import('./pictures.js').Clip}} content @param {number} longSide */
async function clipPainting(content, longSide) {
  ending = new AbortController();
  const start = performance.now();
  const onFrame = (/** @type {number} */ done) => {
    const frames = Math.max(done, content.clip.frames);
    const seconds = (performance.now() - start) / 1000 * (frames - done) / done;
    $('progress', HTMLProgressElement).value = done / frames;
    progressText = text('clipProgress', { done, frames, minutes: Math.ceil(seconds / 60) });
    $('about').textContent = progressText;
  };
  const clip = await paintClip(content, longSide, { onFrame, signal: ending.signal });
  return { canvas: h('canvas', clipSize(content, longSide)), clip };
}

/** Whether a picture is being painted for the frame. @param {boolean} value */
function setBusy(value) {
  if (value) $('result-frame').setAttribute('aria-busy', 'true');
  else $('result-frame').removeAttribute('aria-busy');
}

function stop() {
  version += 1; // so that what still arrives is not shown
  ending.abort();
  stopPainting();
  setBusy(false);
  setPainting(false);
}

/** @param {boolean} value */
function setPainting(value) {
  isPainting = value;
  progressText = '';
  $('progress').hidden = !value;
  $('progress', HTMLProgressElement).value = 0;
  show();
}

/** @param {import('./pictures.js').Picture} content */
function showPainting(content) {
  if (!painting) return;
  const { canvas, clip } = painting;
  URL.revokeObjectURL(clipUrl);
  clipUrl = '';
  if (clip) {
    showClip(clip.file);
    announce(about());
    return;
  }
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', text('afterAlt'));
  const before = h('img', { src: content.url, alt: text('beforeAlt') });
  const slider = $('compare', HTMLInputElement);
  const share = slider.value;
  startComparison($('result-frame'), slider, before, canvas);
  slider.value = share;
  slider.dispatchEvent(new Event('input'));
  announce(about());
}

/** @param {Blob} file */
function showClip(file) {
  stopComparison($('result-frame'));
  clipUrl = URL.createObjectURL(file);
  const video = h('video', { src: clipUrl, controls: true, loop: true, muted: true, autoplay: !prefersStill(), playsInline: true, 'aria-label': text('clipAlt') });
  $('result-frame').replaceChildren(video);
}

const prefersStill = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

function about() {
  if (progressText) return progressText;
  if ($('result-frame').hasAttribute('aria-busy')) return text('painting');
  if (!painting || !wish.content) return wish.content ? `${wish.content.name} · ${wish.content.width} × ${wish.content.height}` : '';
  const { canvas: { width, height }, isFull, seconds, clip } = painting;
  if (clip) {
    const done = text('paintedClip', { frames: clip.frames, width, height, seconds: seconds.toFixed(0) });
    return clip.isSilenced ? `${done}. ${text('clipSilenced')}` : done;
  }
  return isFull ? text('painted', { width, height, seconds: decimal(seconds) }) : text('firstLook', { width, height });
}

/** Write the state onto the page. */
export function show() {
  const { content } = wish;
  $('start').hidden = Boolean(content) || !$('live').hidden;
  $('chosen').hidden = !content || !$('live').hidden;
  $('dock').hidden = !$('live').hidden;
  $('size-field').hidden = !$('live').hidden;
  $('strength-out').textContent = `${Math.round(wish.strength * 100)} %`;
  if (content && content.key !== shownContent) $('result-frame').replaceChildren(h('img', { src: content.url, alt: text('chosenAlt') }));
  shownContent = content?.key ?? '';
  $('compare-field').hidden = !$('result-frame').querySelector('.before');
  $('about').textContent = about();
  const isDone = Boolean(painting?.isFull);
  $('save-bar').hidden = !isDone;
  $('format').hidden = Boolean(painting?.clip);
  $('save').textContent = text(painting?.clip ? 'saveClip' : 'save');
  $('share').hidden = typeof navigator.canShare !== 'function';
  $('paint').hidden = isDone;
  $('paint').classList.toggle('idle', !content || !wish.styles.length);
  $('paint').textContent = paintLabel();
}

function paintLabel() {
  if (isPainting) return text('stop');
  if (!wish.content) return text('paintFirst');
  if (!wish.styles.length) return text('paintStyle');
  const side = wishedSide(wish.content);
  const { clip } = wish.content;
  return clip ? text('paintClip', { frames: clip.frames, ...clipSize(wish.content, side) }) : text('paint', fitted(wish.content, side));
}

/** The painting as a file in the chosen format. */
async function paintedFile() {
  if (!painting) throw new UserError('errorEngine');
  const name = `impasto-${wish.content?.name.replace(/\.[^.]*$/, '') ?? 'painting'}`;
  if (painting.clip) return new File([painting.clip.file], `${name}.webm`, { type: 'video/webm' });
  const format = FORMATS[$('format', HTMLSelectElement).value];
  return new File([await blobOf(painting.canvas, format.type)], `${name}.${format.ending}`, { type: format.type });
}

async function save() {
  download(await paintedFile());
}

/** Let the browser save a file. @param {File} file */
export function download(file) {
  const url = URL.createObjectURL(file);
  h('a', { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Open the phone's share sheet, which also saves to the photo library. */
async function share() {
  try {
    const files = [await paintedFile()];
    if (!navigator.canShare({ files })) throw new UserError('errorShare');
    await navigator.share({ files, title: 'Impasto' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return;
    showMessage('paint-error', error instanceof UserError ? error.message : text('errorShare'));
  }
}
