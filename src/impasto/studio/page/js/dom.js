/** Small things about the document: elements, messages, numbers in words. */

export const $ = (id) => document.getElementById(id);

/** An element: properties are set as such, `data-…`, `aria-…` and `role` as attributes, `on` as listeners. */
export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === 'on') for (const [type, listener] of Object.entries(value)) made.addEventListener(type, listener);
    else if (/^(aria-|data-|role$|for$|list$)/.test(name)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Show a line where it belongs (an element with role=alert), or take it away with ''. */
export function tell(where, line) {
  const element = typeof where === 'string' ? $(where) : where;
  element.textContent = line;
  element.hidden = !line;
  if (line) element.scrollIntoView({ block: 'nearest' });
}

/** Say something to a screen reader without moving the focus. */
export function say(line) {
  const said = $('said');
  if (said.textContent !== line) said.textContent = line;
}

/** A function that waits until nobody has called it for `ms`. */
export function later(ms, work) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
}

/** 8 → "8 s", 130 → "2 min 10 s". */
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ''}`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

/** 3400000 → "3.4 MB". */
export function bytes(count) {
  return count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB`;
}

/** A row of radio buttons that looks like one control; returns a function that chooses a value. */
export function segments(box, name, choices, chosen, picked) {
  const inputs = choices.map(([value, label]) => {
    const input = h('input', { type: 'radio', name, value, checked: value === chosen });
    input.addEventListener('change', () => picked(value));
    box.append(h('label', {}, input, h('span', {}, label)));
    return input;
  });
  return (value) => inputs.forEach((input) => { input.checked = input.value === value; });
}

/** Add a query to an address that may have one. */
export function query(address, values) {
  const url = new URL(address, location.origin);
  for (const [name, value] of Object.entries(values)) url.searchParams.set(name, value);
  return url.pathname + url.search;
}

/** Load a picture before showing it, so that nothing flickers; resolves to the element. */
export async function loaded(address, alt) {
  const image = h('img', { src: address, alt });
  await image.decode();
  return image;
}
