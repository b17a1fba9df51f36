/** Preset, strength, and under "More" every other setting of the schemas the server gives. */

import { $, segments, tell } from './dom.js';
import { changed, draft, onDraft } from './draft.js';
import { field } from './schema.js';

/** Settings that have a place of their own on the page. */
const ELSEWHERE = new Set(['strength', 'style_blend', 'weights']);

const recipe = new Map(); // name → field
const video = new Map();
let preset = 'fast';
let strength = null;
let choosePreset = () => {};

export function startSettings(settings) {
  draft.settings = settings;
  const names = settings.presets.map(({ name }) => name);
  preset = names.includes('fast') ? 'fast' : names[0];
  choosePreset = segments($('presets'), 'preset', names.map((name) => [name, name[0].toUpperCase() + name.slice(1)]), preset, setPreset);
  build(recipe, 'recipe', settings.recipe);
  build(video, 'video', settings.video);
  $('strength').addEventListener('input', () => { strength = $('strength').value / 100; count(); });
  $('reset').addEventListener('click', () => { strength = null; setPreset(preset, {}); writeAll(video, {}); count(); });
  $('find').addEventListener('input', find);
  $('find').addEventListener('keydown', (event) => event.key === 'Enter' && event.preventDefault());
  onDraft(() => { $('video-settings').hidden = draft.source?.kind !== 'video'; });
  setPreset(preset, {});
  writeAll(video, {});
}

function build(fields, prefix, schema) {
  for (const [name, property] of Object.entries(schema?.properties ?? {})) {
    if (ELSEWHERE.has(name)) continue;
    const made = field(prefix, name, property, () => { tell(made.error, ''); count(); });
    made.standard = property.default;
    fields.set(name, made);
    $(`${prefix}-fields`).append(made.element);
  }
}

/** What a preset has for a setting. */
function usual(name) {
  const own = draft.settings.presets.find((one) => one.name === preset)?.settings ?? {};
  return name in own ? own[name] : draft.settings.recipe.properties[name]?.default;
}

/** Take a preset; what was changed by hand (`kept`) stays changed. */
function setPreset(name, kept = changes(recipe)) {
  preset = name;
  choosePreset(name);
  const purpose = draft.settings.presets.find((one) => one.name === name)?.purpose ?? '';
  $('preset-purpose').textContent = purpose && `${purpose[0].toUpperCase()}${purpose.slice(1)}.`;
  for (const [key, { write }] of recipe) write(key in kept ? kept[key] : usual(key));
  const own = ['content_weight', 'style_weight'].some((key) => usual(key) !== draft.settings.recipe.properties[key]?.default);
  $('strength').disabled = own; // the preset's weights say it, and both together are refused
  if (own) strength = null;
  count();
}

function writeAll(fields, values) {
  for (const [name, made] of fields) made.write(name in values ? values[name] : made.standard);
}

const standard = (fields, name) => (fields === recipe ? usual(name) : fields.get(name).standard);

/** The settings that differ from the preset (of a clip: from the defaults). */
function changes(fields) {
  const found = {};
  for (const [name, made] of fields) {
    const value = made.read();
    if (!made.same(value, standard(fields, name) ?? null)) found[name] = value;
  }
  return found;
}

function count() {
  const clip = draft.source?.kind === 'video';
  const differing = [changes(recipe), clip ? changes(video) : {}].flatMap(Object.keys);
  for (const fields of [recipe, video]) {
    for (const [name, { element }] of fields) element.classList.toggle('differs', differing.includes(name));
  }
  $('more-count').textContent = differing.length ? `${differing.length} changed` : 'every setting';
  $('strength-out').textContent = strength === null ? ($('strength').disabled ? 'set by the preset' : 'as usual') : `${Math.round(strength * 100)} %`;
  if (strength === null) $('strength').value = 50;
}

function find() {
  const wanted = $('find').value.trim().toLowerCase();
  for (const fields of [recipe, video]) {
    for (const { element } of fields.values()) element.hidden = !element.dataset.search.includes(wanted);
  }
}

/** The form's part of a job: {preset, recipe, video}. */
export function chosenSettings() {
  const wanted = changes(recipe);
  if (strength !== null) wanted.strength = strength;
  return { preset, recipe: wanted, video: draft.source?.kind === 'video' ? changes(video) : null };
}

/** Show the settings of an earlier job (or of a part of one: {preset, recipe, video}). */
export function setSettings(job) {
  if (job.preset) setPreset(job.preset, {});
  strength = job.recipe.strength ?? null;
  if (strength !== null) $('strength').value = strength * 100;
  for (const [name, { write }] of recipe) if (name in job.recipe) write(job.recipe[name]);
  if (job.video) writeAll(video, job.video);
  count();
  changed();
}

/** Put the server's line beside the setting it is about; false if there is no such field. */
export function settingError(name, line) {
  const [head, tail] = (name ?? '').split('.');
  const made = tail ? video.get(tail) : recipe.get(head) ?? video.get(head);
  if (head === 'strength') {
    tell('strength-error', line);
    $('strength').focus();
    return true;
  }
  if (!made) return false;
  $('more').open = true;
  made.element.hidden = false;
  tell(made.error, line);
  made.input.focus();
  return true;
}

/** Take all lines away before another try. */
export function clearSettingErrors() {
  tell('strength-error', '');
  for (const fields of [recipe, video]) for (const { error } of fields.values()) tell(error, '');
}
