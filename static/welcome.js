/** What the relay says of itself before anybody calls: who answers, and where a phone finds it. */

import { explain } from './problems.js';
import { problemOf } from './signalling.js';

/** @typedef {import('./view.js').View} View */
/** @typedef {import('./signalling.js').Signalling} Signalling */

const SVG = 'http://www.w3.org/2000/svg';

/** How often it is asked whether the local voice is ready, a second apart: it takes four. */
const LOCAL_VOICE_TRIES = 10;

/** Without an answer the page stays silent about it: pressing the button will tell. @param {View} view @param {Signalling} signalling */
export async function welcome(view, signalling) {
  const health = await askWho(view, signalling, LOCAL_VOICE_TRIES);
  if (!health) return;
  if (typeof health.secureUrl !== 'string') return;
  view.showSecure(`${health.secureUrl}/${location.hash}`);
  if (!window.isSecureContext) return;
  view.phone.hidden = false;
  view.phonePanel.addEventListener('beforetoggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === 'open') void invite(view, signalling);
  });
}

/**
 * Which voice would answer?
 * @param {View} view @param {Signalling} signalling
 * @param {number} left how often to ask again while the local voice is being loaded
 */
async function askWho(view, signalling, left) {
  const health = await signalling.health().catch(() => null);
  if (!health) return null;
  const local = String(health.localVoice ?? '');
  view.showVoice(String(health.modelName ?? ''), String(health.model ?? ''), local);
  if (local === 'starting' && left > 0) setTimeout(() => void askWho(view, signalling, left - 1), 1000);
  return health;
}

/** Asked anew each time: the machine may be in another network by now. @param {View} view @param {Signalling} signalling */
async function invite(view, signalling) {
  try {
    const { url, local, fingerprint, size, path } = await signalling.invitation();
    view.phoneCode.replaceChildren(drawn(path));
    view.phoneCode.setAttribute('viewBox', `0 0 ${size} ${size}`);
    view.showInvitation(new URL(url).host, local, fingerprint);
  } catch (error) {
    const { what, next } = explain(problemOf(error));
    view.showNoInvitation(`${what} ${next}`);
  }
}

/** @param {string} path */
function drawn(path) {
  const element = document.createElementNS(SVG, 'path');
  element.setAttribute('d', path);
  return element;
}
