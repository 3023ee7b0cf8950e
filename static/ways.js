/** The way to the relay: which servers may help, where this browser is, and why there is no connection. */

import { PATH_PROBLEMS } from './problems.js';
import { ConnectionError } from './signalling.js';

/** A TURN server's credential is good for ten minutes; one older than this is fetched anew, ms. */
const FRESH_MS = 5 * 60_000;
/** Candidates that are found so soon after each other are told together, ms. */
const TOGETHER_MS = 50;
/** How long the relay may take to say what is wrong, ms. */
const EXPLAIN_MS = 1_500;

export class Ways {
  /** @type {RTCIceServer[]} */ servers = [];
  #learned = 0;

  /** @param {import('./signalling.js').Signalling} signalling */
  constructor(signalling) {
    this.signalling = signalling;
  }

  /** @param {import('./signalling.js').Json} answer of the relay, which names servers or does not */
  learn(answer) {
    const ice = /** @type {{iceServers?: RTCIceServer[]}|undefined} */ (answer.iceConfig);
    this.servers = ice?.iceServers ?? [];
    this.#learned = performance.now();
  }

  /** Before another connection: credentials may have ended. @param {string} session @param {AbortSignal} signal */
  async renew(session, signal) {
    const old = performance.now() - this.#learned > FRESH_MS;
    if (!old || !this.servers.some(({ credential }) => credential)) return;
    const answer = await this.signalling.ask(session, 'ice', signal);
    if (answer) this.learn(answer);
  }

  /**
   * A relay that sends first needs to know where this browser is, and says so in its answer (RFC 8840).
   * @param {RTCPeerConnection} pc
   * @param {string} session
   * @param {string|null} pcId
   * @param {string} answer its SDP
   */
  tell(pc, session, pcId, answer) {
    if (!/^a=ice-options:.*\btrickle\b/m.test(answer)) return;
    const found = [...(pc.localDescription?.sdp ?? '').matchAll(/(?<=^a=)candidate:.*/gm)].map(([line]) => line.trim());
    let timer = 0;
    const say = () => {
      timer = 0;
      this.signalling.meet(session, pcId, found.splice(0)).catch(() => {}); // its checks may find us all the same
    };
    pc.addEventListener('icecandidate', ({ candidate }) => {
      if (!candidate?.candidate) return;
      found.push(candidate.candidate);
      timer ||= window.setTimeout(say, TOGETHER_MS);
    });
    if (found.length) say();
  }

  /** Why there is no path: the relay has seen its end of it. @param {string|null} session @param {unknown} error */
  async explained(session, error) {
    if (!(error instanceof ConnectionError) || error.problem.code !== 'no-path' || !session) return error;
    const answer = await this.signalling.ask(session, 'trouble', AbortSignal.timeout(EXPLAIN_MS));
    const code = String(answer?.code);
    return PATH_PROBLEMS.includes(code) ? new ConnectionError({ code }) : error;
  }
}
