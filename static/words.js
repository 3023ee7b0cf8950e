/** What was said, on the page: the transcript and its captions. */

import { Captions } from './captions.js';
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
}
