/** Form controls from a JSON schema: number, enumeration, boolean, list, null; nothing is known by name. */

import { h } from './dom.js';

/** What a property of the schema takes. */
export function shapeOf(property) {
  const variants = property.anyOf ?? property.oneOf ?? [property];
  const number = variants.find(({ type }) => type === 'number' || type === 'integer');
  return {
    number,
    list: variants.find(({ type }) => type === 'array'),
    flag: variants.some(({ type }) => type === 'boolean'),
    nullable: variants.some(({ type }) => type === 'null'),
    words: variants.flatMap((one) => one.enum ?? (one.const === undefined ? [] : [one.const])),
  };
}

const lowest = ({ minimum, exclusiveMinimum }) => minimum ?? exclusiveMinimum;
const highest = ({ maximum, exclusiveMaximum }) => maximum ?? exclusiveMaximum;
const words = (name) => name.replaceAll('_', ' ');
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const text = (value) => (value === null || value === undefined ? '' : [value].flat().join(', '));

/** "0.5" → 0.5, "original" → itself: what is no number is the server's to judge. */
function parsed(written) {
  const trimmed = written.trim();
  return trimmed !== '' && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

/**
 * A field for one setting.
 *
 * Returns {name, element, error, read(), write(value)}: `write` shows a value and what the preset has, `read`
 * gives the value as JSON.
 */
export function field(prefix, name, property, changed) {
  const id = `${prefix}-${name}`;
  const shape = shapeOf(property);
  const build = choose(shape);
  const control = build({ id, name, shape, property, changed });
  const error = h('p', { className: 'error', role: 'alert', id: `${id}-error`, hidden: true });
  const help = h('p', { className: 'hint', id: `${id}-help` }, property.description ?? '');
  for (const input of control.inputs) input.setAttribute('aria-describedby', `${help.id} ${error.id}`);
  const element = control.group
    ? h('fieldset', { className: 'field' }, h('legend', {}, words(name)), control.element, help, error)
    : h('div', { className: `field ${control.row ? 'line' : ''}` },
      h('div', { className: 'head' }, h('label', { for: id }, words(name)), control.beside ?? null), control.element, help, error);
  element.dataset.name = name;
  element.dataset.search = `${words(name)} ${property.description ?? ''}`.toLowerCase();
  return { name, element, error, input: control.inputs[0], read: control.read, write: control.write, same };
}

function choose({ list, flag, number, words: options }) {
  if (list) return list.items?.enum ? boxes : line;
  if (flag) return tick;
  if (number && !options.length) return number.minimum === 0 && number.maximum === 1 ? slider : figure;
  return options.length && !number ? select : line;
}

function tick({ id, changed }) {
  const input = h('input', { type: 'checkbox', id, className: 'toggle' });
  input.addEventListener('change', changed);
  return { element: input, row: true, inputs: [input], read: () => input.checked, write: (v) => { input.checked = v; } };
}

function select({ id, shape, changed }) {
  const values = shape.nullable ? [null, ...shape.words] : shape.words;
  const input = h('select', { id }, ...values.map((value) => h('option', { value: text(value) }, value === null ? 'default' : String(value))));
  input.addEventListener('change', changed);
  return {
    element: input,
    inputs: [input],
    read: () => values[input.selectedIndex] ?? null,
    write: (value) => { input.selectedIndex = values.findIndex((one) => same(one, value)); },
  };
}

/** A share of 0..1; null until it is touched, where null is possible. */
function slider({ id, shape, changed }) {
  const out = h('output', { for: id });
  const input = h('input', { type: 'range', id, min: 0, max: 1, step: 0.01 });
  let value = null;
  const show = () => { out.textContent = value === null ? 'default' : String(value); };
  input.addEventListener('input', () => { value = Number(input.value); show(); changed(); });
  return {
    element: input,
    beside: out,
    inputs: [input],
    read: () => value,
    write: (given) => { value = given ?? (shape.nullable ? null : 0); input.value = value ?? 0.5; show(); },
  };
}

function figure({ id, shape, changed }) {
  const whole = shape.number.type === 'integer';
  const input = h('input', {
    type: 'number', id, step: whole ? 1 : 'any', min: lowest(shape.number), max: highest(shape.number),
    inputMode: whole ? 'numeric' : 'decimal', placeholder: shape.nullable ? 'default' : '',
  });
  input.addEventListener('input', changed);
  return {
    element: input,
    inputs: [input],
    read: () => (input.value === '' ? (shape.nullable ? null : '') : Number(input.value)),
    write: (value) => { input.value = text(value); },
  };
}

/** Several words of a few, in the schema's order. */
function boxes({ id, shape, changed }) {
  const inputs = shape.list.items.enum.map((value, index) => h('input', { type: 'checkbox', id: `${id}-${index}`, value }));
  for (const input of inputs) input.addEventListener('change', changed);
  const labels = inputs.map((input) => h('label', {}, input, h('span', {}, input.value)));
  return {
    element: h('div', { className: 'boxes' }, ...labels),
    group: true,
    inputs,
    read: () => inputs.filter(({ checked }) => checked).map(({ value }) => value),
    write: (value) => { for (const input of inputs) input.checked = (value ?? []).includes(input.value); },
  };
}

/** A list with commas, or a number that may be a word. */
function line({ id, shape, changed }) {
  const choices = shape.words.length ? h('datalist', { id: `${id}-words` }, ...shape.words.map((value) => h('option', { value }))) : null;
  const input = h('input', {
    type: 'text', id, autocomplete: 'off', autocapitalize: 'off', spellcheck: false, placeholder: 'default',
    list: choices?.id,
  });
  input.addEventListener('input', changed);
  const read = () => {
    if (!shape.list) return input.value.trim() === '' && shape.nullable ? null : parsed(input.value);
    return input.value.split(',').filter((part) => part.trim()).map(parsed);
  };
  return {
    element: h('div', {}, input, choices ?? ''), inputs: [input], read, write: (value) => { input.value = text(value); },
  };
}
