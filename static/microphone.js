/** The microphone of one call: opened, swapped, watched, given back. */

import { openMicrophone } from './devices.js';
import { deviceProblem } from './problems.js';

/** @typedef {import('./call.js').Problem} Problem */
/**
 * @typedef {object} Listener
 * @property {(track: MediaStreamTrack|null) => void} changed
 * @property {() => void} lost   unplugged, or taken away
 */

export class Microphone {
  /** @type {MediaStreamTrack|null} */ track = null;

  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
  }

  /** Does it give sound? */
  get works() {
    return this.track?.readyState === 'live';
  }

  /** Another one than wished for is better than none. @param {string} deviceId @returns {Promise<MediaStreamTrack|Problem>} */
  async open(deviceId) {
    try {
      return await openMicrophone(deviceId).catch((error) => {
        if (error?.name !== 'OverconstrainedError') throw error;
        return openMicrophone();
      });
    } catch (error) {
      return deviceProblem('microphone', error);
    }
  }

  /** @param {MediaStreamTrack|null} opened becomes the microphone of this call @param {boolean} muted */
  use(opened, muted) {
    if (this.track) this.track.onended = null;
    this.track?.stop();
    this.track = opened;
    this.mute(muted);
    if (opened) opened.onended = () => this.listener.lost();
    this.listener.changed(opened);
  }

  /** @param {boolean} muted */
  mute(muted) {
    if (this.track) this.track.enabled = !muted;
  }
}
