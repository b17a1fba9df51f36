/**
 * The user's jobs. Where people sign in, the server has the list; elsewhere the ids are in this browser's localStorage,
 * and everything else is fetched from the server.
 */

import { getJson, hasEnded, isNotFound, messageOf, remove } from './api.js';
import { $, h, showMessage } from './dom.js';
import { signedInPerson } from './session.js';
import { listed, locale, text } from './texts.js';
import { titleOf } from './titles.js';

/** @typedef {import('./api.js').Job} Job */

const STORAGE_KEY = 'impasto.jobs';
const MAX_JOBS = 60;

/** @returns {string[]} newest first */
function storedIds() {
  try {
    const ids = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? '[]');
    return ids.filter((/** @type {unknown} */ id) => typeof id === 'string');
  } catch {
    return [];
  }
}

/** @param {string[]} ids */
function storeIds(ids) {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(ids.slice(0, MAX_JOBS)));
  } catch { /* A private window stores nothing; the address still has the id. */ }
}

/** @param {string} id */
export async function rememberJob(id) {
  if (await signedInPerson() === null) storeIds([id, ...storedIds().filter((other) => other !== id)]);
}

/** @param {string} id */
export const forgetJob = (id) => storeIds(storedIds().filter((other) => other !== id));

/** All jobs of the user; stored ids that the server does not know are forgotten. @returns {Promise<Job[]>} */
async function loadJobs() {
  if (await signedInPerson() !== null) return getJson('/v1/jobs');
  const answers = await Promise.all(storedIds().map((id) => getJson(`/v1/jobs/${id}`).catch((error) => {
    if (!isNotFound(error)) throw error;
    forgetJob(id);
    return null;
  })));
  return answers.filter(Boolean);
}

/** The newest of the user's jobs that is still being painted. */
export const findUnfinishedJob = async () => (await loadJobs().catch(() => [])).find((job) => !hasEnded(job));

export function startHistory() {
  $('tidy').addEventListener('click', () => {
    const isTidying = $('tidy').getAttribute('aria-pressed') !== 'true';
    $('tidy').setAttribute('aria-pressed', String(isTidying));
    $('tidy').textContent = text(isTidying ? 'done' : 'tidy');
    $('history').classList.toggle('tidying', isTidying);
  });
}

/** Load and show the list. */
export async function showHistory() {
  let failure = '';
  try {
    $('history').replaceChildren(...(await loadJobs()).map(jobTile));
  } catch (error) {
    failure = messageOf(error);
  }
  showMessage('history-error', failure, false);
  hideEmptyList();
}

function hideEmptyList() {
  $('to-history').hidden = !$('history').children.length;
  $('pictures').hidden = $('to-history').hidden && $('history-error').hidden;
}

/** Keys of texts. */
const STATE_LABELS = { queued: 'stateQueued', running: 'stateRunning', done: '', failed: 'stateFailed', cancelled: 'stateCancelled' };

/** @param {Job} job */
function jobTile(job) {
  const created = job.created ? new Date(job.created).toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'short' }) : '';
  const kind = text(job.kind === 'video' ? 'clip' : 'picture');
  const styles = listed(job.styles.map(titleOf));
  const label = STATE_LABELS[job.state] && text(STATE_LABELS[job.state]);
  const name = [kind, styles, label, created].filter(Boolean).join(', ');
  const image = job.thumbnail ? h('img', { src: job.thumbnail, alt: '', width: 256, height: 256, loading: 'lazy' }) : null;
  const state = label ? h('span', { className: 'state' }, label) : null;
  const item = h('li', {}, h('a', { href: `#job/${job.id}`, 'aria-label': name }, image, state));
  const button = h('button', { type: 'button', className: 'delete', 'aria-label': text('deleteNamed', { name }) }, '×');
  button.addEventListener('click', async () => {
    if (!await deleteJob(job.id)) return;
    const neighbour = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    hideEmptyList();
    (neighbour?.querySelector('button') ?? $('main')).focus({ preventScroll: true });
    if (location.hash === `#job/${job.id}`) location.hash = ''; // it is the one that is shown
  });
  item.append(button);
  return item;
}

/**
 * Delete a job with all its files; true if it is gone. An error is shown in the element `errorId`.
 * @param {string} id
 */
export async function deleteJob(id, errorId = 'history-error') {
  try {
    await remove(`/v1/jobs/${id}`);
  } catch (error) {
    if (!isNotFound(error)) {
      showMessage(errorId, messageOf(error));
      return false;
    }
  }
  forgetJob(id);
  return true;
}
