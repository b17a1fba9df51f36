/** The first view: from a photograph, styles and settings to a job. */

import { ApiError, UnreachableError, getJson, messageOf, postForm } from './api.js';
import { setContent, startContent } from './content.js';
import { $, loadImage, showMessage } from './dom.js';
import { areStylesOf, draft, onDraftChange, orderedStyles } from './draft.js';
import { startInstant } from './instant.js';
import { startKeys } from './keys.js';
import { startMaskDialog } from './mask-dialog.js';
import { chosenSettings, clearSettingErrors, setSettings, showSettingError, startSettings } from './settings.js';
import { addStyleFiles, chooseStylesOfJob, startStyles } from './styles.js';
import { text } from './texts.js';

/** @typedef {import('./api.js').Job} Job */
/** @typedef {import('./draft.js').Content} Content */

let isSubmitting = false;

/** Connect the view. @param {(job: Job, content: Content) => void} onSubmitted gets each new job and what it paints */
export async function startCompose(onSubmitted) {
  startContent(addStyleFiles);
  startMaskDialog();
  startKeys();
  startInstant();
  onDraftChange(showButton);
  showButton();
  $('form').addEventListener('submit', (event) => {
    event.preventDefault();
    submit(onSubmitted);
  });
  await Promise.all([startStyles(), getJson('/v1/settings').then(startSettings)]);
}

/** What the user still has to choose; '' if nothing. */
function missingChoice() {
  if (!draft.content) return text('chooseFirst');
  return draft.styles.length || draft.keys.length || draft.keptKeys.length ? '' : text('tapStyle');
}

function showButton() {
  if (isSubmitting) return;
  const missing = missingChoice();
  $('paint').textContent = missing || (text(draft.content?.kind === 'video' ? 'paintClip' : 'paint'));
  $('paint').classList.toggle('idle', Boolean(missing));
}

/** @param {(job: Job, content: Content) => void} onSubmitted */
async function submit(onSubmitted) {
  if (isSubmitting) return;
  clearErrors();
  const { content } = draft;
  if (!content || missingChoice()) {
    showMessage(content ? 'style-error' : 'source-error', `${missingChoice()}.`);
    (content ? $('gallery').querySelector('button') : $('choose'))?.focus();
    return;
  }
  isSubmitting = true;
  $('paint').setAttribute('aria-busy', 'true');
  $('paint').textContent = text('sending');
  try {
    const path = content.job ? `/v1/jobs/${content.job.id}/again` : '/v1/jobs';
    const job = await postForm(path, createForm(content), (share) => {
      $('paint').textContent = share < 1 ? text('sendingShare', { share: Math.round(share * 100) }) : text('checking');
    });
    onSubmitted(job, content); // another may have been chosen while this one was sent
  } catch (error) {
    showError(error);
  } finally {
    isSubmitting = false;
    $('paint').removeAttribute('aria-busy');
    showButton();
  }
}

/**
 * The multipart form of a job. Styles are sent in order, because weights and masks refer to their positions.
 * @param {Content} content
 */
function createForm(content) {
  const form = new FormData();
  const { regions } = draft;
  const settings = chosenSettings();
  if (content.file && !content.job) form.append('content', content.file, content.file.name);
  const styles = orderedStyles();
  appendStyles(form, styles, content.job);
  const weights = styles.map((style) => style.weight);
  if (!regions && new Set(weights).size > 1) settings.recipe.style_blend = weights;
  for (const region of regions ?? []) form.append('mask', region.blob, 'mask.png');
  for (const { file, frame } of draft.keys) {
    form.append('key_frame', String(frame));
    form.append('key', file, file.name);
  }
  if (content.job?.masks && !regions && !draft.keptMasks) form.append('no_mask', '1');
  form.append('preset', settings.preset);
  form.append('recipe', JSON.stringify(settings.recipe));
  if (settings.video) form.append('video', JSON.stringify(settings.video));
  return form;
}

/**
 * The server takes the styles of an earlier job all together (then none is sent) or not at all; it gives their files to
 * nobody, so that among others they cannot be sent.
 * @param {FormData} form
 * @param {import('./draft.js').DraftStyle[]} styles
 * @param {Job} [job]
 */
function appendStyles(form, styles, job) {
  if (job && areStylesOf(styles, job)) return;
  for (const { file, id } of styles) {
    if (file) form.append('style', file, file.name);
    else if (id) form.append('style_id', id);
    else throw new ApiError(422, { detail: text('errorStyleGone'), field: 'style' });
  }
}

function clearErrors() {
  clearSettingErrors();
  for (const id of ['source-error', 'key-error', 'style-error', 'form-error']) showMessage(id, '');
}

/** @type {Record<string, string>} */
const ERROR_PLACES = { key: 'key-error', content: 'source-error', style: 'style-error', style_id: 'style-error' };

/** Show an error beside the field that it is about, or else beside the button. @param {unknown} error */
function showError(error) {
  const isKnown = error instanceof ApiError || error instanceof UnreachableError;
  const message = isKnown ? error.message : text('errorBug', { message: messageOf(error) });
  const field = (error instanceof ApiError ? error.field : null) ?? /setting (\w+) =/.exec(message)?.[1] ?? '';
  if (ERROR_PLACES[field]) showMessage(ERROR_PLACES[field], message);
  else if (!showSettingError(field, message)) showMessage('form-error', message);
}

/** Fill the view from an earlier job, whose uploads the server still has. @param {Job} job */
export async function composeFromJob(job) {
  if (draft.content?.submittedAs !== job.id) {
    const alt = text(job.kind === 'video' ? 'firstFrame' : 'yourPhotograph');
    const element = await loadImage(job.content, alt);
    setContent({
      kind: job.kind, url: job.content, element, job, title: text('earlierPainting'),
      width: element.naturalWidth, height: element.naturalHeight,
    });
    chooseStylesOfJob(job.styles, job.recipe.style_blend);
  }
  setSettings(job);
}
