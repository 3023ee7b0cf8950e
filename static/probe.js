/** Does the relay answer again? Asked over HTTP, while the path for sound is dead. */

/** Time between two questions, ms: a question that went into the dark would be repeated ever more seldom. */
const ASK_MS = 700;
/** How long one is waited for, ms: a slow network needs its time, and browsers have six connections for all of them. */
const PATIENCE_MS = 3_500;

export class Probe {
  #now = () => {};

  /** @param {(signal: AbortSignal) => Promise<unknown>} ask */
  constructor(ask) {
    this.ask = ask;
  }

  /** Something has changed for the better: ask at once. */
  hurry() {
    this.#now();
  }

  /** Resolves when a question is answered, or when `signal` says so. @param {AbortSignal} signal */
  async answered(signal) {
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    while (!until.aborted) {
      this.ask(AbortSignal.any([until, AbortSignal.timeout(PATIENCE_MS)])).then(() => over.abort(), () => {});
      await new Promise((resolve) => {
        const timer = window.setTimeout(resolve, ASK_MS);
        this.#now = () => resolve(undefined);
        until.addEventListener('abort', () => { window.clearTimeout(timer); resolve(undefined); }, { once: true });
      });
    }
  }
}
