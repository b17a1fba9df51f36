/** The second view: a job that is waiting or being painted. */

import { follow, isFinal, post } from './api.js';
import { $, duration, h, loaded, say, tell } from './dom.js';

let stopFollowing = () => {};
let shown = ''; // address of the preview on the page
let loading = false;

/** Follow `job` until its end; `ended(job)` then, `lost(error)` if the server no longer knows it. */
export function showPainting(job, backdrop, ended, lost) {
  stopFollowing();
  shown = '';
  tell('live-error', '');
  $('live').replaceChildren(...(backdrop ? [backdrop] : []));
  $('stop').disabled = false;
  $('stop').onclick = () => cancel(job.id);
  show(job);
  stopFollowing = follow(job.id, (next, error) => {
    if (!next) lost(error);
    else if (isFinal(next)) ended(next);
    else show(next);
  });
}

export const leavePainting = () => stopFollowing();

async function cancel(id) {
  $('stop').disabled = true;
  try {
    await post(`/v1/jobs/${id}/cancel`);
    say('Stopping');
  } catch (error) {
    $('stop').disabled = false;
    tell('live-error', error.message);
  }
}

/** What is going on, in words. */
function words(job) {
  if (job.state === 'queued') {
    return job.position ? `Waiting: ${job.position} before this one.` : 'About to begin.';
  }
  if (job.frames && job.frame) return 'Frame by frame; each goes on from the one before.';
  if (job.frames) return job.preview ? 'A first look, while the clip is being read.' : 'Reading the clip and looking for cuts.';
  if (!job.evaluation) return 'Looking at both pictures.';
  const { scale, scales } = job;
  if (!scales || scales < 2) return 'Painting.';
  const last = scale >= scales;
  return last ? 'The finest strokes.' : scale <= 1 ? 'Large shapes and colours first.' : 'Forms and brushwork.';
}

function part(job) {
  if (job.frames) return `frame ${job.frame ?? 0} of ${job.frames}`;
  return job.scales && job.scale ? `size ${job.scale} of ${job.scales}` : '';
}

function show(job) {
  $('live-title').textContent = job.state === 'queued' ? 'In the queue' : 'Painting';
  const line = words(job);
  if ($('live-words').textContent !== line) say(line);
  $('live-words').textContent = line;
  $('live-bar').value = job.progress ?? 0;
  $('live-part').textContent = [`${Math.round((job.progress ?? 0) * 100)} %`, part(job)].filter(Boolean).join(' · ');
  $('live-eta').textContent = job.eta === null || job.eta === undefined ? '' : `about ${duration(job.eta)} left`;
  document.title = `${Math.round((job.progress ?? 0) * 100)} % – Impasto`;
  preview(job);
}

/** The newest preview; while one is on its way, later ones are let go by. */
async function preview(job) {
  if (!$('live').children.length && job.content && !job.preview) $('live').append(h('img', { src: job.content, alt: 'Your photograph' }));
  if (!job.preview || job.preview === shown || loading) return;
  loading = true;
  try {
    const image = await loaded(job.preview, job.frames ? 'The newest frame' : 'The picture so far');
    image.dataset.preview = job.preview;
    shown = job.preview;
    $('live').replaceChildren(image);
  } catch { /* the next one */ } finally {
    loading = false;
  }
}
