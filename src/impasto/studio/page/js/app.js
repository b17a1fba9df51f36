/** The page: views and addresses, returning to an unfinished job, messages when the server does not answer. */

import { connection, getJson, hasEnded, isNotFound, messageOf } from './api.js';
import { composeFromJob, startCompose } from './compose.js';
import { clearContent } from './content.js';
import { $, announce, showMessage } from './dom.js';
import { draft } from './draft.js';
import { deleteJob, findUnfinishedJob, forgetJob, rememberJob, showHistory, startHistory } from './history.js';
import { instantPicture } from './instant.js';
import { leavePainting, showPainting } from './painting.js';
import { resultTitle, showResult, startResult } from './result.js';
import { startSavingDraft } from './saved-draft.js';
import { startSigningIn } from './session.js';
import { startTexts, switchLanguage, text } from './texts.js';

/** @typedef {import('./api.js').Job} Job */
/** @typedef {'compose' | 'painting' | 'result'} View */

/** @type {View[]} */
const VIEWS = ['compose', 'painting', 'result'];
const jobIdOf = (/** @type {string} */ hash) => /^#job\/([\w-]+)$/.exec(hash)?.[1];
/** @type {Map<string, string>} job's id → address of its clip, as long as this page is open */
const clipUrls = new Map();

/** @param {View} view */
function showView(view) {
  for (const id of VIEWS) $(id).hidden = id !== view;
  $('to-new').hidden = view === 'compose';
  if (view !== 'painting') leavePainting();
  if (view === 'compose') document.title = 'Impasto';
}

/** Show the job that the address names, or the form if it names none. */
async function route() {
  const id = jobIdOf(location.hash);
  if (!id) {
    showView('compose');
    showHistory();
    return;
  }
  leavePainting();
  try {
    const job = await getJson(`/v1/jobs/${id}`);
    if (jobIdOf(location.hash) === id) await showJob(job);
  } catch (error) {
    if (jobIdOf(location.hash) === id) showJobGone(id, error);
  }
}

/** @param {string} id @param {unknown} error */
function showJobGone(id, error) {
  if (isNotFound(error)) forgetJob(id);
  history.replaceState(null, '', location.pathname);
  showView('compose');
  const reason = error instanceof Error ? error.message : text('errorShow');
  showMessage('form-error', isNotFound(error) ? text('errorGone') : reason);
  showHistory();
}

/** @param {Job} job */
async function showJob(job) {
  window.scrollTo(0, 0);
  if (hasEnded(job)) {
    showView('result');
    $('result-title').focus({ preventScroll: true });
    document.title = `${resultTitle(job)} – Impasto`;
    await showResult(job, clipUrls.get(job.id));
    showHistory();
    return;
  }
  showView('painting');
  $('live-title').focus({ preventScroll: true });
  const element = draft.content?.submittedAs === job.id ? instantPicture() ?? draft.content.element : null;
  const backdrop = element instanceof HTMLImageElement ? /** @type {HTMLElement} */ (element.cloneNode()) : null;
  const onEnd = (/** @type {Job} */ ended) => {
    showJob(ended).catch((error) => showMessage('result-error', messageOf(error)));
  };
  showPainting(job, backdrop, onEnd, (error) => showJobGone(job.id, error));
}

/**
 * The server accepted a job.
 * @param {Job} job
 * @param {import('./draft.js').Content} [content] which it was sent with; a job that was repeated has none
 */
function onSubmitted(job, content) {
  rememberJob(job.id);
  if (content) content.submittedAs = job.id;
  if (content?.kind === 'video' && content.file) clipUrls.set(job.id, content.url);
  goTo(`#job/${job.id}`);
}

/** @param {string} hash */
function goTo(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

/** @param {Job} job */
async function onChangeSettings(job) {
  try {
    await composeFromJob(job);
    history.pushState(null, '', location.pathname);
    showView('compose');
    window.scrollTo(0, 0);
    $('paint').focus({ preventScroll: true });
  } catch (error) {
    showMessage('result-error', messageOf(error));
  }
}

/** @param {Job} job */
async function onDelete(job) {
  if (!(await deleteJob(job.id, 'result-error'))) return;
  clipUrls.delete(job.id);
  announce(text('deleted'));
  goTo('#');
}

function startConnectionMessages() {
  connection.onUnreachable = () => showMessage('connection-message', text('unreachable'), false);
  connection.onReachable = () => { showMessage('connection-message', ''); announce(text('reachable')); };
}

function startNavigation() {
  window.addEventListener('hashchange', route);
  window.addEventListener('popstate', () => { if (!location.hash) route(); });
  window.addEventListener('content-chosen', () => showView('compose'));
  for (const id of ['to-new', 'home']) {
    $(id).addEventListener('click', (event) => { event.preventDefault(); clearContent(); showEmptyForm(); });
  }
  $('skip').addEventListener('click', (event) => { // by itself it would replace the job in the address
    event.preventDefault();
    $('main').focus();
  });
  $('to-history').addEventListener('click', (event) => {
    event.preventDefault();
    $('pictures').scrollIntoView();
    $('history-title').focus({ preventScroll: true });
  });
}

function showEmptyForm() {
  if (location.hash) history.pushState(null, '', location.pathname);
  showView('compose');
  showHistory();
  window.scrollTo(0, 0);
}

async function start() {
  await startTexts();
  $('language').addEventListener('click', () => {
    switchLanguage().then(() => location.reload(), () => showMessage('connection-message', text('errorUnreachable')));
  });
  startConnectionMessages();
  startSigningIn().catch((error) => showMessage('connection-message', messageOf(error)));
  startHistory();
  startResult({ onSubmitted, onChangeSettings, onDelete });
  startNavigation();
  const composeStarted = startCompose(onSubmitted).catch((error) => showMessage('form-error', messageOf(error)));
  if (jobIdOf(location.hash)) route();
  else {
    showView('compose');
    showHistory();
    const unfinished = await findUnfinishedJob();
    if (unfinished && !location.hash && !draft.content) goTo(`#job/${unfinished.id}`);
  }
  await composeStarted;
  await startSavingDraft(() => !location.hash && !draft.content).catch((error) => showMessage('form-error', messageOf(error)));
  document.body.dataset.ready = 'yes';
  navigator.serviceWorker?.register('sw.js').catch(() => {}); // browsers allow it on secure addresses only
}

start();
