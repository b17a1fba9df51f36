/** What was chosen outlives a reload: phones drop a page from memory while their camera is open.
 *
 * It stays in this browser (IndexedDB) for an hour at most, and goes with "New picture".
 */

import { later } from './dom.js';
import { draft, onDraft } from './draft.js';
import { addStyle, chooseStyles } from './gallery.js';
import { chosenSettings, setSettings } from './settings.js';
import { takeFile } from './source.js';

const HOUR = 3600e3;

/** Run one request on the store; resolves to its result. */
function store(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open('impasto', 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('draft');
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const request = work(opening.result.transaction('draft', mode).objectStore('draft'));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
      request.transaction.oncomplete = () => opening.result.close();
    };
  });
}

const forgetDraft = () => store('readwrite', (box) => box.delete('now'));

const save = later(400, () => {
  const { source } = draft;
  if (!source?.file) return forgetDraft().catch(() => {});
  const styles = draft.styles.map(({ id, file, title, weight }) => ({ id, file, title, weight }));
  const kept = { at: Date.now(), file: source.file, title: source.title, styles, settings: chosenSettings() };
  return store('readwrite', (box) => box.put(kept, 'now')).catch(() => {}); // no room, or a private window
});

/** Bring back what was chosen, unless there is something new; from now on keep it. */
export async function startKeeping(wanted) {
  const kept = await store('readonly', (box) => box.get('now')).catch(() => null);
  if (kept && wanted() && Date.now() - kept.at < HOUR) {
    await takeFile(kept.file, kept.title);
    const styles = await Promise.all(kept.styles.map((style) => (style.file ? addStyle(style.file, style.title) : `id:${style.id}`)));
    chooseStyles(styles, kept.styles.map((style) => style.weight));
    setSettings(kept.settings);
  } else if (kept && !draft.source) {
    await forgetDraft().catch(() => {});
  }
  onDraft(save);
  document.getElementById('form').addEventListener('change', save);
}
