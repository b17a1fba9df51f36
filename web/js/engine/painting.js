/** Instant transfer: statistics of pictures, and painting with them, tile by tile; equal to Impasto's Python. */

import { keepChroma } from './colour.js';
import { samplePositions } from './sampling.js';
import { covarianceOf, cut, innerWeights, mixMoments, MomentSum, momentsOf, paddedSide, paste, sharesOf, tilesOf } from './tiles.js';

/** @typedef {import('./models.js').Models} Models */
/** @typedef {import('./models.js').Tensors} Tensors */
/** @typedef {import('./tiles.js').Moments} Moments */
/** @typedef {import('./tiles.js').Pixels} Pixels */
/** Moments by layer. @typedef {Record<string, Moments>} Statistics */
/** @typedef {{moments: Statistics, banks: Record<string, Float32Array>}} StyleStatistics */
/** `key` tells it from all other pictures. @typedef {Pixels & {key: string}} NamedPixels */
/** @typedef {{picture: NamedPixels, styles: (NamedPixels & {weight: number})[], strength: number, keepColours: boolean}} Task */
/** Called after each step; throws to end the work. @typedef {() => void} OnStep */

/**
 * The moments of a picture, gathered tile by tile.
 * @param {Models} models
 * @param {Pixels} picture
 * @param {OnStep} [onStep]
 * @returns {Promise<Statistics>}
 */
export async function contentStatistics(models, picture, onStep) {
  const sums = Object.fromEntries(models.facts.layers.map((layer) => [layer, new MomentSum()]));
  for (const tile of tilesOf(picture.height, picture.width, models.facts)) {
    const found = await statisticsOf(models, picture, tile, () => BigInt64Array.of(0n));
    for (const [layer, sum] of Object.entries(sums)) {
      sum.add(momentsAt(found, layer), Number(found[`weight_${layer}`].data[0]));
    }
    onStep?.();
  }
  return Object.fromEntries(Object.entries(sums).map(([layer, sum]) => [layer, sum.moments]));
}

/**
 * The moments and samples of a style, which is processed whole.
 * @param {Models} models
 * @param {Pixels} picture
 * @returns {Promise<StyleStatistics>}
 */
export async function styleStatistics(models, picture) {
  const { layers, bankLayers, bankSize } = models.facts;
  const rows = { start: 0, end: paddedSide(picture.height, models.facts) };
  const columns = { start: 0, end: paddedSide(picture.width, models.facts) };
  const tile = { rows, columns, outerRows: rows, outerColumns: columns };
  const found = await statisticsOf(models, picture, tile, (stride) => samplePositions(bankSize, rows.end * columns.end / stride ** 2));
  return {
    moments: Object.fromEntries(layers.map((layer) => [layer, momentsAt(found, layer)])),
    banks: Object.fromEntries(bankLayers.map((layer) => [layer, /** @type {Float32Array} */ (found[`bank_${layer}`].data)])),
  };
}

/**
 * @param {Models} models
 * @param {Pixels} picture
 * @param {import('./tiles.js').Tile} tile
 * @param {(stride: number) => BigInt64Array} positions that are sampled in a layer of this stride
 */
async function statisticsOf(models, picture, tile, positions) {
  const { values, height, width } = cut(picture, tile, models.facts);
  return /** @type {Tensors} */ (await models.statisticsSession.run({
    picture: models.tensor(values, [1, 3, height, width]),
    weights: models.tensor(innerWeights(tile), [1, 1, height, width]),
    ...models.positionsOf(positions),
  }));
}

/** @param {Tensors} found @param {string} layer */
const momentsAt = (found, layer) => momentsOf(
  /** @type {Float32Array} */ (found[`mean_${layer}`].data), /** @type {Float32Array} */ (found[`covariance_${layer}`].data),
);

/**
 * Several styles as one: moments average, and each gives its share of the samples.
 * @param {StyleStatistics[]} styles
 * @param {number[]} weights at least 0, one above
 * @returns {StyleStatistics}
 */
export function blend(styles, weights) {
  if (styles.length === 1) return styles[0];
  const moments = Object.fromEntries(Object.keys(styles[0].moments).map((layer) => (
    [layer, mixMoments(styles.map((style) => style.moments[layer]), weights)]
  )));
  const banks = Object.fromEntries(Object.keys(styles[0].banks).map((layer) => {
    const channels = moments[layer].mean.length;
    const counts = sharesOf(weights, styles[0].banks[layer].length / channels);
    const mixed = new Float32Array(styles[0].banks[layer].length);
    let start = 0;
    // The samples are in an order of which each beginning is evenly scattered over the picture.
    styles.forEach((style, index) => {
      mixed.set(style.banks[layer].subarray(0, counts[index] * channels), start);
      start += counts[index] * channels;
    });
    return [layer, mixed];
  }));
  return { moments, banks };
}

/**
 * What the painting model needs beside picture, position and strength.
 * @param {Models} models
 * @param {Statistics} content
 * @param {StyleStatistics} style
 * @returns {Promise<Tensors>}
 */
export async function mapsBetween(models, content, style) {
  /** @type {Tensors} */
  const moments = {};
  for (const [of, statistics] of Object.entries({ content, style: style.moments })) {
    for (const [layer, { mean, second }] of Object.entries(statistics)) {
      const size = mean.length;
      moments[`${of}_mean_${layer}`] = models.tensor(Float32Array.from(mean), [size]);
      moments[`${of}_covariance_${layer}`] = models.tensor(covarianceOf({ mean, second }), [size, size]);
    }
  }
  const given = /** @type {Tensors} */ ({ ...await models.mapsSession.run(moments) });
  for (const layer of models.facts.bankLayers) {
    const channels = style.moments[layer].mean.length;
    given[`bank_${layer}`] = models.tensor(style.banks[layer], [style.banks[layer].length / channels, channels]);
    given[`style_mean_${layer}`] = moments[`style_mean_${layer}`];
  }
  return given;
}

/**
 * Paint a picture with maps that were made for it.
 * @param {Models} models
 * @param {Pixels} picture
 * @param {Tensors} maps
 * @param {{strength: number, keepColours: boolean, onStep?: OnStep}} options strength from 0 to 1
 * @returns {Promise<Pixels>}
 */
export async function paint(models, picture, maps, { strength, keepColours, onStep }) {
  const { width, height } = picture;
  const painted = { width, height, data: new Uint8ClampedArray(4 * width * height) };
  for (const tile of tilesOf(height, width, models.facts)) {
    const part = cut(picture, tile, models.facts);
    const outputs = await models.paintingSession.run({
      ...maps,
      picture: models.tensor(part.values, [1, 3, part.height, part.width]),
      position: models.position(tile.outerRows.start, tile.outerColumns.start),
      strength: models.tensor(Float32Array.of(strength), [1]),
    });
    paste(painted, /** @type {Float32Array} */ (outputs.painted.data), tile);
    onStep?.();
  }
  if (keepColours) keepChroma(painted, picture);
  return painted;
}
