/** The third view: a finished picture or clip to compare, weaken, save or paint again. */

import { ApiError, messageOf, postJson } from './api.js';
import { startComparison, stopComparison } from './compare.js';
import { $, announce, debounce, formatDuration, h, loadImage, radioGroup, showMessage, withQuery } from './dom.js';
import { listed, text } from './texts.js';
import { presetTitle, titleOf } from './titles.js';

/** @typedef {import('./api.js').Job} Job */
/** A job that has a picture or clip. @typedef {Job & {result: string}} PaintedJob */

/** @type {Job | null} */
let job = null;
let format = 'png';
let strength = 1;

/** @type {Record<string, string>} */
const EXTENSIONS = { png: 'png', jpeg: 'jpg', webp: 'webp' };

/** @returns {PaintedJob | null} */
const paintedJob = () => (job?.result ? /** @type {PaintedJob} */ (job) : null);

/**
 * Connect the buttons.
 * @param {object} handlers
 * @param {(job: Job) => void} handlers.onSubmitted another run was accepted
 * @param {(job: Job) => void} handlers.onChangeSettings
 * @param {(job: Job) => void} handlers.onDelete
 */
export function startResult({ onSubmitted, onChangeSettings, onDelete }) {
  const formatSelect = $('format', HTMLSelectElement);
  formatSelect.addEventListener('change', () => { format = formatSelect.value; showLinks(); });
  const showExactSoon = debounce(250, showExactStrength);
  $('after', HTMLInputElement).addEventListener('input', () => {
    const slider = $('after', HTMLInputElement);
    strength = slider.valueAsNumber / 100;
    $('after-out').textContent = `${slider.value} %`;
    const picture = resultPicture();
    if (picture) picture.style.opacity = String(picture.dataset.exact === '1' ? strength : 1);
    showExactSoon();
    showLinks();
  });
  $('again-seed').addEventListener('click', () => repeatWithNewSeed(onSubmitted));
  $('again-settings').addEventListener('click', () => job && onChangeSettings(job));
  $('delete').addEventListener('click', () => job && onDelete(job));
  $('share').addEventListener('click', share);
  startZoom();
}

/** @returns {HTMLElement | null} */
const resultPicture = () => $('result-frame').querySelector('.after');

/**
 * Show a job that has ended.
 * @param {Job} endedJob
 * @param {string} [clipUrl] address of the clip that it was made from, if this page still has it
 */
export async function showResult(endedJob, clipUrl) {
  job = endedJob;
  strength = 1;
  const painted = paintedJob();
  const isClip = job.kind === 'video';
  $('after', HTMLInputElement).value = '100';
  $('after-out').textContent = '100 %';
  $('result-title').textContent = resultTitle(job);
  $('result-about').textContent = summary(job);
  showMessage('result-error', job.error ?? (painted ? '' : text('errorStopped')));
  for (const id of ['after-field', 'compare-field', 'format', 'zoom-open']) $(id).hidden = isClip || !painted;
  $('save-bar').hidden = !painted;
  $('share').hidden = !navigator.canShare;
  $('recipe-text').textContent = JSON.stringify(isClip ? { ...job.recipe, video: job.video } : job.recipe, null, 2);
  $('result-frame').className = isClip ? 'players' : 'frame';
  stopComparison($('result-frame'));
  showLinks();
  if (!painted) showContent(job);
  else if (isClip) showPlayers(painted, job.original ?? clipUrl);
  else await showPicture(painted).catch(() => showLoadError(painted));
  announce($('result-title').textContent ?? '');
}

/** What became of a job. @param {Job} ended */
export function resultTitle({ state, result }) {
  if (state === 'done') return text('finished');
  if (state === 'cancelled') return text(result ? 'stoppedBest' : 'stopped');
  return text('failed');
}

/** @param {Job} ended */
function summary({ size, styles, frames, seconds, preset, recipe }) {
  return [
    listed(styles.map(titleOf)),
    size ? `${size[1]} × ${size[0]}` : '',
    frames ? text('frames', { count: frames }) : '',
    seconds ? text('paintedIn', { time: formatDuration(seconds) }) : '',
    preset && presetTitle(preset),
    text('seed', { number: Number(recipe.seed ?? 0) }),
  ].filter(Boolean).join(' · ');
}

/** @param {Job} ended */
function showContent({ preview, content }) {
  const address = preview ?? content;
  $('result-frame').replaceChildren(...(address ? [h('img', { src: address, alt: text('yourPhotograph') })] : []));
}

/** @param {PaintedJob} painted */
async function showPicture(painted) {
  const [before, after] = await Promise.all([
    loadImage(painted.content, text('beforeAlt')),
    loadImage(jpegAddress(painted, 1), text('afterAlt')),
  ]);
  if (painted !== job) return;
  const backdrop = /** @type {HTMLImageElement} */ (before.cloneNode()); // seen through the picture while the strength slider moves
  backdrop.alt = '';
  backdrop.className = 'backdrop';
  after.className = 'after';
  after.dataset.exact = '1';
  startComparison($('result-frame'), $('compare', HTMLInputElement), before, after);
  $('result-frame').prepend(backdrop);
}

/** @param {PaintedJob} painted */
function showLoadError(painted) {
  if (painted !== job) return;
  $('result-frame').replaceChildren();
  showMessage('result-error', text('errorLoad'));
}

/** @param {PaintedJob} painted @param {number} share */
const jpegAddress = (painted, share) => withQuery(painted.result, { format: 'jpeg', strength: share });

/** Replace the browser's approximate blend by the server's exact one. */
async function showExactStrength() {
  const painted = paintedJob();
  if (!painted) return;
  const wantedStrength = strength;
  try {
    const image = await loadImage(jpegAddress(painted, wantedStrength), text('afterAlt'));
    const previous = resultPicture();
    if (painted !== job || wantedStrength !== strength || !previous) return;
    image.className = 'after';
    image.dataset.exact = String(wantedStrength);
    previous.replaceWith(image);
    if ($('result-error').textContent === text('errorStrength')) showMessage('result-error', '');
  } catch {
    if (painted === job && wantedStrength === strength) showMessage('result-error', text('errorStrength'));
  }
}

/**
 * The painted clip, and beside it the original one, which follows its player.
 * @param {PaintedJob} painted
 * @param {string} [original]
 */
function showPlayers(painted, original) {
  const after = h('video', { src: painted.result, controls: true, loop: true, playsInline: true, preload: 'metadata', 'aria-label': text('clipAfter') });
  const figures = [h('figure', {}, after, h('figcaption', {}, text('painted')))];
  if (original) {
    const before = h('video', { src: original, muted: true, loop: true, playsInline: true, preload: 'metadata', 'aria-label': text('clipBefore') });
    const synchronise = () => { if (Math.abs(before.currentTime - after.currentTime) > 0.1) before.currentTime = after.currentTime; };
    after.addEventListener('play', () => before.play().catch(() => {}));
    after.addEventListener('pause', () => before.pause());
    for (const type of ['seeked', 'timeupdate', 'pause']) after.addEventListener(type, synchronise);
    figures.push(h('figure', {}, before, h('figcaption', {}, text('asFilmed'))));
  }
  $('result-frame').replaceChildren(...figures);
}

/** @param {PaintedJob} painted */
const fileName = ({ id, kind }) => `impasto-${id.slice(0, 8)}.${kind === 'video' ? 'mp4' : EXTENSIONS[format]}`;

/** @param {PaintedJob} painted */
const downloadAddress = ({ kind, result }) => (
  withQuery(result, kind === 'video' ? { download: 1 } : { format, strength, download: 1 })
);

function showLinks() {
  const painted = paintedJob();
  if (!painted) return;
  const link = $('save', HTMLAnchorElement);
  link.href = downloadAddress(painted);
  link.download = fileName(painted);
  link.textContent = text(painted.kind === 'video' ? 'saveClip' : 'save');
}

/** Open the phone's share sheet, which also saves to the photo library. */
async function share() {
  const painted = paintedJob();
  if (!painted) return;
  try {
    const response = await fetch(downloadAddress(painted));
    if (!response.ok) throw new ApiError(response.status, null);
    const blob = await response.blob();
    const files = [new File([blob], fileName(painted), { type: blob.type })];
    if (navigator.canShare({ files })) await navigator.share({ files, title: 'Impasto' });
    else showMessage('result-error', text('errorShareFile'));
  } catch (error) {
    const isCancelled = error instanceof DOMException && error.name === 'AbortError';
    if (!isCancelled) showMessage('result-error', text('errorShare'));
  }
}

/** @param {(job: Job) => void} onSubmitted */
async function repeatWithNewSeed(onSubmitted) {
  if (!job) return;
  const button = $('again-seed', HTMLButtonElement);
  showMessage('result-error', '');
  button.disabled = true;
  try {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0];
    onSubmitted(await postJson(`/v1/jobs/${job.id}/again`, { recipe: { seed } }));
  } catch (error) {
    showMessage('result-error', messageOf(error));
  } finally {
    button.disabled = false;
  }
}

/** The dialog that magnifies the picture; changing the magnification keeps its centre in place. */
function startZoom() {
  const viewport = $('zoom-viewport');
  const select = radioGroup($('zoom-levels'), 'zoom', [['fit', text('whole')], ['1', '100 %'], ['2', '200 %'], ['4', '400 %']], '1', magnify);
  /** @param {string} level */
  function magnify(level) {
    const image = viewport.querySelector('img');
    if (!image) return;
    const x = (viewport.scrollLeft + viewport.clientWidth / 2) / viewport.scrollWidth;
    const y = (viewport.scrollTop + viewport.clientHeight / 2) / viewport.scrollHeight;
    viewport.classList.toggle('whole', level === 'fit');
    image.style.width = level === 'fit' ? '' : `${(image.naturalWidth * Number(level)) / window.devicePixelRatio}px`;
    viewport.scrollTo(x * viewport.scrollWidth - viewport.clientWidth / 2, y * viewport.scrollHeight - viewport.clientHeight / 2);
  }
  $('zoom-open').addEventListener('click', async () => {
    const painted = paintedJob();
    if (!painted) return;
    try {
      viewport.replaceChildren(await loadImage(withQuery(painted.result, { format: 'png', strength }), text('enlarged')));
    } catch {
      showMessage('result-error', text('errorLoad'));
      return;
    }
    $('zoom', HTMLDialogElement).showModal();
    select('2');
    magnify('2');
  });
  $('zoom-close').addEventListener('click', () => $('zoom', HTMLDialogElement).close());
}
