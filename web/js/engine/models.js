/** The three ONNX models of instant transfer in onnxruntime-web: on the graphics card if that works, else in WebAssembly. */

import { samplePositions } from './sampling.js';

/** @typedef {typeof import('onnxruntime-web')} Runtime */
/** @typedef {import('onnxruntime-web').InferenceSession} Session */
/** @typedef {import('onnxruntime-web').Tensor} Tensor */
/** Inputs or outputs by name. @typedef {Record<string, Tensor>} Tensors */
/** What the site was built with; see build.py. @typedef {import('./tiles.js').Grid & {layers: string[], bankLayers: string[], bankStrides: number[], bankSize: number}} Facts */
/** @typedef {'webgpu' | 'wasm'} Backend */

/** The runtime's files for each backend; the first is imported, the others are loaded by it. */
export const RUNTIME_FILES = {
  webgpu: ['ort.min.mjs', 'ort-wasm-simd-threaded.jsep.mjs', 'ort-wasm-simd-threaded.jsep.wasm'],
  wasm: ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'],
};
export const MODEL_FILES = ['statistics', 'maps', 'painting'].map((part) => `models/instant-${part}.onnx`);

/** Largest mean difference, in pixels from 0 to 1, of a trial picture on the graphics card. */
const TRIAL_TOLERANCE = 0.01;

/** Whether the browser has a graphics adapter for WebGPU that is more than a program on the processor. */
export async function hasWebGpu() {
  try {
    const adapter = await /** @type {any} */ (navigator).gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter)
      && !/swiftshader|llvmpipe/i.test(`${adapter.info?.architecture} ${adapter.info?.description}`);
  } catch {
    return false;
  }
}

export class Models {
  /**
   * @param {Runtime} runtime
   * @param {Facts} facts
   * @param {Backend} backend
   * @param {[statistics: Session, maps: Session, painting: Session]} sessions
   */
  constructor(runtime, facts, backend, sessions) {
    this.runtime = runtime;
    this.facts = facts;
    this.backend = backend;
    this.threads = runtime.env.wasm.numThreads ?? 1;
    this.statisticsSession = sessions[0];
    this.mapsSession = sessions[1];
    this.paintingSession = sessions[2];
    /** Ends the present work with an error. @type {(reason: Error) => void} */
    this.giveUp = () => {};
    /** @type {Error | null} */
    this.lost = null;
  }

  /**
   * @param {string} base address of the site's folder
   * @param {Facts} facts
   * @param {Backend} backend
   * @param {boolean} [isTrusted] whether the graphics card is used without a trial
   */
  static async load(base, facts, backend, isTrusted = false) {
    const [script, mjs, wasm] = RUNTIME_FILES[backend].map((name) => new URL(`runtime/${name}`, base).href);
    const files = MODEL_FILES.map((name) => fetchBytes(new URL(name, base)));
    for (const file of files) file.catch(() => {}); // awaited below
    /** @type {Runtime} */
    const runtime = await import(script);
    runtime.env.wasm.wasmPaths = { mjs, wasm };
    // More threads than this gain nothing for pictures of this size.
    runtime.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
    runtime.env.logLevel = 'error';
    const bytes = await Promise.all(files);
    const create = (/** @type {Uint8Array} */ model, /** @type {Backend} */ provider) => (
      runtime.InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: 3 })
    );
    // The maps are float64, which no graphics card computes.
    const models = new Models(runtime, facts, backend, [
      await create(bytes[0], backend), await create(bytes[1], 'wasm'), await create(bytes[2], backend),
    ]);
    if (backend === 'webgpu') {
      models.#watch(await runtime.env.webgpu.device);
      if (!isTrusted) await models.use(async () => models.#compare(await create(bytes[0], 'wasm'), await create(bytes[2], 'wasm')));
    }
    return models;
  }

  /** @param {{lost: Promise<{message: string}>}} device of WebGPU */
  async #watch(device) {
    const { message } = await device.lost;
    this.lost = new Error(`The graphics card was lost. ${message}`);
    this.giveUp(this.lost);
  }

  /**
   * Do one piece of work. Raises an error once the graphics card is lost: what it was to compute never ends.
   * @template Result
   * @param {() => Promise<Result>} work
   * @returns {Promise<Result>}
   */
  use(work) {
    if (this.lost) return Promise.reject(this.lost);
    return new Promise((resolve, reject) => {
      this.giveUp = reject;
      work().then(resolve, reject);
    });
  }

  /** @param {Float32Array} data @param {number[]} dims */
  tensor(data, dims) {
    return new this.runtime.Tensor('float32', data, dims);
  }

  /** @param {number} row @param {number} column of a tile's first pixel */
  position(row, column) {
    return this.#integers(BigInt64Array.of(BigInt(row), BigInt(column)));
  }

  /** Inputs that say where banks are sampled. @param {(stride: number) => BigInt64Array} positions in a layer of this stride */
  positionsOf(positions) {
    const { bankLayers, bankStrides } = this.facts;
    return Object.fromEntries(bankLayers.map((layer, i) => [`positions_${layer}`, this.#integers(positions(bankStrides[i]))]));
  }

  /** @param {BigInt64Array} values */
  #integers(values) {
    return new this.runtime.Tensor('int64', values, [values.length]);
  }

  /**
   * Raise an error if the graphics card computes another picture than WebAssembly, or is slower.
   * @param {Session} statistics in WebAssembly
   * @param {Session} painting
   */
  async #compare(statistics, painting) {
    const onCard = await this.#trial(this.statisticsSession, this.paintingSession);
    const onProcessor = await this.#trial(statistics, painting);
    await Promise.all([statistics.release(), painting.release()]);
    const gap = onCard.picture.reduce((sum, x, i) => sum + Math.abs(x - onProcessor.picture[i]), 0) / onCard.picture.length;
    if (!(gap < TRIAL_TOLERANCE)) throw new Error(`the graphics card is wrong by ${gap} on the mean`);
    if (onCard.seconds > onProcessor.seconds) throw new Error('the processor is faster than the graphics card');
  }

  /** Paint a trial picture twice: the first time programs are compiled. @param {Session} statistics @param {Session} painting */
  async #trial(statistics, painting) {
    const side = 128;
    const values = Float32Array.from({ length: 3 * side * side }, (_, i) => 0.5 + 0.4 * Math.sin(i / 7) * Math.cos(i / 311));
    await this.#paintItself(values, side, statistics, painting);
    const start = performance.now();
    const picture = await this.#paintItself(values, side, statistics, painting);
    return { picture, seconds: (performance.now() - start) / 1000 };
  }

  /** A picture in its own style. @param {Float32Array} values @param {number} side @param {Session} statistics @param {Session} painting */
  async #paintItself(values, side, statistics, painting) {
    const picture = this.tensor(values, [1, 3, side, side]);
    const weights = this.tensor(new Float32Array(side * side).fill(1), [1, 1, side, side]);
    const positions = this.positionsOf((stride) => samplePositions(this.facts.bankSize, (side / stride) ** 2));
    const found = /** @type {Tensors} */ (await statistics.run({ picture, weights, ...positions }));
    /** @type {Tensors} */
    const moments = {};
    /** @type {Tensors} */
    const given = { picture, position: this.position(0, 0), strength: this.tensor(Float32Array.of(1), [1]) };
    for (const layer of this.facts.layers) {
      for (const of of ['content', 'style']) {
        for (const kind of ['mean', 'covariance']) moments[`${of}_${kind}_${layer}`] = found[`${kind}_${layer}`];
      }
    }
    for (const layer of this.facts.bankLayers) {
      given[`bank_${layer}`] = found[`bank_${layer}`];
      given[`style_mean_${layer}`] = found[`mean_${layer}`];
    }
    Object.assign(given, await this.mapsSession.run(moments));
    return /** @type {Float32Array} */ ((await painting.run(given)).painted.data);
  }
}

/** @param {URL} address */
async function fetchBytes(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address.pathname} could not be loaded (${response.status}).`);
  return new Uint8Array(await response.arrayBuffer());
}
