/** Starts the page. */

import { choosePicture, nameSamples, startContent } from './content.js';
import { $, radioGroup, showMessage } from './dom.js';
import { showRecording, startLive } from './live.js';
import { messageOf } from './messages.js';
import { startOffline } from './offline.js';
import { onEngineChange, startPainter } from './painter.js';
import { show, startResult } from './result.js';
import { addStyleFiles, nameStyles, startStyles } from './styles.js';
import { startTexts, switchLanguage, text } from './texts.js';
import { onWish, wish, wishChanged } from './wish.js';

/** Long sides of a painting in pixels; 'original' is the photograph's own. */
const SIZES = ['512', '1024', '2048', 'original'];
/** Chosen for a clip at first: its frames are many. */
const CLIP_SIDE = 512;

function startSettings() {
  const strength = $('strength', HTMLInputElement);
  strength.addEventListener('input', () => { wish.strength = strength.valueAsNumber / 100; wishChanged(); });
  const keepColours = $('keep-colours', HTMLInputElement);
  keepColours.addEventListener('change', () => { wish.keepColours = keepColours.checked; wishChanged(); });
  const choices = SIZES.map((size) => /** @type {[string, string]} */ ([size, size]));
  const selectSize = radioGroup($('sizes'), 'size', choices, String(wish.size), (size) => { wish.size = Number(size) || null; wishChanged(); });
  let latest = wish.content;
  onWish(() => {
    if (wish.content?.clip && wish.content !== latest) {
      wish.size = CLIP_SIDE;
      selectSize(String(CLIP_SIDE));
    }
    latest = wish.content;
  });
  $('sizes').lastElementChild?.querySelector('span')?.setAttribute('data-text', 'sizeOriginal');
}

/** Load the network while the user is choosing, and say what it runs on. */
async function showEngine() {
  try {
    $('engine').textContent = text('engineLoading');
    const engine = await startPainter();
    $('engine').textContent = nameEngine(engine);
    return engine;
  } catch (error) {
    $('engine').textContent = messageOf(error);
    return null;
  }
}

/** @param {import('./painter.js').Engine} engine */
function nameEngine({ backend, threads }) {
  document.body.dataset.engine = `${backend} ${threads}`;
  const key = backend === 'webgpu' ? 'engineWebgpu' : threads > 1 ? 'engineWasm' : 'engineWasmOne';
  return text(key, { threads });
}

async function start() {
  startSettings();
  await startTexts();
  startResult();
  startLive((blob) => choosePicture(blob, text('livePhotograph')));
  $('language').addEventListener('click', async () => {
    try {
      await switchLanguage();
    } catch {
      showMessage('source-error', text('errorLoad'));
      return;
    }
    nameSamples();
    show();
    nameStyles();
    showRecording();
    showEngine();
  });
  await Promise.all([startContent(addStyleFiles), startStyles()]).catch(() => showMessage('source-error', text('errorLoad')));
  nameSamples();
  onEngineChange((engine) => { $('engine').textContent = `${text('engineLost')} ${nameEngine(engine)}`; });
  document.body.dataset.ready = '';
  const engine = await showEngine();
  if (engine) await startOffline(engine.backend);
}

start();
