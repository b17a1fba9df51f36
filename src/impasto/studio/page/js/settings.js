/** Preset, strength, and under "More" every other setting of the server's schemas. */

import { $, announce, radioGroup, showMessage } from './dom.js';
import { draft, draftChanged, onDraftChange } from './draft.js';
import { createField, isSameValue } from './schema.js';
import { text } from './texts.js';
import { presetPurpose, presetTitle } from './titles.js';

/** @typedef {import('./schema.js').Field & {schemaDefault: unknown}} SettingField */
/** @typedef {Map<string, SettingField>} Fields */
/** @typedef {{preset?: string, recipe: Record<string, any>, video: Record<string, any> | null}} ChosenSettings */

/** Settings that the page shows elsewhere, or not at all. */
const SHOWN_ELSEWHERE = new Set(['strength', 'style_blend', 'weights']);

/** @type {Fields} by the setting's name */
const recipeFields = new Map();
/** @type {Fields} */
const videoFields = new Map();
let preset = '';
/** Whether someone chose the preset; until then it is the usual one for a picture or a clip. */
let isChosen = false;
/** @type {number | null} null: the preset decides */
let strength = null;
let selectPreset = (/** @type {string} */ _name) => {};

const strengthSlider = () => $('strength', HTMLInputElement);
const presetNamed = (/** @type {string} */ name) => draft.settings?.presets.find((candidate) => candidate.name === name);

const isClip = () => draft.content?.kind === 'video';

/** The preset for the content if nobody chose one. */
const usualPreset = () => draft.settings?.usual_presets[draft.content?.kind ?? 'image'] ?? preset;

/** @param {import('./api.js').Settings} settings */
export function startSettings(settings) {
  draft.settings = settings;
  const names = settings.presets.map(({ name }) => name);
  preset = usualPreset();
  selectPreset = radioGroup($('presets'), 'preset', names.map((name) => [name, presetTitle(name)]), preset, (name) => {
    isChosen = true;
    setPreset(name);
  });
  addFields(recipeFields, 'recipe', settings.recipe);
  addFields(videoFields, 'video', settings.video);
  strengthSlider().addEventListener('input', () => { strength = strengthSlider().valueAsNumber / 100; showChanges(); });
  $('reset').addEventListener('click', () => { strength = null; setPreset(preset, {}); writeVideo({}); showChanges(); });
  $('find').addEventListener('input', filterFields);
  $('find').addEventListener('keydown', (event) => event.key === 'Enter' && event.preventDefault());
  window.addEventListener('preset-needed', (event) => {
    const needed = /** @type {CustomEvent<string>} */ (event).detail;
    if (preset === needed || !names.includes(needed)) return;
    isChosen = true;
    setPreset(needed);
    announce(text('presetNeeded', { name: presetTitle(needed) }));
  });
  onDraftChange(() => {
    $('video-settings').hidden = !isClip();
    const usual = usualPreset();
    if (!isChosen && preset !== usual) setPreset(usual);
  });
  setPreset(preset, {});
  writeVideo({});
}

/**
 * @param {Fields} fields
 * @param {string} prefix
 * @param {import('./api.js').SettingsSchema} schema
 */
function addFields(fields, prefix, schema) {
  for (const [name, property] of Object.entries(schema.properties)) {
    if (SHOWN_ELSEWHERE.has(name)) continue;
    const field = createField(prefix, name, property, () => { showMessage(field.error, ''); showChanges(); });
    fields.set(name, { ...field, schemaDefault: property.default });
    $(`${prefix}-fields`).append(field.element);
  }
}

/** @param {string} name of a setting of the recipe */
const recipeDefault = (name) => draft.settings?.recipe.properties[name]?.default;

/** A setting's value in the current preset. @param {string} name */
function presetValue(name) {
  const values = presetNamed(preset)?.settings ?? {};
  return name in values ? values[name] : recipeDefault(name);
}

/**
 * Select a preset; settings that the user changed stay changed.
 * @param {string} name
 * @param {Record<string, unknown>} [changed]
 */
function setPreset(name, changed = changesOf(recipeFields)) {
  preset = name;
  selectPreset(name);
  const purpose = presetNamed(name)?.purpose ?? '';
  $('preset-purpose').textContent = presetPurpose(name, purpose);
  for (const [key, { write }] of recipeFields) write(key in changed ? changed[key] : presetValue(key));
  // A preset with weights of its own already sets the balance, and the server refuses both together.
  const presetSetsWeights = ['content_weight', 'style_weight'].some((key) => presetValue(key) !== recipeDefault(key));
  strengthSlider().disabled = presetSetsWeights;
  if (presetSetsWeights) strength = null;
  showChanges();
}

/** Write the clip's settings; those that `values` lacks get their defaults. @param {Record<string, unknown>} values */
function writeVideo(values) {
  for (const [name, field] of videoFields) field.write(name in values ? values[name] : field.schemaDefault);
}

/** The recipe's settings that differ from the preset, or the clip's that differ from the defaults. @param {Fields} fields */
function changesOf(fields) {
  /** @type {Record<string, any>} */
  const changes = {};
  for (const [name, field] of fields) {
    const defaultValue = fields === recipeFields ? presetValue(name) : field.schemaDefault;
    const value = field.read();
    if (!isSameValue(value, defaultValue ?? null)) changes[name] = value;
  }
  return changes;
}

/** Mark the changed settings, count them, and show the strength. */
function showChanges() {
  const changed = [changesOf(recipeFields), isClip() ? changesOf(videoFields) : {}].flatMap(Object.keys);
  for (const fields of [recipeFields, videoFields]) {
    for (const [name, { element }] of fields) element.classList.toggle('differs', changed.includes(name));
  }
  $('more-count').textContent = changed.length ? text('changed', { count: changed.length }) : text('everySetting');
  if (strength !== null) $('strength-out').textContent = `${Math.round(strength * 100)} %`;
  else {
    $('strength-out').textContent = text(strengthSlider().disabled ? 'setByPreset' : 'asUsual');
    strengthSlider().value = '50';
  }
}

/** Show only the settings whose name or help contains what was typed. */
function filterFields() {
  const query = $('find', HTMLInputElement).value.trim().toLowerCase();
  for (const fields of [recipeFields, videoFields]) {
    for (const { element } of fields.values()) element.hidden = !(element.dataset.search ?? '').includes(query);
  }
}

/** The preset, and the settings that differ from it. @returns {ChosenSettings & {preset: string}} */
export function chosenSettings() {
  const recipe = changesOf(recipeFields);
  if (strength !== null) recipe.strength = strength;
  return { preset, recipe, video: isClip() ? changesOf(videoFields) : null };
}

/** Show the settings of an earlier job. @param {ChosenSettings} settings */
export function setSettings(settings) {
  if (settings.preset) {
    isChosen = settings.preset !== usualPreset();
    setPreset(settings.preset, {});
  }
  strength = settings.recipe.strength ?? null;
  if (strength !== null) strengthSlider().value = String(strength * 100);
  for (const [name, { write }] of recipeFields) if (name in settings.recipe) write(settings.recipe[name]);
  if (settings.video) writeVideo(settings.video);
  showChanges();
  draftChanged();
}

/**
 * Show the server's message beside the setting that it is about; false if the page has no field for it.
 * @param {string | null | undefined} name such as "size" or "video.fps"
 * @param {string} message
 */
export function showSettingError(name, message) {
  const [first, second] = (name ?? '').split('.');
  if (first === 'strength') {
    showMessage('strength-error', message);
    strengthSlider().focus();
    return true;
  }
  const field = second ? videoFields.get(second) : recipeFields.get(first) ?? videoFields.get(first);
  if (!field) return false;
  $('more', HTMLDetailsElement).open = true;
  field.element.hidden = false;
  showMessage(field.error, message);
  field.input.focus();
  return true;
}

export function clearSettingErrors() {
  showMessage('strength-error', '');
  for (const fields of [recipeFields, videoFields]) for (const { error } of fields.values()) showMessage(error, '');
}
