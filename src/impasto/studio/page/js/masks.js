/** The dialog in which regions are painted: brush, rubber, rectangle, file; each region has a style. */

import { $, h, say, segments, tell } from './dom.js';
import { changed, draft, onDraft } from './draft.js';
import { Mask, opacity, remainder } from './easel.js';

const LONGEST = 1024; // as large for small pictures: the canvas fills its place
const MOST = 4;
const TINTS = ['#d8452e', '#1f6fb2', '#c99a1a', '#3f8f5a'];

let regions = []; // {mask, style}
let rest = ''; // key of the style for everything else; '': it stays a photograph
let current = 0;
let tool = 'brush';
let owner = null; // the source that the masks were made for

export function startMasks() {
  segments($('mask-tools'), 'mask-tool', [['brush', 'Brush'], ['rubber', 'Rubber']], tool, (value) => { tool = value; });
  $('mask-open').addEventListener('click', open);
  $('mask-undo').addEventListener('click', () => { now().undo(); paint(); });
  $('mask-invert').addEventListener('click', () => add({ invert: true }));
  $('mask-clear').addEventListener('click', () => add({ clear: true }));
  $('mask-upload').addEventListener('click', () => $('mask-file').click());
  $('mask-file').addEventListener('change', upload);
  $('rect-add').addEventListener('click', rectangle);
  $('mask-drop').addEventListener('click', () => {
    owner = null;
    Object.assign(draft, { regions: null, keptMasks: 0 });
    $('mask').close();
    changed();
  });
  $('mask-done').addEventListener('click', done);
  onDraft(() => {
    const count = draft.regions?.length ?? draft.keptMasks;
    $('mask-open').textContent = count ? `${count} ${count > 1 ? 'parts' : 'part'} painted` : 'Paint only a part';
  });
  pointer($('mask-canvas'));
}

const now = () => regions[current].mask;

function open() {
  const { source } = draft;
  if (!source) return;
  if (owner !== source) {
    owner = source;
    const scale = LONGEST / Math.max(source.width, source.height);
    const [width, height] = [source.width, source.height].map((side) => Math.max(1, Math.round(side * scale)));
    Object.assign($('mask-canvas'), { width, height });
    regions = [];
    rest = '';
    addRegion();
  }
  tell('mask-error', '');
  showRegions();
  $('mask').showModal();
  paint();
}

function addRegion() {
  const { width, height } = $('mask-canvas');
  regions.push({ mask: new Mask(width, height), style: '' });
  current = regions.length - 1;
}

function add(operation) {
  now().add(operation);
  tell('mask-error', '');
  paint();
}

/** Finger, pen or mouse. */
function pointer(canvas) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    const point = at(event);
    add({ erase: tool === 'rubber', size: $('mask-size').value / 100, points: [point, point] });
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) now().extend(at(one));
    paint();
  });
}

function rectangle() {
  const [x, y, w, height] = ['x', 'y', 'w', 'h'].map((side) => $(`rect-${side}`).valueAsNumber / 100);
  if (![x, y, w, height].every((share) => share >= 0 && share <= 1) || !w || !height) {
    tell('mask-error', 'A rectangle takes four numbers from 0 to 100, width and height above 0.');
    return;
  }
  add({ rect: { x, y, w, h: height } });
  say('Rectangle added');
}

async function upload(event) {
  const [file] = event.target.files;
  event.target.value = '';
  if (!file) return;
  try {
    const { width, height } = $('mask-canvas');
    add({ image: await opacity(file, width, height) });
  } catch {
    tell('mask-error', `${file.name} is no picture that this browser can read: a PNG with white for what is painted.`);
  }
}

/** The photograph with every region tinted. */
function paint() {
  const canvas = $('mask-canvas');
  const { width, height } = canvas;
  const brush = canvas.getContext('2d');
  brush.drawImage(draft.source.element, 0, 0, width, height);
  regions.forEach(({ mask }, index) => {
    const tint = h('canvas', { width, height });
    const colour = tint.getContext('2d');
    colour.drawImage(mask.canvas, 0, 0);
    colour.globalCompositeOperation = 'source-in';
    colour.fillStyle = TINTS[index];
    colour.fillRect(0, 0, width, height);
    brush.globalAlpha = index === current ? 0.6 : 0.4;
    brush.drawImage(tint, 0, 0);
    brush.globalAlpha = 1;
  });
  $('mask-undo').disabled = now().empty;
}

/** One row for each region: which is painted now, in which style; and what happens to the rest. */
function showRegions() {
  const clip = draft.source.kind === 'video'; // a clip has one mask
  const rows = regions.map((region, index) => {
    const radio = h('input', { type: 'radio', name: 'region', checked: index === current });
    radio.addEventListener('change', () => { current = index; paint(); });
    const mark = h('i', { className: `tint tint-${index}`, 'aria-hidden': 'true' });
    const label = h('label', { className: 'inline' }, radio, mark, h('span', {}, `Part ${index + 1}`));
    return h('div', { className: 'row' }, label, clip ? null : styles(`Style of part ${index + 1}`, region.style, (key) => { region.style = key; }));
  });
  if (!clip) {
    const others = styles('Style of everything else', rest, (key) => { rest = key; }, 'stays a photograph');
    rows.push(h('div', { className: 'row' }, h('span', { className: 'inline' }, 'Everything else'), others));
    if (regions.length < MOST) {
      const more = h('button', { type: 'button', className: 'plain slim' }, 'Another part');
      more.addEventListener('click', () => { addRegion(); showRegions(); paint(); });
      rows.push(more);
    }
  }
  $('regions').replaceChildren(...rows);
}

function styles(name, chosen, picked, none = 'the chosen style') {
  const tiles = [...document.querySelectorAll('#gallery [data-style]')];
  const options = tiles.map((tile) => h('option', { value: tile.dataset.style, selected: tile.dataset.style === chosen }, tile.textContent));
  const select = h('select', { 'aria-label': name }, h('option', { value: '' }, none), ...options);
  select.addEventListener('change', () => picked(select.value));
  return select;
}

/** Hand the regions to the draft, with the styles they name. */
async function done() {
  const used = regions.filter(({ mask }) => mask.covers());
  if (!used.length) {
    tell('mask-error', 'Nothing is marked yet: paint over what the style is for, or add a rectangle.');
    return;
  }
  const parts = used.map(({ mask, style }) => ({ mask, style }));
  if (rest) parts.push({ mask: remainder(used.map(({ mask }) => mask)), style: rest });
  for (const part of parts) part.blob = await part.mask.blob();
  draft.regions = parts.map(({ blob, style }) => ({ blob, style }));
  $('mask').close();
  window.dispatchEvent(new CustomEvent('styles-named', { detail: parts.map(({ style }) => style).filter(Boolean) }));
  changed();
}
