/** Before and after: the photograph lies over the painting and is clipped at a line that can be moved. */

import { h } from './dom.js';
import { text } from './texts.js';

/**
 * Show both pictures in `frame`.
 * @param {HTMLElement} frame
 * @param {HTMLInputElement} slider from 0 to 100: how much of the photograph is seen
 * @param {HTMLElement} before
 * @param {HTMLElement} after
 */
export function startComparison(frame, slider, before, after) {
  const line = h('div', { className: 'line', 'aria-hidden': 'true' });
  before.classList.add('before');
  frame.replaceChildren(after, before, line);
  const update = () => {
    const share = Number(slider.value);
    before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    line.style.left = `${share}%`;
    slider.setAttribute('aria-valuetext', text('photographShare', { share }));
  };
  slider.oninput = update;
  const moveTo = (/** @type {PointerEvent} */ event) => {
    const box = frame.getBoundingClientRect();
    slider.value = String(Math.round(((event.clientX - box.left) / box.width) * 100));
    update();
  };
  frame.onpointerdown = (event) => {
    if (event.button) return;
    frame.setPointerCapture(event.pointerId);
    event.preventDefault();
    moveTo(event);
  };
  frame.onpointermove = (event) => frame.hasPointerCapture(event.pointerId) && moveTo(event);
  slider.value = '0';
  update();
}

/** Stop listening for the pointer. @param {HTMLElement} frame */
export function stopComparison(frame) {
  frame.onpointerdown = null;
  frame.onpointermove = null;
}
