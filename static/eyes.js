/**
 * The camera, or the screen: opened when its button is pressed, given back as soon as it is not needed. While it is
 * off there is no track, so the camera's light is out.
 */

import { deviceProblem } from './problems.js';
import { cameraConstraints, screenConstraints } from './sight.js';

/** @typedef {import('./sight.js').Kind} Kind */
/**
 * @typedef {object} Listener
 * @property {(track: MediaStreamTrack|null) => void} changed   these pictures are to be sent, or none
 * @property {(problem: import('./call.js').Problem) => void} trouble
 */

export class Eye {
  /** @type {MediaStreamTrack|null} */ track = null;
  /** Which camera was chosen, or ''. */
  deviceId = '';
  #wishes = 0;
  #asking = false;
  #refused = new Set();

  /** @param {Kind} kind @param {Listener} listener */
  constructor(kind, listener) {
    this.kind = kind;
    this.listener = listener;
  }

  /** Can this browser do it, and has nobody refused it in this call? */
  get possible() {
    const devices = navigator.mediaDevices;
    return Boolean(devices) && (this.kind === 'camera' || 'getDisplayMedia' in devices) && this.#refused.size === 0;
  }

  /** Hear whether the relay, or the model, takes these pictures. @param {'relay'|'model'} who @param {boolean} takes */
  permit(who, takes) {
    if (takes) this.#refused.delete(who);
    else this.#refused.add(who);
    if (this.track && !takes) {
      this.off();
      this.listener.trouble({ code: `${this.kind}-unwanted` });
    }
  }

  /** A new call begins: who refused in the last one may take it in this one. */
  forget() {
    this.#refused.clear();
  }

  async toggle() {
    if (this.track) this.off();
    else if (!this.#asking) await this.#open();
  }

  /** Another camera; it is used at once if one is in use. @param {string} deviceId */
  async choose(deviceId) {
    this.deviceId = deviceId;
    if (this.track) await this.#open();
  }

  /** Stop, and give the device back; a question that is still open is answered no. */
  off() {
    this.#wishes += 1;
    this.#use(null);
  }

  async #open() {
    const wish = this.#wishes += 1;
    this.#asking = true;
    this.track?.stop(); // a phone opens one camera at a time
    try {
      const track = await this.#ask();
      if (wish === this.#wishes) this.#use(track);
      else track.stop();
    } catch (error) {
      if (wish !== this.#wishes) return;
      this.#use(null);
      this.listener.trouble(deviceProblem(this.kind, error));
    } finally {
      this.#asking = false;
    }
  }

  /** Throws what getUserMedia throws. @returns {Promise<MediaStreamTrack>} */
  async #ask() {
    const devices = navigator.mediaDevices;
    const stream = this.kind === 'screen' ? await devices.getDisplayMedia(screenConstraints())
      : await devices.getUserMedia(cameraConstraints(this.deviceId)).catch((error) => {
        if (error?.name !== 'OverconstrainedError') throw error;
        return devices.getUserMedia(cameraConstraints(''));
      });
    const [track] = stream.getVideoTracks();
    if (!track) throw new DOMException('no video track', 'NotFoundError');
    return track;
  }

  /** @param {MediaStreamTrack|null} track */
  #use(track) {
    if (this.track === track) return;
    if (this.track) this.track.onended = null;
    this.track?.stop();
    this.track = track;
    if (track) track.onended = () => this.#ended();
    this.listener.changed(track);
  }

  /** Unplugged, taken away, or stopped by the browser's own button. */
  #ended() {
    this.off();
    this.listener.trouble({ code: this.kind === 'camera' ? 'camera-lost' : 'screen-ended' });
  }
}
