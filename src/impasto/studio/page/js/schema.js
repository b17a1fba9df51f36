/** Form controls made from a JSON schema: numbers, choices, switches, lists; no setting is known by name. */

import { h } from './dom.js';
import { text } from './texts.js';

/** @typedef {import('./api.js').Schema} Schema */

/**
 * What values a property of the schema allows.
 * @typedef {object} Shape
 * @property {Schema | undefined} number
 * @property {Schema | undefined} list
 * @property {boolean} isSwitch
 * @property {boolean} isNullable
 * @property {unknown[]} choices  the only values that are allowed; with `number`, those besides numbers
 */

/**
 * A control before it has a label, a help text and a place for errors.
 * @typedef {object} Control
 * @property {HTMLElement} element
 * @property {(HTMLInputElement | HTMLSelectElement)[]} inputs
 * @property {() => unknown} read  the value as JSON
 * @property {(value: any) => void} write
 * @property {boolean} [isGroup]  several inputs that need a legend instead of a label
 * @property {boolean} [isInline]  stands on the line of its label
 * @property {HTMLElement} [output]  shows the value beside the label
 */

/** @typedef {{id: string, shape: Shape, onChange: () => void}} ControlOptions */

/**
 * A control with its label, help text and place for errors.
 * @typedef {object} Field
 * @property {HTMLElement} element
 * @property {HTMLElement} error
 * @property {HTMLInputElement | HTMLSelectElement} input
 * @property {() => unknown} read
 * @property {(value: any) => void} write
 */

/** @param {Schema} property @returns {Shape} */
function shapeOf(property) {
  const variants = property.anyOf ?? property.oneOf ?? [property];
  return {
    number: variants.find(({ type }) => type === 'number' || type === 'integer'),
    list: variants.find(({ type }) => type === 'array'),
    isSwitch: variants.some(({ type }) => type === 'boolean'),
    isNullable: variants.some(({ type }) => type === 'null'),
    choices: variants.flatMap((variant) => variant.enum ?? (variant.const === undefined ? [] : [variant.const])),
  };
}

/** @param {string} name */
const labelOf = (name) => name.replaceAll('_', ' ');

/** @param {unknown} a @param {unknown} b */
export const isSameValue = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** @param {unknown} value */
const asText = (value) => (value === null || value === undefined ? '' : [value].flat().join(', '));

/** "0.5" → 0.5, "original" → itself: the server checks what is not a number. @param {string} typed */
function parse(typed) {
  const trimmed = typed.trim();
  return trimmed !== '' && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

/**
 * A field for one setting; its control's id is `${prefix}-${name}`.
 * @param {string} prefix
 * @param {string} name
 * @param {Schema} property
 * @param {() => void} onChange
 * @returns {Field}
 */
export function createField(prefix, name, property, onChange) {
  const id = `${prefix}-${name}`;
  const shape = shapeOf(property);
  const control = controlFor(shape)({ id, shape, onChange });
  const error = h('p', { className: 'error', role: 'alert', id: `${id}-error`, hidden: true });
  const help = h('p', { className: 'hint', id: `${id}-help`, lang: 'en' }, property.description ?? '');
  for (const input of control.inputs) input.setAttribute('aria-describedby', `${help.id} ${error.id}`);
  const element = control.isGroup
    ? h('fieldset', { className: 'field' }, h('legend', { lang: 'en' }, labelOf(name)), control.element, help, error)
    : h('div', { className: `field ${control.isInline ? 'line' : ''}` },
      h('div', { className: 'head' }, h('label', { for: id, lang: 'en' }, labelOf(name)), control.output), control.element, help, error);
  element.dataset.name = name;
  element.dataset.search = `${labelOf(name)} ${property.description ?? ''}`.toLowerCase();
  return { element, error, input: control.inputs[0], read: control.read, write: control.write };
}

/** @param {Shape} shape @returns {(options: ControlOptions) => Control} */
function controlFor({ list, isSwitch, number, choices }) {
  if (list) return list.items?.enum ? checkboxGroup : textInput;
  if (isSwitch) return toggle;
  if (number && !choices.length) return number.minimum === 0 && number.maximum === 1 ? slider : numberInput;
  return choices.length && !number ? select : textInput;
}

/** @param {ControlOptions} options @returns {Control} */
function toggle({ id, onChange }) {
  const input = h('input', { type: 'checkbox', id, className: 'toggle' });
  input.addEventListener('change', onChange);
  return {
    element: input, isInline: true, inputs: [input], read: () => input.checked, write: (value) => { input.checked = value; },
  };
}

/** @param {ControlOptions} options @returns {Control} */
function select({ id, shape, onChange }) {
  const values = shape.isNullable ? [null, ...shape.choices] : shape.choices;
  const input = h('select', { id }, ...values.map((value) => h('option', { value: asText(value) }, value === null ? text('default') : String(value))));
  input.addEventListener('change', onChange);
  return {
    element: input,
    inputs: [input],
    read: () => values[input.selectedIndex] ?? null,
    write: (value) => { input.selectedIndex = values.findIndex((choice) => isSameValue(choice, value)); },
  };
}

/** A share from 0 to 1; null until it is moved, where null is possible. @param {ControlOptions} options @returns {Control} */
function slider({ id, shape, onChange }) {
  const output = h('output', { for: id });
  const input = h('input', { type: 'range', id, min: 0, max: 1, step: 0.01 });
  /** @type {number | null} */
  let current = null;
  const show = () => { output.textContent = current === null ? text('default') : String(current); };
  input.addEventListener('input', () => { current = input.valueAsNumber; show(); onChange(); });
  return {
    element: input,
    output,
    inputs: [input],
    read: () => current,
    write: (value) => {
      current = value ?? (shape.isNullable ? null : 0);
      input.value = String(current ?? 0.5);
      show();
    },
  };
}

/** @param {ControlOptions} options @returns {Control} */
function numberInput({ id, shape, onChange }) {
  const { type, minimum, exclusiveMinimum, maximum, exclusiveMaximum } = shape.number ?? {};
  const isWhole = type === 'integer';
  const input = h('input', {
    type: 'number', id, step: isWhole ? 1 : 'any', min: minimum ?? exclusiveMinimum, max: maximum ?? exclusiveMaximum,
    inputMode: isWhole ? 'numeric' : 'decimal', placeholder: shape.isNullable ? text('default') : '',
  });
  input.addEventListener('input', onChange);
  return {
    element: input,
    inputs: [input],
    read: () => (input.value === '' ? (shape.isNullable ? null : '') : Number(input.value)),
    write: (value) => { input.value = asText(value); },
  };
}

/** Any number of the list's possible items, in the schema's order. @param {ControlOptions} options @returns {Control} */
function checkboxGroup({ id, shape, onChange }) {
  const choices = shape.list?.items?.enum ?? [];
  const inputs = choices.map((value, index) => h('input', { type: 'checkbox', id: `${id}-${index}`, value }));
  for (const input of inputs) input.addEventListener('change', onChange);
  const labels = inputs.map((input) => h('label', {}, input, h('span', {}, input.value)));
  return {
    element: h('div', { className: 'boxes' }, ...labels),
    isGroup: true,
    inputs,
    read: () => inputs.filter(({ checked }) => checked).map(({ value }) => value),
    write: (value) => { for (const input of inputs) input.checked = (value ?? []).includes(input.value); },
  };
}

/** A list with commas, or a number that may also be a word. @param {ControlOptions} options @returns {Control} */
function textInput({ id, shape, onChange }) {
  const datalist = shape.choices.length ? h('datalist', { id: `${id}-words` }, ...shape.choices.map((value) => h('option', { value }))) : null;
  const input = h('input', {
    type: 'text', id, autocomplete: 'off', autocapitalize: 'off', spellcheck: false, placeholder: text('default'),
    list: datalist?.id,
  });
  input.addEventListener('input', onChange);
  const read = () => {
    if (!shape.list) return input.value.trim() === '' && shape.isNullable ? null : parse(input.value);
    return input.value.split(',').filter((part) => part.trim()).map(parse);
  };
  return {
    element: h('div', {}, input, datalist), inputs: [input], read, write: (value) => { input.value = asText(value); },
  };
}
