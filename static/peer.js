/** One peer connection with the relay: sound both ways, pictures out, and the channel of words. */

import { opening } from './opening.js';
import { Pictures } from './pictures.js';

/** So long after its channel an end of the connection counts as a loss, ms: the relay's farewell may be on its way. */
const FAREWELL_MS = 500;

/**
 * @typedef {object} Hearer
 * @property {(data: unknown) => void} message   a frame from the data channel
 * @property {() => void} lost   it is over for good
 * @property {() => void} failed   it says so; it may come back as long as both sides check it
 */

export class Peer {
  /** @type {MediaStream|null} The model's voice. */ sound = null;
  #closed = false;

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {MediaStreamTrack|null} track the microphone
   * @param {AbortSignal} signal for its opening
   */
  constructor(iceServers, track, signal) {
    const pc = new RTCPeerConnection({ iceServers });
    this.pc = pc;
    this.channel = pc.createDataChannel('rtvi', { ordered: true });
    const streams = track ? [new MediaStream([track])] : [];
    this.sender = pc.addTransceiver(track ?? 'audio', { direction: 'sendrecv', streams }).sender;
    this.pictures = new Pictures(pc);
    pc.ontrack = ({ track: voice, streams: [stream] }) => { this.sound = stream ?? new MediaStream([voice]); };
    /** @type {unknown[]} What came before anybody listened. */
    this.early = [];
    this.channel.onmessage = ({ data }) => { this.early.push(data); };
    this.opened = opening(pc, this.channel, signal);
    this.opened.catch(() => {}); // whoever waits for it is told; nobody may
  }

  /** From now on it serves. @param {Hearer} hearer */
  serve(hearer) {
    this.channel.onmessage = ({ data }) => hearer.message(data);
    for (const data of this.early.splice(0)) hearer.message(data);
    this.channel.onclose = () => window.setTimeout(() => { if (!this.#closed) hearer.lost(); }, FAREWELL_MS);
    this.pc.onconnectionstatechange = () => { if (this.failed) hearer.failed(); };
  }

  get failed() {
    return this.pc.connectionState === 'failed';
  }

  /** @param {string} text @returns {boolean} whether it could be sent */
  send(text) {
    if (this.channel.readyState !== 'open') return false;
    this.channel.send(text);
    return true;
  }

  /** A muted track would still send fifty silent packets a second; none at all costs neither side anything. @param {MediaStreamTrack|null} track */
  async plug(track) {
    await this.sender.replaceTrack(track).catch(() => {}); // it may be closing
  }

  /**
   * A number that changes with whatever arrives, be it sound, words or the mere answer of a check; negative if the browser
   * does not say.
   */
  async signs() {
    const stats = await this.pc.getStats().catch(() => null);
    let signs = -1;
    for (const stat of stats?.values() ?? []) {
      if (stat.type !== 'candidate-pair' || !(stat.bytesReceived >= 0)) continue;
      signs = Math.max(signs, 0) + stat.bytesReceived + (stat.responsesReceived ?? 0) + (stat.requestsReceived ?? 0);
    }
    return signs;
  }

  close() {
    this.#closed = true;
    this.pc.close();
  }
}
