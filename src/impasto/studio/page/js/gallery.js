/** The gallery of styles, for the studio's page and the static site: one style is chosen, or several with weights. */

import { $, h } from './dom.js';

/** A style as the gallery shows it. @typedef {{key: string, title: string, thumbnail: string, weight: number}} Tile */

const blendSwitch = () => $('blend', HTMLInputElement);

/** @template {Tile} Style */
export class Gallery {
  /** In the order in which they were chosen. @type {Style[]} */
  chosen = [];

  /** By the style's key. @type {Map<string, {style: Style, button: HTMLButtonElement}>} */
  #tiles = new Map();

  /** @type {() => void} */
  #onChange;

  /**
   * @param {HTMLElement} ownLabel of the tile that adds pictures of the user's
   * @param {(files: File[]) => void} onFiles gets those pictures
   * @param {() => void} onChange called when others are chosen, or with other weights
   */
  constructor(ownLabel, onFiles, onChange) {
    this.#onChange = onChange;
    const input = $('style-file', HTMLInputElement);
    input.addEventListener('change', () => {
      const files = [...input.files ?? []];
      input.value = '';
      onFiles(files);
    });
    blendSwitch().addEventListener('change', () => {
      if (!blendSwitch().checked) this.chosen = this.chosen.slice(0, 1);
      this.#changed();
    });
    const button = h('button', { type: 'button', className: 'upload-tile' }, h('span', { className: 'plus', 'aria-hidden': 'true' }), ownLabel);
    button.addEventListener('click', () => input.click());
    $('gallery').append(h('li', { id: 'upload-tile' }, button));
  }

  /** Add a style to the end, or to the beginning; returns its key. @param {Style} style */
  add(style, atBeginning = false) {
    const image = h('img', { src: style.thumbnail, alt: '', width: 256, height: 256, decoding: 'async' });
    const button = h('button', { type: 'button', 'aria-pressed': 'false', 'data-style': style.key }, image, h('span', {}, style.title));
    button.addEventListener('click', () => this.toggle(style.key));
    const item = h('li', {}, button);
    if (atBeginning) $('gallery').prepend(item);
    else $('upload-tile').before(item);
    this.#tiles.set(style.key, { style, button });
    return style.key;
  }

  /** @param {string} key */
  has(key) { return this.#tiles.has(key); }

  /** As a click does: choose the style; while styles are blended add or remove it. @param {string} key */
  toggle(key) {
    const style = this.#tiles.get(key)?.style;
    if (!style) return;
    const isBlending = blendSwitch().checked;
    if (!this.chosen.includes(style)) this.chosen = isBlending ? [...this.chosen, style] : [style];
    else if (isBlending && this.chosen.length > 1) this.chosen = this.chosen.filter((other) => other !== style);
    this.#changed();
  }

  /**
   * Choose styles with their weights; unknown keys are left out.
   * @param {string[]} keys
   * @param {number[]} [weights]
   */
  choose(keys, weights) {
    /** @type {Set<Style>} */
    const chosen = new Set();
    keys.forEach((key, index) => {
      const style = this.#tiles.get(key)?.style;
      if (!style) return;
      style.weight = weights?.[index] ?? 1;
      chosen.add(style);
    });
    this.chosen = [...chosen];
    if (this.chosen.length > 1) blendSwitch().checked = true;
    delete $('weights').dataset.shown; // the sliders may show other weights
    this.#changed();
  }

  /** Choose these styles too, with the weights that they have. @param {string[]} keys */
  include(keys) {
    const all = [...new Set([...this.chosen.map(({ key }) => key), ...keys])];
    this.choose(all, all.map((key) => this.#tiles.get(key)?.style.weight ?? 1));
  }

  #changed() {
    this.show();
    this.#onChange();
  }

  /** Mark the chosen tiles, and show sliders of their weights if there are several. */
  show(hasWeights = true) {
    for (const { style, button } of this.#tiles.values()) {
      button.setAttribute('aria-pressed', String(this.chosen.includes(style)));
      if (button.lastElementChild) button.lastElementChild.textContent = style.title;
    }
    const container = $('weights');
    container.hidden = this.chosen.length < 2 || !hasWeights;
    const shown = this.chosen.map(({ key, title }) => `${key} ${title}`).join();
    if (container.hidden || container.dataset.shown === shown) return;
    container.dataset.shown = shown;
    container.replaceChildren(...this.chosen.map((style) => this.#weightSlider(style)));
  }

  /** @param {Style} style */
  #weightSlider(style) {
    const output = h('output', {}, String(Math.round(style.weight * 100)));
    const input = h('input', { type: 'range', min: 0, max: 300, step: 5, value: style.weight * 100 });
    input.addEventListener('input', () => {
      style.weight = input.valueAsNumber / 100;
      output.textContent = input.value;
      this.#onChange();
    });
    return h('label', { className: 'weight' }, h('span', {}, style.title), input, output);
  }
}
