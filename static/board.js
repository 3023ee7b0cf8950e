/** The place on the page where notices hang while they are true. */

import { add, current, drop, notice, remark } from './notices.js';
import { explain } from './problems.js';

export class Board {
  /** @type {import('./notices.js').Notice[]} */ #notices = [];

  /** @param {import('./view.js').View} view */
  constructor(view) {
    this.view = view;
  }

  /** @param {string} event the relay's, or the page's own @param {number|null} [seconds] until it comes true */
  announce(event, seconds = null) {
    const added = notice(event, performance.now(), seconds);
    if (added) this.#hang(added);
  }

  /** What does not end the call. @param {import('./call.js').Problem} problem @param {string} [next] a better next step */
  tell(problem, next) {
    const explained = explain(problem);
    this.#hang(remark({ ...explained, next: next ?? explained.next }, performance.now()));
  }

  /** It is not true any more. @param {...string} keys */
  withdraw(...keys) {
    this.#notices = drop(this.#notices, ...keys);
    this.tick();
  }

  clear() {
    this.#notices = [];
    this.tick();
  }

  /** Time goes by. */
  tick() {
    const now = performance.now();
    this.#notices = current(this.#notices, now);
    this.view.showNotice(this.#notices.at(-1) ?? null, now);
  }

  /** @param {import('./notices.js').Notice} added */
  #hang(added) {
    this.#notices = add(this.#notices, added);
    this.tick();
  }
}
