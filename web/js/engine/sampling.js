/** The positions at which PyTorch samples a style, so that the painting is the one that `impasto stylize` paints. */

const STATE = 624;

/** The Mersenne Twister MT19937 (Matsumoto & Nishimura 1998), which PyTorch draws from. @param {number} seed */
function twister(seed) {
  const state = new Uint32Array(STATE);
  state[0] = seed;
  for (let i = 1; i < STATE; i += 1) {
    const before = state[i - 1] ^ (state[i - 1] >>> 30);
    state[i] = Math.imul(1812433253, before) + i;
  }
  let at = STATE;
  return () => {
    if (at === STATE) {
      for (let i = 0; i < STATE; i += 1) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % STATE] & 0x7fffffff);
        state[i] = state[(i + 397) % STATE] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let y = state[at];
    at += 1;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/**
 * `count` positions of a grid in the order of `impasto.losses.statistics.sample_positions`; repeated where the grid has
 * fewer.
 * @param {number} count
 * @param {number} size number of the grid's positions
 */
export function samplePositions(count, size) {
  const random = twister(0);
  const order = Int32Array.from({ length: size }, (_, index) => index);
  for (let i = 0; i < Math.min(count, size - 1); i += 1) {
    const other = i + (random() % (size - i));
    [order[i], order[other]] = [order[other], order[i]];
  }
  return BigInt64Array.from({ length: count }, (_, index) => BigInt(order[index % size]));
}
