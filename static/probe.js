/**
 * Does the relay answer again? Asked over HTTP, while the path for sound is dead.
 *
 * In the dark a browser's new connection repeats its first packet after 1, 3, 7, 15 and 31 seconds, and giving up the
 * request does not end that: later requests wait for the same connection. So a request is never given up, and another one
 * begins every 5 s, which makes one of them ask every 2 s. A browser has six connections to one address, and six more for
 * requests without cookies.
 */

/** Time until another request is begun beside those that wait, ms. */
export const ANOTHER_MS = 5_000;
/** Time until one that failed at once is begun again, ms. */
export const AGAIN_MS = 700;
/** Most requests that wait at the same time. */
export const MOST = 12;

/**
 * How many requests may wait by now.
 * @param {number} since the first one, ms
 */
export function allowed(since) {
  return Math.min(MOST, 1 + Math.floor(since / ANOTHER_MS));
}

export class Probe {
  #hurry = () => {};

  /** @param {(signal: AbortSignal, credentials: RequestCredentials) => Promise<unknown>} ask rejects unless there is an answer */
  constructor(ask) {
    this.ask = ask;
  }

  /** Something has changed for the better: ask at once. */
  hurry() {
    this.#hurry();
  }

  /** With which credentials the relay answers; it may be asked so from then on. @param {AbortSignal} signal @returns {Promise<RequestCredentials>} */
  answered(signal) {
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    const began = performance.now();
    let waiting = 0;
    let asked = 0;
    return new Promise((resolve) => {
      const ask = async () => {
        if (until.aborted || waiting >= MOST) return;
        const credentials = asked % 2 ? 'omit' : 'same-origin';
        asked += 1;
        waiting += 1;
        try {
          await this.ask(until, credentials);
          over.abort();
          resolve(credentials);
        } catch {
          waiting -= 1;
        }
      };
      this.#hurry = () => void ask();
      const timer = window.setInterval(() => { if (waiting < allowed(performance.now() - began)) void ask(); }, AGAIN_MS);
      until.addEventListener('abort', () => window.clearInterval(timer), { once: true });
      void ask();
    });
  }
}
