/**
 * One conversation with the relay, seen from the wire: HTTP for signalling, a peer connection for sound, a data channel
 * for words. An ordinary SmallWebRTC client. It holds no state of the call's; it reports what happens.
 */

import { opening } from './opening.js';
import { Pictures } from './pictures.js';
import { clientReady, disconnectBot, ping, trackStatus } from './rtvi.js';
import { KINDS, RECEIVERS } from './sight.js';
import { ConnectionError, problemOf } from './signalling.js';

/** Time between two looks at the incoming bytes, ms; every second look also sends a ping. */
const PULSE_MS = 500;
/** So many looks without a single new byte mean that the path is gone: two seconds at most. */
const SILENT_PULSES = 3;
/** So many make the page build a new peer connection; shorter gaps heal by themselves. */
const RESTART_PULSES = 14;
/** Longest wait for one attempt to reconnect, and the pause between two, ms. */
const ATTEMPT_MS = 6_000;
const PAUSE_MS = 1_000;

/** @typedef {import('./call.js').Problem} Problem */
/** @typedef {import('./sight.js').Kind} Kind */
/**
 * @typedef {object} Listener
 * @property {(data: unknown) => void} message   a frame from the data channel
 * @property {(stream: MediaStream) => void} sound   the model's voice
 * @property {(kind: Kind, takes: boolean) => void} sees   does the relay take these pictures?
 * @property {() => void} stalled   nothing arrives any more
 * @property {() => void} recovered
 * @property {(problem: Problem) => void} failed
 */

export class Connection {
  /** @type {RTCPeerConnection|null} */ #pc = null;
  /** @type {RTCDataChannel|null} */ #channel = null;
  /** @type {RTCRtpSender|null} */ #sender = null;
  /** @type {MediaStreamTrack|null} */ #track;
  /** @type {Pictures|null} */ #pictures = null;
  /** @type {Map<Kind, MediaStreamTrack>} */ #shown = new Map();
  /** @type {RTCIceServer[]} */ #iceServers = [];
  /** @type {string|null} */ #session = null;
  /** @type {string|null} */ #pcId = null;
  #abort = new AbortController();
  #closed = false;
  #restarting = false;
  #stalled = false;
  #sending = true;
  #pulse = 0;
  #beats = 0;
  #bytes = -1;
  #silent = 0;

  /**
   * @param {import('./signalling.js').Signalling} signalling
   * @param {MediaStreamTrack|null} track the microphone, or null in a call by typing
   * @param {Listener} listener
   */
  constructor(signalling, track, listener) {
    this.signalling = signalling;
    this.listener = listener;
    this.#track = track;
    this.#sending = track !== null;
  }

  /** From nothing to an open data channel, with `client-ready` sent. Throws ConnectionError. */
  async open() {
    const answer = await this.signalling.start(this.#abort.signal);
    const session = answer.sessionId ?? answer.session_id;
    if (typeof session !== 'string') throw new ConnectionError({ code: 'bad-answer' });
    this.#session = session;
    const ice = /** @type {{iceServers?: RTCIceServer[]}|undefined} */ (answer.iceConfig);
    this.#iceServers = ice?.iceServers ?? [];
    if (this.#closed) return this.goodbye();
    await this.#connect(false, this.#abort.signal);
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
    await this.#plug();
  }

  /** Tell the relay whether the microphone sends. @param {boolean} sending */
  setSending(sending) {
    this.#sending = sending;
    void this.#plug();
    this.send(trackStatus(0, sending));
  }

  /** Show the model these pictures, or none any more. @param {Kind} kind @param {MediaStreamTrack|null} track */
  show(kind, track) {
    if (track) this.#shown.set(kind, track);
    else this.#shown.delete(kind);
    void this.#pictures?.show(kind, track);
    this.send(trackStatus(RECEIVERS[kind], track !== null));
  }

  /** A muted track would still send fifty silent packets a second; none at all costs neither side anything. */
  async #plug() {
    await this.#sender?.replaceTrack(this.#sending ? this.#track : null).catch(() => {}); // the peer may be closing
  }

  /** Ask the relay to hang up. It answers `peerLeft`; the caller then owes `close()`. */
  hangUp() {
    return this.send(disconnectBot());
  }

  /** The session belongs to somebody else now: no goodbye may end it. */
  disown() {
    this.#session = null;
  }

  /** Forget the session at the relay; survives the closing of the page. */
  goodbye() {
    if (!this.#session) return;
    this.signalling.goodbye(this.#session);
    this.#session = null;
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
    this.#pc = this.#channel = this.#sender = this.#pictures = null;
    pc?.close();
  }

  /**
   * A new peer connection, up to its open data channel. The old one lives until the relay has answered: its end before
   * that would end the session.
   * @param {boolean} restart
   * @param {AbortSignal} signal
   */
  async #connect(restart, signal) {
    const pc = new RTCPeerConnection({ iceServers: this.#iceServers });
    const channel = pc.createDataChannel('rtvi', { ordered: true });
    const streams = this.#track ? [new MediaStream([this.#track])] : [];
    const transceiver = pc.addTransceiver(this.#track ?? 'audio', { direction: 'sendrecv', streams });
    const pictures = new Pictures(pc);
    pc.ontrack = ({ track, streams: [stream] }) => this.listener.sound(stream ?? new MediaStream([track]));
    channel.onmessage = ({ data }) => this.listener.message(data);
    const open = opening(pc, channel, signal);
    try {
      await Promise.race([this.#negotiate(pc, restart, signal), open.then(() => {})]);
      this.#dropPeer();
      this.#pc = pc;
      this.#channel = channel;
      this.#sender = transceiver.sender;
      this.#pictures = pictures;
      await open;
    } catch (error) {
      pc.close();
      throw error;
    }
    this.#bytes = -1;
    this.#silent = 0;
    if (!this.#sending) void this.#plug();
    this.#resume(pictures);
    channel.onclose = () => window.setTimeout(() => this.#lost(pc), 500);
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'failed') this.#lost(pc);
      else if (pc.connectionState === 'disconnected') this.#stall();
    };
  }

  /** Whatever was sent is sent on the new connection, too; first the relay says what it takes. @param {Pictures} pictures */
  #resume(pictures) {
    this.send(trackStatus(0, this.#sending));
    for (const kind of KINDS) {
      this.listener.sees(kind, pictures.taken(kind));
      const track = this.#shown.get(kind);
      if (track) void pictures.show(kind, track);
      this.send(trackStatus(RECEIVERS[kind], track !== undefined));
    }
  }

  /**
   * Offer and answer. The relay learns our addresses from our own checks, so nothing waits for candidates.
   * @param {RTCPeerConnection} pc
   * @param {boolean} restart
   * @param {AbortSignal} signal
   */
  async #negotiate(pc, restart, signal) {
    await pc.setLocalDescription();
    const offer = { sdp: pc.localDescription?.sdp, type: 'offer', pc_id: this.#pcId, restart_pc: restart };
    const answer = await this.signalling.offer(this.#session ?? '', offer, signal);
    if (typeof answer.pc_id === 'string') this.#pcId = answer.pc_id;
    try {
      await pc.setRemoteDescription({ type: 'answer', sdp: String(answer.sdp) });
    } catch {
      throw new ConnectionError({ code: 'bad-answer' });
    }
  }

  /** The relay asked for a fresh offer on the same connection. */
  async renegotiate() {
    const work = this.#pc ? this.#negotiate(this.#pc, false, this.#abort.signal) : Promise.resolve();
    await work.catch((error) => { if (!this.#closed) this.listener.failed(problemOf(error)); });
  }

  /** Show that we live, and see whether the relay does. It acknowledges pings, so bytes must come. */
  async #beat() {
    const pc = this.#pc;
    this.#beats += 1;
    if (this.#beats % 2) this.send(ping(Date.now()));
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

  /**
   * This path seems dead: build new peer connections in the same session until one opens, the old one stirs, or the
   * relay refuses.
   * @param {RTCPeerConnection} pc
   */
  async #lost(pc) {
    if (pc !== this.#pc || this.#restarting || this.#closed) return;
    this.#restarting = true;
    this.#stall();
    while (!this.#closed) {
      try {
        await this.#connect(true, AbortSignal.any([this.#abort.signal, AbortSignal.timeout(ATTEMPT_MS)]));
        break;
      } catch (error) {
        if (this.#closed) break;
        if (!(error instanceof ConnectionError) || error.final) {
          this.listener.failed({ code: 'connection-lost' });
          break;
        }
        await pause(PAUSE_MS);
        if (this.#pc && await received(this.#pc) > this.#bytes) break;
      }
    }
    this.#restarting = false;
    if (this.#channel?.readyState === 'open') this.#recover();
  }
}

/** Bytes that have arrived on all paths; -1 if the browser does not say. @param {RTCPeerConnection} pc */
async function received(pc) {
  const stats = await pc.getStats().catch(() => null);
  let bytes = -1;
  for (const stat of stats?.values() ?? []) {
    if (stat.type === 'candidate-pair' && stat.bytesReceived >= 0) bytes = Math.max(bytes, 0) + stat.bytesReceived;
  }
  return bytes;
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => { window.setTimeout(resolve, ms); });
}
