/** Frames of the clip that somebody has painted: the clip is painted from them. */

import { $, announce, h, showMessage } from './dom.js';
import { draft, draftChanged, onDraftChange } from './draft.js';

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
  announce(files.length === 1 ? `${files[0].name} added` : `${files.length} painted frames added`);
}

function showKeys() {
  $('keys').hidden = draft.content?.kind !== 'video';
  const { keptKeys } = draft;
  $('keys-kept').textContent = keptKeys.length && !draft.keys.length ? `Painted already: frame ${keptKeys.join(', ')}` : '';
  $('key-list').replaceChildren(...draft.keys.map(keyRow));
}

/** @param {import('./draft.js').Key} key */
function keyRow(key) {
  const number = h('input', {
    type: 'number', min: '0', step: '1', inputMode: 'numeric', value: String(key.frame), 'aria-label': `Frame of ${key.file.name}`,
  });
  number.addEventListener('change', () => { key.frame = Math.max(0, Math.trunc(number.valueAsNumber || 0)); });
  const remove = h('button', { type: 'button', className: 'plain slim', 'aria-label': `Remove ${key.file.name}` }, 'Remove');
  remove.addEventListener('click', () => {
    draft.keys = draft.keys.filter((other) => other !== key);
    draftChanged();
    $('key-add').focus();
  });
  return h('li', { className: 'row' }, h('label', { className: 'inline' }, 'Frame ', number), h('span', {}, key.file.name), remove);
}
