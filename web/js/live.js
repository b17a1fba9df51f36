/** The live view: what the camera sees, painted frame by frame. */

import { $, announce, blobOf, context2d, h, showMessage } from './dom.js';
import { messageOf } from './messages.js';
import { paintPicture, Superseded } from './painter.js';
import { fitted, longSideOf } from './pictures.js';
import { download, show } from './result.js';
import { decimal, text, UserError } from './texts.js';
import { onWish, stylesAndSettings, wish } from './wish.js';

/** Long sides of a painted frame. The size is lowered before the frame rate. */
const SIDES = [192, 256, 320, 384, 512];
/** Size that the camera is asked for; larger frames take hundreds of megabytes in Chromium. */
const LIVE_SIZE = [640, 480];
const PHOTOGRAPH_SIZE = [1920, 1440];
/** Milliseconds that a camera gets to change its size. */
const CHANGE_TIME = 1000;
/** Frames per second that are aimed at, and those from which the next size is tried. */
const WANTED_RATE = 15;
const HIGH_RATE = 30;
/** The rate is measured over so many frames, or so many seconds if they are slow, before the size changes. */
const MEASURED_FRAMES = 8;
const MEASURED_SECONDS = 1.5;
/** File types of a clip, the first that the browser can write. */
const CLIP_TYPES = ['video/webm;codecs=vp9', 'video/webm;codecs=vp8', 'video/webm', 'video/mp4'];

const video = h('video', { muted: true, playsInline: true });
const capture = h('canvas');
/** @type {MediaStream | null} */
let stream = null;
let openings = 0; // a camera that opens slowly must not replace one that was opened after it, or a closed view
/** @type {MediaRecorder | null} */
let recorder = null;
let facing = 'environment';
let level = SIDES.indexOf(384);
/** @type {number[]} in seconds */
let frameTimes = [];
/** @type {{side: number, settings: ReturnType<typeof stylesAndSettings>} | null} */
let prepared = null;

/** @param {(photograph: Blob) => void} onPhotograph */
export function startLive(onPhotograph) {
  $('live-open').addEventListener('click', open);
  $('live-close').addEventListener('click', () => { close(); $('live-open').focus(); });
  $('live-turn').addEventListener('click', () => {
    facing = facing === 'environment' ? 'user' : 'environment';
    open();
  });
  $('live-photograph').addEventListener('click', () => photograph(onPhotograph));
  $('live-record').addEventListener('click', toggleRecording);
  onWish(() => { prepared = null; });
  document.addEventListener('visibilitychange', () => {
    if (!stream) return;
    if (document.hidden) $('live-about').textContent = text('livePaused');
    for (const track of stream.getTracks()) track.enabled = !document.hidden;
  });
}

/** @param {(photograph: Blob) => void} onPhotograph */
async function photograph(onPhotograph) {
  const shown = stream;
  const button = $('live-photograph', HTMLButtonElement);
  button.disabled = true;
  try {
    await enlarge();
    if (stream !== shown) return;
    const taken = await blobOf(cameraFrame(Infinity), 'image/jpeg');
    close();
    onPhotograph(taken);
  } catch (error) {
    showMessage('source-error', messageOf(error));
  } finally {
    button.disabled = false;
  }
}

async function open() {
  showMessage('source-error', '');
  stopCamera();
  const opening = openings;
  try {
    const opened = await openCamera();
    if (opening !== openings) {
      for (const track of opened.getTracks()) track.stop();
      return;
    }
    stream = opened;
    opened.getVideoTracks()[0]?.addEventListener('ended', () => { // it was unplugged, or another program took it
      if (stream === opened) fail(new UserError('errorCameraBusy'));
    });
    $('live').hidden = false;
    $('live-about').textContent = text('liveStarting');
    show();
    video.srcObject = opened;
    await video.play();
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === 'videoinput');
    $('live-turn').hidden = cameras.length < 2;
    $('live-canvas').classList.toggle('mirrored', opened.getVideoTracks()[0]?.getSettings().facingMode === 'user');
    $('live-record').hidden = typeof MediaRecorder === 'undefined';
    frameTimes = [];
    await paintFrames(opened);
  } catch (error) {
    if (opening === openings) fail(error);
  }
}

/** @param {unknown} error */
function fail(error) {
  close();
  showMessage('source-error', messageOf(error));
}

/** @returns {Promise<MediaStream>} */
async function openCamera() {
  if (!window.isSecureContext) throw new UserError('errorInsecure');
  if (!navigator.mediaDevices) throw new UserError('errorNoCamera');
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false, video: { facingMode: facing, width: { ideal: LIVE_SIZE[0] }, height: { ideal: LIVE_SIZE[1] } },
    });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    if (name === 'NotAllowedError' || name === 'SecurityError') throw new UserError('errorCameraRefused');
    throw new UserError(name === 'NotFoundError' || name === 'OverconstrainedError' ? 'errorNoCamera' : 'errorCameraBusy');
  }
}

/** Ask the camera for the size of a photograph; it may stay as it is. */
async function enlarge() {
  const [width, height] = PHOTOGRAPH_SIZE;
  const changed = new Promise((resolve) => {
    video.addEventListener('resize', resolve, { once: true });
    setTimeout(resolve, CHANGE_TIME);
  });
  await stream?.getVideoTracks()[0]?.applyConstraints({ width: { ideal: width }, height: { ideal: height } }).catch(() => {});
  await changed;
}

/** What the camera shows now, with at most this long side. @param {number} longSide */
function cameraFrame(longSide) {
  const full = { width: video.videoWidth, height: video.videoHeight };
  const { width, height } = fitted(full, longSideOf(full, longSide));
  if (capture.width !== width || capture.height !== height) Object.assign(capture, { width, height });
  const context = context2d(capture, { willReadFrequently: true });
  context.drawImage(video, 0, 0, width, height);
  return capture;
}

/** Paint frame after frame until this stream is no longer the one that is shown. @param {MediaStream} shown */
async function paintFrames(shown) {
  const canvas = $('live-canvas', HTMLCanvasElement);
  while (stream === shown) {
    await (document.hidden ? nextVisible() : nextFrame());
    if (stream !== shown || document.hidden || !video.videoWidth) continue;
    const start = performance.now();
    const { width, height } = cameraFrame(SIDES[level]);
    const frame = context2d(capture).getImageData(0, 0, width, height);
    const painted = await paintedFrame(frame);
    if (!painted || stream !== shown || document.hidden) continue;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context2d(canvas).putImageData(painted, 0, 0);
    if (wish.styles.length) adaptSize((performance.now() - start) / 1000, width, height);
    else $('live-about').textContent = text('paintStyle');
  }
}

const nextFrame = () => new Promise((resolve) => { requestAnimationFrame(resolve); });
const nextVisible = () => new Promise((resolve) => {
  document.addEventListener('visibilitychange', resolve, { once: true });
});

/** The frame in the chosen style; as it is while none is chosen; null if it was given up. @param {ImageData} frame */
async function paintedFrame(frame) {
  if (!wish.styles.length) return frame;
  const side = Math.max(frame.width, frame.height);
  if (prepared?.side !== side) prepared = { side, settings: stylesAndSettings(side) };
  const picture = { key: `camera ${frame.width}×${frame.height}`, data: frame.data, width: frame.width, height: frame.height };
  try {
    const { data, width, height } = await paintPicture({ picture, ...prepared.settings }, { isFrame: true });
    return new ImageData(/** @type {any} */ (data), width, height);
  } catch (error) {
    if (error instanceof Superseded) return null;
    throw error;
  }
}

/**
 * Show the rate; choose a smaller size where it is too low, a larger one where there is time left.
 * @param {number} seconds that the latest frame took
 * @param {number} width
 * @param {number} height
 */
function adaptSize(seconds, width, height) {
  frameTimes.push(seconds);
  const total = frameTimes.reduce((a, b) => a + b, 0);
  if (frameTimes.length < MEASURED_FRAMES && total < MEASURED_SECONDS) return;
  const rate = frameTimes.length / total;
  frameTimes = [];
  $('live-about').textContent = text('liveRate', { width, height, rate: decimal(rate) });
  $('live').dataset.rate = rate.toFixed(2);
  if (recorder) return; // a clip has one size
  if (rate > HIGH_RATE) level = Math.min(level + 1, SIDES.length - 1);
  if (rate >= WANTED_RATE) return;
  const affordable = SIDES[level] * Math.sqrt(rate / WANTED_RATE); // the time grows with the area
  level = Math.max(0, SIDES.findLastIndex((side) => side <= affordable));
}

function toggleRecording() {
  if (recorder) {
    recorder.stop();
    return;
  }
  const type = CLIP_TYPES.find((candidate) => MediaRecorder.isTypeSupported(candidate)) ?? '';
  const started = new MediaRecorder($('live-canvas', HTMLCanvasElement).captureStream(), type ? { mimeType: type } : {});
  /** @type {Blob[]} */
  const parts = [];
  started.ondataavailable = ({ data }) => parts.push(data);
  started.onstop = () => {
    recorder = null;
    showRecording();
    const ending = type.includes('mp4') ? 'mp4' : 'webm';
    download(new File(parts, `impasto-live.${ending}`, { type: type.split(';')[0] }));
    announce(text('clipSaved'));
  };
  started.start(1000);
  recorder = started;
  showRecording();
}

/** Write the button's state; also after the language has changed. */
export function showRecording() {
  $('live-record').textContent = text(recorder ? 'liveRecordStop' : 'liveRecord');
  $('live-record').setAttribute('aria-pressed', String(Boolean(recorder)));
}

function stopCamera() {
  openings += 1;
  recorder?.stop();
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.srcObject = null;
}

function close() {
  stopCamera();
  $('live').hidden = true;
  show();
}
