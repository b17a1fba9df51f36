/** Pictures as tensors: padding, tiles with their surroundings, and moments that add up over tiles. */

/** A picture as a canvas holds it: RGBA, rows first. @typedef {{data: Uint8ClampedArray, width: number, height: number}} Pixels */
/** First and last pixel, the last not included. @typedef {{start: number, end: number}} Span */
/** A tile without its halo, and with it. @typedef {{rows: Span, columns: Span, outerRows: Span, outerColumns: Span}} Tile */
/** How tiles must be cut, from the metadata of the models. @typedef {{multiple: number, smallestSide: number, halo: number}} Grid */

/** Side in pixels of the tiles that larger pictures are painted in, without the halo. */
export const TILE = 512;

/** A side padded to a multiple that the network can process. @param {number} side @param {Grid} grid */
export const paddedSide = (side, { multiple, smallestSide }) => Math.max(smallestSide, Math.ceil(side / multiple) * multiple);

/**
 * The tiles of a picture after padding; one tile if the picture is hardly larger than a tile with its halo.
 * @param {number} height
 * @param {number} width
 * @param {Grid} grid
 * @returns {Tile[]}
 */
export function tilesOf(height, width, grid) {
  const sides = [paddedSide(height, grid), paddedSide(width, grid)];
  const whole = sides[0] * sides[1] <= (TILE + 2 * grid.halo) ** 2;
  const [rows, columns] = sides.map((side) => (whole ? [{ start: 0, end: side }] : spans(side)));
  const outer = (/** @type {Span} */ { start, end }, /** @type {number} */ side) => (
    { start: Math.max(0, start - grid.halo), end: Math.min(side, end + grid.halo) }
  );
  return rows.flatMap((row) => columns.map((column) => (
    { rows: row, columns: column, outerRows: outer(row, sides[0]), outerColumns: outer(column, sides[1]) }
  )));
}

/** @param {number} side */
function spans(side) {
  /** @type {Span[]} */
  const found = [];
  for (let start = 0; start < side; start += TILE) found.push({ start, end: Math.min(start + TILE, side) });
  return found;
}

/**
 * For each padded position the position in the picture that is shown there: reflected, or in tiny pictures the last.
 * @param {number} side
 * @param {Span} span
 * @param {boolean} canReflect
 */
function sources(side, { start, end }, canReflect) {
  return Int32Array.from({ length: end - start }, (_, index) => {
    const place = start + index;
    if (place < side) return place;
    return canReflect ? 2 * (side - 1) - place : side - 1;
  });
}

/**
 * A tile with its halo as a tensor's values, (1, 3, height, width), from 0 to 1.
 * @param {Pixels} picture
 * @param {Tile} tile
 * @param {Grid} grid
 */
export function cut(picture, { outerRows, outerColumns }, grid) {
  const { data, width, height } = picture;
  const canReflect = paddedSide(height, grid) - height < height && paddedSide(width, grid) - width < width;
  const rows = sources(height, outerRows, canReflect);
  const columns = sources(width, outerColumns, canReflect);
  const plane = rows.length * columns.length;
  const values = new Float32Array(3 * plane);
  let target = 0;
  for (const row of rows) {
    for (const column of columns) {
      const source = 4 * (row * width + column);
      values[target] = data[source] / 255;
      values[target + plane] = data[source + 1] / 255;
      values[target + 2 * plane] = data[source + 2] / 255;
      target += 1;
    }
  }
  return { values, height: rows.length, width: columns.length };
}

/** 1 for the pixels of a tile, 0 for its halo; (1, 1, height, width). @param {Tile} tile */
export function innerWeights({ rows, columns, outerRows, outerColumns }) {
  const width = outerColumns.end - outerColumns.start;
  const weights = new Float32Array((outerRows.end - outerRows.start) * width);
  for (let row = rows.start; row < rows.end; row += 1) {
    const first = (row - outerRows.start) * width - outerColumns.start;
    weights.fill(1, first + columns.start, first + columns.end);
  }
  return weights;
}

/**
 * Write a painted tile, halo left out, into the picture.
 * @param {Pixels} picture
 * @param {Float32Array} values (1, 3, height, width) of the tile with its halo
 * @param {Tile} tile
 */
export function paste(picture, values, { rows, columns, outerRows, outerColumns }) {
  const outerWidth = outerColumns.end - outerColumns.start;
  const plane = (outerRows.end - outerRows.start) * outerWidth;
  for (let row = rows.start; row < Math.min(rows.end, picture.height); row += 1) {
    for (let column = columns.start; column < Math.min(columns.end, picture.width); column += 1) {
      const source = (row - outerRows.start) * outerWidth + column - outerColumns.start;
      const target = 4 * (row * picture.width + column);
      for (let channel = 0; channel < 3; channel += 1) {
        picture.data[target + channel] = 255 * values[source + channel * plane]; // rounds and clamps
      }
      picture.data[target + 3] = 255;
    }
  }
}

/** Mean (C) and second moment E[f fᵀ] (C × C) of a layer's features. @typedef {{mean: Float64Array, second: Float64Array}} Moments */

/** Adds up the moments of parts of a picture, or of several styles. */
export class MomentSum {
  #weight = 0;

  /** @type {Moments | null} */
  #sum = null;

  /** @param {Moments} part @param {number} weight */
  add({ mean, second }, weight) {
    this.#sum ??= { mean: new Float64Array(mean.length), second: new Float64Array(second.length) };
    this.#weight += weight;
    for (let i = 0; i < mean.length; i += 1) this.#sum.mean[i] += weight * mean[i];
    for (let i = 0; i < second.length; i += 1) this.#sum.second[i] += weight * second[i];
  }

  /** @returns {Moments} */
  get moments() {
    if (!this.#sum) throw new Error('There are no features to take moments of.');
    const share = 1 / this.#weight;
    return { mean: this.#sum.mean.map((x) => x * share), second: this.#sum.second.map((x) => x * share) };
  }
}

/** @param {Float32Array} mean @param {Float32Array} covariance @returns {Moments} */
export function momentsOf(mean, covariance) {
  const size = mean.length;
  const second = Float64Array.from(covariance, (x, index) => x + mean[Math.floor(index / size)] * mean[index % size]);
  return { mean: Float64Array.from(mean), second };
}

/** @param {Moments} moments */
export function covarianceOf({ mean, second }) {
  const size = mean.length;
  return Float32Array.from(second, (x, index) => x - mean[Math.floor(index / size)] * mean[index % size]);
}

/** @param {Moments[]} moments @param {number[]} weights */
export function mixMoments(moments, weights) {
  const sum = new MomentSum();
  moments.forEach((part, index) => sum.add(part, weights[index]));
  return sum.moments;
}

/**
 * How many of `total` samples each style gives, in proportion to the weights.
 * @param {number[]} weights
 * @param {number} total
 */
export function sharesOf(weights, total) {
  const sum = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((weight) => (weight / sum) * total);
  const counts = exact.map(Math.floor);
  const byRemainder = exact.map((_, index) => index).sort((a, b) => (exact[b] % 1) - (exact[a] % 1));
  for (let missing = total - counts.reduce((a, b) => a + b, 0), i = 0; missing > 0; missing -= 1, i += 1) counts[byRemainder[i]] += 1;
  return counts;
}
