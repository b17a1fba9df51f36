/**
 * Keeps the draft across a reload: a phone may unload the page while its camera is open.
 *
 * It is stored in this browser (IndexedDB), for an hour at most; "New picture" deletes it.
 */

import { chooseFile } from './content.js';
import { $, debounce } from './dom.js';
import { draft, onDraftChange } from './draft.js';
import { chosenSettings, setSettings } from './settings.js';
import { addStyleFile, chooseStyles } from './styles.js';

const MAX_AGE = 3600e3; // milliseconds

/**
 * Run one request on the store; resolves to its result.
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} startRequest
 * @returns {Promise<T>}
 */
function withStore(mode, startRequest) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open('impasto', 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('draft');
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction('draft', mode);
      const request = startRequest(transaction.objectStore('draft'));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
      transaction.oncomplete = () => opening.result.close();
    };
  });
}

const deleteSaved = () => withStore('readwrite', (store) => store.delete('now'));

const save = debounce(400, () => {
  const { content } = draft;
  if (!content?.file) return deleteSaved().catch(() => {});
  const styles = draft.styles.map(({ id, file, title, weight }) => ({ id, file, title, weight }));
  const saved = { at: Date.now(), file: content.file, title: content.title, styles, settings: chosenSettings() };
  return withStore('readwrite', (store) => store.put(saved, 'now')).catch(() => {}); // no room, or a private window
});

/**
 * Restore the saved draft if `shouldRestore()` returns true, then save every change.
 * @param {() => boolean} shouldRestore
 */
export async function startSavingDraft(shouldRestore) {
  const saved = await withStore('readonly', (store) => store.get('now')).catch(() => null);
  if (saved && shouldRestore() && Date.now() - saved.at < MAX_AGE) {
    await chooseFile(saved.file, saved.title);
    /** @type {import('./draft.js').DraftStyle[]} */
    const styles = saved.styles;
    const keys = await Promise.all(styles.map(({ id, file, title }) => (file ? addStyleFile(file, title) : `id:${id}`)));
    chooseStyles(keys, styles.map(({ weight }) => weight));
    setSettings(saved.settings);
  } else if (saved && !draft.content) {
    await deleteSaved().catch(() => {});
  }
  onDraftChange(save);
  $('form').addEventListener('change', save);
}
