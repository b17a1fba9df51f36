/** A mask as a list of operations: what undo takes back, and what is drawn again at any size. */

import { h } from './dom.js';

/** Strokes {erase, size, points}, rectangles {rect}, pictures {image}, {invert}; all lengths as shares of the sides. */
export class Mask {
  constructor(width, height) {
    this.canvas = h('canvas', { width, height });
    this.operations = [];
  }

  get empty() {
    return !this.operations.length;
  }

  add(operation) {
    this.operations.push(operation);
    this.draw(operation);
  }

  /** Go on with the stroke that was added last. */
  extend(point) {
    const stroke = this.operations.at(-1);
    stroke.points.push(point);
    this.draw({ ...stroke, points: stroke.points.slice(-2) });
  }

  undo() {
    this.operations.pop();
    this.brush.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.operations.forEach((operation) => this.draw(operation));
  }

  get brush() {
    return this.canvas.getContext('2d');
  }

  draw({ erase, size, points, rect, image, invert, clear }) {
    const { brush, canvas: { width, height } } = this;
    brush.save();
    brush.fillStyle = brush.strokeStyle = '#fff';
    if (clear) brush.clearRect(0, 0, width, height);
    if (invert) {
      brush.globalCompositeOperation = 'xor';
      brush.fillRect(0, 0, width, height);
    }
    if (image) brush.drawImage(image, 0, 0, width, height);
    if (rect) brush.fillRect(rect.x * width, rect.y * height, rect.w * width, rect.h * height);
    if (points) {
      if (erase) brush.globalCompositeOperation = 'destination-out';
      brush.lineCap = brush.lineJoin = 'round';
      brush.lineWidth = size * Math.min(width, height);
      brush.beginPath();
      brush.moveTo(points[0][0] * width, points[0][1] * height);
      for (const [x, y] of points) brush.lineTo(x * width, y * height);
      brush.stroke();
    }
    brush.restore();
  }

  /** Whether anything at all would be painted. */
  covers() {
    const { width, height } = this.canvas;
    const { data } = this.brush.getImageData(0, 0, width, height);
    for (let at = 3; at < data.length; at += 4) if (data[at] > 127) return true;
    return false;
  }

  /** White on black as a PNG; `invert`ed: what none of the others covers. */
  async blob() {
    const { width, height } = this.canvas;
    const flat = h('canvas', { width, height });
    const brush = flat.getContext('2d');
    brush.fillStyle = '#000';
    brush.fillRect(0, 0, width, height);
    brush.drawImage(this.canvas, 0, 0);
    return new Promise((resolve) => { flat.toBlob(resolve, 'image/png'); });
  }
}

/** The rest: white where none of the masks is. */
export function remainder(masks) {
  const { width, height } = masks[0].canvas;
  const rest = new Mask(width, height);
  rest.add({ rect: { x: 0, y: 0, w: 1, h: 1 } });
  rest.brush.globalCompositeOperation = 'destination-out';
  for (const mask of masks) rest.brush.drawImage(mask.canvas, 0, 0);
  return rest;
}

/** A mask picture as white whose opacity is its lightness. */
export async function opacity(file, width, height) {
  const bitmap = await createImageBitmap(file);
  const canvas = h('canvas', { width, height });
  const brush = canvas.getContext('2d');
  brush.drawImage(bitmap, 0, 0, width, height);
  const pixels = brush.getImageData(0, 0, width, height);
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    const light = (0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2]) * (data[at + 3] / 255);
    data.set([255, 255, 255, light], at);
  }
  brush.putImageData(pixels, 0, 0);
  return canvas;
}
