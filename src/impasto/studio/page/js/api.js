/** The one door to the studio: requests, refusals, the token, a server that is away. */

/** The server's refusal: its one line in `message`, the setting it is about in `field`. */
export class Refused extends Error {
  constructor(status, body, wait) {
    const line = body?.detail && typeof body.detail === 'string' ? body.detail : `The studio answered ${status}.`;
    super(status === 429 && wait ? `${line} Try again in ${wait} s.` : line);
    this.status = status;
    this.field = body?.field ?? null;
  }
}

/** Nobody answered. */
export class Away extends Error {
  constructor() {
    super('The studio does not answer. Nothing you entered is lost.');
  }
}

const FINAL = new Set(['done', 'failed', 'cancelled']);
export const isFinal = (job) => FINAL.has(job.state);

/** Set by the page: `token()` resolves when a session was made, `away(n)` is told of each vain attempt, `back()`. */
export const hooks = { token: async () => {}, away: () => {}, back: () => {} };

let waiting = null;

/** Resolves when the server answers again; asks after 1, 2, 4 … at most 10 s, and at once when the network is back. */
function back() {
  waiting ??= (async () => {
    for (let vain = 0; ; vain += 1) {
      const pause = Math.min(10, 2 ** vain);
      hooks.away(pause);
      await new Promise((resume) => {
        const timer = setTimeout(resume, pause * 1000);
        window.addEventListener('online', () => { clearTimeout(timer); resume(); }, { once: true });
      });
      try {
        if ((await fetch('/healthz', { cache: 'no-store' })).ok) break;
      } catch { /* still away */ }
    }
    waiting = null;
    hooks.back();
  })();
  return waiting;
}

const gone = (status) => status === 502 || status === 503 || status === 504;

/** One request. Asks for the token once; throws Refused or Away. */
async function request(method, path, body, again = true) {
  let answer;
  try {
    const json = body && !(body instanceof FormData);
    answer = await fetch(path, {
      method,
      body: json ? JSON.stringify(body) : body,
      headers: json ? { 'Content-Type': 'application/json' } : {},
    });
  } catch {
    back();
    throw new Away();
  }
  if (gone(answer.status)) {
    back();
    throw new Away();
  }
  if (answer.status === 401 && again) {
    await hooks.token();
    return request(method, path, body, false);
  }
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null), answer.headers.get('Retry-After'));
  return answer;
}

/** GET, as often as it takes for the server to come back. `as`: json, blob or none. */
export async function get(path, as = 'json') {
  for (;;) {
    try {
      return await (await request('GET', path))[as]();
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      await back();
    }
  }
}

export const post = async (path, body) => (await request('POST', path, body)).json();
export const look = (form) => request('POST', '/v1/look', form);
export const remove = (path) => request('DELETE', path);

/** A session for this browser; throws Refused for a wrong token. */
export const enter = (token) => request('POST', '/v1/session', { token }, false);

/** POST a form, telling how much of it is sent (0..1); resolves to the answer's JSON. */
export function send(path, form, sent, again = true) {
  return new Promise((resolve, reject) => {
    const wire = new XMLHttpRequest();
    wire.open('POST', path);
    wire.responseType = 'json';
    wire.upload.onprogress = (event) => event.lengthComputable && sent(event.loaded / event.total);
    wire.onerror = () => { back(); reject(new Away()); };
    wire.onload = () => {
      if (wire.status < 300) resolve(wire.response);
      else if (gone(wire.status)) wire.onerror();
      else if (wire.status === 401 && again) hooks.token().then(() => send(path, form, sent, false)).then(resolve, reject);
      else reject(new Refused(wire.status, wire.response, wire.getResponseHeader('Retry-After')));
    };
    wire.send(form);
  });
}

/** Follow a job by server-sent events, by asking where these fail; `seen(job)`, `seen(null)` if it is gone.
 *
 * A phone that was locked finds its connection dead without a word, so both are renewed when the page is
 * looked at again and when nothing was heard for 25 s. Returns a function that stops it.
 */
export function follow(id, seen) {
  const path = `/v1/jobs/${id}`;
  let events = null;
  let timer = 0;
  let over = false;

  const stop = () => {
    over = true;
    events?.close();
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', woken);
  };
  const take = (job) => {
    if (over) return;
    if (isFinal(job)) stop();
    seen(job);
  };
  const ask = async () => {
    events?.close();
    clearTimeout(timer);
    try {
      const job = await get(path);
      if (over) return;
      take(job);
      if (!over) timer = setTimeout(listen, 1000);
    } catch (error) {
      if (!over) { stop(); seen(null, error); }
    }
  };
  const listen = () => {
    events?.close();
    clearTimeout(timer);
    events = new EventSource(`${path}/events`);
    const heard = () => { clearTimeout(timer); timer = setTimeout(ask, 25000); };
    heard();
    events.addEventListener('job', (event) => { heard(); take(JSON.parse(event.data)); });
    events.onerror = () => { if (!over) ask(); };
  };
  const woken = () => { if (document.visibilityState === 'visible' && !over) ask(); };
  document.addEventListener('visibilitychange', woken);
  listen();
  return stop;
}
