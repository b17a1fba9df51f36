/** Signing in and out: the dialog that asks for a token, and who is signed in where people sign in. */

import { ApiError, connection, endSession, getJson, messageOf, startSession } from './api.js';
import { $, showMessage } from './dom.js';
import { deleteSavedDraft } from './stored-draft.js';
import { text } from './texts.js';

/** @type {string | null} */
let person = null;
/** @type {Promise<void> | null} */
let loading = null;

/** Resolves to the name of who is signed in; null where nobody has to sign in, or all share one token. */
export async function signedInPerson() {
  loading ??= loadSession();
  loading.catch(() => { loading = null; }); // who asks next tries again
  await loading;
  return person;
}

async function loadSession() {
  person = (await getJson('/v1/session')).person;
  $('person').hidden = $('sign-out').hidden = person === null;
  $('person').textContent = person;
  $('sign-out').setAttribute('aria-label', text('signOutNamed', { name: person ?? '' }));
}

/** Connect the dialog and the button; use the token of a sign-in link. */
export async function startSigningIn() {
  const token = tokenOfLink();
  startTokenDialog(token);
  $('sign-out').addEventListener('click', signOut);
  const name = await signedInPerson();
  if (token && name !== null && !usedLink) {
    showMessage('connection-message', text('signedIn', { name }));
  }
}

let usedLink = false;

/** The token of a sign-in link, which is taken out of the address and of the browser's history. */
function tokenOfLink() {
  const token = /^#token=([\w-]+)$/.exec(location.hash)?.[1] ?? '';
  if (token) history.replaceState(null, '', location.pathname);
  return token;
}

/**
 * One dialog asks for the token, however many requests are waiting for it.
 * @param {string} offered  is filled in, to be confirmed: a link must not sign anybody in unseen
 */
function startTokenDialog(offered) {
  /** @type {Promise<void> | null} */
  let pending = null;
  const dialog = $('token', HTMLDialogElement);
  const input = $('token-text', HTMLInputElement);
  connection.requestToken = () => {
    pending ??= new Promise((resolve) => {
      input.value = offered;
      usedLink = Boolean(offered);
      dialog.showModal();
      dialog.oncancel = (event) => event.preventDefault();
      // Browsers close it all the same when they are asked a second time; requests would wait without end.
      dialog.onclose = () => { if (pending && !dialog.open) dialog.showModal(); };
      $('token-form').onsubmit = async (event) => {
        event.preventDefault();
        try {
          await startSession(input.value);
          input.value = '';
          showMessage('token-error', '');
          dialog.close();
          pending = null;
          resolve();
          await reloadForAnother();
        } catch (error) {
          const isWrong = error instanceof ApiError && (error.status === 401 || error.status === 403);
          showMessage('token-error', isWrong ? text('errorToken') : messageOf(error));
          input.select();
        }
      };
    });
    return pending;
  };
}

/** Whoever signs in after somebody else must not find what the other one left in the page. */
async function reloadForAnother() {
  if (person !== null && (await getJson('/v1/session')).person !== person) location.replace(location.pathname);
}

async function signOut() {
  try {
    await endSession();
  } catch (error) {
    showMessage('connection-message', messageOf(error));
    return;
  }
  await deleteSavedDraft();
  location.replace(location.pathname); // what is in memory goes, too
}
