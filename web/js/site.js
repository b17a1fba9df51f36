/** What the site was built with: how the network is tiled, and which pictures are there to try. */

/** @typedef {{facts: import('./engine/models.js').Facts, styles: string[], photographs: string[]}} Site */

/** Address of the site's folder. */
export const SITE = new URL('../', import.meta.url).href;

/** @type {Promise<Site> | null} */
let loaded = null;

/** @returns {Promise<Site>} */
export function siteFacts() {
  loaded ??= fetch(`${SITE}site.json`).then((response) => response.json());
  loaded.catch(() => { loaded = null; });
  return loaded;
}
