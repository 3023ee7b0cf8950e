/**
 * Does the relay answer again? Asked over HTTP, while the path for sound is dead.
 *
 * In the dark a browser's new connection repeats its first packet after 1, 3, 7, 15 and 31 seconds, and giving up the
 * request does not end that: later requests wait for the same connection. So a request is never given up, and others begin
 * when the repetitions would leave a gap: some request asks every 2 s, and every second where the system repeats more often.
 * A browser has six connections to one address, and six more for requests without cookies.
 */

/**
 * When requests are begun beside those that wait, s after the first: found by trial, for a minute with least gaps. The
 * second comes soon: the first may have been given to a connection that has died with the old address.
 */
export const BEGIN_S = [0, 0.5, 4, 7, 9, 17, 22, 27, 36, 44, 49, 54];
/** Time until one that failed at once is begun again, and how exactly the others begin, ms. */
export const AGAIN_MS = 500;
/** Most requests that wait at the same time. */
export const MOST = BEGIN_S.length;

/**
 * How many requests may wait by now.
 * @param {number} since the first one, ms
 */
export function allowed(since) {
  return BEGIN_S.filter((begin) => 1_000 * begin <= since).length;
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
