/**
 * Typed words that the relay has not yet said that it has: a path may have swallowed them when it died, so they are sent
 * again on the next one, also by a page that was loaded again meanwhile. No DOM and no clock.
 */

/** Of more than these the oldest are given up: the relay remembers 64 that it has had. */
export const MOST = 20;

/**
 * @typedef {object} Letter
 * @property {string} id
 * @property {string} text
 * @property {boolean} answered   or only to be remembered
 */

export class Post {
  /**
   * @param {Letter[]} letters of before, in the order of writing
   * @param {(letters: Letter[]) => void} changed
   */
  constructor(letters, changed) {
    this.letters = letters;
    this.changed = changed;
  }

  /** @param {Letter} letter */
  add(letter) {
    this.#keep([...this.letters, letter].slice(-MOST));
  }

  /** The relay has it, or refuses it. @param {string} id @returns {Letter|undefined} */
  taken(id) {
    const letter = this.letters.find((one) => one.id === id);
    if (letter) this.#keep(this.letters.filter((one) => one !== letter));
    return letter;
  }

  /** @param {Letter[]} letters */
  #keep(letters) {
    this.letters = letters;
    this.changed(letters);
  }
}

/** What was kept, as far as it can be sent. @param {unknown} kept @returns {Letter[]} */
export function lettersIn(kept) {
  const letters = (Array.isArray(kept) ? kept : []).flatMap((one) => {
    const { id, text, answered } = one ?? {};
    return typeof id === 'string' && typeof text === 'string' ? [{ id, text, answered: answered === true }] : [];
  });
  return letters.slice(-MOST);
}
