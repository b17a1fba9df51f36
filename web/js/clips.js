/** Clips: the first frame is the picture that styles are tried on; then every frame is painted into a WebM file. */

import { blobOf, context2d, h } from './dom.js';
import { paintPicture, Superseded } from './painter.js';
import { fitted, readPicture } from './pictures.js';
import { UserError } from './texts.js';
import { stylesAndSettings } from './wish.js';

/** @typedef {typeof import('mediabunny')} Media */
/** @typedef {import('mediabunny').VideoSample} VideoSample */
/** @typedef {import('./pictures.js').Picture} Picture */
/** @typedef {import('./pictures.js').Clip} Clip */
/** A painted clip; silenced: the browser cannot write its sound. @typedef {{file: Blob, frames: number, isSilenced: boolean}} Painted */

const CLIP_NAME = /\.(mp4|m4v|mov|webm|mkv|ts)$/i;
/** Packets from which the number of frames is estimated. */
const COUNTED_PACKETS = 200;
export const CLIP_LIBRARY = 'mediabunny.min.mjs';
let runs = 0;

/** @param {Blob} file @param {string} name */
export const isClip = (file, name) => file.type.startsWith('video/') || CLIP_NAME.test(name);

/** The library that takes clips apart and writes them; it is loaded with the first clip. @returns {Promise<Media>} */
async function loadMedia() {
  // Browsers offer these on secure addresses only.
  if (typeof VideoDecoder === 'undefined' || typeof VideoEncoder === 'undefined') throw new UserError('errorNoClips');
  return import(new URL(`../runtime/${CLIP_LIBRARY}`, import.meta.url).href);
}

/** @param {Media} media @param {Blob} file */
const open = (media, file) => new media.Input({ source: new media.BlobSource(file), formats: media.ALL_FORMATS });

/**
 * Read a clip; its picture is its first frame.
 * @param {Blob} file
 * @param {string} name
 * @returns {Promise<Picture>}
 */
export async function readClip(file, name) {
  const media = await loadMedia();
  const input = open(media, file);
  try {
    const track = await input.getPrimaryVideoTrack();
    if (!track || !await track.canDecode()) throw new UserError('errorClip', { name });
    const first = await new media.VideoSampleSink(track).getSample(await track.getFirstTimestamp());
    if (!first) throw new UserError('errorClip', { name });
    const { averagePacketRate } = await track.computePacketStats(COUNTED_PACKETS);
    const seconds = await track.computeDuration() - await track.getFirstTimestamp();
    const picture = await readPicture(await pictureOf(first), name);
    return { ...picture, clip: { file, frames: Math.max(1, Math.round(seconds * averagePacketRate)) } };
  } catch (error) {
    throw error instanceof UserError ? error : new UserError('errorClip', { name });
  } finally {
    input.dispose();
  }
}

/** @param {VideoSample} sample */
async function pictureOf(sample) {
  const canvas = h('canvas', { width: sample.displayWidth, height: sample.displayHeight });
  sample.draw(context2d(canvas), 0, 0, canvas.width, canvas.height);
  sample.close();
  return blobOf(canvas, 'image/png');
}

/** Width and height with about this long side; both even, as encoders want them. @param {Picture} content @param {number} longSide */
export function clipSize(content, longSide) {
  const { width, height } = fitted(content, longSide);
  return { width: Math.max(2, 2 * Math.round(width / 2)), height: Math.max(2, 2 * Math.round(height / 2)) };
}

/**
 * Paint every frame in the chosen style, with statistics that are smoothed over time as in the live view. Times and
 * sound are those of the clip.
 * @param {Picture & {clip: Clip}} content
 * @param {number} longSide
 * @param {{onFrame: (done: number) => void, signal: AbortSignal}} options
 * @returns {Promise<Painted>}
 */
export async function paintClip(content, longSide, { onFrame, signal }) {
  const media = await loadMedia();
  const input = open(media, content.clip.file);
  const target = new media.BufferTarget();
  const output = new media.Output({ format: new media.WebMOutputFormat(), target });
  const { width, height } = clipSize(content, longSide);
  const paintFrame = framePainter(longSide, width, height);
  let frames = 0;
  const process = async (/** @type {VideoSample} */ sample) => {
    const canvas = await paintFrame(sample);
    frames += 1;
    onFrame(frames);
    return canvas;
  };
  try {
    const conversion = await media.Conversion.init({
      input, output, tracks: 'primary', showWarnings: false,
      tags: {}, // a phone writes the place into its clips
      video: { width, height, fit: 'fill', quality: media.QUALITY_HIGH, forceTranscode: true, process },
    });
    if (!conversion.isValid) throw new UserError('errorNoClips');
    signal.addEventListener('abort', () => conversion.cancel());
    signal.throwIfAborted(); // it may have been before there was a conversion
    await conversion.execute();
    const isSilenced = conversion.discardedTracks.some(({ track }) => track.type === 'audio');
    return { file: new Blob([/** @type {ArrayBuffer} */ (target.buffer)], { type: 'video/webm' }), frames, isSilenced };
  } catch (error) {
    throw signal.aborted ? new Superseded() : error;
  } finally {
    input.dispose();
  }
}

/** @param {number} longSide @param {number} width @param {number} height */
function framePainter(longSide, width, height) {
  const settings = stylesAndSettings(longSide);
  const canvas = h('canvas', { width, height });
  const context = context2d(canvas, { willReadFrequently: true });
  runs += 1;
  const key = `clip ${runs}`; // so that statistics do not go on from the end of the run before
  return async (/** @type {VideoSample} */ sample) => {
    sample.draw(context, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const painted = await paintPicture({ picture: { key, data, width, height }, ...settings }, { isFrame: true });
    context.putImageData(new ImageData(/** @type {any} */ (painted.data), width, height), 0, 0);
    return canvas;
  };
}
