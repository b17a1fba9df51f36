/** The dialog in which parts of the picture are marked (brush, eraser, rectangle, file), each with a style. */

import { messageOf } from './api.js';
import { $, announce, context2d, h, radioGroup, showMessage } from './dom.js';
import { draft, draftChanged, onDraftChange } from './draft.js';
import { Mask, maskFromFile, remainder } from './mask.js';
import { text } from './texts.js';

const CANVAS_SIDE = 1024; // for small pictures too: the canvas fills the dialog
const MAX_REGIONS = 4;
const TINTS = ['#d8452e', '#1f6fb2', '#c99a1a', '#3f8f5a'];

/** @type {{mask: Mask, style: string}[]} */
let regions = [];
let restStyle = ''; // key of the style for everything else; '': it stays a photograph
let current = 0;
let tool = 'brush';
/** @type {import('./draft.js').Content | null} */
let markedContent = null; // the content that the masks belong to

const maskCanvas = () => $('mask-canvas', HTMLCanvasElement);
const currentMask = () => regions[current].mask;

export function startMaskDialog() {
  radioGroup($('mask-tools'), 'mask-tool', [['brush', text('brush')], ['eraser', text('eraser')]], tool, (value) => { tool = value; });
  $('mask-open').addEventListener('click', open);
  $('mask-undo').addEventListener('click', () => { currentMask().undo(); redraw(); });
  $('mask-invert').addEventListener('click', () => add({ invert: true }));
  $('mask-clear').addEventListener('click', () => add({ clear: true }));
  $('mask-upload').addEventListener('click', () => $('mask-file').click());
  $('mask-file', HTMLInputElement).addEventListener('change', upload);
  $('rect-add').addEventListener('click', addRectangle);
  $('mask-remove').addEventListener('click', () => {
    markedContent = null;
    Object.assign(draft, { regions: null, keptMasks: 0 });
    $('mask', HTMLDialogElement).close();
    draftChanged();
  });
  $('mask-done').addEventListener('click', finish);
  onDraftChange(() => {
    const count = draft.regions?.length ?? draft.keptMasks;
    $('mask-open').textContent = count ? text(count > 1 ? 'partsPainted' : 'partPainted', { count }) : text('maskOpen');
  });
  startPointer(maskCanvas());
}

function open() {
  const { content } = draft;
  if (!content) return;
  if (markedContent !== content) {
    markedContent = content;
    const scale = CANVAS_SIDE / Math.max(content.width, content.height);
    const [width, height] = [content.width, content.height].map((side) => Math.max(1, Math.round(side * scale)));
    Object.assign(maskCanvas(), { width, height });
    regions = [];
    restStyle = '';
    addRegion();
  }
  showMessage('mask-error', '');
  showRegions();
  $('mask', HTMLDialogElement).showModal();
  redraw();
}

function addRegion() {
  const { width, height } = maskCanvas();
  regions.push({ mask: new Mask(width, height), style: '' });
  current = regions.length - 1;
}

/** @param {import('./mask.js').Operation} operation */
function add(operation) {
  currentMask().add(operation);
  showMessage('mask-error', '');
  redraw();
}

/** Draw with finger, pen or mouse. @param {HTMLCanvasElement} canvas */
function startPointer(canvas) {
  /** @param {PointerEvent} event @returns {import('./mask.js').Point} */
  const position = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  /** @type {number | null} */
  let drawing = null; // id of the one pointer that draws
  canvas.addEventListener('pointerdown', (event) => {
    if (drawing !== null || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    drawing = event.pointerId;
    const point = position(event);
    add({ erase: tool === 'eraser', size: $('mask-size', HTMLInputElement).valueAsNumber / 100, points: [point, point] });
  });
  canvas.addEventListener('pointermove', (event) => {
    if (event.pointerId !== drawing) return;
    for (const sample of event.getCoalescedEvents?.() ?? [event]) currentMask().extendStroke(position(sample));
    redraw();
  });
  canvas.addEventListener('lostpointercapture', (event) => { if (event.pointerId === drawing) drawing = null; });
}

function addRectangle() {
  const [x, y, width, height] = ['x', 'y', 'w', 'h'].map((name) => $(`rect-${name}`, HTMLInputElement).valueAsNumber / 100);
  if (![x, y, width, height].every((share) => share >= 0 && share <= 1) || !width || !height) {
    showMessage('mask-error', text('errorRectangle'));
    return;
  }
  add({ rect: { x, y, w: width, h: height } });
  announce(text('rectangleAdded'));
}

async function upload() {
  const input = $('mask-file', HTMLInputElement);
  const file = input.files?.[0];
  input.value = '';
  if (!file) return;
  try {
    const { width, height } = maskCanvas();
    add({ image: await maskFromFile(file, width, height) });
  } catch {
    showMessage('mask-error', text('errorMask', { name: file.name }));
  }
}

/** Draw the photograph with every region tinted. */
function redraw() {
  const canvas = maskCanvas();
  const { width, height } = canvas;
  const context = context2d(canvas);
  if (draft.content) context.drawImage(draft.content.element, 0, 0, width, height);
  regions.forEach(({ mask }, index) => {
    const tint = h('canvas', { width, height });
    const tintContext = context2d(tint);
    tintContext.drawImage(mask.canvas, 0, 0);
    tintContext.globalCompositeOperation = 'source-in';
    tintContext.fillStyle = TINTS[index];
    tintContext.fillRect(0, 0, width, height);
    context.globalAlpha = index === current ? 0.6 : 0.4;
    context.drawImage(tint, 0, 0);
    context.globalAlpha = 1;
  });
  $('mask-undo', HTMLButtonElement).disabled = currentMask().isEmpty;
}

/** One row for each region (which is being marked, in which style), and one for everything else. */
function showRegions() {
  const isClip = draft.content?.kind === 'video'; // a clip has one mask and takes the chosen style
  /** @type {HTMLElement[]} */
  const rows = regions.map((region, index) => {
    const radio = h('input', { type: 'radio', name: 'region', checked: index === current });
    radio.addEventListener('change', () => { current = index; redraw(); });
    const swatch = h('i', { className: 'tint', 'aria-hidden': 'true' });
    swatch.style.background = TINTS[index];
    const label = h('label', { className: 'inline' }, radio, swatch, h('span', {}, text('part', { number: index + 1 })));
    const select = isClip ? null : styleSelect(text('partStyle', { number: index + 1 }), region.style, (key) => { region.style = key; });
    return h('div', { className: 'row' }, label, select);
  });
  if (!isClip) {
    const select = styleSelect(text('restStyle'), restStyle, (key) => { restStyle = key; }, text('restStays'));
    rows.push(h('div', { className: 'row' }, h('span', { className: 'inline' }, text('rest')), select));
    if (regions.length < MAX_REGIONS) {
      const button = h('button', { type: 'button', className: 'plain slim' }, text('anotherPart'));
      button.addEventListener('click', () => { addRegion(); showRegions(); redraw(); });
      rows.push(button);
    }
  }
  $('regions').replaceChildren(...rows);
}

/**
 * A list of the gallery's styles.
 * @param {string} label
 * @param {string} selected key of a style, or ''
 * @param {(key: string) => void} onSelect
 * @param {string} [emptyLabel] what '' stands for
 */
function styleSelect(label, selected, onSelect, emptyLabel = text('chosenStyle')) {
  const tiles = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#gallery [data-style]')]);
  const options = tiles.map(({ dataset, textContent }) => (
    h('option', { value: dataset.style, selected: dataset.style === selected }, textContent)
  ));
  const select = h('select', { 'aria-label': label }, h('option', { value: '' }, emptyLabel), ...options);
  select.addEventListener('change', () => onSelect(select.value));
  return select;
}

/** Put the regions into the draft and choose the styles that they name. */
async function finish() {
  const marked = regions.filter(({ mask }) => mask.marksAnything());
  if (!marked.length) {
    showMessage('mask-error', text('errorNoMask'));
    return;
  }
  const parts = marked.map(({ mask, style }) => ({ mask, style }));
  if (restStyle) parts.push({ mask: remainder(marked.map(({ mask }) => mask)), style: restStyle });
  try {
    draft.regions = await Promise.all(parts.map(async ({ mask, style }) => ({ blob: await mask.toPng(), style })));
  } catch (error) {
    showMessage('mask-error', messageOf(error));
    return;
  }
  $('mask', HTMLDialogElement).close();
  const keys = parts.map(({ style }) => style).filter(Boolean);
  window.dispatchEvent(new CustomEvent('styles-needed', { detail: keys }));
  draftChanged();
}
