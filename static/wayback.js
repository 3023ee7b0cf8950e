/**
 * The way back into a call, for a page that is loaded again: which session, its resume secret, whether the caller may be
 * heard, and what was typed and has not arrived. Nothing else is kept, in this tab alone, until the call or the tab ends,
 * and never in an address.
 *
 * Two tabs, one call: the newest has it. The tab that lost it may ask for the way back, which changes whenever somebody
 * takes it. No tab of another site can hear that, and nothing leaves the browser.
 */

import { lettersIn } from './post.js';

const KEY = 'call';
/** How long other tabs may take to answer, ms. */
const PATIENCE_MS = 400;

/**
 * @typedef {object} Pass
 * @property {string} session
 * @property {string} secret
 * @property {boolean} muted
 * @property {boolean} typing   there was no microphone
 * @property {import('./post.js').Letter[]} post   typed, and not yet with the relay
 */

export class WayBack {
  /** Into this tab's call, or the last one it had. @type {Pass|null} */ pass = null;
  #inside = false;
  #tabs = new BroadcastChannel(KEY);
  #answered = () => {};

  constructor() {
    this.#tabs.onmessage = ({ data }) => {
      if (this.#inside && data?.wanted === this.pass?.session) this.show();
      else if (!this.#inside && this.pass && data?.session === this.pass.session) {
        this.pass = { ...this.pass, secret: String(data.secret) };
        this.#answered();
      }
    };
  }

  /** This tab is in the call, and this leads back. @param {Pass} pass */
  keep(pass) {
    this.#inside = true;
    this.pass = pass;
    stored((storage) => storage.setItem(KEY, JSON.stringify(pass)));
  }

  /** This tab has left the call. What was said can still be asked for; after a reload only if it `mayReturn`. @param {boolean} mayReturn */
  leave(mayReturn) {
    this.#inside = false;
    if (!mayReturn) stored((storage) => storage.removeItem(KEY));
  }

  /** Nothing is known of the call any more. */
  forget() {
    this.leave(false);
    this.pass = null;
  }

  /** What was kept before the page was loaded. */
  find() {
    this.pass = stored((storage) => read(storage.getItem(KEY)));
    return this.pass;
  }

  /** Let the other tabs know; one of them may have had the call. */
  show() {
    if (this.#inside && this.pass) this.#tabs.postMessage({ session: this.pass.session, secret: this.pass.secret });
  }

  /** Another tab may know the way better by now. */
  async ask() {
    await new Promise((resolve) => {
      this.#answered = () => resolve(undefined);
      window.setTimeout(resolve, PATIENCE_MS);
      this.#tabs.postMessage({ wanted: this.pass?.session });
    });
    return this.pass;
  }
}

/** A browser that keeps nothing cannot find back; the call goes on without. @template T @param {(storage: Storage) => T} use */
function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

/** @param {string|null} text @returns {Pass|null} */
function read(text) {
  const { session, secret, muted, typing, post } = JSON.parse(text ?? 'null') ?? {};
  if (typeof session !== 'string' || typeof secret !== 'string') return null;
  return { session, secret, muted: muted === true, typing: typing === true, post: lettersIn(post) };
}
