/** Helpers for elements, messages and the formatting of numbers. */

import { decimal, text, UserError } from './texts.js';

/**
 * The element with this id, which index.html must have; with `type` it must also be of that class.
 * @template {HTMLElement} [Type=HTMLElement]
 * @param {string} id
 * @param {new () => Type} [type]
 * @returns {Type}
 */
export function $(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof (type ?? HTMLElement))) throw new Error(`The page has no ${type?.name ?? 'element'} #${id}.`);
  return /** @type {Type} */ (element);
}

/**
 * Create an element. `aria-…`, `data-…`, `role`, `for` and `list` become attributes, everything else properties;
 * properties and children that are null or undefined are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (/^(aria-|data-|role$|for$|list$)/.test(name)) element.setAttribute(name, String(value));
    else Object.assign(element, { [name]: value });
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * Show a message in an element with role=alert; an empty message hides it.
 * @param {string | HTMLElement} where an element or its id
 * @param {string} message
 * @param {boolean} mayScroll  not where the message is about nothing that the user has just done
 */
export function showMessage(where, message, mayScroll = true) {
  const element = typeof where === 'string' ? $(where) : where;
  element.textContent = message;
  element.hidden = !message;
  if (message && mayScroll) element.scrollIntoView({ block: 'nearest' });
}

/** Let a screen reader say something without moving the focus. @param {string} message */
export function announce(message) {
  const element = $('announcement');
  const home = document.querySelector('dialog[open]') ?? document.body; // outside an open dialog nothing is read out
  if (element.parentElement !== home) home.append(element);
  if (element.textContent !== message) element.textContent = message;
}

/**
 * A function that runs `work` once nobody has called it for `ms` milliseconds.
 * @param {number} ms
 * @param {() => unknown} work
 */
export function debounce(ms, work) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, ms);
  };
}

/** 8 → "8 s", 130 → "2 min 10 s". @param {number} seconds */
export function formatDuration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ''}`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 3400000 → "3.4 MB", or "3,4 MB" where the language writes it so. @param {number} count */
export function formatBytes(count) {
  return count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${count < 1e7 ? decimal(count / 1e6) : Math.round(count / 1e6)} MB`;
}

/**
 * Radio buttons that look like one control; returns a function that selects a value.
 * @param {HTMLElement} container
 * @param {string} name
 * @param {[value: string, label: string][]} choices
 * @param {string} selected
 * @param {(value: string) => void} onSelect
 */
export function radioGroup(container, name, choices, selected, onSelect) {
  const inputs = choices.map(([value, label]) => {
    const input = h('input', { type: 'radio', name, value, checked: value === selected });
    input.addEventListener('change', () => onSelect(value));
    container.append(h('label', {}, input, h('span', {}, label)));
    return input;
  });
  return (/** @type {string} */ value) => inputs.forEach((input) => { input.checked = input.value === value; });
}

/**
 * Add query parameters to an address that may already have some.
 * @param {string} address
 * @param {Record<string, string | number>} parameters
 */
export function withQuery(address, parameters) {
  const url = new URL(address, location.origin);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, String(value));
  return url.pathname + url.search;
}

/**
 * Load a picture before it is shown, so that nothing flickers.
 * @param {string} address
 * @param {string} alt
 */
export async function loadImage(address, alt) {
  const image = h('img', { src: address, alt });
  await image.decode();
  return image;
}

/** The drawing context of a canvas. @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2DSettings} [options] */
export function context2d(canvas, options = {}) {
  const context = canvas.getContext('2d', options);
  if (!context) throw new Error(text('errorMemory'));
  return context;
}

/**
 * A canvas as a file.
 * @param {HTMLCanvasElement} canvas
 * @param {string} type such as image/png; the file is a PNG where the browser cannot write the type
 * @param {number} [quality] from 0 to 1, of JPEG and WebP
 * @returns {Promise<Blob>}
 */
export const blobOf = (canvas, type, quality = 0.92) => new Promise((resolve, reject) => {
  canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new UserError('errorMemory'))), type, quality);
});
