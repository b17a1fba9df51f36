/** Lightness of one picture with the colours of another, in OKLab (Ottosson 2020), as impasto.pictures.colour. */

/** @typedef {import('./tiles.js').Pixels} Pixels */

/** sRGB from 0 to 255 → linear from 0 to 1. */
const LINEAR = Float64Array.from({ length: 256 }, (_, value) => {
  const x = value / 255;
  return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
});
/** Linear from 0 to 1, in steps of 1/4095 → sRGB from 0 to 255, not rounded. */
const ENCODED = Float64Array.from({ length: 4096 }, (_, index) => {
  const x = index / 4095;
  return 255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055);
});
const BISECTIONS = 8;

/** Cube roots of the responses of the eye's cones. @param {Uint8ClampedArray} data @param {number} at @param {Float64Array} into */
function cones(data, at, into) {
  const r = LINEAR[data[at]];
  const g = LINEAR[data[at + 1]];
  const b = LINEAR[data[at + 2]];
  into[0] = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  into[1] = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  into[2] = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
}

/** OKLab → linear RGB; whether it is a colour of sRGB. @param {number} l @param {number} a @param {number} b @param {Float64Array} into */
function toLinear(l, a, b, into) {
  const x = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const y = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const z = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
  into[0] = 4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z;
  into[1] = -1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z;
  into[2] = -0.0041960863 * x - 0.7034186147 * y + 1.707614701 * z;
  return Math.min(into[0], into[1], into[2]) > -2e-4 && Math.max(into[0], into[1], into[2]) < 1.001;
}

/**
 * Give `picture` hue and chroma of `other`, of the same size. Where sRGB has no such colour, chroma is reduced.
 * @param {Pixels} picture changed in place
 * @param {Pixels} other
 */
export function keepChroma(picture, other) {
  const mine = new Float64Array(3);
  const theirs = new Float64Array(3);
  const linear = new Float64Array(3);
  for (let at = 0; at < picture.data.length; at += 4) {
    cones(picture.data, at, mine);
    cones(other.data, at, theirs);
    const l = 0.2104542553 * mine[0] + 0.793617785 * mine[1] - 0.0040720468 * mine[2];
    const a = 1.9779984951 * theirs[0] - 2.428592205 * theirs[1] + 0.4505937099 * theirs[2];
    const b = 0.0259040371 * theirs[0] + 0.7827717662 * theirs[1] - 0.8086757660 * theirs[2];
    if (!toLinear(l, a, b, linear)) {
      let low = 0;
      let high = 1;
      for (let step = 0; step < BISECTIONS; step += 1) {
        const middle = (low + high) / 2;
        if (toLinear(l, a * middle, b * middle, linear)) low = middle;
        else high = middle;
      }
      toLinear(l, a * low, b * low, linear);
    }
    for (let channel = 0; channel < 3; channel += 1) {
      picture.data[at + channel] = ENCODED[Math.round(4095 * Math.min(1, Math.max(0, linear[channel])))];
    }
  }
}
