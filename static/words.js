/** What was said, on the page: the transcript and its captions. */

import { Captions } from './captions.js';
import { letters } from './letters.js';
import { Transcript } from './transcript.js';

export class Words {
  #transcript = new Transcript();

  /** @param {HTMLElement} log */
  constructor(log) {
    this.captions = new Captions(log);
  }

  get turns() {
    return this.#transcript.turns;
  }

  clear() {
    this.#transcript = new Transcript();
    this.captions.clear();
  }

  /** @param {import('./rtvi.js').Incoming} event */
  hear(event) {
    this.captions.draw(this.#transcript.apply(event));
  }

  /** @param {string} text */
  typed(text) {
    this.captions.draw(this.#transcript.typed(text));
  }

  /**
   * The relay has it. What was typed before the page was loaded again is shown now, if the relay has not told it already.
   * @param {import('./post.js').Letter} [letter]
   */
  arrived(letter) {
    if (!letter) return;
    const known = this.turns.some(({ who, said }) => who === 'user' && letters(said.join('')) === letters(letter.text));
    if (!known) this.typed(letter.text);
  }
}
