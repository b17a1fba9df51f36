/** What the next picture will be painted from: the one state that the parts of the first view share. */

export const draft = {
  /** {kind, url, element, file} of a file, or {kind, url, job} of an earlier job; null: nothing chosen. */
  source: null,
  /** In the order chosen: {key, title, thumbnail, weight} with `id` (gallery), `file` (own) or `of` (a job's). */
  styles: [],
  /** Masks: [{style: key, blob}] or null; `kept`: those of the earlier job stay. */
  regions: null,
  keptMasks: 0,
  /** What the server said of itself: presets, schemas, limits. */
  settings: null,
};

const listeners = new Set();

/** Call `listener` after each change of the draft. */
export const onDraft = (listener) => listeners.add(listener);
export const changed = () => listeners.forEach((listener) => listener());

/** The styles as the server takes them: one for each region, or all for the whole picture. */
export function orderedStyles() {
  if (!draft.regions) return draft.styles;
  return draft.regions.map((region) => draft.styles.find((style) => style.key === region.style) ?? draft.styles[0]);
}
