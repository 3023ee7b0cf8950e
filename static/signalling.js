/** The relay's HTTP: JSON there, JSON back, and every refusal as a problem that can be explained. */

import { httpProblem } from './problems.js';

/** @typedef {import('./call.js').Problem} Problem */
/** @typedef {Record<string, unknown>} Json */
/** What opens a session, and what was said in it. @typedef {{session: string, secret: string}} Pass */

export class ConnectionError extends Error {
  /** @param {Problem} problem @param {number} [status] the relay's HTTP status, if it answered */
  constructor(problem, status = 0) {
    super(problem.info ?? problem.code);
    this.problem = problem;
    this.status = status;
  }

  /** Would the relay refuse the next attempt, too? */
  get final() {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }

  /** Did the request end without an answer? */
  get brokeOff() {
    return this.problem.code === 'unreachable';
  }
}

/** @param {unknown} error @returns {Problem} */
export function problemOf(error) {
  return error instanceof ConnectionError ? error.problem : { code: 'unexpected' };
}

/** Does the relay know no such call, or none any more? @param {unknown} error */
export function isGone(error) {
  return error instanceof ConnectionError && [404, 410].includes(error.status);
}

export class Signalling {
  /**
   * @param {string} base the page's own address; the relay's routes are beside it
   * @param {string} token access token, or ''
   */
  constructor(base, token) {
    this.base = base;
    /** @type {RequestCredentials} With which the relay was seen to answer. */
    this.credentials = 'same-origin';
    /** @type {Record<string, string>} */
    this.headers = token ? { Authorization: `Bearer ${token}` } : {};
  }

  /** Which voice would answer? Throws whatever goes wrong. @returns {Promise<Json>} */
  async health() {
    return (await fetch(new URL('healthz', this.base), { headers: this.headers })).json();
  }

  /** This relay’s address for a phone, and its QR code. Throws ConnectionError. */
  async invitation() {
    const response = await this.#fetch('invitation', { headers: this.headers, cache: 'no-store' });
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw new ConnectionError(httpProblem(response.status, answer), response.status);
    const { url, local, fingerprint = '', code } = answer ?? {};
    if (typeof url !== 'string' || typeof code?.path !== 'string') throw new ConnectionError({ code: 'bad-answer' });
    return { url, local: local === true, fingerprint: String(fingerprint), size: Number(code.size), path: String(code.path) };
  }

  /** Throws ConnectionError. @param {AbortSignal} signal */
  start(signal) {
    return this.#post('start', {}, signal);
  }

  /** Throws ConnectionError. @param {string} session @param {Json} offer @param {AbortSignal} signal */
  offer(session, offer, signal) {
    return this.#post(`sessions/${encodeURIComponent(session)}/api/offer`, offer, signal);
  }

  /** The way back into a session, and its next secret. Throws ConnectionError. @param {Pass} pass @param {AbortSignal} signal */
  resume(pass, signal) {
    return this.#post(`sessions/${encodeURIComponent(pass.session)}/resume`, {}, signal, pass.secret);
  }

  /**
   * What was said until now. Throws ConnectionError.
   * @param {Pass} pass
   * @param {'json'|'text'|'vtt'} format
   * @param {AbortSignal} signal
   */
  async transcript(pass, format, signal) {
    const path = `sessions/${encodeURIComponent(pass.session)}/transcript?format=${format}`;
    const response = await this.#fetch(path, { headers: { Authorization: `Bearer ${pass.secret}` }, signal });
    if (!response.ok) throw new ConnectionError(httpProblem(response.status, null), response.status);
    return response;
  }

  /**
   * Is the relay there? Throws ConnectionError unless it is. A proxy may want its cookie, so without one only a good answer
   * is one.
   * @param {AbortSignal} signal
   * @param {RequestCredentials} credentials
   */
  async there(signal, credentials) {
    const { ok } = await this.#fetch('status', { cache: 'no-store', signal, credentials });
    if (!ok && credentials === 'omit') throw new ConnectionError({ code: 'unreachable' });
  }

  /**
   * What the relay says of a session's `ice` or `trouble`; null if it does not say.
   * @param {string} session
   * @param {'ice'|'trouble'} what
   * @param {AbortSignal} signal
   * @returns {Promise<Json|null>}
   */
  async ask(session, what, signal) {
    try {
      const response = await this.#fetch(`sessions/${encodeURIComponent(session)}/${what}`, { signal, cache: 'no-store' });
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  /**
   * Tell where this browser is. Throws ConnectionError if the relay is not reached, whatever it answers.
   * @param {string} session
   * @param {string|null} pcId
   * @param {string[]} candidates
   */
  async meet(session, pcId, candidates) {
    const body = JSON.stringify({ pc_id: pcId, candidates: candidates.map((candidate) => ({ candidate })) });
    const headers = { 'Content-Type': 'application/json', ...this.headers };
    await this.#fetch(`sessions/${encodeURIComponent(session)}/api/offer`, { method: 'PATCH', headers, body });
  }

  /**
   * End the session and, by its secret, forget what was said; survives the closing of the page, and nobody waits for it.
   * @param {string} session
   * @param {string} secret
   */
  goodbye(session, secret) {
    const url = new URL(`sessions/${encodeURIComponent(session)}`, this.base);
    fetch(url, { method: 'DELETE', keepalive: true, headers: { Authorization: `Bearer ${secret}` } }).catch(() => {});
  }

  /** @param {string} path @param {RequestInit} request @returns {Promise<Response>} */
  async #fetch(path, request) {
    try {
      return await fetch(new URL(path, this.base), { credentials: this.credentials, ...request });
    } catch {
      throw new ConnectionError({ code: 'unreachable' });
    }
  }

  /**
   * @param {string} path
   * @param {Json} body
   * @param {AbortSignal} signal
   * @param {string} [secret] in the place of the access token
   * @returns {Promise<Json>}
   */
  async #post(path, body, signal, secret) {
    const authorization = secret ? { Authorization: `Bearer ${secret}` } : this.headers;
    const headers = { 'Content-Type': 'application/json', ...authorization };
    const response = await this.#fetch(path, { method: 'POST', headers, signal, body: JSON.stringify(body) });
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw new ConnectionError(httpProblem(response.status, answer), response.status);
    if (typeof answer !== 'object' || answer === null) throw new ConnectionError({ code: 'bad-answer' });
    return answer;
  }
}
