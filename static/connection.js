/**
 * One conversation with the relay, seen from the wire: HTTP for signalling, a peer connection for sound, a data channel
 * for words. An ordinary SmallWebRTC client. It holds no state of the call's; it reports what happens.
 */

import { httpProblem } from './problems.js';
import { clientReady, disconnectBot, ping, trackStatus } from './rtvi.js';

/** Time between pings, and between two looks at the incoming bytes, ms. */
const PULSE_MS = 1_000;
/** So many pulses without a single byte mean that the path is gone. */
const SILENT_PULSES = 2;
/** So many make the page build a new peer connection. */
const RESTART_PULSES = 5;
/** Longest wait for one attempt to reconnect, and the pause between two, ms. */
const ATTEMPT_MS = 6_000;
const PAUSE_MS = 1_000;

/** @typedef {import('./call.js').Problem} Problem */
/**
 * @typedef {object} Listener
 * @property {(data: unknown) => void} message   a frame from the data channel
 * @property {(stream: MediaStream) => void} sound   the model's voice
 * @property {() => void} stalled   nothing arrives any more
 * @property {() => void} recovered
 * @property {(problem: Problem) => void} failed
 */

export class ConnectionError extends Error {
  /** @param {Problem} problem @param {number} [status] the relay's HTTP status, if it answered */
  constructor(problem, status = 0) {
    super(problem.info ?? problem.code);
    this.problem = problem;
    this.status = status;
  }
}

export class Connection {
  /** @type {RTCPeerConnection|null} */ #pc = null;
  /** @type {RTCDataChannel|null} */ #channel = null;
  /** @type {RTCRtpSender|null} */ #sender = null;
  /** @type {MediaStreamTrack|null} */ #track;
  /** @type {RTCIceServer[]} */ #iceServers = [];
  /** @type {string|null} */ #session = null;
  /** @type {string|null} */ #pcId = null;
  #abort = new AbortController();
  #closed = false;
  #restarting = false;
  #stalled = false;
  #sending = true;
  #pulse = 0;
  #bytes = -1;
  #silent = 0;

  /**
   * @param {string} base the page's own address; the relay's routes are beside it
   * @param {string} token access token, or ''
   * @param {MediaStreamTrack|null} track the microphone, or null in a call by typing
   * @param {Listener} listener
   */
  constructor(base, token, track, listener) {
    this.base = base;
    this.token = token;
    this.listener = listener;
    this.#track = track;
    this.#sending = track !== null;
  }

  /** From nothing to an open data channel, with `client-ready` sent. Throws ConnectionError. */
  async open() {
    const answer = await this.#request('start', 'POST', {});
    const session = answer.sessionId ?? answer.session_id;
    if (typeof session !== 'string') throw new ConnectionError({ code: 'bad-answer' });
    this.#session = session;
    const ice = /** @type {{iceServers?: RTCIceServer[]}|undefined} */ (answer.iceConfig);
    this.#iceServers = ice?.iceServers ?? [];
    if (this.#closed) return this.goodbye();
    await this.#connect(false);
    this.send(clientReady({ library: 'gemini-webrtc-relay-page', library_version: '1', platform: navigator.platform }));
    this.#pulse = window.setInterval(() => void this.#beat(), PULSE_MS);
  }

  /** @param {string} text @returns {boolean} whether it could be sent */
  send(text) {
    if (this.#channel?.readyState !== 'open') return false;
    this.#channel.send(text);
    return true;
  }

  /** Put another microphone in the place of the old one, without a new call. @param {MediaStreamTrack|null} track */
  async replaceTrack(track) {
    this.#track = track;
    await this.#sender?.replaceTrack(track);
  }

  /** Tell the relay whether the microphone sends. @param {boolean} sending */
  setSending(sending) {
    this.#sending = sending;
    this.send(trackStatus(sending));
  }

  /** Ask the relay to hang up. It answers `peerLeft`; the caller then owes `close()`. */
  hangUp() {
    return this.send(disconnectBot());
  }

  /** Forget the session at the relay; survives the closing of the page. */
  goodbye() {
    if (!this.#session) return;
    const url = new URL(`sessions/${encodeURIComponent(this.#session)}`, this.base);
    this.#session = null;
    fetch(url, { method: 'DELETE', keepalive: true, headers: this.#headers() }).catch(() => {});
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort.abort();
    window.clearInterval(this.#pulse);
    this.#dropPeer();
    this.goodbye();
  }

  #dropPeer() {
    const pc = this.#pc;
    this.#pc = this.#channel = this.#sender = null;
    pc?.close();
  }

  /** A new peer connection, up to its open data channel. @param {boolean} restart */
  async #connect(restart) {
    this.#dropPeer();
    const pc = new RTCPeerConnection({ iceServers: this.#iceServers });
    const channel = pc.createDataChannel('rtvi', { ordered: true });
    const streams = this.#track ? [new MediaStream([this.#track])] : [];
    const transceiver = pc.addTransceiver(this.#track ?? 'audio', { direction: 'sendrecv', streams });
    this.#pc = pc;
    this.#channel = channel;
    this.#sender = transceiver.sender;
    this.#bytes = -1;
    this.#silent = 0;
    pc.ontrack = ({ track, streams: [stream] }) => this.listener.sound(stream ?? new MediaStream([track]));
    channel.onmessage = ({ data }) => this.listener.message(data);
    const open = this.#opening(pc, channel);
    open.catch(() => {});
    await this.#negotiate(restart);
    await open;
    this.send(trackStatus(this.#sending));
    channel.onclose = () => window.setTimeout(() => this.#lost(pc), 500);
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'failed') this.#lost(pc);
      else if (pc.connectionState === 'disconnected') this.#stall();
    };
  }

  /** @param {RTCPeerConnection} pc @param {RTCDataChannel} channel @returns {Promise<void>} */
  #opening(pc, channel) {
    return new Promise((resolve, reject) => {
      /** @param {string} code */
      const fail = (code) => reject(new ConnectionError({ code }));
      let candidates = 0;
      channel.onopen = () => resolve();
      channel.onclose = () => fail('no-path');
      pc.onicecandidate = ({ candidate }) => { if (candidate?.candidate) candidates += 1; };
      pc.onicegatheringstatechange = () => {
        if (pc.iceGatheringState === 'complete' && candidates === 0) fail('no-network');
      };
      pc.onconnectionstatechange = () => { if (pc.connectionState === 'failed') fail('no-path'); };
      this.#abort.signal.addEventListener('abort', () => fail('unreachable'), { once: true });
    });
  }

  /** Offer and answer. The relay learns our addresses from our own checks, so nothing waits for candidates. */
  async #negotiate(restart = false) {
    const pc = this.#pc;
    if (!pc || !this.#session) return;
    await pc.setLocalDescription();
    const answer = await this.#request(`sessions/${encodeURIComponent(this.#session)}/api/offer`, 'POST', {
      sdp: pc.localDescription?.sdp, type: 'offer', pc_id: this.#pcId, restart_pc: restart,
    });
    if (pc !== this.#pc) return;
    if (typeof answer.pc_id === 'string') this.#pcId = answer.pc_id;
    try {
      await pc.setRemoteDescription({ type: 'answer', sdp: String(answer.sdp) });
    } catch {
      throw new ConnectionError({ code: 'bad-answer' });
    }
  }

  /** The relay asked for a fresh offer on the same connection. */
  async renegotiate() {
    await this.#negotiate().catch((error) => this.listener.failed(problemOf(error)));
  }

  /** Once a second: show that we live, and see whether the relay does. It acknowledges pings, so bytes must come. */
  async #beat() {
    const pc = this.#pc;
    this.send(ping(Date.now()));
    if (!pc || this.#restarting) return;
    const bytes = await received(pc);
    if (bytes < 0 || pc !== this.#pc || this.#restarting) return;
    this.#silent = bytes === this.#bytes ? this.#silent + 1 : 0;
    this.#bytes = bytes;
    if (this.#silent === 0) this.#recover();
    if (this.#silent >= SILENT_PULSES) this.#stall();
    if (this.#silent >= RESTART_PULSES) this.#lost(pc);
  }

  #stall() {
    if (this.#stalled || this.#closed) return;
    this.#stalled = true;
    this.listener.stalled();
  }

  #recover() {
    if (!this.#stalled || this.#closed) return;
    this.#stalled = false;
    this.listener.recovered();
  }

  /** This peer connection will not come back: build new ones in the same session until one opens or the relay refuses. */
  async #lost(/** @type {RTCPeerConnection} */ pc) {
    if (pc !== this.#pc || this.#restarting || this.#closed) return;
    this.#restarting = true;
    this.#stall();
    while (!this.#closed) {
      try {
        await within(this.#connect(true), ATTEMPT_MS);
        this.#recover();
        break;
      } catch (error) {
        if (this.#closed) break;
        if (isFinal(error)) {
          this.listener.failed(problemOf(error));
          break;
        }
        await pause(PAUSE_MS);
      }
    }
    this.#restarting = false;
  }

  /** @returns {Record<string, string>} */
  #headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /**
   * @param {string} path
   * @param {string} method
   * @param {object} body
   * @returns {Promise<Record<string, unknown>>}
   */
  async #request(path, method, body) {
    const headers = { 'Content-Type': 'application/json', ...this.#headers() };
    const signal = this.#abort.signal;
    let response;
    try {
      response = await fetch(new URL(path, this.base), { method, headers, signal, body: JSON.stringify(body) });
    } catch {
      throw new ConnectionError({ code: 'unreachable' });
    }
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw new ConnectionError(httpProblem(response.status, answer), response.status);
    if (typeof answer !== 'object' || answer === null) throw new ConnectionError({ code: 'bad-answer' });
    return answer;
  }
}

/** @param {unknown} error @returns {Problem} */
export function problemOf(error) {
  return error instanceof ConnectionError ? error.problem : { code: 'unexpected' };
}

/** Would the relay refuse the next attempt, too? @param {unknown} error */
function isFinal(error) {
  return !(error instanceof ConnectionError) || (error.status >= 400 && error.status < 500 && error.status !== 429);
}

/** Bytes that have arrived on the path in use; -1 if the browser does not say. @param {RTCPeerConnection} pc */
async function received(pc) {
  for (const stat of (await pc.getStats()).values()) {
    if (stat.type === 'candidate-pair' && stat.nominated && stat.state === 'succeeded') return stat.bytesReceived ?? -1;
  }
  return -1;
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => { window.setTimeout(resolve, ms); });
}

/** @param {Promise<void>} work @param {number} ms */
function within(work, ms) {
  return Promise.race([work, pause(ms).then(() => { throw new ConnectionError({ code: 'no-path' }); })]);
}
