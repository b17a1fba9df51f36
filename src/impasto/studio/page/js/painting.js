/** The second view: a job that is waiting or being painted. */

import { hasEnded, messageOf, postJson, watchJob } from './api.js';
import { $, announce, formatDuration, h, loadImage, showMessage } from './dom.js';
import { text } from './texts.js';

/** @typedef {import('./api.js').Job} Job */

let stopWatching = () => {};
/** @type {string | null} */
let shownPreview = null;
/** @type {string | null} */
let loadingPreview = null;

/**
 * Show the progress of `job` until its end.
 * @param {Job} job
 * @param {HTMLElement | null} backdrop shown until the first preview
 * @param {(job: Job) => void} onEnd
 * @param {(error: unknown) => void} onGone the server no longer knows the job
 */
export function showPainting(job, backdrop, onEnd, onGone) {
  stopWatching();
  shownPreview = loadingPreview = null;
  showMessage('live-error', '');
  $('live').replaceChildren(...(backdrop ? [backdrop] : []));
  $('stop', HTMLButtonElement).disabled = false;
  $('stop').onclick = () => cancel(job.id);
  showProgress(job);
  stopWatching = watchJob(job.id, (update, error) => {
    if (!update) onGone(error);
    else if (hasEnded(update)) onEnd(update);
    else showProgress(update);
  });
}

export const leavePainting = () => stopWatching();

/** @param {string} id */
async function cancel(id) {
  $('stop', HTMLButtonElement).disabled = true;
  try {
    await postJson(`/v1/jobs/${id}/cancel`);
    announce(text('stopping'));
  } catch (error) {
    $('stop', HTMLButtonElement).disabled = false;
    showMessage('live-error', messageOf(error));
  }
}

/** What the server is doing, for the user. @param {Job} job */
function activity(job) {
  if (job.waits_for === 'quota') return text('waitQuota');
  if (job.state === 'queued') {
    return job.position ? text(job.position > 1 ? 'waitMany' : 'waitOne', { count: job.position }) : text('beginning');
  }
  if (job.frames && job.frame) return text('frameByFrame');
  if (job.frames) return text(job.preview ? 'clipPreview' : 'clipReading');
  if (!job.evaluation) return text('analysing');
  const { scale, scales } = job;
  if (!scale || !scales || scales < 2) return text('paintingSentence');
  if (scale >= scales) return text('finest');
  return text(scale <= 1 ? 'largeShapes' : 'brushwork');
}

/** Which frame or scale is being painted. @param {Job} job */
function position(job) {
  if (job.frames) return text('frameOf', { done: job.frame ?? 0, count: job.frames });
  return job.scales && job.scale ? text('scaleOf', { done: job.scale, count: job.scales }) : '';
}

/** @param {Job} job */
function showProgress(job) {
  $('live-title').textContent = text(job.state === 'queued' ? 'inQueue' : 'painting');
  const message = activity(job);
  if ($('live-words').textContent !== message) announce(message);
  $('live-words').textContent = message;
  const percent = `${Math.round((job.progress ?? 0) * 100)} %`;
  $('live-bar', HTMLProgressElement).value = job.progress ?? 0;
  $('live-part').textContent = [percent, position(job)].filter(Boolean).join(' · ');
  $('live-eta').textContent = job.eta === null || job.eta === undefined ? '' : text('left', { time: formatDuration(job.eta) });
  document.title = `${percent} – Impasto`;
  showPreview(job);
}

/** Show the newest preview; previews that arrive while one is loading are skipped. @param {Job} job */
async function showPreview(job) {
  if (!$('live').children.length && job.content && !job.preview) $('live').append(h('img', { src: job.content, alt: text('yourPhotograph') }));
  if (!job.preview || job.preview === shownPreview || loadingPreview) return;
  const address = job.preview;
  loadingPreview = address;
  try {
    const image = await loadImage(address, text(job.frames ? 'newestFrame' : 'soFar'));
    if (loadingPreview !== address) return; // another job is shown by now
    image.dataset.preview = address;
    shownPreview = address;
    $('live').replaceChildren(image);
  } catch { /* The next preview takes its place. */ } finally {
    if (loadingPreview === address) loadingPreview = null;
  }
}
