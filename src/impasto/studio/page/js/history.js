/** This browser's jobs: ids in localStorage, everything else asked of the server. */

import { get, isFinal, remove } from './api.js';
import { $, h, tell } from './dom.js';

const KEY = 'impasto.jobs';
const MOST = 60;

function ids() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '[]').filter((id) => typeof id === 'string');
  } catch {
    return [];
  }
}

function store(list) {
  try {
    localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST)));
  } catch { /* a private window: the address still has the id */ }
}

export const remember = (id) => store([id, ...ids().filter((one) => one !== id)]);
export const forget = (id) => store(ids().filter((one) => one !== id));

/** Ask for all jobs of this browser; ids that the server no longer knows vanish. */
async function jobs() {
  const found = await Promise.all(ids().map((id) => get(`/v1/jobs/${id}`).catch((error) => {
    if (error.status === 404) forget(id);
    return null;
  })));
  return found.filter(Boolean);
}

/** The newest of this browser's jobs that is still being worked on. */
export const unfinished = async () => (await jobs()).find((job) => !isFinal(job));

export function startHistory() {
  $('tidy').addEventListener('click', () => {
    const on = $('tidy').getAttribute('aria-pressed') !== 'true';
    $('tidy').setAttribute('aria-pressed', String(on));
    $('tidy').textContent = on ? 'Ready' : 'Tidy up';
    $('history').classList.toggle('tidying', on);
  });
}

/** Show the list anew. */
export async function showHistory() {
  const known = await jobs();
  $('history').replaceChildren(...known.map(tile));
  $('pictures').hidden = !known.length;
  $('to-history').hidden = !known.length;
}

const STATES = { queued: 'waiting', running: 'being painted', done: '', failed: 'failed', cancelled: 'stopped' };

function tile(job) {
  const when = job.created ? new Date(job.created).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' }) : '';
  const what = job.kind === 'video' ? 'Clip' : 'Picture';
  const name = [what, (job.styles ?? []).map((style) => style.title).join(' and '), STATES[job.state], when].filter(Boolean).join(', ');
  const image = job.thumbnail ? h('img', { src: job.thumbnail, alt: '', width: 256, height: 256, loading: 'lazy' }) : null;
  const state = STATES[job.state] ? h('span', { className: 'state' }, STATES[job.state]) : null;
  const item = h('li', {}, h('a', { href: `#job/${job.id}`, 'aria-label': name }, image, state));
  const drop = h('button', { type: 'button', className: 'drop', 'aria-label': `Delete: ${name}` }, '×');
  drop.addEventListener('click', async () => {
    if (await dropJob(job.id)) item.remove();
    $('pictures').hidden = !$('history').children.length;
  });
  item.append(drop);
  return item;
}

/** Delete a job with all its files; true if it is gone. */
export async function dropJob(id, errors = 'history-error') {
  try {
    await remove(`/v1/jobs/${id}`);
  } catch (error) {
    if (error.status !== 404) {
      tell(errors, error.message);
      return false;
    }
  }
  forget(id);
  return true;
}
