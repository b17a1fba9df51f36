/**
 * Keeps the draft across a reload: a phone may unload the page while its camera is open.
 *
 * It is stored in this browser, for an hour at most; "New picture" and signing out delete it.
 */

import { chooseFile } from './content.js';
import { $, debounce } from './dom.js';
import { draft, onDraftChange } from './draft.js';
import { signedInPerson } from './session.js';
import { chosenSettings, setSettings } from './settings.js';
import { deleteSavedDraft, loadDraft, storeDraft } from './stored-draft.js';
import { addStyleFile, chooseStyles } from './styles.js';

const MAX_AGE = 3600e3; // milliseconds

const save = debounce(400, async () => {
  const { content } = draft;
  if (!content?.file) return deleteSavedDraft();
  const styles = draft.styles.map(({ id, file, title, weight }) => ({ id, file, title, weight }));
  const person = await signedInPerson();
  const saved = { person, at: Date.now(), file: content.file, title: content.title, styles, settings: chosenSettings() };
  return storeDraft(saved);
});

/**
 * Restore the saved draft if `shouldRestore()` returns true, then save every change.
 * @param {() => boolean} shouldRestore
 */
export async function startSavingDraft(shouldRestore) {
  try {
    await restore(shouldRestore);
  } finally {
    onDraftChange(save);
    $('form').addEventListener('change', save);
  }
}

/** @param {() => boolean} shouldRestore */
async function restore(shouldRestore) {
  const saved = await loadDraft();
  const isTheirs = saved && (saved.person ?? null) === await signedInPerson();
  if (isTheirs && shouldRestore() && Date.now() - saved.at < MAX_AGE) {
    await chooseFile(saved.file, saved.title);
    /** @type {import('./draft.js').DraftStyle[]} */
    const styles = saved.styles;
    const keys = await Promise.all(styles.map(({ id, file, title }) => (
      file ? addStyleFile(file, title).catch(() => '') : `id:${id}` // one that cannot be shown again is left out
    )));
    chooseStyles(keys, styles.map(({ weight }) => weight));
    setSettings(saved.settings);
  } else if (saved && (!isTheirs || !draft.content)) {
    await deleteSavedDraft();
  }
}
