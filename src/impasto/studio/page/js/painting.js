/** The second view: a job that is waiting or being painted. */

import { hasEnded, messageOf, postJson, watchJob } from './api.js';
import { $, announce, formatDuration, h, loadImage, showMessage } from './dom.js';

/** @typedef {import('./api.js').Job} Job */

let stopWatching = () => {};
/** @type {string | null} */
let shownPreview = null;
let isLoadingPreview = false;

/**
 * Show the progress of `job` until its end.
 * @param {Job} job
 * @param {HTMLElement | null} backdrop shown until the first preview
 * @param {(job: Job) => void} onEnd
 * @param {(error: unknown) => void} onGone the server no longer knows the job
 */
export function showPainting(job, backdrop, onEnd, onGone) {
  stopWatching();
  shownPreview = null;
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
    announce('Stopping');
  } catch (error) {
    $('stop', HTMLButtonElement).disabled = false;
    showMessage('live-error', messageOf(error));
  }
}

/** What the server is doing, for the user. @param {Job} job */
function activity(job) {
  if (job.waits_for === 'quota') return 'Waiting: all your painting time of today is used. It goes on tomorrow (UTC).';
  if (job.state === 'queued') {
    return job.position ? `Waiting: ${job.position} ${job.position > 1 ? 'jobs' : 'job'} before this one.` : 'About to begin.';
  }
  if (job.frames && job.frame) return 'Frame by frame, each based on the ones before.';
  if (job.frames) return job.preview ? 'A preview, while the clip is being read.' : 'Reading the clip and looking for cuts.';
  if (!job.evaluation) return 'Analysing both pictures.';
  const { scale, scales } = job;
  if (!scale || !scales || scales < 2) return 'Painting.';
  if (scale >= scales) return 'The finest strokes.';
  return scale <= 1 ? 'Large shapes and colours first.' : 'Forms and brushwork.';
}

/** Which frame or scale is being painted. @param {Job} job */
function position(job) {
  if (job.frames) return `frame ${job.frame ?? 0} of ${job.frames}`;
  return job.scales && job.scale ? `size ${job.scale} of ${job.scales}` : '';
}

/** @param {Job} job */
function showProgress(job) {
  $('live-title').textContent = job.state === 'queued' ? 'In the queue' : 'Painting';
  const message = activity(job);
  if ($('live-words').textContent !== message) announce(message);
  $('live-words').textContent = message;
  const percent = `${Math.round((job.progress ?? 0) * 100)} %`;
  $('live-bar', HTMLProgressElement).value = job.progress ?? 0;
  $('live-part').textContent = [percent, position(job)].filter(Boolean).join(' · ');
  $('live-eta').textContent = job.eta === null || job.eta === undefined ? '' : `about ${formatDuration(job.eta)} left`;
  document.title = `${percent} – Impasto`;
  showPreview(job);
}

/** Show the newest preview; previews that arrive while one is loading are skipped. @param {Job} job */
async function showPreview(job) {
  if (!$('live').children.length && job.content && !job.preview) $('live').append(h('img', { src: job.content, alt: 'Your photograph' }));
  if (!job.preview || job.preview === shownPreview || isLoadingPreview) return;
  isLoadingPreview = true;
  try {
    const image = await loadImage(job.preview, job.frames ? 'The newest frame' : 'The picture so far');
    image.dataset.preview = job.preview;
    shownPreview = job.preview;
    $('live').replaceChildren(image);
  } catch { /* The next preview takes its place. */ } finally {
    isLoadingPreview = false;
  }
}
