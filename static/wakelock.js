/** The screen stays lit while a call goes on: a phone that falls asleep takes the microphone away. */

/** @typedef {{release: () => Promise<void>}} Lock */

export class WakeLock {
  /** @type {Promise<Lock|null>|null} */ #lock = null;
  #wanted = false;

  constructor() {
    // A page that is hidden loses it.
    document.addEventListener('visibilitychange', () => {
      if (this.#wanted && document.visibilityState === 'visible') this.#ask();
    });
  }

  /** @param {boolean} wanted */
  keep(wanted) {
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    if (wanted) this.#ask();
    else this.#release();
  }

  #ask() {
    this.#release();
    // Old browsers have none, and a phone whose battery is low refuses: the call goes on without.
    this.#lock = navigator.wakeLock?.request('screen').catch(() => null) ?? null;
  }

  #release() {
    void this.#lock?.then((lock) => lock?.release()).catch(() => {});
    this.#lock = null;
  }
}
