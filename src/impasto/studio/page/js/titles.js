/** Titles of styles, samples and presets in the page's language; those that it does not know are the server's. */

import { text, textOr } from './texts.js';

/** @param {{id: string | null, title: string}} style a sample, or a style of a job */
export const titleOf = ({ id, title }) => (id === null ? text('ownStyle') : textOr(`sample-${id}`, title));

/** @param {string} name */
export const presetTitle = (name) => textOr(`preset-${name}`, capitalised(name));

/** @param {string} name @param {string} purpose as the server says it */
export const presetPurpose = (name, purpose) => textOr(`purpose-${name}`, purpose && `${capitalised(purpose)}.`);

const capitalised = (/** @type {string} */ words) => words[0].toUpperCase() + words.slice(1);
