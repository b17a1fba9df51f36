/** Before and after: the photograph over the picture, cut off at a line that pointer and slider move. */

import { h } from './dom.js';

/** Put both into `frame`; `slider` (an input of 0..100: how much of the photograph is seen) moves the line. */
export function compare(frame, slider, before, after) {
  const line = h('div', { className: 'line', 'aria-hidden': 'true' });
  before.classList.add('before');
  frame.replaceChildren(after, before, line);
  const show = () => {
    const share = Number(slider.value);
    before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    line.style.left = `${share}%`;
    slider.setAttribute('aria-valuetext', `${share} % of the photograph`);
  };
  slider.oninput = show;
  const drag = (event) => {
    const box = frame.getBoundingClientRect();
    slider.value = Math.round(((event.clientX - box.left) / box.width) * 100);
    show();
  };
  frame.onpointerdown = (event) => {
    if (event.button) return;
    frame.setPointerCapture(event.pointerId);
    event.preventDefault();
    drag(event);
  };
  frame.onpointermove = (event) => frame.hasPointerCapture(event.pointerId) && drag(event);
  slider.value = 0;
  show();
}

/** Take the comparison off again. */
export function plain(frame) {
  frame.onpointerdown = frame.onpointermove = null;
}
