/** The page's requests to the server: errors, the token, and waiting for a server that is down. */

import { text } from './texts.js';

/**
 * A style: one of the studio's (`id`), or an uploaded one (`id` is null), which may be a file of `impasto learn`.
 * @typedef {object} Style
 * @property {string | null} id
 * @property {string} title
 * @property {string} thumbnail
 * @property {boolean} [learned]
 */

/**
 * A style or a photograph that comes with the studio.
 * @typedef {object} Sample
 * @property {string} id
 * @property {string} title
 * @property {string} thumbnail
 * @property {string} picture
 */

/**
 * A JSON schema, as far as the settings use it.
 * @typedef {object} Schema
 * @property {string} [type]
 * @property {string} [description]
 * @property {unknown} [default]
 * @property {unknown[]} [enum]
 * @property {unknown} [const]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [exclusiveMinimum]
 * @property {number} [exclusiveMaximum]
 * @property {Schema} [items]
 * @property {Schema[]} [anyOf]
 * @property {Schema[]} [oneOf]
 */

/** @typedef {{properties: Record<string, Schema>}} SettingsSchema */

/**
 * A named set of settings.
 * @typedef {object} Preset
 * @property {string} name
 * @property {string} purpose
 * @property {Record<string, unknown>} settings
 */

/**
 * What GET /v1/settings answers.
 * @typedef {object} Settings
 * @property {Preset[]} presets
 * @property {Record<'image' | 'video', string>} usual_presets  where none is chosen
 * @property {SettingsSchema} recipe
 * @property {SettingsSchema} video
 * @property {{upload_bytes: number}} limits
 * @property {boolean} site  whether the static site is at /web/
 */

/**
 * A picture or clip that was asked for. Addresses are null until there is something to fetch.
 * @typedef {object} Job
 * @property {string} id
 * @property {'image' | 'video'} kind
 * @property {'queued' | 'running' | 'done' | 'failed' | 'cancelled'} state
 * @property {number | null} position
 * @property {'turn' | 'quota' | null} waits_for
 * @property {string} created
 * @property {number} progress
 * @property {number | null} eta
 * @property {number | null} scale
 * @property {number | null} scales
 * @property {number | null} evaluation
 * @property {number | null} frame
 * @property {number | null} frames
 * @property {[number, number] | null} size  height and width of the result
 * @property {string | null} preview
 * @property {string} content
 * @property {string | null} original
 * @property {string | null} thumbnail
 * @property {string | null} result
 * @property {string | null} error
 * @property {string} preset
 * @property {Record<string, any>} recipe
 * @property {Record<string, any> | null} video
 * @property {Style[]} styles
 * @property {number} masks
 * @property {number[]} keys  numbers of the frames that were sent painted
 * @property {number | null} seconds
 */

/** The server refused a request: `message` is its reason in one line, `field` the setting that it is about. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{detail?: unknown, field?: string | null} | null} body
   * @param {string | null} [retryAfter] seconds
   */
  constructor(status, body, retryAfter = null) {
    const line = body?.detail && typeof body.detail === 'string' ? body.detail : text('errorStatus', { status });
    super(status === 429 && retryAfter ? `${line} ${text('tryAgain', { seconds: retryAfter })}` : line);
    this.status = status;
    this.field = body?.field ?? null;
  }
}

/** The server did not answer. */
export class UnreachableError extends Error {
  constructor() {
    super(text('errorUnreachable'));
  }
}

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** @param {unknown} error */
export const isNotFound = (error) => error instanceof ApiError && error.status === 404;

const FINAL_STATES = new Set(['done', 'failed', 'cancelled']);

/** @param {Job} job */
export const hasEnded = (job) => FINAL_STATES.has(job.state);

/** What the page does when the server asks for its token, does not answer, or answers again. */
export const connection = {
  /** Resolves when a session has been started. */
  requestToken: async () => {},
  onUnreachable: () => {},
  onReachable: () => {},
};

/** @type {Promise<void> | null} */
let reconnecting = null;

/** Resolves when the server answers again; tries after 1, 2, 4 … at most 10 s, and when the network returns. */
function waitForServer() {
  reconnecting ??= (async () => {
    connection.onUnreachable();
    for (let attempt = 0; ; attempt += 1) {
      const pause = Math.min(10, 2 ** attempt);
      await new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
        const timer = setTimeout(resolve, pause * 1000);
        window.addEventListener('online', () => { clearTimeout(timer); resolve(); }, { once: true });
      });
      try {
        if ((await fetch('/healthz', { cache: 'no-store' })).ok) break;
      } catch { /* It still does not answer. */ }
    }
    reconnecting = null;
    connection.onReachable();
  })();
  return reconnecting;
}

/** A proxy answers with one of these while the studio behind it is down. @param {number} status */
const isGatewayError = (status) => status === 502 || status === 503 || status === 504;

/**
 * One request. Asks for the token once; throws ApiError or UnreachableError.
 * @param {string} method
 * @param {string} path
 * @param {FormData | object} [body] an object is sent as JSON
 * @returns {Promise<Response>}
 */
async function request(method, path, body, mayAskForToken = true) {
  let response;
  try {
    const isForm = body instanceof FormData;
    response = await fetch(path, {
      method,
      body: body && !isForm ? JSON.stringify(body) : body ?? null,
      headers: body && !isForm ? { 'Content-Type': 'application/json' } : {},
    });
  } catch {
    waitForServer();
    throw new UnreachableError();
  }
  if (isGatewayError(response.status)) {
    waitForServer();
    throw new UnreachableError();
  }
  if (response.status === 401 && mayAskForToken) {
    await connection.requestToken();
    return request(method, path, body, false);
  }
  if (!response.ok) {
    throw new ApiError(response.status, await response.json().catch(() => null), response.headers.get('Retry-After'));
  }
  return response;
}

/** GET, repeated until the server answers. @param {string} path */
async function getResponse(path) {
  for (;;) {
    try {
      return await request('GET', path);
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      await waitForServer();
    }
  }
}

/** @param {string} path @returns {Promise<any>} */
export const getJson = async (path) => (await getResponse(path)).json();

/** @param {string} path */
export const getBlob = async (path) => (await getResponse(path)).blob();

/** @param {string} path @param {object} [body] @returns {Promise<any>} */
export const postJson = async (path, body) => (await request('POST', path, body)).json();

/** A JPEG of an uploaded file that the browser cannot show; the server keeps nothing. @param {FormData} form */
export const previewUpload = (form) => request('POST', '/v1/look', form);

/** POST a form that is answered with a picture. @param {string} path @param {FormData} form */
export const postImage = async (path, form) => (await request('POST', path, form)).blob();

/** @param {string} path */
export const remove = (path) => request('DELETE', path);

/** Start a session for this browser; throws ApiError for a wrong token. @param {string} token */
export const startSession = (token) => request('POST', '/v1/session', { token }, false);

export const endSession = () => request('DELETE', '/v1/session', undefined, false);

/** Pauses in seconds that the page waits by itself when the studio is busy, and how often at most. */
const LONGEST_PAUSE = 20;
const MOST_PAUSES = 10;

/** Seconds after which to send again; null if the user should decide. @param {XMLHttpRequest} answer */
function pauseOf(answer) {
  const seconds = Number(answer.getResponseHeader('Retry-After') ?? Infinity);
  return answer.status === 429 && seconds <= LONGEST_PAUSE ? seconds : null;
}

/**
 * POST a form; `onProgress` gets the share that has been sent (0 to 1). Resolves to the JSON of the answer.
 * While the studio is busy for a moment, the form waits and is sent again.
 * @param {string} path
 * @param {FormData} form
 * @param {(share: number) => void} onProgress
 * @returns {Promise<any>}
 */
export function postForm(path, form, onProgress, mayAskForToken = true, pauses = MOST_PAUSES) {
  return new Promise((resolve, reject) => {
    const upload = new XMLHttpRequest(); // fetch does not report how much has been sent
    upload.open('POST', path);
    upload.responseType = 'json';
    upload.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    const unreachable = () => { waitForServer(); reject(new UnreachableError()); };
    upload.onerror = unreachable;
    upload.onload = () => {
      const pause = pauses > 0 ? pauseOf(upload) : null;
      if (upload.status < 300) resolve(upload.response);
      else if (isGatewayError(upload.status)) unreachable();
      else if (pause !== null) {
        setTimeout(() => postForm(path, form, onProgress, mayAskForToken, pauses - 1).then(resolve, reject), pause * 1000);
      } else if (upload.status === 401 && mayAskForToken) {
        connection.requestToken().then(() => postForm(path, form, onProgress, false, pauses)).then(resolve, reject);
      } else reject(new ApiError(upload.status, upload.response, upload.getResponseHeader('Retry-After')));
    };
    upload.send(form);
  });
}

/**
 * Watch a job by server-sent events, and by polling where these fail. Returns a function that stops watching.
 *
 * The connection of a phone that was locked ends without an error, so it is renewed when the page becomes
 * visible again and when nothing has arrived for 25 s.
 * @param {string} id
 * @param {(job: Job | null, error?: unknown) => void} onUpdate gets null and the error if the job is gone
 */
export function watchJob(id, onUpdate) {
  const path = `/v1/jobs/${id}`;
  /** @type {EventSource | null} */
  let events = null;
  let timer = 0;
  let stopped = false;

  const stop = () => {
    stopped = true;
    events?.close();
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', onVisible);
  };
  const update = (/** @type {Job} */ job) => {
    if (stopped) return;
    if (hasEnded(job)) stop();
    onUpdate(job);
  };
  const poll = async () => {
    events?.close();
    clearTimeout(timer);
    try {
      const job = await getJson(path);
      if (stopped) return;
      update(job);
      if (!stopped) timer = setTimeout(listen, 1000);
    } catch (error) {
      if (!stopped) { stop(); onUpdate(null, error); }
    }
  };
  const listen = () => {
    events?.close();
    clearTimeout(timer);
    events = new EventSource(`${path}/events`);
    const restartTimer = () => { clearTimeout(timer); timer = setTimeout(poll, 25000); };
    restartTimer();
    events.addEventListener('job', (event) => { restartTimer(); update(JSON.parse(event.data)); });
    events.onerror = () => { if (!stopped) poll(); };
  };
  const onVisible = () => { if (document.visibilityState === 'visible' && !stopped) poll(); };
  document.addEventListener('visibilitychange', onVisible);
  listen();
  return stop;
}
