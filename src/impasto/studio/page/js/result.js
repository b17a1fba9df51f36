/** The third view: a finished picture or clip, compared, weakened, kept, painted again. */

import { post } from './api.js';
import { compare, plain } from './compare.js';
import { $, duration, h, later, loaded, query, say, segments, tell } from './dom.js';

let job = null;
let format = 'png';
let strength = 1;

const ENDINGS = { png: 'png', jpeg: 'jpg', webp: 'webp' };

/** Wire the view: `painted(job)` for another run, `settings(job)` to change them, `deleted(job)`. */
export function startResult({ painted, settings, deleted }) {
  $('format').addEventListener('change', () => { format = $('format').value; showLinks(); });
  const exact = later(250, showExact);
  $('after').addEventListener('input', () => {
    strength = $('after').value / 100;
    $('after-out').textContent = `${$('after').value} %`;
    const picture = $('result-frame').querySelector('.after');
    if (picture) picture.style.opacity = picture.dataset.exact === '1' ? strength : 1;
    exact();
    showLinks();
  });
  $('again-seed').addEventListener('click', () => again(painted));
  $('again-settings').addEventListener('click', () => settings(job));
  $('delete').addEventListener('click', () => deleted(job));
  $('share').addEventListener('click', share);
  startZoom();
}

/** Show a finished job; `original`: address of the clip it was made of, if this page still has it. */
export async function showResult(finished, original) {
  job = finished;
  strength = 1;
  const clip = job.kind === 'video';
  const has = Boolean(job.result);
  $('after').value = 100;
  $('after-out').textContent = '100 %';
  $('result-title').textContent = { done: 'Finished', cancelled: has ? 'Stopped: the best so far' : 'Stopped', failed: 'It did not work' }[job.state];
  $('result-about').textContent = about();
  tell('result-error', job.error ?? (has ? '' : 'It was stopped before there was a picture.'));
  for (const id of ['after-field', 'compare-field', 'format', 'zoom-open']) $(id).hidden = clip || !has;
  $('save').hidden = !has;
  $('share').hidden = !has || !navigator.canShare;
  $('recipe-text').textContent = JSON.stringify(clip ? { ...job.recipe, video: job.video } : job.recipe, null, 2);
  $('result-frame').className = clip ? 'players' : 'frame';
  plain($('result-frame'));
  showLinks();
  if (!has) showContent();
  else if (clip) showPlayers(job.original ?? original);
  else await showPicture();
  say($('result-title').textContent);
}

function about() {
  const size = job.size ? `${job.size[1]} × ${job.size[0]}` : '';
  const styles = (job.styles ?? []).map((style) => style.title).join(' and ');
  const frames = job.frames ? `${job.frames} frames` : '';
  const time = job.seconds ? `painted in ${duration(job.seconds)}` : '';
  return [styles, size, frames, time, job.preset, `seed ${job.recipe?.seed ?? 0}`].filter(Boolean).join(' · ');
}

function showContent() {
  const picture = job.preview ?? job.content;
  $('result-frame').replaceChildren(...(picture ? [h('img', { src: picture, alt: 'Your photograph' })] : []));
}

async function showPicture() {
  const mine = job;
  const [before, after] = await Promise.all([loaded(job.content, 'Before: your photograph'), loaded(picture(1), 'After: the painting')]);
  if (mine !== job) return;
  const ground = before.cloneNode();
  ground.alt = '';
  ground.className = 'ground'; // what shows through while the strength is moved
  after.className = 'after';
  after.dataset.exact = '1';
  compare($('result-frame'), $('compare'), before, after);
  $('result-frame').prepend(ground);
}

const picture = (share) => query(job.result, { format: 'jpeg', strength: share });

/** The server's own blend of that strength, in place of the quick one. */
async function showExact() {
  const mine = job;
  const wanted = strength;
  try {
    const image = await loaded(picture(wanted), 'After: the painting');
    const old = $('result-frame').querySelector('.after');
    if (mine !== job || wanted !== strength || !old) return;
    image.className = 'after';
    image.dataset.exact = String(wanted);
    old.replaceWith(image);
  } catch {
    tell('result-error', 'This strength could not be loaded; move the slider to try again.');
  }
}

function showPlayers(original) {
  const after = h('video', { src: job.result, controls: true, loop: true, playsInline: true, preload: 'metadata', 'aria-label': 'After: the painted clip' });
  const figures = [h('figure', {}, after, h('figcaption', {}, 'painted'))];
  if (original) {
    const before = h('video', { src: original, muted: true, loop: true, playsInline: true, preload: 'metadata', 'aria-label': 'Before: your clip' });
    const level = () => { if (Math.abs(before.currentTime - after.currentTime) > 0.1) before.currentTime = after.currentTime; };
    after.addEventListener('play', () => before.play().catch(() => {}));
    after.addEventListener('pause', () => before.pause());
    for (const moment of ['seeked', 'timeupdate', 'pause']) after.addEventListener(moment, level);
    figures.push(h('figure', {}, before, h('figcaption', {}, 'as filmed')));
  }
  $('result-frame').replaceChildren(...figures);
}

const name = () => (job.kind === 'video' ? `impasto-${job.id.slice(0, 8)}.mp4` : `impasto-${job.id.slice(0, 8)}.${ENDINGS[format]}`);

function file() {
  return query(job.result, job.kind === 'video' ? { download: 1 } : { format, strength, download: 1 });
}

function showLinks() {
  if (!job?.result) return;
  $('save').href = file();
  $('save').download = name();
  $('save').textContent = job.kind === 'video' ? 'Save the clip' : 'Save the picture';
}

/** The phone's share sheet, which also saves to the photographs. */
async function share() {
  try {
    const blob = await (await fetch(file())).blob();
    const files = [new File([blob], name(), { type: blob.type })];
    if (navigator.canShare({ files })) await navigator.share({ files, title: 'Impasto' });
    else tell('result-error', 'This browser cannot share that file; save it instead.');
  } catch (error) {
    if (error.name !== 'AbortError') tell('result-error', 'It could not be shared; save it instead.');
  }
}

async function again(painted) {
  tell('result-error', '');
  $('again-seed').disabled = true;
  try {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0];
    painted(await post(`/v1/jobs/${job.id}/again`, { recipe: { seed } }));
  } catch (error) {
    tell('result-error', error.message);
  } finally {
    $('again-seed').disabled = false;
  }
}

function startZoom() {
  const easel = $('zoom-easel');
  const choose = segments($('zoom-levels'), 'zoom', [['fit', 'Whole'], ['1', '100 %'], ['2', '200 %'], ['4', '400 %']], '1', scale);
  function scale(level) {
    const image = easel.querySelector('img');
    if (!image) return;
    const middle = [(easel.scrollLeft + easel.clientWidth / 2) / easel.scrollWidth, (easel.scrollTop + easel.clientHeight / 2) / easel.scrollHeight];
    easel.classList.toggle('whole', level === 'fit');
    image.style.width = level === 'fit' ? '' : `${(image.naturalWidth * level) / window.devicePixelRatio}px`;
    easel.scrollTo(middle[0] * easel.scrollWidth - easel.clientWidth / 2, middle[1] * easel.scrollHeight - easel.clientHeight / 2);
  }
  $('zoom-open').addEventListener('click', async () => {
    try {
      easel.replaceChildren(await loaded(query(job.result, { format: 'png', strength }), 'The painting, enlarged'));
    } catch {
      tell('result-error', 'The picture could not be loaded; try again.');
      return;
    }
    $('zoom').showModal();
    choose('2');
    scale('2');
  });
  $('zoom-close').addEventListener('click', () => $('zoom').close());
}
