/**
 * The camera's and the screen's place in one peer connection. Both are offered from the start, empty: what is switched
 * on later needs no new offer, and while nothing is, nothing is sent.
 */

import { encoding, KINDS } from './sight.js';

/** @typedef {import('./sight.js').Kind} Kind */

export class Pictures {
  /** @type {Map<Kind, RTCRtpTransceiver>} */ #places = new Map();
  #work = Promise.resolve();

  /** @param {RTCPeerConnection} pc before its offer */
  constructor(pc) {
    for (const kind of KINDS) {
      const sendEncodings = [{ ...encoding(kind), active: false }];
      this.#places.set(kind, pc.addTransceiver('video', { direction: 'sendonly', sendEncodings }));
    }
  }

  /** Does the relay take it? Known once the answer is there. @param {Kind} kind */
  taken(kind) {
    return this.#places.get(kind)?.currentDirection === 'sendonly';
  }

  /** Send these pictures from now on, or none. @param {Kind} kind @param {MediaStreamTrack|null} track */
  show(kind, track) {
    const sender = this.#places.get(kind)?.sender;
    this.#work = this.#work.then(() => sender && plug(sender, kind, track)).catch(() => {}); // the peer may be closing
    return this.#work;
  }
}

/**
 * While there is no track the sender is at rest: it would else go on for a while to fill the line, to see what it bears.
 * @param {RTCRtpSender} sender
 * @param {Kind} kind
 * @param {MediaStreamTrack|null} track
 */
async function plug(sender, kind, track) {
  if (!track) await sender.replaceTrack(null);
  const parameters = sender.getParameters();
  Object.assign(parameters.encodings[0] ?? {}, encoding(kind, track?.getSettings()), { active: track !== null });
  // A picture may come late, but it must not become small. (Not in the standard any more; who does not know it, ignores it.)
  await sender.setParameters(Object.assign(parameters, { degradationPreference: 'maintain-resolution' }));
  if (track) await sender.replaceTrack(track);
}
