/** The first view: from what was chosen to a job. */

import { Away, Refused, get, send } from './api.js';
import { $, loaded, tell } from './dom.js';
import { draft, onDraft, orderedStyles } from './draft.js';
import { addStyles, setStyles, startGallery } from './gallery.js';
import { startMasks } from './masks.js';
import { chosenSettings, clearSettingErrors, setSettings, settingError, startSettings } from './settings.js';
import { setSource, startSource } from './source.js';

let busy = false;

/** Wire the view; `painted(job)` is called with each new job. */
export async function startCompose(painted) {
  startSource(addStyles);
  startMasks();
  onDraft(showButton);
  showButton();
  $('form').addEventListener('submit', (event) => {
    event.preventDefault();
    submit(painted);
  });
  await Promise.all([startGallery(), get('/v1/settings').then(startSettings)]);
}

const missing = () => (!draft.source ? 'Choose a photo first' : draft.styles.length ? '' : 'Tap a style');

function showButton() {
  if (busy) return;
  $('paint').textContent = missing() || (draft.source.kind === 'video' ? 'Paint the clip' : 'Paint');
  $('paint').classList.toggle('idle', Boolean(missing()));
}

async function submit(painted) {
  if (busy) return;
  clearErrors();
  if (missing()) {
    tell(draft.source ? 'style-error' : 'source-error', `${missing()}.`);
    (draft.source ? $('gallery').querySelector('button') : $('choose')).focus();
    return;
  }
  busy = true;
  $('paint').setAttribute('aria-busy', 'true');
  $('paint').textContent = 'Sending …';
  try {
    const { job } = draft.source;
    const path = job ? `/v1/jobs/${job.id}/again` : '/v1/jobs';
    const made = await send(path, formData(), (share) => {
      $('paint').textContent = share < 1 ? `Sending ${Math.round(share * 100)} %` : 'Looking at it …';
    });
    painted(made);
  } catch (error) {
    showError(error);
  } finally {
    busy = false;
    $('paint').removeAttribute('aria-busy');
    showButton();
  }
}

/** The multipart form of a job. Styles go in order: blending and masks go by it. */
function formData() {
  const form = new FormData();
  const { source, regions } = draft;
  const settings = chosenSettings();
  if (!source.job) form.append('content', source.file, source.file.name);
  const styles = orderedStyles();
  const held = styles.filter((style) => style.of !== undefined);
  if (held.length && !(source.job && held.length === styles.length)) {
    throw new Refused(422, { detail: 'The style picture of the earlier painting is not at hand: add it again.', field: 'style' });
  }
  for (const style of held.length ? [] : styles) {
    if (style.file) form.append('style', style.file, style.file.name);
    else form.append('style_id', style.id);
  }
  const weights = styles.map((style) => style.weight);
  if (!regions && new Set(weights).size > 1) settings.recipe.style_blend = weights;
  for (const region of regions ?? []) form.append('mask', region.blob, 'mask.png');
  if (source.job?.masks && !regions && !draft.keptMasks) form.append('no_mask', '1');
  form.append('preset', settings.preset);
  form.append('recipe', JSON.stringify(settings.recipe));
  if (settings.video) form.append('video', JSON.stringify(settings.video));
  return form;
}

function clearErrors() {
  clearSettingErrors();
  for (const id of ['source-error', 'style-error', 'form-error']) tell(id, '');
}

const PLACES = { content: 'source-error', style: 'style-error', style_id: 'style-error' };

/** The server's line goes where it belongs, else beside the button. */
function showError(error) {
  const known = error instanceof Refused || error instanceof Away;
  const line = known ? error.message : `This page made a mistake: ${error.message}`;
  const named = error.field ?? /setting (\w+) =/.exec(line)?.[1];
  if (PLACES[named]) tell(PLACES[named], line);
  else if (!settingError(named, line)) tell('form-error', line);
}

/** Fill the view from an earlier job, whose uploads the server still has. */
export async function composeFrom(job) {
  if (draft.source?.madeJob !== job.id) {
    const alt = job.kind === 'video' ? 'First frame of your clip' : 'Your photograph';
    const element = await loaded(job.content, alt);
    setSource({
      kind: job.kind, url: job.content, element, job, title: 'From an earlier painting',
      width: element.naturalWidth, height: element.naturalHeight,
    });
    setStyles(job.styles ?? [], job.recipe.style_blend);
  }
  setSettings(job);
}
