/** Where this browser stores the draft (IndexedDB). */

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

export const loadDraft = () => withStore('readonly', (store) => store.get('now')).catch(() => null);

/** There may be no room, or this may be a private window: then nothing is saved. @param {object} draft */
export const storeDraft = (draft) => withStore('readwrite', (store) => store.put(draft, 'now')).catch(() => {});

export const deleteSavedDraft = () => withStore('readwrite', (store) => store.delete('now')).catch(() => {});
