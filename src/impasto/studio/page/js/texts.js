/**
 * The page's texts, one file for each language; the browser's language is taken first, or the one last chosen.
 * The static site uses this script too, with texts of its own.
 */

const LANGUAGES = ['en', 'de'];
const STORED = 'impasto-language';

/** @type {Record<string, string>} */
let texts = {};
let language = 'en';

/** A text with its {placeholders} filled in. @param {string} key @param {Record<string, string | number>} [values] */
export function text(key, values = {}) {
  return (texts[key] ?? key).replaceAll(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** A text, or what the server says where there is none for it. @param {string} key @param {string} otherwise */
export const textOr = (key, otherwise) => texts[key] ?? otherwise;

/** How the page's language is written where the user is, such as "en-GB". */
export const locale = () => navigator.languages.find((name) => name.slice(0, 2) === language) ?? language;

/** A number with one decimal, as the page's language writes it. @param {number} value */
export const decimal = (value) => value.toLocaleString(locale(), { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** "a, b and c", in the page's language. @param {string[]} names */
export const listed = (names) => new Intl.ListFormat(locale()).format(names);

/** An error whose message is a text for the user. */
export class UserError extends Error {
  /** @param {string} key @param {Record<string, string | number>} [values] */
  constructor(key, values) { super(text(key, values)); }
}

/** Load the texts and write them onto the page. */
export async function startTexts() {
  const wanted = [stored(), ...navigator.languages.map((name) => name.slice(0, 2))];
  await useLanguage(wanted.find((name) => LANGUAGES.includes(name)) ?? 'en');
}

/** The other language of the page. */
export async function switchLanguage() {
  await useLanguage(LANGUAGES[(LANGUAGES.indexOf(language) + 1) % LANGUAGES.length]);
  try {
    localStorage.setItem(STORED, language);
  } catch { /* The choice lasts as long as the page, where nothing may be stored. */ }
}

function stored() {
  try {
    return localStorage.getItem(STORED) ?? '';
  } catch {
    return '';
  }
}

/** @param {string} name */
async function useLanguage(name) {
  const response = await fetch(`texts/${name}.json`);
  texts = await response.json();
  language = name;
  document.documentElement.lang = name;
  for (const element of document.querySelectorAll('[data-text]')) {
    element.textContent = text(element.getAttribute('data-text') ?? '');
  }
  for (const attribute of ['label', 'placeholder']) {
    for (const element of document.querySelectorAll(`[data-${attribute}]`)) {
      element.setAttribute(attribute === 'label' ? 'aria-label' : attribute, text(element.getAttribute(`data-${attribute}`) ?? ''));
    }
  }
}
