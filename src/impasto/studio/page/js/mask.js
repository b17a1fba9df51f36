/** A mask as a list of operations, so that the last one can be undone. */

import { blobOf, context2d, h } from './dom.js';

/**
 * Lengths are shares of the picture's sides, so that a mask can be drawn at any size.
 * @typedef {[x: number, y: number]} Point
 * @typedef {{x: number, y: number, w: number, h: number}} Rectangle
 * @typedef {{erase: boolean, size: number, points: Point[]}} Stroke
 * @typedef {Stroke | {rect: Rectangle} | {image: CanvasImageSource} | {invert: true} | {clear: true}} Operation
 */

/** White where the picture is painted, transparent elsewhere. */
export class Mask {
  /**
   * @param {number} width
   * @param {number} height
   */
  constructor(width, height) {
    this.canvas = h('canvas', { width, height });
    this.context = context2d(this.canvas);
    /** @type {Operation[]} */
    this.operations = [];
  }

  get isEmpty() {
    return !this.operations.length;
  }

  /** @param {Operation} operation */
  add(operation) {
    this.operations.push(operation);
    this.draw(operation);
  }

  /** Continue the stroke that was added last. @param {Point} point */
  extendStroke(point) {
    const stroke = this.operations.at(-1);
    if (!stroke || !('points' in stroke)) return;
    stroke.points.push(point);
    this.draw({ ...stroke, points: stroke.points.slice(-2) });
  }

  undo() {
    this.operations.pop();
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.operations.forEach((operation) => this.draw(operation));
  }

  /** @param {Operation} operation */
  draw(operation) {
    const { context, canvas: { width, height } } = this;
    context.save();
    context.fillStyle = '#fff';
    context.strokeStyle = '#fff';
    if ('clear' in operation) context.clearRect(0, 0, width, height);
    if ('invert' in operation) {
      context.globalCompositeOperation = 'xor';
      context.fillRect(0, 0, width, height);
    }
    if ('image' in operation) context.drawImage(operation.image, 0, 0, width, height);
    if ('rect' in operation) {
      const { rect } = operation;
      context.fillRect(rect.x * width, rect.y * height, rect.w * width, rect.h * height);
    }
    if ('points' in operation) this.drawStroke(operation);
    context.restore();
  }

  /** @param {Stroke} stroke */
  drawStroke({ erase, size, points }) {
    const { context, canvas: { width, height } } = this;
    if (erase) context.globalCompositeOperation = 'destination-out';
    context.lineCap = 'round';
    context.lineJoin = 'round';
    context.lineWidth = size * Math.min(width, height);
    context.beginPath();
    context.moveTo(points[0][0] * width, points[0][1] * height);
    for (const [x, y] of points) context.lineTo(x * width, y * height);
    context.stroke();
  }

  /** Whether any pixel is marked. */
  marksAnything() {
    const { width, height } = this.canvas;
    const { data } = this.context.getImageData(0, 0, width, height);
    for (let index = 3; index < data.length; index += 4) if (data[index] > 127) return true;
    return false;
  }

  /** White on black as a PNG. */
  toPng() {
    const { width, height } = this.canvas;
    const opaque = h('canvas', { width, height });
    const context = context2d(opaque);
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    context.drawImage(this.canvas, 0, 0);
    return blobOf(opaque, 'image/png');
  }
}

/** White where none of the masks is. @param {Mask[]} masks */
export function remainder(masks) {
  const { width, height } = masks[0].canvas;
  const rest = new Mask(width, height);
  rest.add({ rect: { x: 0, y: 0, w: 1, h: 1 } });
  rest.context.globalCompositeOperation = 'destination-out';
  for (const mask of masks) rest.context.drawImage(mask.canvas, 0, 0);
  return rest;
}

/**
 * A mask picture as white whose opacity is the picture's lightness.
 * @param {Blob} file
 * @param {number} width
 * @param {number} height
 */
export async function maskFromFile(file, width, height) {
  const bitmap = await createImageBitmap(file);
  const canvas = h('canvas', { width, height });
  const context = context2d(canvas);
  context.drawImage(bitmap, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  const { data } = pixels;
  for (let index = 0; index < data.length; index += 4) {
    const lightness = 0.2126 * data[index] + 0.7152 * data[index + 1] + 0.0722 * data[index + 2];
    data.set([255, 255, 255, lightness * (data[index + 3] / 255)], index);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
