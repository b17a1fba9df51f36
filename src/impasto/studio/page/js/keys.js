/** Frames of the clip that somebody has painted: the clip is painted from them. */

import { $, announce, h, showMessage } from './dom.js';
import { draft, draftChanged, onDraftChange } from './draft.js';
import { text } from './texts.js';

/** Connect the list of painted frames; it is there for clips only. */
export function startKeys() {
  const input = $('key-file', HTMLInputElement);
  $('key-add').addEventListener('click', () => input.click());
  input.addEventListener('change', () => {
    addKeys([...(input.files ?? [])]);
    input.value = ''; // the same file may be chosen again
  });
  onDraftChange(showKeys);
  showKeys();
}

/** The number in a file's name, such as 24 in "000024.png". @param {File} file */
const numberIn = (file) => Number(/(\d{1,9})\D*$/.exec(file.name)?.[1] ?? 0);

/** @param {File[]} files */
function addKeys(files) {
  showMessage('key-error', '');
  draft.keys = [...draft.keys, ...files.map((file) => ({ file, frame: numberIn(file) }))];
  draftChanged();
  announce(files.length === 1 ? text('keyAdded', { name: files[0].name }) : text('keysAdded', { count: files.length }));
}

function showKeys() {
  $('keys').hidden = draft.content?.kind !== 'video';
  const { keptKeys } = draft;
  $('keys-kept').textContent = keptKeys.length && !draft.keys.length ? text('keysKept', { frames: keptKeys.join(', ') }) : '';
  $('key-list').replaceChildren(...draft.keys.map(keyRow));
}

/** @param {import('./draft.js').Key} key */
function keyRow(key) {
  const number = h('input', {
    type: 'number', min: '0', step: '1', inputMode: 'numeric', value: String(key.frame), 'aria-label': text('keyFrame', { name: key.file.name }),
  });
  number.addEventListener('change', () => {
    key.frame = Math.max(0, Math.trunc(number.valueAsNumber || 0));
    number.value = String(key.frame);
  });
  const remove = h('button', { type: 'button', className: 'plain slim', 'aria-label': text('removeNamed', { name: key.file.name }) }, text('remove'));
  remove.addEventListener('click', () => {
    draft.keys = draft.keys.filter((other) => other !== key);
    draftChanged();
    $('key-add').focus();
  });
  return h('li', { className: 'row' }, h('label', { className: 'inline' }, `${text('frame')} `, number), h('span', {}, key.file.name), remove);
}
