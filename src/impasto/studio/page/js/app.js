/** The page: which view is shown, where a job is found again, what is said when nobody answers. */

import { enter, get, hooks, isFinal } from './api.js';
import { composeFrom, startCompose } from './compose.js';
import { $, say, tell } from './dom.js';
import { draft } from './draft.js';
import { dropJob, forget, remember, showHistory, startHistory, unfinished } from './history.js';
import { startKeeping } from './keep.js';
import { leavePainting, showPainting } from './painting.js';
import { showResult, startResult } from './result.js';
import { clearSource } from './source.js';

const VIEWS = ['compose', 'painting', 'result'];
const jobOf = (hash) => /^#job\/([\w-]+)$/.exec(hash)?.[1];
const clips = new Map(); // job → address of the clip it was made of, as long as this page lives

function show(view) {
  for (const one of VIEWS) $(one).hidden = one !== view;
  $('to-new').hidden = view === 'compose';
  if (view !== 'painting') leavePainting();
  if (view === 'compose') document.title = 'Impasto';
}

/** What the address asks for. */
async function route() {
  const id = jobOf(location.hash);
  if (!id) {
    if (location.hash && location.hash !== '#') return; // an anchor of the page
    show('compose');
    showHistory();
    return;
  }
  try {
    await open(await get(`/v1/jobs/${id}`));
  } catch (error) {
    lost(id, error);
  }
}

function lost(id, error) {
  if (error?.status === 404) forget(id);
  history.replaceState(null, '', location.pathname);
  show('compose');
  tell('form-error', error?.status === 404 ? 'That picture is no longer here.' : error?.message ?? 'That picture cannot be shown.');
  showHistory();
}

async function open(job) {
  window.scrollTo(0, 0);
  if (isFinal(job)) {
    show('result');
    $('result-title').focus({ preventScroll: true });
    document.title = `${job.state === 'done' ? 'Finished' : 'Stopped'} – Impasto`;
    await showResult(job, clips.get(job.id));
    showHistory();
    return;
  }
  show('painting');
  $('live-title').focus({ preventScroll: true });
  const own = draft.source?.madeJob === job.id ? draft.source : null;
  const backdrop = own && own.element.tagName === 'IMG' ? own.element.cloneNode() : null;
  showPainting(job, backdrop, (ended) => open(ended).catch((error) => tell('result-error', error.message)), (error) => lost(job.id, error));
}

/** A job was accepted. */
function painted(job) {
  remember(job.id);
  if (draft.source && !$('compose').hidden) {
    draft.source.madeJob = job.id;
    if (draft.source.kind === 'video' && draft.source.file) clips.set(job.id, draft.source.url);
  }
  go(`#job/${job.id}`);
}

function go(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

async function settings(job) {
  try {
    await composeFrom(job);
    history.pushState(null, '', location.pathname);
    show('compose');
    window.scrollTo(0, 0);
    $('paint').focus({ preventScroll: true });
  } catch (error) {
    tell('result-error', error.message);
  }
}

async function deleted(job) {
  if (!(await dropJob(job.id, 'result-error'))) return;
  clips.delete(job.id);
  say('Deleted');
  go('#');
}

function startAway() {
  hooks.away = (pause) => tell('away', `The studio does not answer. Nothing is lost; asking again in ${pause} s.`);
  hooks.back = () => { tell('away', ''); say('The studio is back'); };
}

/** One dialog, however many requests were refused. */
function startToken() {
  let open = null;
  hooks.token = () => {
    open ??= new Promise((entered) => {
      $('token').showModal();
      $('token').oncancel = (event) => event.preventDefault();
      $('token-form').onsubmit = async (event) => {
        event.preventDefault();
        try {
          await enter($('token-text').value);
          $('token-text').value = '';
          tell('token-error', '');
          $('token').close();
          open = null;
          entered();
        } catch (error) {
          tell('token-error', error.status === 401 || error.status === 403 ? 'That is not the token.' : error.message);
          $('token-text').select();
        }
      };
    });
    return open;
  };
}

async function start() {
  startAway();
  startToken();
  startHistory();
  startResult({ painted, settings, deleted });
  window.addEventListener('hashchange', route);
  window.addEventListener('popstate', () => { if (!location.hash) route(); });
  window.addEventListener('compose', () => show('compose'));
  for (const id of ['to-new', 'home']) $(id).addEventListener('click', (event) => { event.preventDefault(); clearSource(); fresh(); });
  $('to-history').addEventListener('click', (event) => {
    event.preventDefault();
    $('pictures').scrollIntoView();
    $('history-title').focus({ preventScroll: true });
  });
  const ready = startCompose(painted).catch((error) => tell('form-error', error.message));
  if (jobOf(location.hash)) route();
  else {
    show('compose');
    showHistory();
    const going = await unfinished();
    if (going && !location.hash && !draft.source) go(`#job/${going.id}`);
  }
  await ready;
  await startKeeping(() => !location.hash && !draft.source);
  document.body.dataset.ready = 'yes';
  navigator.serviceWorker?.register('sw.js').catch(() => {}); // only where the address is secure
}

function fresh() {
  if (location.hash) history.pushState(null, '', location.pathname);
  show('compose');
  showHistory();
  window.scrollTo(0, 0);
}

start();
