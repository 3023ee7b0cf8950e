/** From an offer to an open data channel: nothing in it fails by itself, so each way to fail is watched for. */

import { ConnectionError } from './signalling.js';

/**
 * Resolves when the channel is open; rejects with a ConnectionError when it never will be, or when `signal` says so.
 * @param {RTCPeerConnection} pc
 * @param {RTCDataChannel} channel
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function opening(pc, channel, signal) {
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
    signal.addEventListener('abort', () => fail('no-path'), { once: true });
  });
}
